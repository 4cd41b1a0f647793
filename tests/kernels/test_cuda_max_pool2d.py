"""Pooling on CUDA machines against the reference: the same bits."""

import numpy as np
import pytest
from cuda_arrays import blank, place
from numeric import draw

from scratchae.kernels import reference
from scratchae.kernels.cuda.max_pool2d import max_pool2d_backward, max_pool2d_forward

SHAPES = [(1, 1, 1, 1), (3, 5, 7, 3), (15, 4, 6, 1), (2, 3, 2, 17), (2, 5, 40, 9)]  # rows longer than a block, too


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(machine, shape, padding):
    N, H, W, C = shape
    extra = padding == "same"
    pooled = N, (H + extra) // 2, (W + extra) // 2, C
    if 0 in pooled:
        pytest.skip("nothing to pool")
    x, dy = draw(0, *shape, dtype="float32"), draw(1, *pooled, dtype="float32")
    expected_y, expected_winner = np.empty(pooled, "float32"), np.empty(pooled, "uint8")
    expected_dx = np.empty(shape, "float32")
    reference.max_pool2d_forward(expected_y, expected_winner, x)
    reference.max_pool2d_backward(expected_dx, dy, expected_winner)
    y, winner, dx = blank(machine, pooled), blank(machine, pooled, "uint8"), blank(machine, shape)
    max_pool2d_forward(y, winner, place(machine, x))
    max_pool2d_backward(dx, place(machine, dy), winner)
    np.testing.assert_array_equal(machine.download(y), expected_y)
    np.testing.assert_array_equal(machine.download(winner), expected_winner)
    np.testing.assert_array_equal(machine.download(dx), expected_dx)


def test_ties_and_nan(machine):
    """The first of equals wins, and the first NaN wins over any number."""
    x = np.zeros((2, 2, 4, 1), "float32")
    x[1, :, :2, 0] = [[1, np.nan], [np.inf, np.nan]]
    x[1, :, 2:, 0] = [[-1, 5], [5, 2]]
    y, winner = blank(machine, (2, 1, 2, 1)), blank(machine, (2, 1, 2, 1), "uint8")
    max_pool2d_forward(y, winner, place(machine, x))
    np.testing.assert_array_equal(machine.download(y)[:, 0, :, 0], [[0, 0], [np.nan, 5]])
    np.testing.assert_array_equal(machine.download(winner)[:, 0, :, 0], [[0, 0], [1, 1]])
