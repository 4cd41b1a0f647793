import math

import numpy as np
import pytest
from numeric import DTYPES, assert_close, differences, draw, poison, run
from scipy.integrate import quad

from scratchae.kernels import reference as ops

KEY, STEP = (3, 5), np.array([7], np.uint64)


def forward(mean, log_var, noise, scale, before=0.0):
    z, value = poison(*mean.shape, dtype=mean.dtype), np.array([before], mean.dtype)
    run(ops.sampling_forward, z, value, mean, log_var, noise, KEY, STEP, 4, scale)
    return z, value


def backward(dz, mean, log_var, noise, scale):
    dmean, dlog_var = poison(*mean.shape, dtype=mean.dtype), poison(*mean.shape, dtype=mean.dtype)
    run(ops.sampling_backward, dmean, dlog_var, np.array(dz), mean, log_var, noise, KEY, STEP, 4, scale)
    return dmean, dlog_var


def divergence(mean, log_var, scale):
    return forward(mean, log_var, np.zeros(mean.shape), scale)[1]


def drawn_noise(dtype):
    noise = poison(2, 5, dtype=dtype)
    ops.normal(noise, KEY, STEP, 4)
    return noise


@pytest.mark.parametrize("scale", [0.25, 0.0])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("given", [True, False])
def test_forward(given, dtype, scale):
    mean, log_var = draw(0, 2, 5, dtype=dtype), draw(1, 2, 5, dtype=dtype)
    noise = draw(2, 2, 5, dtype=dtype) if given else drawn_noise(dtype)
    z, _ = forward(mean, log_var, noise if given else None, scale)
    expected = [[mean[n, d] + math.sqrt(math.exp(log_var[n, d])) * noise[n, d] for d in range(5)] for n in range(2)]
    assert_close(z, expected, dtype)


@pytest.mark.parametrize("scale", [0.25, 0.0, 3.0])
@pytest.mark.parametrize("given", [True, False])
def test_backward(given, scale):
    mean, log_var, dz = draw(0, 2, 5), draw(1, 2, 5), draw(3, 2, 5)
    noise = draw(2, 2, 5) if given else None

    def loss(mean, log_var):
        z, value = forward(mean, log_var, noise, scale)
        return value[0] + np.sum(dz * z)

    dmean, dlog_var = backward(dz, mean, log_var, noise, scale)
    assert_close(dmean, differences(lambda m: loss(m, log_var), mean, 1), rtol=1e-7, atol=1e-8)
    assert_close(dlog_var, differences(lambda v: loss(mean, v), log_var, 1), rtol=1e-7, atol=1e-8)


def test_backward_of_either_term_alone():
    """The loss sees z, or the divergence: no term hides behind the other."""
    mean, log_var, dz, noise = (draw(i, 2, 5) for i in range(4))
    sampled, penalized = backward(dz, mean, log_var, noise, 0.0), backward(np.zeros((2, 5)), mean, log_var, noise, 0.25)
    of_z = (
        differences(lambda m: forward(m, log_var, noise, 0.0)[0], mean, dz),
        differences(lambda v: forward(mean, v, noise, 0.0)[0], log_var, dz),
    )
    of_value = (
        differences(lambda m: divergence(m, log_var, 0.25), mean, 1),
        differences(lambda v: divergence(mean, v, 0.25), log_var, 1),
    )
    for actual, expected in zip((*sampled, *penalized), (*of_z, *of_value), strict=True):
        assert_close(actual, expected, rtol=1e-7, atol=1e-8)


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
@pytest.mark.parametrize("given", [True, False])
def test_divergence_sums_scales_and_adds(dtype, given):
    mean, log_var = draw(0, 2, 5, dtype=dtype), draw(1, 2, 5, dtype=dtype)
    _, value = forward(mean, log_var, draw(2, 2, 5, dtype=dtype) if given else None, 0.25, before=3.0)
    terms = [-0.5 * (1 + v - m * m - math.exp(v)) for m, v in zip(mean.flat, log_var.flat, strict=True)]
    assert_close(value, [3 + 0.25 * sum(terms)], dtype)


@pytest.mark.parametrize("bad", [np.nan, 800.0])  # of the latter, the variance is infinite but not the deviation
def test_without_a_scale_there_is_no_divergence(bad):
    mean, log_var, dz, noise = (draw(i, 2, 5) for i in range(4))
    log_var = np.array(log_var)
    log_var[1, 2] = bad
    with np.errstate(over="ignore"):
        z, value = forward(mean, log_var, noise, 0.0, before=3.0)
        dmean, dlog_var = backward(dz, mean, log_var, noise, 0.0)
        _, scaled = forward(mean, log_var, noise, 0.25)
    assert value[0] == 3
    assert np.isnan(z[1, 2]) == np.isnan(dlog_var[1, 2]) == np.isnan(bad)
    assert_close(dmean, dz, rtol=0, atol=0)
    assert not np.isfinite(scaled[0])
