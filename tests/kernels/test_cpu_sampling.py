"""The latent variable on the fast backend against the reference in float64."""

import numpy as np
import pytest
from devices import assert_border, assert_near, cpu, empty, fetch, place, with_garbage
from numeric import draw, poison

from scratchae.kernels import reference

KEY, STEP = (3, 5), np.array([7], np.uint64)
SHAPES = [(1, 1), (15, 2), (17, 3), (33, 130), (2, 5000), (15, 5, 3), (17, 5, 7, 3), (33, 2, 14, 1)]


def tensors(shape):
    return [draw(i, *shape, dtype="float32") for i in range(4)]


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sampling(shape, given):
    mean, log_var, noise, dz = tensors(shape)
    noise = noise if given else None
    expected = [poison(*shape) for _ in range(3)]
    reference.sampling_forward(expected[0], mean.astype(float), log_var.astype(float), noise, KEY, STEP, 4)
    reference.sampling_backward(*expected[1:], dz.astype(float), log_var.astype(float), noise, KEY, STEP, 4)
    actual = [empty(shape, (1, 2)) for _ in range(3)]
    placed_mean, placed_log_var, placed_dz = (with_garbage(place(a, (2, 1))) for a in (mean, log_var, dz))
    cpu.sampling_forward(actual[0], placed_mean, placed_log_var, noise, KEY, STEP, 4)
    cpu.sampling_backward(*actual[1:], placed_dz, placed_log_var, noise, KEY, STEP, 4)
    for a, e in zip(actual, expected, strict=True):
        assert_near(fetch(a), e)
        assert_border(a)
        if len(shape) > 2:
            assert np.isfinite(a.data).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_divergence(shape):
    mean, log_var, before, _ = tensors(shape)
    expected, expected_dmean, expected_dlog_var = np.array([3.0]), before.astype(float), 2 * before.astype(float)
    reference.kl_divergence_forward(expected, mean.astype(float), log_var.astype(float), 0.25)
    reference.kl_divergence_backward(expected_dmean, expected_dlog_var, mean.astype(float), log_var.astype(float), 0.25)
    value, dmean, dlog_var = np.array([3], "float32"), place(before, (1, 2)), place(2 * before, (1, 2))
    placed_mean, placed_log_var = with_garbage(place(mean, (2, 1))), with_garbage(place(log_var))
    cpu.kl_divergence_forward(value, placed_mean, placed_log_var, 0.25)
    cpu.kl_divergence_backward(dmean, dlog_var, placed_mean, placed_log_var, 0.25)
    assert_near(value, expected)
    for actual, wanted in ((dmean, expected_dmean), (dlog_var, expected_dlog_var)):
        assert_near(fetch(actual), wanted)
        assert_border(actual)


def test_nan_is_not_hidden():
    mean, log_var, z = np.zeros((2, 5), "float32"), np.zeros((2, 5), "float32"), poison(2, 5, dtype="float32")
    log_var[1, 2] = np.nan
    cpu.sampling_forward(z, mean, log_var, None, KEY, STEP, 0)
    assert np.argwhere(np.isnan(z)).tolist() == [[1, 2]]
    value = np.zeros(1, "float32")
    cpu.kl_divergence_forward(value, mean, log_var, 1.0)
    assert np.isnan(value[0])
