"""Vectors and sequences on the fast backend."""

import numpy as np
import pytest
from devices import assert_near, empty, fetch, place

from scratchae.kernels.cpu import repeat_vector
from scratchae.kernels.cpu.simd import LANES

SHAPES = [(1, 1, 1), (15, 2, 3), (16, 4, 16), (17, 5, 33), (33, 3, 7)]  # N, T, D


def draw(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


@pytest.mark.parametrize("border", [(0, 0), (0, 2)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_repeat_vector(shape, border):
    N, T, D = shape
    x, y = draw(0, N, D), empty(shape, border)
    repeat_vector.repeat_vector_forward(y, x)
    np.testing.assert_array_equal(fetch(y), np.repeat(x[:, None], T, axis=1))
    assert not y.data[-1, ..., (N - 1) % LANES + 1 :].any()  # behind the last sample
    dy, dx = draw(1, *shape), empty((N, D))
    repeat_vector.repeat_vector_backward(dx, place(dy, border))
    assert_near(dx, dy.astype("float64").sum(axis=1))


def test_what_lies_behind_the_last_sample_is_not_read():
    y = place(draw(0, 5, 3, 4))
    y.data[-1, ..., 4 % LANES + 1 :] = np.nan
    dx = empty((5, 4))
    repeat_vector.repeat_vector_backward(dx, y)
    assert_near(dx, fetch(y).sum(axis=1))
