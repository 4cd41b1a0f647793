"""Activations over whole tensors on CUDA machines against the reference in float64."""

import numpy as np
import pytest
from cuda_arrays import assert_near, blank, fetch, place
from numeric import draw, poison

from scratchae.kernels import reference
from scratchae.kernels.cuda.activation import activation_backward, activation_forward


@pytest.mark.parametrize("shape", [(1, 1), (3, 257), (2, 5, 7, 3)], ids=str)
@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
def test_values_and_gradients(machine, activation, shape):
    x, dy = 3 * draw(0, *shape, dtype="float32"), draw(1, *shape, dtype="float32")
    expected_y, expected_dx = poison(*shape), poison(*shape)
    reference.activation_forward(expected_y, x.astype(float), activation)
    reference.activation_backward(expected_dx, dy.astype(float), expected_y, activation)
    y, dx = blank(machine, shape), blank(machine, shape)
    activation_forward(y, place(machine, x), activation)
    activation_backward(dx, place(machine, dy), None if activation == "linear" else y, activation)
    assert_near(fetch(machine, y), expected_y)
    assert_near(fetch(machine, dx), expected_dx)


@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
def test_nan_and_infinity_pass(machine, activation):
    x = np.array([[1, np.nan, -1, np.inf, -np.inf]], "float32")
    y, expected = blank(machine, x.shape), np.empty_like(x)
    activation_forward(y, place(machine, x), activation)
    reference.activation_forward(expected, x, activation)
    np.testing.assert_allclose(machine.download(y), expected, rtol=1e-6, atol=1e-30)
