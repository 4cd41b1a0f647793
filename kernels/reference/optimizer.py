"""Optimizers: one statement a line of the paper, over all parameters at once."""

from __future__ import annotations

import numpy as np


def find_nonfinite(flag, x, values):
    if not (np.isfinite(x).all() and np.isfinite(values).all()):
        flag[0] = 1


def end_step(counters, sums, totals, flag, n):
    if flag[0]:
        return
    counters += 1
    sums += n * totals.astype(sums.dtype)


def sgd(p, g, m, lr, flag, momentum, nesterov):
    if flag[0]:
        return
    if m is None:
        p -= lr * g
        return
    m[...] = momentum * m - lr * g
    p += momentum * m - lr * g if nesterov else m


def adam(p, g, m, v, v_max, t, lr, flag, beta_1, beta_2, epsilon):
    if flag[0]:
        return
    t = t.astype(p.dtype)
    step = lr * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    m += (1 - beta_1) * (g - m)
    v += (1 - beta_2) * (g * g - v)
    if v_max is not None:
        np.maximum(v_max, v, out=v_max)
    p -= step * m / (np.sqrt(v if v_max is None else v_max) + epsilon)


def rmsprop(p, g, v, mean, m, lr, flag, rho, momentum, epsilon):
    if flag[0]:
        return
    v[...] = rho * v + (1 - rho) * g * g
    variance = v
    if mean is not None:
        mean[...] = rho * mean + (1 - rho) * g
        variance = np.maximum(v - mean * mean, 0)  # rounding can make the difference negative
    step = lr * g / np.sqrt(variance + epsilon)
    if m is not None:
        m[...] = momentum * m + step
        step = m
    p -= step


def adadelta(p, g, a, d, lr, flag, rho, epsilon):
    if flag[0]:
        return
    a[...] = rho * a + (1 - rho) * g * g
    step = -np.sqrt(d + epsilon) / np.sqrt(a + epsilon) * g
    d[...] = rho * d + (1 - rho) * step * step
    p += lr * step


def weight_decay(p, lr, flag, decay):
    if flag[0]:
        return
    p -= p * decay * lr


def clip_by_value(g, limit):
    np.clip(g, -limit, limit, out=g)


def clip_by_norm(g, limit):
    norm = np.sqrt(np.sum(g * g))
    g *= limit / np.maximum(norm, g.dtype.type(limit))


def accumulate_gradient(total, g, flag):
    if flag[0]:
        return
    total += g


def mean_gradient(g, total, flag, steps):
    if flag[0]:
        return
    g[...] = (g + total) / steps
    total[...] = 0


def exponential_average(average, p, flag, momentum):
    if flag[0]:
        return
    average[...] = momentum * average + (1 - momentum) * p
