"""l1 sum |x| + l2 sum x^2, for parameters and for activations: a sum for each chunk, added in their order."""

from __future__ import annotations

import numpy as np
from numba import prange

from .jit import f32, floats, i64, inner, kernel, scratch
from .layout import CHUNK, chunk, chunks, numbers, row, rows_of, samples_of
from .simd import LANES, absolute, fma, load_part, splat, store_part, sum_lanes, where


def l1_l2_forward(value, x, l1, l2, scale):
    x, samples = rows_of(x), samples_of(x)
    penalty(value, sums_of(x), x, samples, l1, l2, scale)


def l1_l2_backward(dx, x, l1, l2, scale):
    add_slope(rows_of(dx), rows_of(x), samples_of(x), scale * l1, 2 * scale * l2)


def sums_of(x):
    """Memory for one number a chunk of x."""
    B, H, L = x.shape
    return scratch(B * H * (L // CHUNK + 1))


@inner
def sign(x):
    zero = splat(0.0)
    return where(x < zero, splat(-1.0), where(x > zero, splat(1.0), x))  # a NaN stays


@inner
def add_up(value, sums, count, scale):
    """value += scale * the sums, added in float64."""
    total = 0.0
    for i in range(count):
        total += sums[i]
    value[0] += np.float32(scale * total)


@inner
def penalty_of(task, x, samples, l1, l2):
    b, h, first, end = chunk(x, task)
    at, first_power, second_power = row(x, b, h), splat(0.0), splat(0.0)
    for i in range(first, end, LANES):
        v = load_part(x, at + i, min(end - i, samples - b * LANES))
        first_power = first_power + absolute(v)
        second_power = fma(v, v, second_power)
    return l1 * sum_lanes(first_power) + l2 * sum_lanes(second_power)


@kernel(floats, floats, numbers, i64, f32, f32, f32, parallel=True)
def penalty(value, sums, x, samples, l1, l2, scale):
    if chunks(x) == 1:  # two threads take longer to meet
        sums[0] = penalty_of(0, x, samples, l1, l2)
    else:
        for task in prange(chunks(x)):
            sums[task] = penalty_of(task, x, samples, l1, l2)
    add_up(value, sums, chunks(x), scale)


@inner
def add_slope_of(task, dx, x, samples, l1, l2):
    b, h, first, end = chunk(x, task)
    to, fro = row(dx, b, h), row(x, b, h)
    for i in range(first, end, LANES):
        n = min(end - i, samples - b * LANES)
        v = load_part(x, fro + i, n)
        store_part(load_part(dx, to + i, n) + (splat(l1) * sign(v) + splat(l2) * v), dx, to + i, n)


@kernel(numbers, numbers, i64, f32, f32, parallel=True)
def add_slope(dx, x, samples, l1, l2):
    """dx += l1 sign(x) + l2 x."""
    if chunks(x) == 1:
        add_slope_of(0, dx, x, samples, l1, l2)
    else:
        for task in prange(chunks(x)):
            add_slope_of(task, dx, x, samples, l1, l2)
