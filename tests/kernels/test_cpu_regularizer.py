"""The penalty of the fast backend against the reference in float64."""

import numpy as np
import pytest
from devices import assert_border, assert_near, cpu, fetch, place, with_garbage
from numeric import draw

from scratchae.kernels import reference

SHAPES = [(1,), (7,), (9001,), (15, 7), (17, 300), (1, 5, 3), (15, 5, 3), (16, 5, 7, 3), (17, 5, 7, 3), (33, 2, 150, 1)]


@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.3, 0.7)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_value_and_gradient_are_added(shape, l1, l2):
    x, before = draw(0, *shape, dtype="float32"), draw(1, *shape, dtype="float32")
    expected, expected_dx = np.array([3.0]), before.astype(float)
    reference.l1_l2_forward(expected, x.astype(float), l1, l2, 0.25)
    reference.l1_l2_backward(expected_dx, x.astype(float), l1, l2, 0.25)
    value, dx, placed = np.array([3], "float32"), place(before, (1, 2)), with_garbage(place(x, (2, 1)))
    cpu.l1_l2_forward(value, placed, l1, l2, 0.25)
    cpu.l1_l2_backward(dx, placed, l1, l2, 0.25)
    assert_near(value, expected)
    assert_near(fetch(dx), expected_dx)
    assert_border(dx)


def test_zero_has_no_slope_and_nan_is_not_hidden():
    dx, value = np.full(4, 5, "float32"), np.zeros(1, "float32")
    x = np.array([-2, 0, 2, np.nan], "float32")
    cpu.l1_l2_backward(dx, x, 0.5, 0.0, 1.0)
    assert dx[:3].tolist() == [4.5, 5, 5.5]
    assert np.isnan(dx[3])
    cpu.l1_l2_forward(value, x, 0.5, 0.0, 1.0)
    assert np.isnan(value[0])
