"""Dense layers of the fast backend against the reference in float64."""

import numba
import numpy as np
import pytest
from devices import assert_near, cpu, empty, fetch, place

from scratchae.kernels import reference
from scratchae.kernels.cpu import gemm

# N, I, O: around a block and a register tile, narrow and wide, short and long sums; gradients whose panels stay where
# they are
SHAPES = [
    (1, 3, 2), (15, 5, 7), (16, 16, 16), (17, 33, 65), (33, 65, 130), (9, 150, 33), (40, 7, 200), (64, 300, 2),
    (20, 2, 129), (18, 130, 2), (300, 40, 50), (131, 33, 20), (20, 700, 7),
    (150, 36, 208), (70, 100, 48), (40, 60, 512),
]  # fmt: skip


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32").astype(float)


def both(x, w, b, dy, activation, dw=None, db=None, left_out=()):
    """(y, dx, dw, db) of the reference, and of the fast backend; added to dw and db if these are given."""
    results = []
    for ops in (reference, cpu):
        lanes = ops is cpu and x.ndim > 2
        tensors = [np.array(a) if ops is reference else a.astype("float32") for a in (x, w, b, dy)]
        known = [np.full(a.shape, np.nan) if k is None else np.array(k) for a, k in ((w, dw), (b, db))]
        known = [k if ops is reference else k.astype("float32") for k in known]
        kx, kw, kb, kdy = tensors
        y, dx = np.full(dy.shape, np.nan, kx.dtype), np.full(x.shape, np.nan, kx.dtype)
        if lanes:
            kx, kdy, y, dx = place(x), place(dy), empty(dy.shape), empty(x.shape)
        ops.dense_forward(y, kx, kw, kb, activation)
        given = [None if n in left_out else a for n, a in (("dx", dx), ("dw", known[0]), ("db", known[1]))]
        ops.dense_backward(*given, kdy, y, kx, kw, activation, dw is not None)
        results.append([fetch(y), fetch(dx), *known])
    return zip(*results, strict=True)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(shape, activation):
    N, I, O = shape
    x, w, b, dy = draw(0, N, I), draw(1, I, O) / np.sqrt(I), draw(2, O), draw(3, N, O)
    w = w.astype("float32").astype(float)
    for expected, actual in both(x, w, b, dy, activation):
        assert_near(actual, expected)
    for expected, actual in both(x, w, b, dy, activation, draw(4, I, O), draw(5, O)):
        assert_near(actual, expected)


@pytest.mark.parametrize("name", ["dx", "dw", "db"])
@pytest.mark.parametrize("shape", [(5, 6, 3), (5, 40, 30)], ids=str)
def test_what_nobody_asks_for_is_left_out(shape, name):
    N, I, O = shape
    results = both(draw(0, N, I), draw(1, I, O), draw(2, O), draw(3, N, O), "linear", left_out=(name,))
    for key, (expected, actual) in zip(("y", "dx", "dw", "db"), results, strict=True):
        if key == name:
            assert np.isnan(actual).all()
        else:
            assert_near(actual, expected)


@pytest.mark.parametrize("shape", [(3, 4, 5, 2), (17, 3, 6, 20)], ids=str)
def test_at_every_time_step(shape):
    N, T, I, O = shape
    x, w, b, dy = draw(0, N, T, I), draw(1, I, O), draw(2, O), draw(3, N, T, O)
    for expected, actual in both(x, w, b, dy, "sigmoid"):
        assert_near(actual, expected)


def test_without_bias_and_with_nan():
    for O in (3, 40):
        x, w = draw(0, 5, 7).astype("float32"), draw(1, 7, O).astype("float32")
        y = np.full((5, O), np.nan, "float32")
        cpu.dense_forward(y, x, w, None, "relu")
        assert_near(y, np.maximum(x.astype(float) @ w, 0))
        x[2, 3] = np.nan
        cpu.dense_forward(y, x, w, None, "relu")
        assert np.isnan(y[2]).all()
        assert np.isfinite(np.delete(y, 2, axis=0)).all()


def test_bits_do_not_depend_on_threads():
    for N, I, O in ((70, 130, 200), (70, 130, 3), (300, 140, 24)):
        results = []
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS), 1):
            numba.set_num_threads(threads)
            x, w, b, dy = draw(0, N, I), draw(1, I, O), draw(2, O), draw(3, N, O)
            results.append([actual for _, actual in both(x, w, b, dy, "relu")])
        for other in results[1:]:
            for a, c in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize(
    ("M", "N", "K"), [(33, 50, 200), (5, 16, 64), (300, 33, 300), (17, 300, 500), (600, 80, 130), (1, 1, 50)]
)
def test_bits_do_not_depend_on_how_many_share_a_product(M, N, K):
    a, b = draw(0, M, K).astype("float32"), draw(1, K, N).astype("float32")
    none, results = np.empty(0, "float32"), []
    for workers in (1, 2, 3, 5, 8, 16, 32):  # for as many threads the work is divided; fewer may do it
        memory = np.full((workers, gemm.MEMORY), np.nan, "float32")
        c, halves, other = np.full((3, M, N), np.nan, "float32")
        total, other_total = np.full((2, N), np.nan, "float32")
        gemm.panels(c, a, K, 1, b, 0, gemm.WRITE, none, 0, none, gemm.NO_MATRIX, none, memory)
        columns = np.ascontiguousarray(a.T)
        gemm.panels(halves, columns, 1, M, b, 0, gemm.WRITE, none, 0, total, other, other_total, memory)
        results.append((c, halves, total))
    for actual, expected in zip(results[0], (a @ b, a @ b, b.sum(0)), strict=True):
        assert_near(actual, expected, 1e-5)
    for result in results[1:]:
        for x, y in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(x, y)
