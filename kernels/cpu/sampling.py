"""The reparameterization trick and the Kullback-Leibler divergence (Kingma & Welling 2014).

The noise is put where the result will be, and the result is computed in its place: no memory of its own, and one
kernel for noise that is drawn and noise that is given.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .jit import f32, floats, i64, kernel
from .layout import Lanes, chunk, chunks, lanes_from_rows, numbers, row, rows_of, samples_of
from .random import normal
from .regularizer import add_up, sums_of
from .simd import LANES, exp, load_part, splat, store_part, sum_lanes


def sampling_forward(z, mean, log_var, noise, key, step, first_sample):
    put_noise(z, noise, key, step, first_sample)
    spread(rows_of(z), rows_of(mean), rows_of(log_var), samples_of(z))


def sampling_backward(dmean, dlog_var, dz, log_var, noise, key, step, first_sample):
    put_noise(dlog_var, noise, key, step, first_sample)
    through_spread(rows_of(dmean), rows_of(dlog_var), rows_of(dz), rows_of(log_var), samples_of(dz))


def put_noise(out, noise, key, step, first_sample):
    if noise is None:
        normal(out, key, step, first_sample)
    elif isinstance(noise, np.ndarray) and isinstance(out, Lanes):
        lanes_from_rows(out.data, np.array(noise, np.float32).reshape(len(noise), -1))
    elif isinstance(noise, Lanes):
        out.data[...] = noise.data
    else:
        out[...] = noise


def kl_divergence_forward(value, mean, log_var, scale):
    mean, log_var, samples = rows_of(mean), rows_of(log_var), samples_of(mean)
    divergence(value, sums_of(mean), mean, log_var, samples, scale)


def kl_divergence_backward(dmean, dlog_var, mean, log_var, scale):
    add_divergence(rows_of(dmean), rows_of(dlog_var), rows_of(mean), rows_of(log_var), samples_of(mean), scale)


@kernel(numbers, numbers, numbers, i64, parallel=True)
def spread(z, mean, log_var, samples):
    """z = mean + exp(log_var / 2) z."""
    for task in prange(chunks(z)):
        b, h, first, end = chunk(z, task)
        to, fro, at = row(z, b, h), row(mean, b, h), row(log_var, b, h)
        for i in range(first, end, LANES):
            n = min(end - i, samples - b * LANES)
            deviation = exp(splat(0.5) * load_part(log_var, at + i, n))
            value = load_part(mean, fro + i, n) + deviation * load_part(z, to + i, n)
            store_part(value, z, to + i, end - i)


@kernel(numbers, numbers, numbers, numbers, i64, parallel=True)
def through_spread(dmean, dlog_var, dz, log_var, samples):
    """dmean = dz, dlog_var = dz dlog_var exp(log_var / 2) / 2."""
    for task in prange(chunks(dz)):
        b, h, first, end = chunk(dz, task)
        to_mean, to_log_var, fro, at = row(dmean, b, h), row(dlog_var, b, h), row(dz, b, h), row(log_var, b, h)
        for i in range(first, end, LANES):
            n = min(end - i, samples - b * LANES)
            upstream, noise = load_part(dz, fro + i, n), load_part(dlog_var, to_log_var + i, n)
            slope = splat(0.5) * exp(splat(0.5) * load_part(log_var, at + i, n)) * noise
            store_part(upstream, dmean, to_mean + i, end - i)
            store_part(upstream * slope, dlog_var, to_log_var + i, end - i)


@kernel(floats, floats, numbers, numbers, i64, f32, parallel=True)
def divergence(value, sums, mean, log_var, samples, scale):
    for task in prange(chunks(mean)):
        b, h, first, end = chunk(mean, task)
        at_mean, at_log_var, total = row(mean, b, h), row(log_var, b, h), splat(0.0)
        for i in range(first, end, LANES):
            n = min(end - i, samples - b * LANES)  # zeros behind them have no divergence
            m, v = load_part(mean, at_mean + i, n), load_part(log_var, at_log_var + i, n)
            total = total + splat(-0.5) * (splat(1.0) + v - m * m - exp(v))
        sums[task] = sum_lanes(total)
    add_up(value, sums, chunks(mean), scale)


@kernel(numbers, numbers, numbers, numbers, i64, f32, parallel=True)
def add_divergence(dmean, dlog_var, mean, log_var, samples, scale):
    """dmean += scale mean, dlog_var += scale (exp(log_var) - 1) / 2."""
    for task in prange(chunks(mean)):
        b, h, first, end = chunk(mean, task)
        to_mean, to_log_var = row(dmean, b, h), row(dlog_var, b, h)
        fro_mean, fro_log_var = row(mean, b, h), row(log_var, b, h)
        for i in range(first, end, LANES):
            n = min(end - i, samples - b * LANES)
            m, v = load_part(mean, fro_mean + i, n), load_part(log_var, fro_log_var + i, n)
            slope = splat(np.float32(0.5) * scale) * (exp(v) - splat(1.0))
            store_part(load_part(dmean, to_mean + i, n) + splat(scale) * m, dmean, to_mean + i, n)
            store_part(load_part(dlog_var, to_log_var + i, n) + slope, dlog_var, to_log_var + i, n)
