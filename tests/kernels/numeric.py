"""What the kernel tests share: numbers to begin with, and differences to compare gradients with."""

import math
from itertools import product

import numpy as np

DTYPES = ("float64", "float32")
TOLERANCE = {"float64": {"rtol": 1e-12, "atol": 1e-13}, "float32": {"rtol": 2e-5, "atol": 2e-6}}
ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": lambda z: z if z > 0 else 0.0,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "tanh": math.tanh,
}


def draw(seed, *shape, dtype="float64"):
    """Standard normal numbers that no op may write to."""
    array = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    array.flags.writeable = False
    return array


def scratch(array):
    """What an op may overwrite: rule 5 lets it do so with dy."""
    return np.array(array)


def poison(*shape, dtype="float64"):
    return np.full(shape, np.nan, dtype)


def run(op, *arguments):
    assert op(*arguments) is None  # ops write into their destinations


def assert_close(actual, expected, dtype="float64", **tolerance):
    """Unlike numpy's own, without broadcasting."""
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(actual, expected, **(TOLERANCE[str(np.dtype(dtype))] | tolerance))


def differences(f, x, dy, h=1e-5):
    """The gradient of sum(dy * f(x)) at x by central differences, entry by entry."""
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        above, below = np.array(x), np.array(x)
        above[index] += h
        below[index] -= h
        gradient[index] = np.sum(dy * (f(above) - f(below))) / (2 * h)
    return gradient


def check_gradients(backward, forward, tensors, dy):
    """An op's gradients, of its input first and of its parameters then, against differences of its forward op.

    forward(*tensors) returns y; backward(destinations, dy, accumulate) calls the op. Every destination is left out
    once, and those of parameters are written over NaN as well as added to known numbers.
    """
    expected = [
        differences(lambda t, i=i: forward(*tensors[:i], t, *tensors[i + 1 :]), x, dy) for i, x in enumerate(tensors)
    ]
    known = [draw(90 + i, *x.shape) for i, x in enumerate(tensors)]
    for left_out, accumulate in product((None, *range(len(tensors))), (False, True)):
        filled = [scratch(k) if accumulate and i > 0 else poison(*k.shape) for i, k in enumerate(known)]
        destinations = [None if i == left_out else d for i, d in enumerate(filled)]
        backward(destinations, scratch(dy), accumulate)
        for i, d in enumerate(destinations):
            if d is not None:
                before = known[i] if accumulate and i > 0 else 0
                assert_close(d - before, expected[i], rtol=1e-7, atol=1e-8)
