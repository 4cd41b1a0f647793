"""Upsampling on CUDA machines against the reference in float64."""

import numpy as np
import pytest
from cuda_arrays import assert_near, blank, fetch, place
from numeric import draw

from scratchae.kernels import reference
from scratchae.kernels.cuda.up_sampling2d import up_sampling2d_backward, up_sampling2d_forward

SHAPES = [(1, 1, 1, 1), (3, 5, 7, 3), (15, 4, 6, 1), (2, 3, 2, 17), (2, 3, 40, 9)]  # rows longer than a block, too


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(machine, shape):
    N, H, W, C = shape
    x, dy = np.array(draw(0, *shape, dtype="float32")), draw(1, N, 2 * H, 2 * W, C, dtype="float32")
    x[0, 0, 0, 0] = np.nan
    expected_y, expected_dx = np.empty(dy.shape), np.empty(shape)
    reference.up_sampling2d_forward(expected_y, x)
    reference.up_sampling2d_backward(expected_dx, dy.astype(float))
    y, dx = blank(machine, dy.shape), blank(machine, shape)
    up_sampling2d_forward(y, place(machine, x))
    up_sampling2d_backward(dx, place(machine, dy))
    np.testing.assert_array_equal(fetch(machine, y), expected_y)
    assert_near(fetch(machine, dx), expected_dx)
