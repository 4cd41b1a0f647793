"""Pooling and upsampling of the fast backend against the reference."""

import numpy as np
import pytest
from devices import cpu, empty, fetch, place

from scratchae.kernels import reference

SHAPES = [(1, 1, 1, 1), (3, 5, 7, 3), (15, 4, 6, 1), (17, 3, 2, 5), (33, 2, 9, 2)]


def draw(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_max_pool2d(shape, padding):
    N, H, W, C = shape
    extra = 1 if padding == "same" else 0
    pooled = N, (H + extra) // 2, (W + extra) // 2, C
    if 0 in pooled:
        pytest.skip("nothing to pool")
    x, dy = draw(shape), draw(pooled, 1)
    y, winner, dx = np.empty(pooled), np.empty(pooled, np.uint8), np.empty(shape)
    reference.max_pool2d_forward(y, winner, x)
    reference.max_pool2d_backward(dx, dy, winner)
    y_cpu, winner_cpu, dx_cpu = empty(pooled, (1, 1)), empty(pooled, dtype="uint8"), empty(shape, (1, 2))
    cpu.max_pool2d_forward(y_cpu, winner_cpu, place(x, (2, 1)))
    cpu.max_pool2d_backward(dx_cpu, place(dy, (1, 0)), winner_cpu)
    np.testing.assert_array_equal(fetch(y_cpu), y)
    np.testing.assert_array_equal(fetch(winner_cpu), winner)
    np.testing.assert_array_equal(fetch(dx_cpu), dx)


def test_ties_and_nan():
    """The first of equals wins, and the first NaN wins over any number."""
    x = np.zeros((2, 2, 4, 1), "float32")
    x[1, :, :2, 0] = [[1, np.nan], [np.inf, np.nan]]
    x[1, :, 2:, 0] = [[-1, 5], [5, 2]]
    y, winner = empty((2, 1, 2, 1)), empty((2, 1, 2, 1), dtype="uint8")
    cpu.max_pool2d_forward(y, winner, place(x))
    np.testing.assert_array_equal(fetch(y)[:, 0, :, 0], [[0, 0], [np.nan, 5]])
    np.testing.assert_array_equal(fetch(winner)[:, 0, :, 0], [[0, 0], [1, 1]])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_up_sampling2d(shape):
    N, H, W, C = shape
    x, dy = draw(shape), draw((N, 2 * H, 2 * W, C), 1)
    y, dx = np.empty(dy.shape), np.empty(shape)
    reference.up_sampling2d_forward(y, x)
    reference.up_sampling2d_backward(dx, dy.astype(float))
    y_cpu, dx_cpu = empty(dy.shape, (1, 1)), empty(shape, (0, 1))
    cpu.up_sampling2d_forward(y_cpu, place(x, (1, 2)))
    cpu.up_sampling2d_backward(dx_cpu, place(dy, (2, 1)))
    np.testing.assert_array_equal(fetch(y_cpu), y)
    np.testing.assert_allclose(fetch(dx_cpu), dx, rtol=1e-6, atol=1e-6)
