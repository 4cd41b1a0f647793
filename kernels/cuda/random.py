"""Random numbers of Philox4x32-10: random.cu."""

from __future__ import annotations

from math import prod

from .launcher import Source, blocks
from .reshape import reshape_backward

THREADS = 256  # as in random.cu
FOURS = 4 * THREADS

source = Source("random")


def normal(out, key, step, first_sample):
    start = first_element(out, first_sample)
    source.launch("normal", grid(out, start), THREADS, out, out.size, start, *key, step)


def gaussian_noise_forward(y, x, stddev, key, step, first_sample):
    start = first_element(y, first_sample)
    source.launch("gaussian_noise_forward", grid(y, start), THREADS, y, x, y.size, stddev, start, *key, step)


def gaussian_noise_backward(dx, dy):
    reshape_backward(dx, dy)


def dropout_forward(y, x, rate, key, step, first_sample):
    start = first_element(y, first_sample)
    source.launch("dropout", grid(y, start), THREADS, y, x, y.size, rate, 1 - rate, start, *key, step)


def dropout_backward(dx, dy, rate, key, step, first_sample):
    dropout_forward(dx, dy, rate, key, step, first_sample)


def first_element(y, first_sample):
    """The index of y's first element in the logical array."""
    return first_sample * prod(y.shape[1:])


def grid(y, start):
    """Blocks for one thread to each four random numbers: those of y, and those before it in its first block of four."""
    return blocks(start % 4 + y.size, FOURS)
