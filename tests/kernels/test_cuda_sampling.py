"""The latent variable on CUDA machines against the reference in float64."""

import numpy as np
import pytest
from cuda_arrays import assert_near, blank, fetch, place
from numeric import draw, poison

from scratchae.kernels import reference
from scratchae.kernels.cuda import sampling as cuda
from scratchae.kernels.cuda.emulator import Emulator, unavailable

KEY, STEP = (3, 5), np.array([7], np.uint64)
SHAPES = [(1, 1), (15, 2), (17, 3), (9, 129), (2, 4099), (17, 5, 7, 3)]


def tensors(shape):
    return [draw(i, *shape, dtype="float32") for i in range(4)]


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sampling(machine, shape, given):
    mean, log_var, noise, dz = tensors(shape)
    expected = [poison(*shape) for _ in range(3)]
    used = noise.astype(float) if given else None
    reference.sampling_forward(expected[0], mean.astype(float), log_var.astype(float), used, KEY, STEP, 3)
    reference.sampling_backward(*expected[1:], dz.astype(float), log_var.astype(float), used, KEY, STEP, 3)
    z, dmean, dlog_var = (blank(machine, shape) for _ in range(3))
    placed, step = place(machine, log_var), place(machine, STEP, "uint64")
    used = place(machine, noise) if given else None
    cuda.sampling_forward(z, place(machine, mean), placed, used, KEY, step, 3)
    cuda.sampling_backward(dmean, dlog_var, place(machine, dz), placed, used, KEY, step, 3)
    for a, e in zip((z, dmean, dlog_var), expected, strict=True):
        assert_near(fetch(machine, a), e)


@pytest.mark.parametrize("shape", [*SHAPES, (1, 4096)], ids=str)
def test_divergence(machine, shape):
    mean, log_var, before, _ = tensors(shape)
    expected, expected_dmean, expected_dlog_var = np.array([3.0]), before.astype(float), 2 * before.astype(float)
    reference.kl_divergence_forward(expected, mean.astype(float), log_var.astype(float), 0.25)
    reference.kl_divergence_backward(expected_dmean, expected_dlog_var, mean.astype(float), log_var.astype(float), 0.25)
    value, dmean, dlog_var = place(machine, [3]), place(machine, before), place(machine, 2 * before)
    placed = place(machine, mean), place(machine, log_var)
    cuda.kl_divergence_forward(value, *placed, 0.25)
    cuda.kl_divergence_backward(dmean, dlog_var, *placed, 0.25)
    assert_near(fetch(machine, value), expected)
    assert_near(fetch(machine, dmean), expected_dmean)
    assert_near(fetch(machine, dlog_var), expected_dlog_var)


def test_divergence_near_the_prior_keeps_its_digits(machine):
    mean, log_var = (1e-3 * draw(i, 3, 5, dtype="float32") for i in range(2))
    expected, value = np.zeros(1), place(machine, [0])
    reference.kl_divergence_forward(expected, mean.astype(float), log_var.astype(float), 1.0)
    cuda.kl_divergence_forward(value, place(machine, mean), place(machine, log_var), 1.0)
    assert_near(fetch(machine, value), expected, 1e-3)  # 1 + log_var - exp(log_var) would be wrong by 10 %


def test_nan_is_not_hidden(machine):
    step, z = place(machine, STEP, "uint64"), blank(machine, (2, 5))
    values = np.zeros((2, 5))
    zeros = place(machine, values)
    values[1, 2] = np.nan
    bad = place(machine, values)
    for mean, log_var in ((zeros, bad), (bad, zeros)):
        cuda.sampling_forward(z, mean, log_var, None, KEY, step, 0)
        assert np.argwhere(np.isnan(fetch(machine, z))).tolist() == [[1, 2]]
        value = place(machine, [0])
        cuda.kl_divergence_forward(value, mean, log_var, 1.0)
        assert np.isnan(fetch(machine, value)[0])


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_the_same_bits_in_any_order_of_threads():
    def divergence(order):
        machine = Emulator(order=order)
        value = place(machine, [3])
        cuda.kl_divergence_forward(value, place(machine, draw(0, 9, 999)), place(machine, draw(1, 9, 999)), 0.25)
        return fetch(machine, value).tolist()

    assert divergence("forward") == divergence("reverse") == divergence("random")
