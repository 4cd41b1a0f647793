import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numeric import DTYPES, assert_close, differences, draw, poison, run

from scratchae.kernels import reference as ops


def pooled_size(n, padding):
    return -(-n // 2) if padding == "same" else n // 2


def forward(x, padding):
    N, H, W, C = x.shape
    shape = N, pooled_size(H, padding), pooled_size(W, padding), C
    y, winner = poison(*shape, dtype=x.dtype), np.full(shape, 99, np.uint8)
    run(ops.max_pool2d_forward, y, winner, x)
    winner.flags.writeable = False
    return y, winner


def windows(x, padding):
    """For each element of the output: its index, and the window as a list of (place, index in x)."""
    N, H, W, C = x.shape
    for n, p, q, c in np.ndindex(N, pooled_size(H, padding), pooled_size(W, padding), C):
        corners = [(2 * i + j, (n, 2 * p + i, 2 * q + j, c)) for i in (0, 1) for j in (0, 1)]
        yield (n, p, q, c), [(place, at) for place, at in corners if at[1] < H and at[2] < W]


images = st.tuples(st.integers(1, 3), st.integers(2, 7), st.integers(2, 7), st.integers(1, 4))


@pytest.mark.parametrize("padding", ["same", "valid"])
@given(shape=images, seed=st.integers(0, 999), dtype=st.sampled_from(DTYPES))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_maximum_and_first_of_equals(padding, shape, seed, dtype):
    x = np.random.default_rng(seed).integers(-4, 0, shape).astype(dtype)  # few values: many ties
    x.flags.writeable = False
    y, winner = forward(x, padding)
    for index, window in windows(x, padding):
        best_place, best = window[0]
        for place, at in window[1:]:
            if x[at] > x[best]:
                best_place, best = place, at
        assert y[index] == x[best]
        assert winner[index] == best_place


@pytest.mark.parametrize("shape", [(2, 1, 1, 3), (2, 1, 5, 3), (2, 5, 1, 3)], ids=str)
def test_images_of_one_row_or_column(shape):
    x = -1 - np.abs(draw(0, *shape))
    y, _ = forward(x, "same")
    for index, window in windows(x, "same"):
        assert y[index] == max(x[at] for _, at in window)


def test_nan_wins():
    x = np.array(draw(0, 2, 5, 7, 3))
    x[0, 0, 1, 0] = x[0, 4, 6, 1] = x[1, 3, 3, 2] = np.nan  # in a window, alone in the corner, at its end
    y, winner = forward(x, "same")
    assert [tuple(map(int, i)) for i in np.argwhere(np.isnan(y))] == [(0, 0, 0, 0), (0, 2, 3, 1), (1, 1, 1, 2)]
    assert (winner[0, 0, 0, 0], winner[0, 2, 3, 1], winner[1, 1, 1, 2]) == (1, 0, 3)


@pytest.mark.parametrize("padding", ["same", "valid"])
@given(shape=images, seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_the_winner_gets_all_of_the_gradient(padding, shape, seed):
    x = np.random.default_rng(seed).integers(-4, 0, shape).astype(float)
    y, winner = forward(x, padding)
    dy, dx, expected = draw(seed + 1, *y.shape), poison(*shape), np.zeros(shape)
    run(ops.max_pool2d_backward, dx, np.array(dy), winner)
    for index, window in windows(x, padding):
        expected[next(at for place, at in window if x[at] == y[index])] += dy[index]
    assert_close(dx, expected, rtol=0, atol=0)
    np.testing.assert_allclose(dx.sum(axis=(1, 2)), dy.sum(axis=(1, 2)), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_backward_against_differences(padding):
    x = draw(0, 2, 5, 7, 3)
    y, winner = forward(x, padding)
    dy, dx = draw(1, *y.shape), poison(*x.shape)
    run(ops.max_pool2d_backward, dx, np.array(dy), winner)
    assert_close(dx, differences(lambda x: forward(x, padding)[0], x, dy), rtol=1e-8, atol=1e-9)
