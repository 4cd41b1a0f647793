"""Graphs, weights and homes of models."""

import numpy as np
import pytest

import scratchae
from scratchae import Input, Model, Sequential, layers
from scratchae.autoencoders import vanilla, variational


def test_weights_are_in_keras_order(rng):
    encoder, decoder, auto = variational.autoencoder(6, [5], 2)
    assert [p.name for p in auto.weights] == [
        "dense/kernel", "dense/bias", "mean/kernel", "mean/bias", "log_var/kernel", "log_var/bias",
        "dense_1/kernel", "dense_1/bias", "dense_2/kernel", "dense_2/bias",
    ]  # fmt: skip
    assert auto.weights == encoder.weights + decoder.weights
    assert auto.count_params() == 6 * 5 + 5 + 2 * (5 * 2 + 2) + 2 * 5 + 5 + 5 * 6 + 6


def test_models_share_weights_with_their_parts(rng):
    x = rng.random((9, 6))
    encoder, decoder, auto = vanilla.autoencoder(6, [5], 2)
    auto.fit(x, x, epochs=2, verbose=0)
    np.testing.assert_array_equal(decoder.predict(encoder.predict(x)), auto.predict(x))
    encoder.set_weights([np.zeros(p.shape) for p in encoder.weights])
    assert not np.any(auto.get_weights()[0])


def test_two_models_train_shared_layers_in_turn(rng):
    """Each brings the weights home before its step: the same numbers as one model with two optimizers would give."""
    x = rng.random((8, 6))
    encoder, decoder, auto = vanilla.autoencoder(6, [], 2)
    other_input = Input((6,))
    other = Model(other_input, layers.Dense(6)(encoder(other_input)))
    other.compile("sgd", "mse")
    expected = auto.get_weights()
    for _ in range(3):
        _, gradients = other.loss_and_gradients(x, x)
        other.train_on_batch(x, x)
        expected[0] -= 0.01 * gradients[0]
        expected[1] -= 0.01 * gradients[1]
        np.testing.assert_allclose(auto.get_weights()[0], expected[0], rtol=1e-6)
        auto.train_on_batch(x, x)
        expected = auto.get_weights()
        np.testing.assert_array_equal(encoder.get_weights()[0], expected[0])
    assert auto.optimizer.iterations == other.optimizer.iterations == 3


def test_returned_arrays_are_copies(rng):
    x = rng.random((5, 6))
    _, _, auto = vanilla.autoencoder(6, [], 2)
    first = auto.predict(x)
    kept = first.copy()
    weights = auto.get_weights()
    _, gradients = auto.loss_and_gradients(x, x)
    for array in (*weights, *gradients):
        array[...] = 1e9
    auto.predict(1 - x)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(auto.predict(x), kept)


def test_nodes_at_the_same_depth_keep_the_order_of_the_outputs():
    x = Input((4,))
    late, early = layers.Dense(2, name="late"), layers.Dense(3, name="early")
    a, b = late(x), early(x)
    assert [layer.name for layer in Model(x, (b, a)).layers[1:]] == ["early", "late"]
    assert [layer.name for layer in Model(x, (a, b)).layers[1:]] == ["late", "early"]


def test_outputs_come_in_the_container_they_were_given_in(rng):
    x = Input((4,))
    a, b = layers.Dense(2)(x), layers.Dense(3)(x)
    data = rng.random((3, 4))
    assert isinstance(Model(x, (a, b)).predict(data), tuple)
    assert isinstance(Model(x, [a, b]).predict(data), list)
    assert Model(x, [a]).predict(data)[0].shape == (3, 2)
    assert Model(x, a).predict(data).shape == (3, 2)


def test_a_model_of_several_inputs(rng):
    mean, log_var = Input((3,)), Input((3,))
    model = Model([mean, log_var], layers.Sampling(name="sampling")([mean, log_var]))
    model.get_layer("sampling").noise = np.ones((4, 3))
    m, v = rng.random((4, 3)), rng.random((4, 3))
    np.testing.assert_allclose(model.predict([m, v]), m + np.exp(v / 2), rtol=1e-6)
    with pytest.raises(ValueError, match="2 inputs"):
        model.predict([m, v, v])


def test_get_layer_searches_nested_models():
    _, _, auto = variational.autoencoder(6, [5], 2)
    assert auto.get_layer("sampling").beta == 1
    assert auto.get_layer(index=1).name == "encoder"
    with pytest.raises(ValueError, match=r"no layer 'simpling'; the layers are .*sampling"):
        auto.get_layer("simpling")


