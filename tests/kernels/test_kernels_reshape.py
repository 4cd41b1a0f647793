import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numeric import DTYPES, assert_close, draw, poison, run

from scratchae.kernels import reference as ops

SHAPES = [((2, 3, 5, 7), (2, 105)), ((2, 105), (2, 7, 15)), ((2, 3, 10), (2, 5, 3, 2)), ((2, 3), (2, 3))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("before", "after"), SHAPES, ids=str)
def test_reshape_keeps_the_order_within_a_sample(before, after, dtype):
    x = draw(0, *before, dtype=dtype)
    y, back = poison(*after, dtype=dtype), poison(*before, dtype=dtype)
    run(ops.reshape_forward, y, x)
    for n in range(2):
        assert list(y[n].flat) == list(x[n].flat)
    run(ops.reshape_backward, back, np.array(y))
    assert_close(back, x, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rescale(dtype):
    x, y, dx = draw(0, 2, 5, 3, dtype=dtype), poison(2, 5, 3, dtype=dtype), poison(2, 5, 3, dtype=dtype)
    run(ops.rescale_forward, y, x, 1 / 127.5, -1.0)
    assert_close(y, [[[float(v) / 127.5 - 1 for v in row] for row in sample] for sample in x], dtype)
    dy = draw(1, 2, 5, 3, dtype=dtype)
    run(ops.rescale_backward, dx, np.array(dy), 1 / 127.5)
    assert_close(dx, [[[float(v) / 127.5 for v in row] for row in sample] for sample in dy], dtype)
    assert y.dtype == dx.dtype == dtype


def test_add_adds():
    x, before = draw(0, 2, 3), draw(1, 2, 3)
    y = np.array(before)
    run(ops.add, y, x)
    assert_close(y, [[before[n, d] + x[n, d] for d in range(3)] for n in range(2)], rtol=0, atol=0)


@given(
    rows=st.lists(st.integers(0, 5), min_size=1, max_size=8),
    kind=st.sampled_from(["float64", "float32", "float16", "uint8", "int64", "bool"]),
    dtype=st.sampled_from(DTYPES),
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_gather(rows, kind, dtype):
    data = (100 * np.abs(draw(0, 6, 3, 2))).astype(kind)
    data.flags.writeable = False
    x, flag = poison(len(rows), 3, 2, dtype=dtype), np.array([5], np.int32)
    run(ops.gather, x, data, np.array(rows), flag)
    for n, row in enumerate(rows):
        assert x[n].tolist() == data[row].astype(dtype).tolist()
    assert flag[0] == 5


@pytest.mark.parametrize(("value", "found"), [(2.0, 0), (np.nan, 1), (-np.inf, 1), (1e300, 1)])
def test_gather_finds_what_is_not_finite_in_the_model_s_type(value, found):
    data = np.array([[1.0, np.nan], [value, 2.0], [1e30, -3.0]])
    for dtype, expected in (("float32", found), ("float64", found if value != 1e300 else 0)):
        x, flag = poison(2, 2, dtype=dtype), np.array([0], np.int32)
        run(ops.gather, x, data, np.array([2, 1]), flag)  # row 0 is not asked for
        assert flag[0] == expected
    x, flag = poison(3, 2), np.array([0], np.int32)
    run(ops.gather, x, data, np.array([0, 2, 1]), flag)
    assert x[0, 0] == 1
    assert np.isnan(x[0, 1])
