"""What each layer computes, and the shape it promises, against its formula in NumPy."""

import numpy as np
import pytest

import scratchae
from scratchae import layers

N = 2
relu = lambda z: np.maximum(z, 0)  # noqa: E731
sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731


def convolved(x, w, b, border):
    (by, bx), (J, K) = border, w.shape[:2]
    x = np.pad(x, ((0, 0), (by, by), (bx, bx), (0, 0)))
    H, W = x.shape[1] - J + 1, x.shape[2] - K + 1
    return b + sum(np.einsum("nhwc,co->nhwo", x[:, j : j + H, k : k + W], w[j, k]) for j in range(J) for k in range(K))


def pooled(x):
    H, W = x.shape[1:3]
    rows = [x[:, p : p + 2].max(axis=1) for p in range(0, H, 2)]
    columns = np.stack(rows, axis=1)
    return np.stack([columns[:, :, q : q + 2].max(axis=2) for q in range(0, W, 2)], axis=2)


def remembered(x, wx, wh, b):
    U = len(wh)
    h, c, sequence = np.zeros((N, U)), np.zeros((N, U)), []
    for t in range(x.shape[1]):
        z = x[:, t] @ wx + h @ wh + b
        i, f, g, o = (z[:, k * U : (k + 1) * U] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        sequence.append(h)
    return np.stack(sequence, axis=1)


FORMULAS = {
    "dense": (lambda: layers.Dense(4, "sigmoid"), [(3,)], lambda x, w, b: sigmoid(x @ w + b)),
    "dense along the last axis": (
        lambda: layers.Dense(4),
        [(5, 2, 3)],
        lambda x, w, b: np.einsum("nabi,io->nabo", x, w) + b,
    ),
    "dense without bias": (lambda: layers.Dense(4, "relu", use_bias=False), [(3,)], lambda x, w: relu(x @ w)),
    "time distributed": (
        lambda: layers.TimeDistributed(layers.Dense(4, "tanh")),
        [(5, 3)],
        lambda x, w, b: np.stack([np.tanh(x[:, t] @ w + b) for t in range(5)], axis=1),
    ),
    "conv2d valid": (lambda: layers.Conv2D(4, (3, 5)), [(5, 7, 3)], lambda x, w, b: convolved(x, w, b, (0, 0))),
    "conv2d same": (
        lambda: layers.Conv2D(4, (3, 5), padding="same", activation="relu"),
        [(5, 7, 3)],
        lambda x, w, b: relu(convolved(x, w, b, (1, 2))),
    ),
    "conv2d of one number": (
        lambda: layers.Conv2D(4, 3, padding="same"),
        [(5, 7, 3)],
        lambda x, w, b: convolved(x, w, b, (1, 1)),
    ),
    "max pooling same": (lambda: layers.MaxPooling2D(padding="same"), [(5, 7, 3)], pooled),
    "max pooling valid": (lambda: layers.MaxPooling2D(), [(5, 7, 3)], lambda x: pooled(x[:, :4, :6])),
    "up sampling": (lambda: layers.UpSampling2D(), [(5, 7, 3)], lambda x: np.kron(x, np.ones((1, 2, 2, 1)))),
    "lstm": (lambda: layers.LSTM(4), [(5, 3)], lambda *a: remembered(*a)[:, -1]),
    "lstm sequences": (lambda: layers.LSTM(4, return_sequences=True), [(5, 3)], remembered),
    "lstm without bias": (
        lambda: layers.LSTM(4, use_bias=False),
        [(5, 3)],
        lambda *a: remembered(*a, 0.0 * a[1][0])[:, -1],
    ),
    "repeat vector": (lambda: layers.RepeatVector(5), [(3,)], lambda x: np.stack([x] * 5, axis=1)),
    "reshape": (lambda: layers.Reshape((7, -1)), [(5, 7, 3)], lambda x: x.reshape(N, 7, 15)),
    "flatten": (lambda: layers.Flatten(), [(5, 7, 3)], lambda x: x.reshape(N, 105)),
    "rescaling": (lambda: layers.Rescaling(1 / 255, offset=-0.5), [(5, 3)], lambda x: x / 255 - 0.5),
    "activation": (lambda: layers.Activation("tanh"), [(5, 3)], np.tanh),
    "no activation": (lambda: layers.Activation(None), [(5, 3)], lambda x: x),
    "activity regularization": (lambda: layers.ActivityRegularization(0.1, 0.2), [(5, 3)], lambda x: x),
    "activity regularizer": (
        lambda: layers.Dense(4, activity_regularizer="l1_l2"),
        [(3,)],
        lambda x, w, b: x @ w + b,
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_output(name):
    make, shapes, formula = FORMULAS[name]
    rng = np.random.default_rng(0)
    inputs = [layers.Input(shape) for shape in shapes]
    layer = make()
    output = layer(inputs[0])
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.get_weights()])
    model = scratchae.Model(inputs, output)
    x = [rng.standard_normal((N, *shape)) for shape in shapes]
    y, expected = model.predict(x[0], verbose=0), formula(*x, *layer.get_weights())
    assert (None, *y.shape[1:]) == layer.compute_output_shape((None, *shapes[0])) == output.shape == model.output_shape
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("floatx", ["float32", "float64"])
def test_layers_take_the_float_type_of_their_time(floatx):
    scratchae.set_floatx(floatx)
    x = layers.Input(3)
    model = scratchae.Model(x, layers.Dense(2)(x))
    assert model.predict(np.ones((1, 3), "float16"), verbose=0).dtype == floatx


@pytest.mark.parametrize(("unit_forget_bias", "expected"), [(True, [0, 0, 1, 1, 0, 0, 0, 0]), (False, [0] * 8)])
def test_an_lstm_remembers_at_first(unit_forget_bias, expected):
    layer = layers.LSTM(2, unit_forget_bias=unit_forget_bias)
    layer(layers.Input((5, 3)))
    assert layer.get_weights()[2].tolist() == expected
