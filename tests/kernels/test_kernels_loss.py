import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numeric import DTYPES, assert_close, differences, draw, poison, run

from scratchae.kernels import reference as ops

TERMS = {
    "binary_crossentropy": lambda p, t: -t * math.log(p) - (1 - t) * math.log(1 - p),
    "mean_squared_error": lambda p, t: (p - t) ** 2,
    "mean_absolute_error": lambda p, t: abs(p - t),
}


def probabilities(seed, *shape, dtype="float64"):
    array = np.random.default_rng(seed).uniform(0.02, 0.98, shape).astype(dtype)
    array.flags.writeable = False
    return array


def losses(name, p, t, weight, scale, gradient=True):
    loss, dy = poison(len(p), dtype=p.dtype), poison(*p.shape, dtype=p.dtype) if gradient else None
    run(getattr(ops, name), loss, dy, p, t, weight, scale)
    return loss, dy


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TERMS)
@given(shape=st.lists(st.integers(1, 5), min_size=2, max_size=4), scale=st.sampled_from([1.0, 1 / 7]))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_values(name, dtype, shape, scale):
    p, t = probabilities(0, *shape, dtype=dtype), probabilities(1, *shape, dtype=dtype)
    weight = draw(2, shape[0], dtype=dtype)
    expected = [
        scale * sum(TERMS[name](float(a), float(b)) for a, b in zip(p[n].flat, t[n].flat, strict=True))
        for n in range(shape[0])
    ]
    loss, dy = losses(name, p, t, weight, scale)
    assert_close(loss, expected, dtype)  # the weight is for the gradient only
    assert dy.dtype == loss.dtype == dtype
    without, _ = losses(name, p, t, weight, scale, gradient=False)
    assert_close(without, loss, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(3, 5), (2, 5, 7, 3)], ids=str)
@pytest.mark.parametrize("name", TERMS)
def test_gradient_is_that_of_the_weighted_sum(name, shape):
    p, t, weight = probabilities(0, *shape), probabilities(1, *shape), draw(2, shape[0])
    _, dy = losses(name, p, t, weight, 1 / 7)
    expected = differences(lambda p: losses(name, p, t, weight, 1 / 7, gradient=False)[0], p, weight)
    assert_close(dy, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", TERMS)
def test_gradient_in_float32(name):
    p, t, weight = (array.astype("float32") for array in (probabilities(0, 2, 9), probabilities(1, 2, 9), draw(2, 2)))
    _, single = losses(name, p, t, weight, 1 / 9)
    _, double = losses(name, p.astype(float), t.astype(float), weight.astype(float), 1 / 9)
    assert_close(single, double, "float32")


@pytest.mark.parametrize(
    ("dtype", "t", "p", "expected"),
    [
        ("float32", 1, 0, 16.1181),
        ("float32", 0, 1, 15.9424),
        ("float64", 1, 0, 16.1181),
        ("float64", 0, 1, 16.1181),
        ("float32", 0, 0, 1.19e-7),
        ("float64", 1, 1, 1e-7),
    ],
)
def test_crossentropy_is_bounded_by_the_clip(dtype, t, p, expected):
    one = np.ones(1, dtype)
    loss, dy = losses("binary_crossentropy", np.full((1, 1), p, dtype), np.full((1, 1), t, dtype), one, 1.0)
    assert loss[0] == pytest.approx(expected, abs=1e-4 if expected > 1 else 2e-8)
    assert dy[0, 0] == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_crossentropy_has_a_gradient_inside_the_clip_only(dtype):
    low, high = np.array(1e-7, dtype), np.array(1 - 1e-7, dtype)
    zero, one = np.zeros((), dtype), np.ones((), dtype)
    p = np.array([[zero, np.nextafter(low, zero), low, high, np.nextafter(high, one), one]])
    for t in (0.0, 1.0):
        _, dy = losses("binary_crossentropy", p, np.full(p.shape, t, dtype), np.ones(1, dtype), 1.0)
        assert (dy != 0).tolist() == [[False, False, True, True, False, False]]
        assert_close(dy[0, 2:3], [(1e-7 - t) / (1e-7 * (1 - 1e-7))], dtype, rtol=1e-5)


def test_absolute_error_at_zero_has_no_slope():
    p = t = np.array([[0.25, 0.5]])
    loss, dy = losses("mean_absolute_error", p, t, np.ones(1), 1.0)
    assert loss.tolist() == [0]
    assert dy.tolist() == [[0, 0]]


@pytest.mark.parametrize("name", TERMS)
def test_nan_is_not_hidden(name):
    p = np.array([[0.5, np.nan], [0.5, 0.5]])
    loss, dy = losses(name, p, np.full((2, 2), 0.25), np.ones(2), 1.0)
    assert np.isnan(loss).tolist() == [True, False]
    assert np.isnan(dy).tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_accuracy(dtype):
    p = np.array([[0.1, 0.5, 0.6, 0.9], [0.2, 0.3, 0.6, 0.8]], dtype)
    t = np.array([[0, 1, 1, 0], [0, 0.3, 1, 1]], dtype)  # 0.5 does not exceed 0.5; 0.3 equals neither 0 nor 1
    value = poison(2, dtype=dtype)
    run(ops.binary_accuracy, value, p, t, 0.5)
    assert value.tolist() == [0.5, 0.75]
    run(ops.binary_accuracy, value, p, t, 0.85)
    assert value.tolist() == [0.25, 0.25]


def test_binary_accuracy_of_images_is_a_fraction_of_the_sample():
    p, t, value = probabilities(0, 2, 5, 7, 3), np.round(probabilities(1, 2, 5, 7, 3)), poison(2)
    run(ops.binary_accuracy, value, p, t, 0.5)
    expected = [sum((a > 0.5) == (b == 1) for a, b in zip(p[n].flat, t[n].flat, strict=True)) / 105 for n in range(2)]
    assert_close(value, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weighted_sum_adds(dtype):
    values, weight, total = draw(0, 7, dtype=dtype), draw(1, 7, dtype=dtype), np.array([3.0], dtype)
    run(ops.weighted_sum, total, values, weight)
    assert_close(total, [3 + sum(float(v) * float(w) for v, w in zip(values, weight, strict=True))], dtype)
