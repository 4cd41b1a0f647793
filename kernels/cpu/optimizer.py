"""Optimizers over flat parameters, in chunks of vectors: what they read and write is what they cost.

Adam over 50,000 parameters takes 22 us on one core and 14 on two (Xeon with AVX-512): 28 bytes a parameter from the
second-level cache, and a square root and a division, which that barely hides. A chunk's work takes as long as the entry
into a parallel region, so smaller tasks would gain nothing. Tried and lost: the root by Newton's method (19 us with
AVX-512, but 25 against 20 with AVX2).

`t`, `lr` and `flag` are read where the parameters are changed, as on a machine that works behind its host's back.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .jit import doubles, f32, flags, floats, i64, inner, integers, kernel, scratch
from .layout import CHUNK
from .simd import (
    LANES,
    any_lane,
    fma,
    load_part,
    load_tile,
    part,
    settle,
    splat,
    sqrt,
    store_part,
    sum_lanes,
    where,
    zeros,
)

NONE, ONE = np.empty(0, np.float32), np.ones(1, np.float32)
FEW = 2 * CHUNK  # numbers that one thread has done before two have met


def flat(a):
    """An array in one dimension; one that is not there is empty."""
    return NONE if a is None else a.reshape(-1)


# ---- updates --------------------------------------------------------------------------------------------------------
def end_step(counters, sums, totals, flag, n):
    add_step(counters, sums, totals, flag, n)


@kernel(integers, doubles, floats, flags, i64)
def add_step(counters, sums, totals, flag, n):
    if not flag[0]:
        for i in range(counters.size):
            counters[i] += 1
        for i in range(sums.size):
            sums[i] += n * np.float64(totals[i])


def sgd(p, g, m, lr, flag, momentum, nesterov):
    sgd_update(flat(p), flat(g), flat(m), lr, flag, momentum, nesterov)


@kernel(floats, floats, floats, floats, flags, f32, f32, parallel=True)
def sgd_update(p, g, m, lr, flag, momentum, nesterov):
    P = 0 if flag[0] else p.size
    for task in prange((P + CHUNK - 1) // CHUNK):
        rate, inertia, end = splat(lr[0]), splat(momentum), min(P, (task + 1) * CHUNK)
        for i in range(task * CHUNK, end, LANES):
            n = end - i
            step = rate * load_part(g, i, n)
            velocity = splat(0.0) - step
            if m.size:
                velocity = settle(inertia * load_part(m, i, n) - step)
                store_part(velocity, m, i, n)
                if nesterov:
                    velocity = inertia * velocity - step
            store_part(load_part(p, i, n) + velocity, p, i, n)


def adam(p, g, m, v, v_max, t, lr, flag, beta_1, beta_2, epsilon):
    adam_update(
        flat(p), flat(g), flat(m), flat(v), flat(v_max), t, lr, flag, beta_1, 1 - beta_1, beta_2, 1 - beta_2, epsilon
    )


@inner
def adam_in(begin, end, p, g, m, v, v_max, step, rest_1, rest_2, epsilon):
    rate, new_1, new_2, eps = splat(step), splat(rest_1), splat(rest_2), splat(epsilon)
    for i in range(begin, end, LANES):
        n = end - i
        gradient, first, second = settle(load_part(g, i, n)), load_part(m, i, n), load_part(v, i, n)
        first = settle(first + new_1 * (gradient - first))
        second = settle(second + new_2 * (gradient * gradient - second))
        store_part(first, m, i, n)
        store_part(second, v, i, n)
        if v_max.size:
            largest = load_part(v_max, i, n)
            second = where(second < largest, largest, second)  # a NaN stays
            store_part(second, v_max, i, n)
        store_part(load_part(p, i, n) - rate * first / (sqrt(second) + eps), p, i, n)


@kernel(floats, floats, floats, floats, floats, integers, floats, flags, f32, f32, f32, f32, f32, parallel=True)
def adam_update(p, g, m, v, v_max, t, lr, flag, beta_1, rest_1, beta_2, rest_2, epsilon):
    """rest is 1 - beta, rounded once."""
    P = 0 if flag[0] else p.size
    one, updates = np.float32(1), np.float32(t[0])
    step = lr[0] * np.sqrt(one - beta_2**updates) / (one - beta_1**updates)
    if P <= FEW:
        adam_in(0, P, p, g, m, v, v_max, step, rest_1, rest_2, epsilon)
    else:
        for task in prange((P + CHUNK - 1) // CHUNK):
            end = min(P, (task + 1) * CHUNK)
            adam_in(task * CHUNK, end, p, g, m, v, v_max, step, rest_1, rest_2, epsilon)


def rmsprop(p, g, v, mean, m, lr, flag, rho, momentum, epsilon):
    rmsprop_update(flat(p), flat(g), flat(v), flat(mean), flat(m), lr, flag, rho, 1 - rho, momentum, epsilon)


@kernel(floats, floats, floats, floats, floats, floats, flags, f32, f32, f32, f32, parallel=True)
def rmsprop_update(p, g, v, mean, m, lr, flag, rho, rest, momentum, epsilon):
    P = 0 if flag[0] else p.size
    for task in prange((P + CHUNK - 1) // CHUNK):
        rate, inertia, eps = splat(lr[0]), splat(momentum), splat(epsilon)
        old, new, zero = splat(rho), splat(rest), splat(0.0)
        end = min(P, (task + 1) * CHUNK)
        for i in range(task * CHUNK, end, LANES):
            n = end - i
            gradient = load_part(g, i, n)
            variance = settle(old * load_part(v, i, n) + new * gradient * gradient)
            store_part(variance, v, i, n)
            if mean.size:
                average = settle(old * load_part(mean, i, n) + new * gradient)
                store_part(average, mean, i, n)
                variance = variance - average * average
                variance = where(variance < zero, zero, variance)  # rounding can make the difference negative
            step = rate * gradient / sqrt(variance + eps)
            if m.size:
                step = settle(inertia * load_part(m, i, n) + step)
                store_part(step, m, i, n)
            store_part(load_part(p, i, n) - step, p, i, n)


def adadelta(p, g, a, d, lr, flag, rho, epsilon):
    adadelta_update(flat(p), flat(g), flat(a), flat(d), lr, flag, rho, 1 - rho, epsilon)


@kernel(floats, floats, floats, floats, floats, flags, f32, f32, f32, parallel=True)
def adadelta_update(p, g, a, d, lr, flag, rho, rest, epsilon):
    P = 0 if flag[0] else p.size
    for task in prange((P + CHUNK - 1) // CHUNK):
        rate, old, new, eps = splat(lr[0]), splat(rho), splat(rest), splat(epsilon)
        end = min(P, (task + 1) * CHUNK)
        for i in range(task * CHUNK, end, LANES):
            n = end - i
            gradient, updates = load_part(g, i, n), load_part(d, i, n)
            squares = settle(old * load_part(a, i, n) + new * gradient * gradient)
            step = splat(0.0) - sqrt(updates + eps) / sqrt(squares + eps) * gradient
            store_part(squares, a, i, n)
            store_part(settle(old * updates + new * step * step), d, i, n)
            store_part(load_part(p, i, n) + rate * step, p, i, n)


# ---- sums of two ----------------------------------------------------------------------------------------------------
def weight_decay(p, lr, flag, decay):
    combine(flat(p), flat(p), flag, 1, -decay, lr)


def accumulate_gradient(total, g, flag):
    combine(flat(total), flat(g), flag, 1, 1, ONE)


def mean_gradient(g, total, flag, steps):
    average(flat(g), flat(total), flag, 1 / steps)


def exponential_average(average, p, flag, momentum):
    combine(flat(average), flat(p), flag, momentum, 1 - momentum, ONE)


@kernel(floats, floats, flags, f32, parallel=True)
def average(g, total, flag, share):
    """g = share (g + total), and total = 0."""
    P = 0 if flag[0] else g.size
    for task in prange((P + CHUNK - 1) // CHUNK):
        end = min(P, (task + 1) * CHUNK)
        for i in range(task * CHUNK, end, LANES):
            n = end - i
            store_part(splat(share) * load_part(g, i, n) + splat(share) * load_part(total, i, n), g, i, n)
            store_part(splat(0.0), total, i, n)


@kernel(floats, floats, flags, f32, f32, floats, parallel=True)
def combine(x, y, flag, a, b, rate):
    """x = a x + b rate y, rate (1,)."""
    P = 0 if flag[0] else x.size
    b = b * rate[0]
    for task in prange((P + CHUNK - 1) // CHUNK):
        end = min(P, (task + 1) * CHUNK)
        for i in range(task * CHUNK, end, LANES):
            n = end - i
            store_part(splat(a) * load_part(x, i, n) + splat(b) * load_part(y, i, n), x, i, n)


# ---- clipping, and what is not finite -------------------------------------------------------------------------------
def clip_by_value(g, limit):
    hold(flat(g), limit)


@kernel(floats, f32, parallel=True)
def hold(g, limit):
    """g within [-limit, limit]."""
    P = g.size
    for task in prange((P + CHUNK - 1) // CHUNK):
        low, high, end = splat(-limit), splat(limit), min(P, (task + 1) * CHUNK)
        for i in range(task * CHUNK, end, LANES):
            x = load_part(g, i, end - i)
            store_part(where(x > high, high, where(x < low, low, x)), g, i, end - i)


def clip_by_norm(g, limit):
    shrink(flat(g), scratch(g.size // CHUNK + 1), limit)


@kernel(floats, floats, f32, parallel=True)
def shrink(g, squares, limit):
    """g *= limit / max(|g|, limit); `squares` has room for one sum a chunk."""
    P = g.size
    tasks = (P + CHUNK - 1) // CHUNK
    for task in prange(tasks):
        total, end = splat(0.0), min(P, (task + 1) * CHUNK)
        for i in range(task * CHUNK, end, LANES):
            x = load_part(g, i, end - i)
            total = fma(x, x, total)
        squares[task] = sum_lanes(total)
    total = 0.0  # float64
    for task in range(tasks):
        total += squares[task]
    norm = np.float32(np.sqrt(total))
    shrinks = not norm <= limit  # so does a NaN
    for task in prange(tasks if shrinks else 0):
        factor, end = splat(limit / norm), min(P, (task + 1) * CHUNK)
        for i in range(task * CHUNK, end, LANES):
            store_part(load_part(g, i, end - i) * factor, g, i, end - i)


def find_nonfinite(flag, x, values):
    find(flag, flat(x), values)


@inner
def find_in(begin, end, x, flag):
    """0 times NaN or infinity is NaN, and so is every sum with it."""
    zero, totals = splat(0.0), zeros(4)
    whole = end - (end - begin) % (4 * LANES)
    for i in range(begin, whole, 4 * LANES):
        totals = fma(load_tile(1, 4, x, i, 0, LANES), zero, totals)
    total = part(totals, 0, 1)[0] + part(totals, 1, 1)[0] + part(totals, 2, 1)[0] + part(totals, 3, 1)[0]
    for i in range(whole, end, LANES):
        total = fma(load_part(x, i, end - i), zero, total)
    if any_lane(total != total):
        flag[0] = 1


@kernel(flags, floats, floats, parallel=True)
def find(flag, x, values):
    """Tasks that find one write the same flag."""
    P = x.size
    find_in(0, values.size, values, flag)
    if P <= FEW:
        find_in(0, P, x, flag)
    else:
        for task in prange((P + CHUNK - 1) // CHUNK):
            find_in(task * CHUNK, min(P, (task + 1) * CHUNK), x, flag)
