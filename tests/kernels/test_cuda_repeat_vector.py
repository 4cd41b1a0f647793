"""Vectors and sequences on CUDA machines against the reference in float64."""

import numpy as np
import pytest
from cuda_arrays import assert_near, blank, fetch, place
from numeric import draw, poison

from scratchae.kernels import reference
from scratchae.kernels.cuda.lstm import last_step_backward, last_step_forward
from scratchae.kernels.cuda.repeat_vector import repeat_vector_backward, repeat_vector_forward

shapes = pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (17, 2, 33), (3, 7, 130)], ids=str)  # N, T, D


@shapes
def test_repeat_vector(machine, shape):
    N, T, D = shape
    x, dy = draw(0, N, D, dtype="float32"), draw(1, *shape, dtype="float32")
    y, dx, expected = blank(machine, shape), blank(machine, (N, D)), poison(N, D)
    repeat_vector_forward(y, place(machine, x))
    np.testing.assert_array_equal(fetch(machine, y), np.repeat(x[:, None], T, axis=1))
    repeat_vector_backward(dx, place(machine, dy))
    reference.repeat_vector_backward(expected, dy.astype(float))
    assert_near(fetch(machine, dx), expected)


@shapes
def test_last_step(machine, shape):
    N, T, D = shape
    h, dy = draw(0, *shape, dtype="float32"), draw(1, N, D, dtype="float32")
    y, dh = blank(machine, (N, D)), blank(machine, shape)
    last_step_forward(y, place(machine, h))
    np.testing.assert_array_equal(fetch(machine, y), h[:, -1])
    last_step_backward(dh, place(machine, dy))
    np.testing.assert_array_equal(fetch(machine, dh)[:, -1], dy)
    np.testing.assert_array_equal(fetch(machine, dh)[:, :-1], 0)


def test_nan_stays_where_it_is(machine):
    dy = draw(0, 3, 4, 5, dtype="float32").copy()
    dy[1, 2, 3] = np.nan
    dx, y = blank(machine, (3, 5)), blank(machine, (3, 4, 5))
    repeat_vector_backward(dx, place(machine, dy))
    assert np.argwhere(np.isnan(fetch(machine, dx))).tolist() == [[1, 3]]
    repeat_vector_forward(y, dx)
    assert np.isnan(fetch(machine, y)[1, :, 3]).all()
    assert np.isnan(fetch(machine, y)).sum() == 4
