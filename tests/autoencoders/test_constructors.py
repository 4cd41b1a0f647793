"""The five constructors: architectures, compile settings, geometry, bad arguments."""

import numpy as np
import pytest

import scratchae
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational


def layers_of(model):
    return [(type(layer).__name__, getattr(layer, "activation", None)) for layer in model.layers[1:]]


def test_all_layers_are_relu_but_the_last():
    encoder, decoder, auto = vanilla.autoencoder(784, [128, 64], 32)
    assert layers_of(encoder) == [("Dense", "relu")] * 3
    assert layers_of(decoder) == [("Dense", "relu")] * 2 + [("Dense", "sigmoid")]
    assert [layer.units for layer in encoder.layers[1:]] == [128, 64, 32]
    assert [layer.units for layer in decoder.layers[1:]] == [64, 128, 784]
    assert auto.optimizer.name == "adam"
    assert auto.loss.name == "binary_crossentropy"


def test_no_hidden_layer_is_the_single_layer_autoencoder():
    encoder, decoder, _ = vanilla.autoencoder(784, [], 32)
    assert layers_of(encoder) == [("Dense", "relu")]
    assert layers_of(decoder) == [("Dense", "sigmoid")]


def test_the_sparse_one_penalizes_the_code_only():
    encoder, decoder, _ = sparse.autoencoder(10, [7], 3, 0.05)
    penalties = [layer.activity_regularizer for layer in encoder.layers + decoder.layers]
    assert [p.l1 for p in penalties if p is not None] == [0.05]
    assert encoder.layers[-1].activity_regularizer is not None


def test_mean_and_log_variance_have_no_activation():
    encoder, _, auto = variational.autoencoder(10, [7], 3)
    assert encoder.get_layer("mean").activation == encoder.get_layer("log_var").activation == "linear"
    assert auto.loss.name == "summed_binary_crossentropy"


def test_the_recurrent_one_is_lstm_repeat_lstm():
    encoder, decoder, auto = recurrent.autoencoder(10, 6, 4)
    assert [name for name, _ in layers_of(encoder) + layers_of(decoder)] == ["LSTM", "RepeatVector", "LSTM"]
    assert auto.loss.name == "mean_squared_error"


def test_the_last_layer_may_be_linear_for_data_of_any_size(rng):
    for _, decoder, auto in (
        vanilla.autoencoder(5, [4], 3, "linear"),
        sparse.autoencoder(5, [4], 3, 0.1, "linear"),
        convolutional.autoencoder((12, 4, 1), [2, 3, 2], (2, 1, 2), "linear"),
        variational.autoencoder(5, [4], 2, "linear", 0.5),
        recurrent.autoencoder(3, 5, 4, "linear"),
    ):
        assert decoder.layers[-1].activation == "linear"
        auto.set_weights([10 * weight - 5 for weight in auto.get_weights()])
        copies = auto.predict(rng.random((3, *auto.input_shape[1:])))
        assert copies.min() < -1
    assert variational.autoencoder(5, [4], 2, beta=0.5)[2].get_layer("sampling").beta == 0.5


def test_a_recurrent_one_with_a_last_layer_unrolls_as_many_units_as_the_code_has():
    _, decoder, auto = recurrent.autoencoder(10, 6, 4, "sigmoid")
    assert [name for name, _ in layers_of(decoder)] == ["RepeatVector", "LSTM", "Dense"]
    assert decoder.layers[2].units == 4
    assert auto.output_shape == (None, 10, 6)


