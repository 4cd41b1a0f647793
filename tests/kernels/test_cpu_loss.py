"""Losses of the fast backend against the reference: in float64, and in float32 where its rounding decides."""

import numba
import numpy as np
import pytest
from devices import assert_border, assert_near, cpu, empty, fetch, place, with_garbage
from numeric import poison

from scratchae.kernels import reference

LOSSES = ("binary_crossentropy", "mean_squared_error", "mean_absolute_error")
SHAPES = [
    (1, 5), (15, 7), (16, 16), (17, 784), (33, 3), (2, 5000), (1, 5, 3), (15, 5, 3), (16, 5, 7, 3), (17, 5, 7, 3),
    (33, 9, 150, 1),
]  # fmt: skip


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def numbers(seed, shape, low=0.0, high=1.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype("float32")


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(name, shape):
    N = shape[0]
    p, t, weight, scale = numbers(0, shape, 0.02, 0.98), numbers(1, shape), draw(2, N), 1 / 7
    expected, expected_dy = poison(N), poison(*shape)
    getattr(reference, name)(expected, expected_dy, *(a.astype(float) for a in (p, t, weight)), scale)
    loss, dy = poison(N, dtype="float32"), empty(shape, (1, 2))
    placed_p, placed_t = with_garbage(place(p, (2, 1)), 3e38), with_garbage(place(t), -3e38)
    getattr(cpu, name)(loss, dy, placed_p, placed_t, weight, scale)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert_near(fetch(dy), expected_dy)
    assert_border(dy)
    if len(shape) > 2:
        assert not dy.data[-1, ..., (N - 1) % cpu.layout.LANES + 1 :].any()
    without = poison(N, dtype="float32")
    getattr(cpu, name)(without, None, placed_p, placed_t, weight, scale)
    assert without.tolist() == loss.tolist()


def test_crossentropy_is_clipped_as_in_float32():
    low, high = np.float32(1e-7), np.float32(1 - 1e-7)
    p = np.float32([0, np.nextafter(low, np.float32(0)), low, 2 * low, high, np.nextafter(high, np.float32(1)), 1])
    for t in (0, 1, 0.25):
        target = np.full_like(p, t)
        for n in range(len(p)):
            results = []
            for ops in (reference, cpu):
                loss, dy = poison(1, dtype="float32"), poison(1, 1, dtype="float32")
                ops.binary_crossentropy(loss, dy, p[None, n : n + 1], target[None, :1], np.ones(1, "float32"), 1.0)
                results.append((loss[0], dy[0, 0]))
            np.testing.assert_allclose(*results, rtol=1e-6, atol=1e-12)


def test_absolute_error_at_zero_has_no_slope():
    p = np.float32([[0.25, 0.5]])
    loss, dy = poison(1, dtype="float32"), poison(1, 2, dtype="float32")
    cpu.mean_absolute_error(loss, dy, p, p.copy(), np.ones(1, "float32"), 1.0)
    assert loss.tolist() == [0]
    assert dy.tolist() == [[0, 0]]


@pytest.mark.parametrize("where", ["prediction", "target"])
@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1)], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_nan_is_not_hidden(name, shape, where):
    p, t = np.full(shape, 0.5), np.full(shape, 0.25)
    (p if where == "prediction" else t)[0, 1] = np.nan
    loss, dy = poison(2, dtype="float32"), empty(shape)
    getattr(cpu, name)(loss, dy, place(p), place(t), np.ones(2, "float32"), 1.0)
    assert np.isnan(loss).tolist() == [True, False]
    assert np.isnan(fetch(dy)).reshape(2, 2).tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("shape", [(1, 7), (33, 65), (17, 5, 7, 3)], ids=str)
def test_binary_accuracy(shape):
    p, t = numbers(0, shape), np.round(numbers(1, shape))
    p.flat[0], t.flat[-1] = 0.5, 0.3  # 0.5 does not exceed 0.5; 0.3 equals neither 0 nor 1
    for threshold in (0.5, 0.85):
        value, expected = poison(shape[0], dtype="float32"), poison(shape[0])
        reference.binary_accuracy(expected, p, t, threshold)
        cpu.binary_accuracy(value, with_garbage(place(p)), with_garbage(place(t)), threshold)
        assert_near(value, expected, 1e-7)


