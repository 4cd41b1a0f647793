import numpy as np
import pytest
from numeric import DTYPES, assert_close, differences, draw, run

from scratchae.kernels import reference as ops

FACTORS = [(0.0, 0.0), (0.3, 0.0), (0.0, 0.7), (0.3, 0.7)]


def penalty(x, l1, l2, scale, before=0.0):
    value = np.array([before], x.dtype)
    run(ops.l1_l2_forward, value, x, l1, l2, scale)
    return value


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("l1", "l2"), FACTORS)
@pytest.mark.parametrize("shape", [(4,), (2, 5), (3, 3, 2, 4)], ids=str)
def test_forward_adds(shape, l1, l2, dtype):
    x = draw(0, *shape, dtype=dtype)
    expected = 3 + 0.25 * sum(l1 * abs(float(v)) + l2 * float(v) ** 2 for v in x.flat)
    assert_close(penalty(x, l1, l2, 0.25, before=3), [expected], dtype)


@pytest.mark.parametrize(("l1", "l2"), FACTORS)
def test_backward_adds(l1, l2):
    x, before = draw(0, 2, 5, 3), draw(1, 2, 5, 3)
    dx = np.array(before)
    run(ops.l1_l2_backward, dx, x, l1, l2, 0.25)
    expected = differences(lambda x: penalty(x, l1, l2, 0.25), x, np.ones(1))  # ones: the penalty is the loss itself
    assert_close(dx - before, expected, rtol=1e-7, atol=1e-9)


def test_zero_has_no_slope():
    dx = np.array([5.0, 5.0, 5.0])
    run(ops.l1_l2_backward, dx, np.array([-2.0, 0.0, 2.0]), 0.5, 0.0, 1.0)
    assert dx.tolist() == [4.5, 5.0, 5.5]
