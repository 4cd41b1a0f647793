"""Recurrent layers of the fast backend against the reference in float64."""

import numba
import numpy as np
import pytest
from devices import assert_near, empty, fetch, place

from scratchae.kernels import reference
from scratchae.kernels.cpu import lstm, repeat_vector_lstm
from scratchae.kernels.cpu.simd import LANES
from scratchae.kernels.reference import repeat_vector_lstm as reference_repeat

SIZES = [  # N, T, I, U: around a block, around tiles of 2 and 4 units, 4 rows of dw, 8 and 16 rows of dx
    (1, 1, 1, 1),
    (15, 3, 5, 3),
    (16, 2, 28, 32),
    (17, 5, 3, 17),
    (33, 4, 17, 6),
    (5, 7, 32, 28),
]
NAMES = ["dx", "dwx", "dwh", "db"]


def draw(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


def weights(I, U):
    return draw(1, I, 4 * U), draw(2, U, 4 * U), draw(3, 4 * U)


def forward(x, wx, wh, b, U, T):
    """h, c and gates on the backend; x (N, I) is the same at all steps."""
    N = len(x)
    h, c, gates = (empty((N, T, size)) for size in (U, U, 4 * U))
    op = lstm.lstm_forward if x.ndim == 3 else repeat_vector_lstm.repeat_vector_lstm_forward
    op(h, c, gates, place(x), wx, wh, b)
    return h, c, gates


def expected_forward(x, wx, wh, b, U, T):
    x, wx, wh, b = (None if a is None else np.asarray(a, "float64") for a in (x, wx, wh, b))
    h, c, gates = (np.full((len(x), T, size), np.nan) for size in (U, U, 4 * U))
    op = reference.lstm_forward if x.ndim == 3 else reference_repeat.repeat_vector_lstm_forward
    op(h, c, gates, x, wx, wh, b)
    return h, c, gates


def gradients(x, wx, wh, b, U, T, dh, fill=np.nan, accumulate=False, without=None):
    """dx, dwx, dwh and db from the backend, which finds `fill` in the last three; None for `without`."""
    saved = forward(x, wx, wh, b, U, T)
    destinations = [empty(x.shape), *(np.full(a.shape, fill, "float32") for a in (wx, wh, draw(0, 4 * U)))]
    destinations = [None if name == without else a for name, a in zip(NAMES, destinations, strict=True)]
    op = lstm.lstm_backward if x.ndim == 3 else repeat_vector_lstm.repeat_vector_lstm_backward
    op(*destinations, place(dh), *saved, place(x), wx, wh, accumulate)
    return [None if a is None else fetch(a) for a in destinations]


def expected_gradients(x, wx, wh, b, U, T, dh):
    saved = expected_forward(x, wx, wh, b, U, T)
    x, wx, wh, dh = (np.asarray(a, "float64") for a in (x, wx, wh, dh))
    destinations = [np.full(a.shape, np.nan) for a in (x, wx, wh, draw(0, 4 * U))]
    op = reference.lstm_backward if x.ndim == 3 else reference_repeat.repeat_vector_lstm_backward
    op(*destinations, dh, *saved, x, wx, wh, False)
    return destinations


def inputs(N, T, I, U, repeated):
    return draw(4, N, I) if repeated else draw(4, N, T, I), *weights(I, U), U, T


both = pytest.mark.parametrize("repeated", [False, True], ids=["sequence", "repeated"])


@both
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_forward(sizes, bias, repeated):
    x, wx, wh, b, U, T = inputs(*sizes, repeated)
    b = b if bias else None
    actual, expected = forward(x, wx, wh, b, U, T), expected_forward(x, wx, wh, b, U, T)
    for a, e in zip(actual, expected, strict=True):
        assert_near(fetch(a), e)


@both
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_backward(sizes, repeated):
    arguments, dh = inputs(*sizes, repeated), draw(5, sizes[0], sizes[1], sizes[3])
    expected = expected_gradients(*arguments, dh)
    for a, e in zip(gradients(*arguments, dh), expected, strict=True):
        assert_near(a, e)
    for a, e, start in zip(gradients(*arguments, dh, 2.5, True), expected, [0, 2.5, 2.5, 2.5], strict=True):
        assert_near(a, e + start)


@both
@pytest.mark.parametrize("without", NAMES)
def test_a_gradient_that_nobody_asks_for(without, repeated):
    arguments, dh = inputs(17, 3, 5, 6, repeated), draw(5, 17, 3, 6)
    actual, expected = gradients(*arguments, dh, without=without), expected_gradients(*arguments, dh)
    for name, a, e in zip(NAMES, actual, expected, strict=True):
        if name == without:
            assert a is None
        else:
            assert_near(a, e)


@both
def test_tasks_of_several_blocks(repeated, monkeypatch):
    monkeypatch.setattr(lstm, "TASKS", 2)
    arguments, dh = inputs(75, 3, 5, 6, repeated), draw(5, 75, 3, 6)
    for a, e in zip(gradients(*arguments, dh), expected_gradients(*arguments, dh), strict=True):
        assert_near(a, e)


@both
def test_lanes_behind_the_last_sample_count_for_nothing(repeated):
    N, T, I, U = 5, 3, 6, 7
    x, wx, wh, b, U, T = inputs(N, T, I, U, repeated)
    dh = draw(5, N, T, U)
    saved = forward(x, wx, wh, b, U, T)
    placed_x, placed_dh, behind = place(x), place(dh), (N - 1) % LANES + 1
    for a in saved if repeated else (*saved, placed_x):
        a.data[-1, ..., behind:] = -300
    placed_dh.data[-1, ..., behind:] = np.nan
    destinations = [empty(x.shape), *(np.full(a.shape, np.nan, "float32") for a in (wx, wh, b))]
    op = repeat_vector_lstm.repeat_vector_lstm_backward if repeated else lstm.lstm_backward
    op(*destinations, placed_dh, *saved, placed_x, wx, wh, False)
    for a, e in zip(destinations, expected_gradients(x, wx, wh, b, U, T, dh), strict=True):
        assert_near(fetch(a), e)


def test_sequences_with_borders():
    N, T, I, U = 17, 3, 5, 6
    (x, wx, wh, b, *_), dh, border = inputs(N, T, I, U, False), draw(5, N, T, U), (0, 2)
    h, c, gates = (empty((N, T, size), border) for size in (U, U, 4 * U))
    lstm.lstm_forward(h, c, gates, place(x, border), wx, wh, b)
    for a, e in zip((h, c, gates), expected_forward(x, wx, wh, b, U, T), strict=True):
        assert_near(fetch(a), e)
        assert not a.whole[:, :, [0, 1, -2, -1]].any()
    destinations = [empty(x.shape, border), *(np.full(a.shape, np.nan, "float32") for a in (wx, wh, b))]
    lstm.lstm_backward(*destinations, place(dh, border), h, c, gates, place(x, border), wx, wh, False)
    for a, e in zip(destinations, expected_gradients(x, wx, wh, b, U, T, dh), strict=True):
        assert_near(fetch(a), e)
    assert not destinations[0].whole[:, :, [0, 1, -2, -1]].any()


@both
def test_the_same_bits_whatever_the_threads(repeated):
    arguments, dh = inputs(75, 4, 9, 10, repeated), draw(5, 75, 4, 10)
    threads, results = numba.get_num_threads(), []
    try:
        for n in (1, min(2, threads), min(2, threads)):
            numba.set_num_threads(n)
            results.append([*map(fetch, forward(*arguments)), *gradients(*arguments, dh)])
    finally:
        numba.set_num_threads(threads)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_its_way(value):
    N, T, I, U = 17, 4, 3, 5
    x, *arguments = inputs(N, T, I, U, False)
    x[3, 1, 2] = value
    h, c, gates = (fetch(a) for a in forward(x, *arguments))
    with np.errstate(over="ignore", invalid="ignore"):
        expected = expected_forward(x, *arguments)
    for a, e in zip((h, c, gates), expected, strict=True):
        assert_near(np.nan_to_num(a, nan=7), np.nan_to_num(e, nan=7))
    assert np.isnan(h[3, 1:]).all() == np.isnan(value)
    assert np.isfinite(np.delete(h, 3, axis=0)).all()


@both
def test_nan_upstream_reaches_every_gradient(repeated):
    N, T, I, U = 17, 3, 3, 5
    dh = draw(5, N, T, U)
    dh[16, 1, 2] = np.nan
    for a in gradients(*inputs(N, T, I, U, repeated), dh):
        assert np.isnan(a).any()


def test_large_sums_saturate_the_gates():
    x, *arguments = inputs(16, 5, 4, 3, False)
    for scale in (50, 1e4, 1e30):
        h, _, gates = (fetch(a) for a in forward(np.float32(scale) * x, *arguments))
        with np.errstate(over="ignore"):
            expected = expected_forward(np.float32(scale) * x, *arguments)
        assert_near(h, expected[0], tolerance=1e-5)
        assert (np.abs(gates) <= 1).all()


def test_gates_keep_their_digits():
    x = np.concatenate([sign * np.geomspace(1e-30, 75, 5000) for sign in (-1, 1)]).astype("float32")
    one = np.ones((1, 4), "float32")
    _, _, gates = forward(x.reshape(-1, 1, 1), one, one, None, 1, 1)
    i, _, g, _ = fetch(gates)[:, 0].T
    x = x.astype("float64")
    np.testing.assert_allclose(i, 1 / (1 + np.exp(-x)), rtol=3e-7 if LANES > 4 else 5e-6)  # without fused multiply-add
    np.testing.assert_allclose(g, np.tanh(x), rtol=3e-7)


@pytest.mark.parametrize("shape", [(1, 1, 1), (17, 1, 3), (33, 5, 17), (16, 3, 32)], ids=str)
def test_last_step(shape):
    N, T, U = shape
    h, y = draw(0, *shape), empty((N, U))
    lstm.last_step_forward(y, place(h))
    np.testing.assert_array_equal(y, h[:, -1])
    dy, dh = draw(1, N, U), empty(shape)
    lstm.last_step_backward(dh, dy.copy())
    np.testing.assert_array_equal(fetch(dh)[:, -1], dy)
    np.testing.assert_array_equal(fetch(dh)[:, :-1], 0)
    assert not dh.data[-1, ..., (N - 1) % LANES + 1 :].any()  # behind the last sample