@pytest.mark.parametrize("N", [1, 15, 16, 17, 33, 1000])
def test_weighted_sum_adds(N):
    values, weight, total = draw(0, N), draw(1, N), np.array([3], "float32")
    cpu.weighted_sum(total, values, weight)
    np.testing.assert_allclose(total, [3 + np.sum(values.astype(float) * weight)], rtol=0, atol=1e-5)


# ---- with the last layer --------------------------------------------------------------------------------------------
def fused(ops, logits, t, scale=1.0, dtype="float32"):
    """loss and dy for given logits: a layer whose weights are the identity."""
    N, O = logits.shape
    loss, dy = poison(N, dtype=dtype), poison(N, O, dtype=dtype)
    weight = np.linspace(0.5, 2, N).astype(dtype)
    layer = logits.astype(dtype), np.eye(O, dtype=dtype), None
    ops.dense_binary_crossentropy(np.zeros(1, dtype), loss, dy, *layer, t.astype(dtype), weight, scale)
    return loss, dy


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("N", "I", "O"), [(1, 3, 5), (15, 5, 7), (17, 32, 784), (33, 9, 130), (2, 3, 5000)])
def test_dense_binary_crossentropy(N, I, O, bias):
    x, w, b = draw(0, N, I), draw(1, I, O) / np.sqrt(I), draw(2, O) if bias else None
    t, weight, results = numbers(3, (N, O)).astype(float), draw(4, N), []
    for ops, dtype in ((reference, "float64"), (cpu, "float32")):
        total, loss, dy = np.array([3], dtype), poison(N, dtype=dtype), poison(N, O, dtype=dtype)
        arrays = [None if a is None else a.astype(dtype) for a in (x, w, b, t, weight)]
        ops.dense_binary_crossentropy(total, loss, dy, *arrays, 1 / O)
        results.append((total, loss, dy))
    (expected_total, expected, expected_dy), (total, loss, dy) = results
    np.testing.assert_allclose(expected_total, [3 + weight @ expected])
    np.testing.assert_allclose(total, expected_total, rtol=1e-5)
    np.testing.assert_allclose(loss, expected, rtol=2e-6)
    assert_near(dy, expected_dy)


@pytest.mark.parametrize("t", [0.0, 0.25, 1.0])
@pytest.mark.parametrize(("low", "high"), [(9, 12), (12, 15), (15, 17.5), (-12, -9), (-17.5, -15), (-100, 100)])
def test_fused_rounding_and_clip_are_those_of_float32(low, high, t):
    logits = np.random.default_rng(5).uniform(low, high, (40, 97)).astype("float32")
    expected, expected_dy = fused(reference, logits, np.full(logits.shape, t))
    loss, dy = fused(cpu, logits, np.full(logits.shape, t))
    # The sigmoid may be rounded to the other neighbour where it lies halfway between two: of few numbers, by 6e-8.
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=97 * 6e-8)
    np.testing.assert_allclose(dy, expected_dy, rtol=1e-5, atol=2.5e-7)
    assert np.mean((dy == 0) != (expected_dy == 0)) < 1e-3


def test_fused_nan_is_not_hidden():
    x, t = np.ones((3, 1), "float32"), numbers(1, (3, 20))
    loss, dy = poison(3, dtype="float32"), poison(3, 20, dtype="float32")
    x[1] = np.nan
    w = draw(2, 1, 20)
    cpu.dense_binary_crossentropy(np.zeros(1, "float32"), loss, dy, x, w, None, t, np.ones(3, "float32"), 1.0)
    assert np.isnan(loss).tolist() == [False, True, False]
    assert np.isnan(dy).all(axis=1).tolist() == [False, True, False]


def test_bits_do_not_depend_on_threads():
    results = []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        row = []
        for shape in ((70, 130), (70, 5, 7, 3)):
            p, t, loss, dy = numbers(0, shape), numbers(1, shape), poison(70, dtype="float32"), empty(shape)
            cpu.binary_crossentropy(loss, dy, place(p), place(t), np.ones(70, "float32"), 1.0)
            row += [loss, fetch(dy)]
        row += fused(cpu, draw(0, 70, 130), numbers(1, (70, 130)))
        results.append(row)
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
