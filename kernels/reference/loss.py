"""Losses: the value of each sample, and the gradient of the weighted sum over the batch, in one pass."""

from __future__ import annotations

import numpy as np


def per_sample(terms, scale):
    """scale * sum over everything but the batch: (N,)."""
    return scale * terms.reshape(len(terms), -1).sum(axis=1)


def like(weight, p):
    """weight (N,) with as many axes as p: (N, 1, ...)."""
    return weight.reshape(-1, *[1] * (p.ndim - 1))


def binary_crossentropy(loss, dy, p, t, weight, scale):
    low, high = p.dtype.type(1e-7), p.dtype.type(1 - 1e-7)
    clipped = np.clip(p, low, high)
    loss[...] = per_sample(-t * np.log(clipped) - (1 - t) * np.log(1 - clipped), scale)
    if dy is not None:
        inside = (p >= low) & (p <= high)
        dy[...] = like(weight, p) * scale * inside * (clipped - t) / (clipped * (1 - clipped))


def mean_squared_error(loss, dy, p, t, weight, scale):
    loss[...] = per_sample((p - t) ** 2, scale)
    if dy is not None:
        dy[...] = like(weight, p) * scale * 2 * (p - t)


def mean_absolute_error(loss, dy, p, t, weight, scale):
    loss[...] = per_sample(np.abs(p - t), scale)
    if dy is not None:
        dy[...] = like(weight, p) * scale * np.sign(p - t)


def binary_accuracy(value, p, t, threshold):
    value[...] = ((p > threshold) == t).reshape(len(p), -1).mean(axis=1)


def weighted_sum(total, values, weight):
    total[0] += np.sum(weight * values)
