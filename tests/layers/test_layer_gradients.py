"""Every layer with all its options against differences, for odd shapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchae import Model, gradcheck, layers, losses, regularizers

ACTIVATIONS = ["linear", "relu", "sigmoid", "tanh"]
few = settings(max_examples=10, deadline=None, derandomize=True)
sizes = st.integers(1, 5)
activations = st.sampled_from(ACTIVATIONS)
penalties = st.sampled_from([None, regularizers.L1(0.1), regularizers.L2(0.2), regularizers.L1L2(0.1, 0.2)])


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def entries(arrays):
    """How many derivatives the checker looks at."""
    return sum(a.size if a.size <= gradcheck.ELEMENTWISE else gradcheck.DIRECTIONS for a in arrays)


def check_layer(layer, x, kinks=False):
    report = gradcheck.check(layer, x)
    inputs = x if isinstance(x, list) else [x]
    assert report.checked + report.skipped == entries([*layer.get_weights(), *inputs])
    if not kinks:
        assert report.skipped == 0


@given(rows=st.lists(sizes, min_size=1, max_size=3), D=sizes, units=sizes, activation=activations, bias=st.booleans())
@few
def test_dense(rows, D, units, activation, bias):
    check_layer(layers.Dense(units, activation, use_bias=bias), data(*rows, D))


@given(N=sizes, T=sizes, D=sizes, units=sizes, activation=activations, penalty=penalties)
@few
def test_time_distributed(N, T, D, units, activation, penalty):
    inner = layers.Dense(units, activation, activity_regularizer=penalty)
    check_layer(layers.TimeDistributed(inner), data(N, T, D), kinks=True)


@given(
    N=st.integers(1, 3),
    H=st.integers(1, 7),
    W=st.integers(1, 7),
    C=st.integers(1, 3),
    filters=st.integers(1, 3),
    J=st.sampled_from([1, 3, 5]),
    K=st.sampled_from([1, 3]),
    same=st.booleans(),
    activation=activations,
    bias=st.booleans(),
)
@few
def test_conv2d(N, H, W, C, filters, J, K, same, activation, bias):
    same = same or H < J or W < K
    layer = layers.Conv2D(filters, (J, K), "same" if same else "valid", activation, use_bias=bias)
    check_layer(layer, data(N, H, W, C))


@given(
    N=st.integers(1, 3),
    T=sizes,
    D=st.integers(1, 3),
    units=st.integers(1, 3),
    sequences=st.booleans(),
    bias=st.booleans(),
)
@few
def test_lstm(N, T, D, units, sequences, bias):
    check_layer(layers.LSTM(units, return_sequences=sequences, use_bias=bias), data(N, T, D))


@given(N=sizes, H=st.integers(2, 7), W=st.integers(2, 7), C=sizes, padding=st.sampled_from(["same", "valid"]))
@few
def test_max_pooling(N, H, W, C, padding):
    check_layer(layers.MaxPooling2D(padding=padding), data(N, H, W, C))


@given(N=sizes, H=sizes, W=sizes, C=sizes)
@few
def test_up_sampling(N, H, W, C):
    check_layer(layers.UpSampling2D(), data(N, H, W, C))


@given(N=sizes, D=sizes, T=sizes)
@few
def test_repeat_vector(N, D, T):
    check_layer(layers.RepeatVector(T), data(N, D))


@given(N=sizes, beta=st.sampled_from([0.0, 1.0, 2.5]), D=sizes)
@few
def test_sampling(N, beta, D):
    check_layer(layers.Sampling(beta), [data(N, D), data(N, D, seed=1)])


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Reshape((-1, 7)),
        lambda: layers.Flatten(),
        lambda: layers.Rescaling(1 / 3, offset=0.5),
        lambda: layers.GaussianNoise(0.5),
        lambda: layers.Dropout(0.4),
        *(lambda a=a: layers.Activation(a) for a in ACTIVATIONS),
        lambda: layers.ActivityRegularization(0.3, 0.0),
        lambda: layers.ActivityRegularization(0.0, 0.7),
        lambda: layers.Activation("tanh", activity_regularizer=regularizers.L1L2(0.3, 0.7)),
    ],
)
@given(N=sizes, H=sizes, C=st.integers(1, 3))
@settings(max_examples=5, deadline=None, derandomize=True)
def test_layers_without_weights(make, N, H, C):
    check_layer(make(), data(N, H, 7, C))


@given(
    l1=st.sampled_from([0.0, 0.1]), l2=st.sampled_from([0.0, 0.2]), kind=st.sampled_from(["dense", "conv2d", "lstm"])
)
@settings(max_examples=9, deadline=None, derandomize=True)
def test_penalties_of_a_compiled_model(l1, l2, kind):
    penalty = regularizers.L1L2(l1, l2)
    three = {f"{name}_regularizer": penalty for name in ("kernel", "bias", "activity")}
    make, shape = {
        "dense": (lambda: layers.Dense(4, "tanh", **three), (3,)),
        "conv2d": (lambda: layers.Conv2D(2, 3, "same", "tanh", **three), (3, 5, 2)),
        "lstm": (lambda: layers.LSTM(2, recurrent_regularizer=penalty, **three), (4, 3)),
    }[kind]
    x = layers.Input(shape)
    h = make()(x)
    model = Model(x, layers.Dense(2)(h))
    model.compile("sgd", "mse")
    x, y, weight = data(3, *shape), data(3, *model.output_shape[1:], seed=1), np.array([0.5, 2.0, 0.0])
    report = gradcheck.check(model, x, y, sample_weight=weight)
    assert report.checked + report.skipped == entries(model.get_weights())

    # the value too: per sample the loss with its weight, every weight's penalty once, activations' by sample
    layer, outer = model.layers[1:]
    h = Model(model.inputs[0], layer.output).predict(x, verbose=0)
    prediction = h @ outer.get_weights()[0] + outer.get_weights()[1]
    expected = np.mean(weight * ((prediction - y) ** 2).reshape(3, -1).mean(axis=1))
    for array, share in (*((w, 1) for w in layer.get_weights()), (h, 3)):
        expected += (l1 * np.abs(array).sum() + l2 * (array**2).sum()) / share
    assert model.loss_and_gradients(x, y, weight)[0] == pytest.approx(expected, rel=1e-12)
    assert model.evaluate(x, y, sample_weight=weight, verbose=0) == pytest.approx(expected, rel=1e-12)


def test_time_distributed_keeps_the_penalty_of_its_layer():
    x = layers.Input((4, 3))
    inner = layers.Dense(2, activity_regularizer=regularizers.L1L2(0.1, 0.2), kernel_regularizer="l2")
    model = Model(x, layers.TimeDistributed(inner)(x))
    model.compile("sgd", "mse")
    x = data(3, 4, 3)
    h = model.predict(x, verbose=0)
    expected = (0.1 * np.abs(h).sum() + 0.2 * (h**2).sum()) / 3 + 0.01 * (inner.get_weights()[0] ** 2).sum()
    assert model.evaluate(x, h, verbose=0) == pytest.approx(expected, rel=1e-12)
    gradcheck.check(model, x, h + 1)


LOSSES = {
    "binary_crossentropy": (losses.BinaryCrossentropy, "sigmoid"),
    "summed_binary_crossentropy": (losses.SummedBinaryCrossentropy, "sigmoid"),
    "mean_squared_error": (losses.MeanSquaredError, "tanh"),
    "mean_absolute_error": (losses.MeanAbsoluteError, "linear"),
}


@pytest.mark.parametrize("name", LOSSES)
@given(N=sizes, D=sizes, units=sizes, weighted=st.booleans())
@few
def test_losses(name, N, D, units, weighted):
    loss, activation = LOSSES[name]
    x = layers.Input(D)
    model = Model(x, layers.Dense(units, activation)(x))
    model.compile("sgd", loss())
    target = np.random.default_rng(1).uniform(0.05, 0.95, (N, units))
    weight = np.random.default_rng(2).uniform(0, 2, N) if weighted else None
    report = gradcheck.check(model, data(N, D), target, sample_weight=weight)
    assert report.checked == entries(model.get_weights())
