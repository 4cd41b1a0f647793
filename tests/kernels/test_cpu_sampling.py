"""The latent variable on the fast backend against the reference in float64."""

import numba
import numpy as np
import pytest
from devices import assert_border, assert_near, cpu, empty, fetch, place, with_garbage
from numeric import draw, poison

from scratchae.kernels import reference

KEY, STEP = (3, 5), np.array([7], np.uint64)
SHAPES = [(1, 1), (15, 2), (17, 3), (33, 130), (2, 5000), (15, 5, 3), (17, 5, 7, 3), (33, 2, 14, 1)]


def tensors(shape):
    return [draw(i, *shape, dtype="float32") for i in range(4)]


@pytest.mark.parametrize("scale", [0.25, 0.0])
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sampling(shape, given, scale):
    mean, log_var, noise, dz = tensors(shape)
    rest = noise if given else None, KEY, STEP, 4, scale
    expected, expected_value = [poison(*shape) for _ in range(3)], np.array([3.0])
    exact = [a.astype(float) for a in (mean, log_var)]
    reference.sampling_forward(expected[0], expected_value, *exact, *rest)
    reference.sampling_backward(*expected[1:], dz.astype(float), *exact, *rest)
    actual, value = [empty(shape, (1, 2)) for _ in range(3)], np.array([3], "float32")
    placed = with_garbage(place(mean, (2, 1))), with_garbage(place(log_var))
    cpu.sampling_forward(actual[0], value, *placed, *rest)
    cpu.sampling_backward(*actual[1:], with_garbage(place(dz, (2, 1))), *placed, *rest)
    assert_near(value, expected_value)
    for a, e in zip(actual, expected, strict=True):
        assert_near(fetch(a), e)
        assert_border(a)
        if len(shape) > 2:
            assert np.isfinite(a.data).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_of_the_divergence(shape):
    mean, log_var, noise, _ = tensors(shape)
    zeros, expected = np.zeros(shape, "float32"), [poison(*shape) for _ in range(2)]
    reference.sampling_backward(
        *expected, zeros.astype(float), mean.astype(float), log_var.astype(float), noise, KEY, STEP, 4, 0.25
    )
    actual = [empty(shape, (1, 2)) for _ in range(2)]
    cpu.sampling_backward(*actual, place(zeros), place(mean, (2, 1)), place(log_var), noise, KEY, STEP, 4, 0.25)
    for a, e in zip(actual, expected, strict=True):
        assert_near(fetch(a), e)


@pytest.mark.parametrize("given", [True, False])
def test_nan_is_not_hidden(given):
    values = np.zeros((2, 5), "float32")
    values[1, 2] = np.nan
    zeros, noise = np.zeros((2, 5), "float32"), np.ones((2, 5), "float32") if given else None
    for mean, log_var in ((zeros, values), (values, zeros)):
        for scale in (1.0, 0.0):
            z, value = poison(2, 5, dtype="float32"), np.array([3], "float32")
            cpu.sampling_forward(z, value, mean, log_var, noise, KEY, STEP, 0, scale)
            assert np.argwhere(np.isnan(z)).tolist() == [[1, 2]]
            assert np.isnan(value[0]) if scale else value[0] == 3
            gradients = np.zeros((2, 5), "float32"), np.zeros((2, 5), "float32")
            cpu.sampling_backward(*gradients, np.ones_like(z), mean, log_var, noise, KEY, STEP, 0, scale)
            if mean is values:
                assert np.argwhere(np.isnan(gradients[0])).tolist() == ([[1, 2]] if scale else [])
            else:
                assert np.argwhere(np.isnan(gradients[1])).tolist() == [[1, 2]]


def test_without_a_scale_an_infinite_variance_is_no_harm():
    mean, noise, dz, _ = (place(a) for a in tensors((2, 5)))
    log_var, value = np.full((2, 5), 100, "float32"), np.array([3], "float32")  # exp(100) is infinite, exp(50) is not
    z, dmean, dlog_var = (poison(2, 5, dtype="float32") for _ in range(3))
    cpu.sampling_forward(z, value, mean, log_var, noise, KEY, STEP, 0, 0.0)
    cpu.sampling_backward(dmean, dlog_var, dz, mean, log_var, noise, KEY, STEP, 0, 0.0)
    assert value[0] == 3
    assert_near(dmean, dz, 0)
    assert_near(z, np.exp(50) * noise.astype(float), 1e-5)
    assert_near(dlog_var, 0.5 * np.exp(50) * dz.astype(float) * noise, 1e-5)


def test_the_same_bits_with_any_number_of_threads():
    mean, log_var, _, dz = (place(a) for a in tensors((33, 1300)))
    results, threads = [], numba.get_num_threads()
    for n in (1, threads):
        z, dmean, dlog_var = (poison(33, 1300, dtype="float32") for _ in range(3))
        value = np.array([3], "float32")
        numba.set_num_threads(n)
        try:
            cpu.sampling_forward(z, value, mean, log_var, None, KEY, STEP, 4, 0.25)
            cpu.sampling_backward(dmean, dlog_var, dz, mean, log_var, None, KEY, STEP, 4, 0.25)
        finally:
            numba.set_num_threads(threads)
        results.append([a.tolist() for a in (z, value, dmean, dlog_var)])
    assert results[0] == results[1]
