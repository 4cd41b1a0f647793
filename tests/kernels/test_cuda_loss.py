"""Losses on CUDA machines against the reference: in float64, and in float32 where its rounding decides."""

import numpy as np
import pytest
from cuda_arrays import assert_near, blank, fetch, place
from numeric import draw, poison

from scratchae.kernels import reference
from scratchae.kernels.cuda import loss as cuda
from scratchae.kernels.cuda.emulator import Emulator, unavailable

LOSSES = ("binary_crossentropy", "mean_squared_error", "mean_absolute_error")
# samples that share a block or have one, in rows that are aligned or not, and one that is passed over twice
SHAPES = [(1, 1), (2, 3), (33, 5), (9, 129), (5, 784), (2, 1999), (1, 5, 3), (17, 5, 7, 3)]


def numbers(seed, shape, low=0.0, high=1.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype("float32")


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(machine, name, shape):
    N = shape[0]
    p, t, weight, scale = numbers(0, shape, 0.02, 0.98), numbers(1, shape), draw(2, N, dtype="float32"), 1 / 7
    expected, expected_dy = poison(N), poison(*shape)
    getattr(reference, name)(expected, expected_dy, *(a.astype(float) for a in (p, t, weight)), scale)
    loss, without, dy = blank(machine, N), blank(machine, N), blank(machine, shape)
    inputs = [place(machine, a) for a in (p, t, weight)]
    getattr(cuda, name)(loss, dy, *inputs, scale)
    assert_near(fetch(machine, loss), expected)
    assert_near(fetch(machine, dy), expected_dy)
    getattr(cuda, name)(without, None, *inputs, scale)
    assert fetch(machine, without).tolist() == fetch(machine, loss).tolist()


@pytest.mark.parametrize("t", [0, 1, 0.25])
def test_crossentropy_is_clipped_as_in_float32(machine, t):
    low, high = np.float32(1e-7), np.float32(1 - 1e-7)
    p = np.float32([0, np.nextafter(low, np.float32(0)), low, 2 * low, high, np.nextafter(high, np.float32(1)), 1])
    p, t, weight = p[:, None], np.full((len(p), 1), t, "float32"), np.ones(len(p), "float32")
    expected, expected_dy = poison(len(p), dtype="float32"), poison(len(p), 1, dtype="float32")
    reference.binary_crossentropy(expected, expected_dy, p, t, weight, 1.0)
    loss, dy = blank(machine, len(p)), blank(machine, p.shape)
    cuda.binary_crossentropy(loss, dy, *(place(machine, a) for a in (p, t, weight)), 1.0)
    np.testing.assert_allclose(fetch(machine, loss), expected, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(fetch(machine, dy), expected_dy, rtol=1e-6, atol=1e-12)


def test_absolute_error_at_zero_has_no_slope(machine):
    p, loss, dy = place(machine, [[0.25, 0.5]]), blank(machine, 1), blank(machine, (1, 2))
    cuda.mean_absolute_error(loss, dy, p, p, place(machine, [1]), 1.0)
    assert fetch(machine, loss).tolist() == [0]
    assert fetch(machine, dy).tolist() == [[0, 0]]


@pytest.mark.parametrize("bad", ["prediction", "target"])
@pytest.mark.parametrize("name", LOSSES)
def test_nan_is_not_hidden(machine, name, bad):
    p, t = np.full((2, 2), 0.5), np.full((2, 2), 0.25)
    (p if bad == "prediction" else t)[0, 1] = np.nan
    loss, dy = blank(machine, 2), place(machine, np.zeros((2, 2)))
    getattr(cuda, name)(loss, dy, place(machine, p), place(machine, t), place(machine, [1, 1]), 1.0)
    assert np.isnan(fetch(machine, loss)).tolist() == [True, False]
    assert np.isnan(fetch(machine, dy)).tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("shape", [(1, 7), (9, 65), (17, 5, 7, 3)], ids=str)
def test_binary_accuracy(machine, shape):
    p, t = numbers(0, shape), np.round(numbers(1, shape))
    p.flat[0], t.flat[-1] = 0.5, 0.3  # 0.5 does not exceed 0.5; 0.3 equals neither 0 nor 1
    for threshold in (0.5, 0.85):
        value, expected = blank(machine, shape[0]), poison(shape[0])
        reference.binary_accuracy(expected, p, t, threshold)
        cuda.binary_accuracy(value, place(machine, p), place(machine, t), threshold)
        assert_near(fetch(machine, value), expected, 1e-7)


@pytest.mark.parametrize("N", [1, 16, 33, 1024, 3001])
def test_weighted_sum_adds(machine, N):
    values, weight, total = draw(0, N, dtype="float32"), draw(1, N, dtype="float32"), place(machine, [3])
    cuda.weighted_sum(total, place(machine, values), place(machine, weight))
    np.testing.assert_allclose(fetch(machine, total), [3 + np.sum(values.astype(float) * weight)], rtol=0, atol=2e-5)


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_the_same_bits_in_any_order_of_threads():
    p, t, weight = numbers(0, (3, 1999)), numbers(1, (3, 1999)), numbers(2, 3)

    def losses(order):
        machine = Emulator(order=order)
        inputs = [place(machine, a) for a in (p, t, weight)]
        loss, total = blank(machine, 3), place(machine, [3])
        cuda.binary_crossentropy(loss, None, *inputs, 1.0)
        cuda.weighted_sum(total, place(machine, p[0]), place(machine, t[0]))
        return [*fetch(machine, loss), *fetch(machine, total)]

    assert losses("forward") == losses("reverse") == losses("random")
