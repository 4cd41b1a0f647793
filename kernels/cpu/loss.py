"""Losses: the value of each sample and the gradient of the weighted sum over the batch, in one pass.

A task is a row of a matrix, whose lanes are added at its end, or a block of Lanes, in which every lane is a sample of
its own. Lanes behind the last sample are read as zeros, whose gradient is zero. 128 x 784 elements take 80 us on a core
(Xeon with AVX-512) for the cross-entropy, which is two logarithms and a division an element, and 15 for the others.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numba import prange

from .jit import f32, floats, i64, inner, kernel
from .layout import Lanes, numbers, row
from .simd import LANES, absolute, fma, lanes_below, load_part, log, splat, store_part, sum_lanes, where

CROSSENTROPY, SQUARED, ABSOLUTE, ACCURACY = range(4)
LOW, HIGH = np.float32(1e-7), np.float32(1 - 1e-7)  # Keras' clip
STRETCH = 64 * LANES  # numbers whose terms go into one float32 sum before it is added to the total
NONE = np.empty((0, 0, 0), np.float32)


def binary_crossentropy(loss, dy, p, t, weight, scale):
    per_sample(loss, by_sample(dy), by_sample(p), by_sample(t), weight, scale, CROSSENTROPY, 0, isinstance(p, Lanes))


def mean_squared_error(loss, dy, p, t, weight, scale):
    per_sample(loss, by_sample(dy), by_sample(p), by_sample(t), weight, scale, SQUARED, 0, isinstance(p, Lanes))


def mean_absolute_error(loss, dy, p, t, weight, scale):
    per_sample(loss, by_sample(dy), by_sample(p), by_sample(t), weight, scale, ABSOLUTE, 0, isinstance(p, Lanes))


def binary_accuracy(value, p, t, threshold):
    scale = 1 / prod(p.shape[1:])
    per_sample(value, NONE, by_sample(p), by_sample(t), value, scale, ACCURACY, threshold, isinstance(p, Lanes))


def weighted_sum(total, values, weight):
    add_weighted(total, values, weight)


def by_sample(a):
    """(B, H, L): the rows of Lanes, or each row of a matrix as a block of its own."""
    if a is None:
        return NONE
    return a.rows if isinstance(a, Lanes) else a[:, None]


@inner
def clip(p):
    low, high = splat(LOW), splat(HIGH)
    return where(p < low, low, where(p > high, high, p))  # a NaN stays


@inner
def crossentropy(p, t):
    c, one = clip(p), splat(1.0)
    return splat(0.0) - t * log(c) - (one - t) * log(one - c)


@inner
def inside_clip(p, x):
    """x where p is within Keras' clip (or not a number), 0 elsewhere."""
    return where(p < splat(LOW), splat(0.0), where(p > splat(HIGH), splat(0.0), x))


@inner
def term(p, t, kind, threshold):
    if kind == CROSSENTROPY:
        return crossentropy(p, t)
    if kind == SQUARED:
        return (p - t) * (p - t)
    if kind == ABSOLUTE:
        return absolute(p - t)
    return where(where(p > splat(threshold), splat(1.0), splat(0.0)) == t, splat(1.0), splat(0.0))


@inner
def slope(p, t, kind):
    """The term's derivative with respect to p."""
    if kind == CROSSENTROPY:
        return inside_clip(p, (p - t) / (p * (splat(1.0) - p)))
    if kind == SQUARED:
        return splat(2.0) * (p - t)
    d = p - t
    return where(d < splat(0.0), splat(-1.0), where(d > splat(0.0), splat(1.0), d))


@kernel(floats, numbers, numbers, numbers, floats, f32, i64, f32, i64, parallel=True)
def per_sample(loss, dy, p, t, weight, scale, kind, threshold, is_lanes):
    B, H, L = p.shape
    for b in prange(B):
        zero = splat(0.0)
        samples = loss.size - b * LANES
        weights = load_part(weight, b * LANES, samples) if is_lanes else splat(weight[b])
        factor, total = weights * splat(scale), zero
        for h in range(H):
            at_dy, at_p, at_t = row(dy, b, h), row(p, b, h), row(t, b, h)
            for start in range(0, L, STRETCH):
                subtotal = zero
                for i in range(start, min(start + STRETCH, L), LANES):
                    n = samples if is_lanes else L - i
                    x, target = load_part(p, at_p + i, n), load_part(t, at_t + i, n)
                    value = term(x, target, kind, threshold)
                    subtotal = subtotal + (value if n >= LANES else where(lanes_below(n), value, zero))
                    if dy.size:
                        store_part(factor * slope(x, target, kind), dy, at_dy + i, L - i)
                total = total + subtotal
        if is_lanes:
            store_part(total * splat(scale), loss, b * LANES, samples)
        else:
            loss[b] = sum_lanes(total) * scale


@kernel(floats, floats, floats)
def add_weighted(total, values, weight):
    acc, N = splat(0.0), values.size
    for i in range(0, N, LANES):
        acc = fma(load_part(values, i, N - i), load_part(weight, i, N - i), acc)
    total[0] += sum_lanes(acc)
