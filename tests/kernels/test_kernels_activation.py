import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numeric import ACTIVATIONS, DTYPES, assert_close, differences, draw, poison, run

from scratchae.kernels import reference as ops


def forward(x, activation):
    y = poison(*x.shape, dtype=x.dtype)
    run(ops.activation_forward, y, x, activation)
    return y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4), seed=st.integers(0, 999))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_forward(activation, dtype, shape, seed):
    x = 3 * draw(seed, *shape, dtype=dtype)
    y = forward(x, activation)
    assert_close(y, np.array([ACTIVATIONS[activation](float(v)) for v in x.flat]).reshape(shape), dtype)
    assert y.dtype == dtype


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backward(activation):
    x, dy, dx = 2 * draw(0, 2, 5, 7, 3), draw(1, 2, 5, 7, 3), poison(2, 5, 7, 3)
    y = forward(x, activation)
    y.flags.writeable = False
    run(ops.activation_backward, dx, np.array(dy), y, activation)
    assert_close(dx, differences(lambda x: forward(x, activation), x, dy), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_far_out(dtype):
    x = np.array([-1e4, -90, -30, 0, 30, 90, 1e4], dtype)
    y = forward(x, "sigmoid")
    expected = [0, math.exp(-90), math.exp(-30), 0.5, 1 / (1 + math.exp(-30)), 1, 1]
    np.testing.assert_allclose(y, np.array(expected, dtype), rtol=1e-5, atol=0)  # also where it is close to zero


def test_relu_at_zero_has_no_slope():
    x, dx = np.array([-1.0, -0.0, 0.0, 1e-300]), poison(4)
    y = forward(x, "relu")
    assert y.tolist() == [0, 0, 0, 1e-300]
    run(ops.activation_backward, dx, np.array([2.0, 3, 5, 7]), y, "relu")
    assert dx.tolist() == [0, 0, 0, 7]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_stays_nan(activation):
    y = forward(np.array([1.0, np.nan]), activation)
    assert np.isnan(y).tolist() == [False, True]


@pytest.mark.parametrize("op", [ops.activation_forward, ops.activation_backward])
def test_unknown_activations_are_refused(op):
    arrays = [np.zeros(2)] * (2 if op is ops.activation_forward else 3)
    with pytest.raises(ValueError, match="activation='gelu'"):
        op(*arrays, "gelu")
