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


def run(machine, mean, log_var, noise, dz, before, *rest):
    """z, value, dmean and dlog_var on the machine; `before` stands in value."""
    z, dmean, dlog_var = (blank(machine, mean.shape) for _ in range(3))
    value, step = place(machine, [before]), place(machine, STEP, "uint64")
    noise = None if noise is None else place(machine, noise)
    heads, rest = (place(machine, mean), place(machine, log_var)), (noise, KEY, step, *rest)
    cuda.sampling_forward(z, value, *heads, *rest)
    cuda.sampling_backward(dmean, dlog_var, place(machine, dz), *heads, *rest)
    return [fetch(machine, a) for a in (z, value, dmean, dlog_var)]


def exactly(mean, log_var, noise, dz, before, *rest):
    """The same by the reference, in float64."""
    (z, dmean, dlog_var), value = (poison(*mean.shape) for _ in range(3)), np.array([float(before)])
    heads, rest = (mean.astype(float), log_var.astype(float)), (noise, KEY, STEP, *rest)
    reference.sampling_forward(z, value, *heads, *rest)
    reference.sampling_backward(dmean, dlog_var, dz.astype(float), *heads, *rest)
    return [z, value, dmean, dlog_var]


@pytest.mark.parametrize("scale", [0.25, 0.0])
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("shape", [*SHAPES, (1, 4096), (1, 4093)], ids=str)
def test_sampling(machine, shape, given, scale):
    mean, log_var, noise, dz = tensors(shape)
    arguments = mean, log_var, noise if given else None, dz, 3, 3, scale
    for a, e in zip(run(machine, *arguments), exactly(*arguments), strict=True):
        assert_near(a, e)


def test_divergence_near_the_prior_keeps_its_digits(machine):
    mean, log_var, noise = (1e-3 * draw(i, 3, 5, dtype="float32") for i in range(3))
    arguments = mean, log_var, noise, np.zeros((3, 5), "float32"), 0, 0, 1.0
    (_, *actual), (_, *expected) = run(machine, *arguments), exactly(*arguments)
    assert_near(actual[0], expected[0], 1e-3)  # 1 + log_var - exp(log_var) would be wrong by 10 %
    for a, e in zip(actual[1:], expected[1:], strict=True):
        assert_near(a, e)


def test_nan_is_not_hidden(machine):
    zeros, bad = np.zeros((2, 5)), np.zeros((2, 5))
    bad[1, 2] = np.nan
    for scale in (1.0, 0.0):
        for heads in ((zeros, bad), (bad, zeros)):
            z, value, dmean, dlog_var = run(machine, *heads, None, np.ones((2, 5)), 3, 0, scale)
            assert np.argwhere(np.isnan(z)).tolist() == [[1, 2]]
            assert np.isnan(value[0]) if scale else value[0] == 3
            if heads[1] is bad:
                assert np.argwhere(np.isnan(dlog_var)).tolist() == [[1, 2]]
            else:
                assert np.argwhere(np.isnan(dmean)).tolist() == ([[1, 2]] if scale else [])


def test_nan_far_in_does_not_reach_the_value_without_a_scale(machine):
    mean, log_var, _, dz = (np.array(a) for a in tensors((2, 4099)))
    log_var[1, 77] = np.nan  # of several blocks
    for scale in (1.0, 0.0):
        z, value, *_ = run(machine, mean, log_var, None, dz, 3, 0, scale)
        assert np.argwhere(np.isnan(z)).tolist() == [[1, 77]]
        assert np.isnan(value[0]) if scale else value[0] == 3


def test_without_a_scale_an_infinite_variance_is_no_harm(machine):
    mean, noise, dz, _ = tensors((2, 5))
    log_var = np.full((2, 5), 100, "float32")  # exp(100) is infinite, exp(50) is not
    z, value, dmean, dlog_var = run(machine, mean, log_var, noise, dz, 3, 0, 0.0)
    assert value[0] == 3
    assert_near(dmean, dz, 0)
    assert_near(z, np.exp(50) * noise.astype(float), 1e-5)
    assert_near(dlog_var, 0.5 * np.exp(50) * dz.astype(float) * noise, 1e-5)


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
@pytest.mark.parametrize(
    ("shape", "scale", "launches"),
    [((1, 4096), 0.25, 2), ((1, 4097), 0.25, 3), ((2, 4099), 0.25, 3), ((2, 4099), 0, 2)],
)
def test_launches(shape, scale, launches):
    machine = Emulator()
    run(machine, *tensors(shape), 3, 1, scale)
    assert machine.launches["sampling_forward"] == machine.launches["sampling_backward"] == 1
    assert machine.launches.total() == launches


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_the_same_bits_in_any_order_of_threads():
    def results(order):
        mean, log_var, _, dz = tensors((9, 999))
        return [a.tolist() for a in run(Emulator(order=order), mean, log_var, None, dz, 3, 1, 0.25)]

    assert results("forward") == results("reverse") == results("random")