@pytest.mark.parametrize("filters", [[3], [3, 2], [3, 2, 2], [2, 2, 2, 2]])
@pytest.mark.parametrize("n", range(5, 62, 3))
def test_convolutional_geometry(filters, n, rng):
    """n comes back as 2^k ceil(n / 2^k) - 4, and fit says which size would come back as itself."""
    factor = 2 ** len(filters)
    code = -(-n // factor)
    if factor * code <= 4:
        with pytest.raises(ValueError, match="too small"):
            convolutional.autoencoder((n, n, 1), filters, (code, code, filters[-1]))
        return
    encoder, _, auto = convolutional.autoencoder((n, n, 1), filters, (code, code, filters[-1]))
    assert encoder.output_shape == (None, code, code, filters[-1])
    assert auto.output_shape == (None, factor * code - 4, factor * code - 4, 1)
    x = rng.random((2, n, n, 1))
    if len(filters) >= 3 and (n + 4) % factor == 0:
        auto.fit(x, x, verbose=0)
        return
    with pytest.raises(ValueError, match=f"does not reproduce {n}x{n}; with {len(filters)} filter") as error:
        auto.fit(x, x, verbose=0)
    if len(filters) < 3:
        assert "no size is reproduced, use three or more" in str(error.value)
    else:
        nearest = int(str(error.value).rsplit("x", 1)[1])
        possible = [factor * m - 4 for m in range(1, 20) if factor * m > 4]
        assert abs(nearest - n) == min(abs(size - n) for size in possible)
        m = (nearest + 4) // factor
        fitting = convolutional.autoencoder((nearest, nearest, 1), filters, (m, m, filters[-1]))[2]
        assert fitting.output_shape == (None, nearest, nearest, 1)


BAD = [
    (lambda: vanilla.autoencoder(0, [], 3), ValueError, "input_dims=0 is too small"),
    (lambda: vanilla.autoencoder(10.5, [], 3), TypeError, "input_dims=10.5 is a float"),
    (lambda: vanilla.autoencoder(10, 7, 3), TypeError, "hidden_layers=7 is a int; expected a list or tuple"),
    (lambda: vanilla.autoencoder(10, [7, -1], 3), ValueError, r"hidden_layers\[1\]=-1 is too small"),
    (lambda: vanilla.autoencoder(10, [7], None), TypeError, "latent_dims=None is a NoneType"),
    (lambda: vanilla.autoencoder(10, "128", 3), TypeError, "hidden_layers='128' is a str"),
    (lambda: vanilla.autoencoder(True, [], 3), TypeError, "input_dims=True is a bool"),
    (lambda: sparse.autoencoder(10, [7], 3, -1), ValueError, "lambtha=-1 is out of range"),
    (lambda: sparse.autoencoder(10, [7], 3, float("nan")), ValueError, "lambtha=nan is out of range"),
    (lambda: variational.autoencoder(10, [7], 0), ValueError, "latent_dims=0 is too small"),
    (lambda: recurrent.autoencoder(0, 6, 4), ValueError, "timesteps=0 is too small"),
    (lambda: convolutional.autoencoder((28, 28), [8], (14, 14, 8)), ValueError, "has 2 entries; expected 3"),
    (lambda: convolutional.autoencoder((28, 28, 1), [], (28, 28, 1)), ValueError, "filters is empty"),
    (lambda: convolutional.autoencoder((28, 28, 1), [16, 8, 8], (3, 4, 8)), ValueError, r"use \(4, 4, 8\)"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_variational_bound_is_reconstruction_plus_divergence(rng):
    encoder, decoder, auto = variational.autoencoder(6, [5], 2)
    x = rng.random((8, 6))
    auto.get_layer("sampling").noise = noise = rng.standard_normal((8, 2))
    z, mean, log_var = (array.astype(float) for array in encoder.predict(x))
    p = decoder.predict(z).astype(float)
    reconstruction = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1).mean()
    divergence = (-0.5 * (1 + log_var - mean**2 - np.exp(log_var))).sum(axis=1).mean()
    np.testing.assert_allclose(z, mean + np.exp(log_var / 2) * noise, rtol=1e-5, atol=1e-6)
    assert auto.evaluate(x, x) == pytest.approx(reconstruction + divergence, rel=1e-5)
    auto.get_layer("sampling").beta = 0.0
    assert auto.evaluate(x, x) == pytest.approx(reconstruction, rel=1e-5)


def test_wrong_noise_says_its_shape(rng):
    _, _, auto = variational.autoencoder(6, [5], 2)
    auto.get_layer("sampling").noise = np.ones((3, 4))
    with pytest.raises(ValueError, match=r"noise has shape \(3, 4\); expected one row of \(2,\) a sample"):
        auto.predict(rng.random((3, 6)))


def test_gradients_of_every_autoencoder_pass_the_checker(rng):
    for auto, shape in (
        (vanilla.autoencoder(5, [4], 3)[2], (5,)),
        (sparse.autoencoder(5, [4], 3, 0.1)[2], (5,)),
        (convolutional.autoencoder((12, 4, 2), [2, 3, 2], (2, 1, 2))[2], (12, 4, 2)),
        (variational.autoencoder(5, [4], 2)[2], (5,)),
        (recurrent.autoencoder(3, 2, 4)[2], (3, 2)),
    ):
        x = rng.random((3, *shape))
        report = scratchae.gradcheck.check(auto, x, x)
        assert report.checked > 0.8 * (report.checked + report.skipped)
