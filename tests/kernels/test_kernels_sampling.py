import math

import numpy as np
import pytest
from numeric import DTYPES, assert_close, differences, draw, poison, run
from scipy.integrate import quad

from scratchae.kernels import reference as ops

KEY, STEP = (3, 5), np.array([7], np.uint64)


def sampled(mean, log_var, noise):
    z = poison(*mean.shape, dtype=mean.dtype)
    run(ops.sampling_forward, z, mean, log_var, noise, KEY, STEP, 4)
    return z


def divergence(mean, log_var, scale):
    value = np.zeros(1)
    run(ops.kl_divergence_forward, value, mean, log_var, scale)
    return value


def drawn_noise(dtype):
    noise = poison(2, 5, dtype=dtype)
    ops.normal(noise, KEY, STEP, 4)
    return noise


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("given", [True, False])
def test_forward(given, dtype):
    mean, log_var = draw(0, 2, 5, dtype=dtype), draw(1, 2, 5, dtype=dtype)
    noise = draw(2, 2, 5, dtype=dtype) if given else drawn_noise(dtype)
    z = sampled(mean, log_var, noise if given else None)
    expected = [[mean[n, d] + math.sqrt(math.exp(log_var[n, d])) * noise[n, d] for d in range(5)] for n in range(2)]
    assert_close(z, expected, dtype)


@pytest.mark.parametrize("given", [True, False])
def test_backward(given):
    mean, log_var, dz = draw(0, 2, 5), draw(1, 2, 5), draw(3, 2, 5)
    noise = draw(2, 2, 5) if given else None
    dmean, dlog_var = poison(2, 5), poison(2, 5)
    run(ops.sampling_backward, dmean, dlog_var, np.array(dz), log_var, noise, KEY, STEP, 4)
    assert_close(dmean, differences(lambda m: sampled(m, log_var, noise), mean, dz), rtol=1e-7, atol=1e-9)
    assert_close(dlog_var, differences(lambda v: sampled(mean, v, noise), log_var, dz), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("mean", "log_var"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.9), (-1.3, -0.8), (2.0, 1.1)])
def test_divergence_is_the_integral_of_q_log_q_by_p(mean, log_var):
    s = math.exp(log_var / 2)

    def log_density(x, mean, s):
        return -((x - mean) ** 2) / (2 * s * s) - math.log(s) - math.log(2 * math.pi) / 2

    def integrand(x):
        q = log_density(x, mean, s)
        return math.exp(q) * (q - log_density(x, 0, 1))

    expected, _ = quad(integrand, mean - 12 * s, mean + 12 * s, epsabs=1e-12)
    assert divergence(np.full((1, 1), mean), np.full((1, 1), log_var), 1.0)[0] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_divergence_sums_scales_and_adds(dtype):
    mean, log_var, value = draw(0, 2, 5, dtype=dtype), draw(1, 2, 5, dtype=dtype), np.array([3.0], dtype)
    run(ops.kl_divergence_forward, value, mean, log_var, 0.25)
    terms = [-0.5 * (1 + v - m * m - math.exp(v)) for m, v in zip(mean.flat, log_var.flat, strict=True)]
    assert_close(value, [3 + 0.25 * sum(terms)], dtype)


def test_backward_of_the_divergence_adds():
    mean, log_var, before, scale = draw(0, 2, 5), draw(1, 2, 5), draw(2, 2, 5), np.full(1, 1.0)
    dmean, dlog_var = np.array(before), np.array(2 * before)
    run(ops.kl_divergence_backward, dmean, dlog_var, mean, log_var, 0.25)
    along_mean = differences(lambda m: divergence(m, log_var, 0.25), mean, scale)
    along_log_var = differences(lambda v: divergence(mean, v, 0.25), log_var, scale)
    assert_close(dmean - before, along_mean, rtol=1e-7, atol=1e-8)
    assert_close(dlog_var - 2 * before, along_log_var, rtol=1e-7, atol=1e-8)
