import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numeric import DTYPES, assert_close, differences, draw, poison, run

from scratchae.kernels import reference as ops


def forward(x):
    N, H, W, C = x.shape
    y = poison(N, 2 * H, 2 * W, C, dtype=x.dtype)
    run(ops.up_sampling2d_forward, y, x)
    return y


shapes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))


@given(shape=shapes, dtype=st.sampled_from(DTYPES))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_forward(shape, dtype):
    x = draw(0, *shape, dtype=dtype)
    y = forward(x)
    for n, h, w, c in np.ndindex(y.shape):
        assert y[n, h, w, c] == x[n, h // 2, w // 2, c]


@given(shape=shapes, dtype=st.sampled_from(DTYPES))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_backward_sums_each_block(shape, dtype):
    N, H, W, C = shape
    dy, dx, expected = draw(0, N, 2 * H, 2 * W, C, dtype=dtype), poison(*shape, dtype=dtype), np.zeros(shape)
    run(ops.up_sampling2d_backward, dx, np.array(dy))
    for n, h, w, c in np.ndindex(dy.shape):
        expected[n, h // 2, w // 2, c] += dy[n, h, w, c]
    assert_close(dx, expected, dtype)


def test_backward_against_differences():
    x, dy, dx = draw(0, 2, 3, 5, 3), draw(1, 2, 6, 10, 3), poison(2, 3, 5, 3)
    run(ops.up_sampling2d_backward, dx, np.array(dy))
    assert_close(dx, differences(forward, x, dy), rtol=1e-8, atol=1e-9)
