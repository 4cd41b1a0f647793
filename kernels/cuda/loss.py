"""Losses: the value of each sample and the gradient of the weighted sum over the batch: loss.cu."""

from __future__ import annotations

from math import prod

from .launcher import Source, blocks

WARP, THREADS = 32, 256  # as in loss.cu

source = Source("loss")


def binary_crossentropy(loss, dy, p, t, weight, scale):
    per_sample("binary_crossentropy", p, loss, dy, p, t, weight, *sizes(p), scale)


def mean_squared_error(loss, dy, p, t, weight, scale):
    per_sample("mean_squared_error", p, loss, dy, p, t, weight, *sizes(p), scale)


def mean_absolute_error(loss, dy, p, t, weight, scale):
    per_sample("mean_absolute_error", p, loss, dy, p, t, weight, *sizes(p), scale)


def binary_accuracy(value, p, t, threshold):
    per_sample("binary_accuracy", p, value, p, t, *sizes(p), threshold)


def weighted_sum(total, values, weight):
    source.launch("weighted_sum", 1, THREADS, total, values, weight, values.size)


def per_sample(kernel, p, *arguments):
    """A kernel in which each sample has as many warps as fours of its elements keep busy, but at most a block."""
    N, D = sizes(p)
    threads = WARP
    while threads < THREADS and 4 * threads < D:
        threads *= 2
    source.launch(kernel, blocks(N, THREADS // threads), (threads, THREADS // threads), *arguments)


def sizes(p):
    """N samples of D elements."""
    return p.shape[0], prod(p.shape[1:])
