"""The penalty on CUDA machines against the reference in float64."""

import numpy as np
import pytest
from cuda_arrays import assert_near, fetch, place
from numeric import draw

from scratchae.kernels import reference
from scratchae.kernels.cuda import regularizer as cuda
from scratchae.kernels.cuda.emulator import Emulator, unavailable

# as much as one block adds, more, and so much that each of several passes over its part more than once
SHAPES = [(1,), (7,), (15, 7), (17, 5, 7, 3), (4096,), (4097,), (9001,)]


@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.3, 0.7)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_value_and_gradient_are_added(machine, shape, l1, l2):
    x, before = draw(0, *shape, dtype="float32"), draw(1, *shape, dtype="float32")
    expected, expected_dx = np.array([3.0]), before.astype(float)
    reference.l1_l2_forward(expected, x.astype(float), l1, l2, 0.25)
    reference.l1_l2_backward(expected_dx, x.astype(float), l1, l2, 0.25)
    value, dx, placed = place(machine, [3]), place(machine, before), place(machine, x)
    cuda.l1_l2_forward(value, placed, l1, l2, 0.25)
    cuda.l1_l2_backward(dx, placed, l1, l2, 0.25)
    assert_near(fetch(machine, value), expected)
    assert_near(fetch(machine, dx), expected_dx)


def test_as_many_sums_as_there_can_be_are_added(machine):
    sums, value = draw(0, cuda.LARGEST_SUM, dtype="float32"), place(machine, [3])
    cuda.add_up(value, place(machine, sums), cuda.LARGEST_SUM, 0.5)
    np.testing.assert_allclose(fetch(machine, value), 3 + 0.5 * np.sum(sums.astype(float)), rtol=0, atol=1e-5)


def test_zero_has_no_slope_and_nan_is_not_hidden(machine):
    x, dx, value = place(machine, [-2, 0, 2, np.nan]), place(machine, [5] * 4), place(machine, [0])
    cuda.l1_l2_backward(dx, x, 0.5, 0.0, 1.0)
    slopes = fetch(machine, dx)
    assert slopes[:3].tolist() == [4.5, 5, 5.5]
    assert np.isnan(slopes[3])
    cuda.l1_l2_forward(value, x, 0.5, 0.0, 1.0)
    assert np.isnan(fetch(machine, value)[0])


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_the_same_bits_in_any_order_of_threads():
    def penalty(order):
        machine = Emulator(order=order)
        value = place(machine, [3])
        cuda.l1_l2_forward(value, place(machine, draw(0, 9001)), 0.3, 0.7, 0.25)
        return fetch(machine, value).tolist()

    assert penalty("forward") == penalty("reverse") == penalty("random")
