"""The reparameterization trick and the Kullback-Leibler divergence (Kingma & Welling 2014).

The noise is put where the result will be, and the result is computed in its place: no memory of its own, and one
kernel for noise that is drawn and noise that is given. The divergence is computed on the way, of what is
loaded anyway.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .jit import f32, floats, i64, kernel
from .layout import Lanes, chunk, chunks, lanes_from_rows, numbers, row, rows_of, samples_of
from .random import normal
from .regularizer import add_up, sums_of
from .simd import LANES, exp, load_part, splat, store_part, sum_lanes


def sampling_forward(z, value, mean, log_var, noise, key, step, first_sample, scale):
    put_noise(z, noise, key, step, first_sample)
    z, mean, log_var, samples = rows_of(z), rows_of(mean), rows_of(log_var), samples_of(z)
    spread(z, value, sums_of(z), mean, log_var, samples, scale)


def sampling_backward(dmean, dlog_var, dz, mean, log_var, noise, key, step, first_sample, scale):
    put_noise(dlog_var, noise, key, step, first_sample)
    gradients = rows_of(dmean), rows_of(dlog_var)
    through_spread(*gradients, rows_of(dz), rows_of(mean), rows_of(log_var), samples_of(dz), scale)


def put_noise(out, noise, key, step, first_sample):
    if noise is None:
        normal(out, key, step, first_sample)
    elif isinstance(noise, np.ndarray) and isinstance(out, Lanes):
        lanes_from_rows(out.data, np.array(noise, np.float32).reshape(len(noise), -1))
    elif isinstance(noise, Lanes):
        out.data[...] = noise.data
    else:
        out[...] = noise


@kernel(numbers, floats, floats, numbers, numbers, i64, f32, parallel=True)
def spread(z, value, sums, mean, log_var, samples, scale):
    """z = mean + exp(log_var / 2) z, value += scale * the divergence."""
    for task in prange(chunks(z)):
        b, h, first, end = chunk(z, task)
        to, at_mean, at_log_var, total = row(z, b, h), row(mean, b, h), row(log_var, b, h), splat(0.0)
        for i in range(first, end, LANES):
            n = min(end - i, samples - b * LANES)  # zeros behind them have no divergence
            m, v = load_part(mean, at_mean + i, n), load_part(log_var, at_log_var + i, n)
            store_part(m + exp(splat(0.5) * v) * load_part(z, to + i, n), z, to + i, end - i)
            total = total + splat(-0.5) * (splat(1.0) + v - m * m - exp(v))
        sums[task] = sum_lanes(total)
    if scale != 0:  # 0 times a divergence that is infinite would be NaN
        add_up(value, sums, chunks(z), scale)


@kernel(numbers, numbers, numbers, numbers, numbers, i64, f32, parallel=True)
def through_spread(dmean, dlog_var, dz, mean, log_var, samples, scale):
    """dmean = dz + scale mean, dlog_var = dz dlog_var exp(log_var / 2) / 2 + scale (exp(log_var) - 1) / 2."""
    for task in prange(chunks(dz)):
        b, h, first, end = chunk(dz, task)
        to_mean, to_log_var, fro = row(dmean, b, h), row(dlog_var, b, h), row(dz, b, h)
        at_mean, at_log_var = row(mean, b, h), row(log_var, b, h)
        for i in range(first, end, LANES):
            n = min(end - i, samples - b * LANES)
            upstream, noise = load_part(dz, fro + i, n), load_part(dlog_var, to_log_var + i, n)
            v = load_part(log_var, at_log_var + i, n)
            of_mean, of_log_var = upstream, upstream * (splat(0.5) * exp(splat(0.5) * v) * noise)
            if scale != 0:
                of_mean = of_mean + splat(scale) * load_part(mean, at_mean + i, n)
                of_log_var = of_log_var + splat(np.float32(0.5) * scale) * (exp(v) - splat(1.0))
            store_part(of_mean, dmean, to_mean + i, end - i)
            store_part(of_log_var, dlog_var, to_log_var + i, end - i)