@pytest.mark.parametrize(
    "change", [lambda w: w[:-1], lambda w: [*w[:-1], w[-1][:3]], lambda w: [w[0] * np.nan, *w[1:]]]
)
def test_set_weights_of_another_model_changes_nothing(change):
    _, _, auto = vanilla.autoencoder(6, [5], 2)
    before = auto.get_weights()
    with pytest.raises(ValueError, match="set_weights got"):
        auto.set_weights(change([w + 1 for w in before]))
    for a, b in zip(auto.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_layers_stay_as_they_are(rng):
    x = rng.random((9, 6))
    encoder, decoder, auto = vanilla.autoencoder(6, [5], 2)
    decoder.trainable = False
    auto.compile("adam", "mse")
    before = auto.get_weights()
    auto.fit(x, x, epochs=2, verbose=0)
    after = auto.get_weights()
    assert all(np.any(a != b) for a, b in zip(after[:4], before[:4], strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(after[4:], before[4:], strict=True))
    assert [g is None for g in auto.loss_and_gradients(x, x)[1]] == [False] * 4 + [True] * 4


def test_trainable_changed_after_compile_is_said(rng):
    x = rng.random((9, 6))
    encoder, _, auto = vanilla.autoencoder(6, [5], 2)
    auto.train_on_batch(x, x)
    encoder.trainable = False
    with pytest.raises(ValueError, match="call compile again"):
        auto.train_on_batch(x, x)


def test_a_model_without_trainable_weights_still_evaluates(rng):
    x = rng.random((9, 6))
    _, _, auto = vanilla.autoencoder(6, [5], 2)
    auto.trainable = False
    auto.compile("adam", "mse")
    loss = auto.evaluate(x, x)
    assert auto.train_on_batch(x, x) == pytest.approx(loss)
    assert auto.loss_and_gradients(x, x)[1] == [None] * 8


def test_one_optimizer_trains_one_model(rng):
    x = rng.random((9, 6))
    optimizer = scratchae.optimizers.Adam()
    first, second = vanilla.autoencoder(6, [5], 2)[2], vanilla.autoencoder(6, [5], 2)[2]
    first.compile(optimizer, "mse")
    first.train_on_batch(x, x)
    second.compile(optimizer, "mse")
    with pytest.raises(ValueError, match="give each model its own optimizer"):
        second.train_on_batch(x, x)


def test_float64_models_compute_in_float64(rng):
    scratchae.set_floatx("float64")
    _, _, auto = vanilla.autoencoder(6, [], 2)
    assert auto.predict(rng.random((3, 6), dtype=np.float32)).dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.uint8, np.int64, bool])
def test_data_of_any_type_gives_float32(dtype, rng):
    _, _, auto = vanilla.autoencoder(6, [], 2)
    x = (rng.random((5, 6)) * 2).astype(dtype)
    assert auto.predict(x).dtype == np.float32
    np.testing.assert_array_equal(auto.predict(x), auto.predict(x.astype(np.float32)))


def test_a_layer_that_was_refused_an_input_takes_another(rng):
    layer = layers.Conv2D(2, 5)
    with pytest.raises(ValueError, match=r"image of shape \(3, 9, 1\) is smaller than kernel_size=\(5, 5\)"):
        layer(Input((3, 9, 1)))
    assert layer(Input((9, 9, 4))).shape == (None, 5, 5, 2)


def test_mixed_homes_are_refused(rng):
    encoder, decoder, _ = vanilla.autoencoder(6, [], 2)
    scratchae.set_floatx("float64")
    x = Input((6,))
    mixed = Model(x, layers.Dense(6)(encoder(x)))
    with pytest.raises(ValueError, match=r"different places \(cpu float32, reference float64\)"):
        mixed.predict(rng.random((3, 6)))


class TestSequential:
    def test_grows_and_shrinks(self, rng):
        x = rng.random((3, 6))
        model = Sequential([Input((6,)), layers.Dense(4)])
        short = model.predict(x)
        model.add(layers.Dense(2))
        assert model.predict(x).shape == (3, 2)
        model.pop()
        np.testing.assert_array_equal(model.predict(x), short)

    def test_is_a_layer_of_another_model(self, rng):
        x = Input((6,))
        inner = Sequential([layers.Dense(4), layers.Dense(2)])
        model = Model(x, inner(x))
        data = rng.random((3, 6))
        np.testing.assert_array_equal(model.predict(data), inner.predict(data))

    def test_refuses_what_is_no_layer(self):
        with pytest.raises(TypeError, match="'relu' is a str; expected a layer"):
            Sequential(["relu"])
        layer = layers.Dense(2)
        with pytest.raises(ValueError, match="is there already"):
            Sequential([layer, layer])
