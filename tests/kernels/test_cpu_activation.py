"""Activations over whole tensors of the fast backend against the reference in float64."""

import numpy as np
import pytest
from devices import assert_border, assert_near, empty, fetch, place
from numeric import draw, poison

from scratchae.kernels import reference
from scratchae.kernels.cpu.activation import activation_backward, activation_forward

SHAPES = [(1, 1), (15, 7), (17, 300), (3, 1500), (16, 5, 3), (17, 5, 7, 3), (33, 2, 150, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
def test_values_and_gradients(activation, shape):
    x, dy = 3 * draw(0, *shape, dtype="float32"), draw(1, *shape, dtype="float32")
    expected_y, expected_dx = poison(*shape), poison(*shape)
    reference.activation_forward(expected_y, x.astype(float), activation)
    reference.activation_backward(expected_dx, dy.astype(float), expected_y, activation)
    y, dx = empty(shape, (1, 2)), empty(shape, (2, 1))
    activation_forward(y, place(x, (1, 1)), activation)
    activation_backward(dx, place(dy), y, activation)
    for actual, expected in ((y, expected_y), (dx, expected_dx)):
        assert_near(fetch(actual), expected)
        assert_border(actual)


@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
def test_nan_and_infinity_pass(activation):
    x = np.array([[1, np.nan, -1, np.inf, -np.inf]], "float32")
    y, expected = empty(x.shape), np.empty_like(x)
    activation_forward(y, x, activation)
    reference.activation_forward(expected, x, activation)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-30)
