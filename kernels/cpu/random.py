"""Random numbers of Philox4x32-10 in vectors: the same integers as the reference's, the same normals to rounding.

A vector of blocks gives four vectors of words. Where elements lie one after another, these are put in turn into the
order of the elements; where samples do, they are four elements of LANES samples as they are. Both need the first
element to be a block's first. Elsewhere (odd sizes of samples) every vector draws the blocks of its own lanes and
chooses a word from each, at four times the cost. 128 x 784 normal numbers take 110 us on a core
(Xeon with AVX-512), a mask of dropout 70.

cos and sin are of 2 pi u with u reduced by quarters before the multiplication, which is exact.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numba import prange

from .jit import counters, f32, i64, inner, kernel
from .layout import Lanes, chunk, chunks, numbers, row, rows_of
from .reshape import reshape_backward
from .simd import (
    LANES,
    add,
    count_lanes,
    interleave,
    load_tile_part,
    log,
    multiply,
    multiply_words,
    splat,
    splat_words,
    sqrt,
    store_tile_part,
    turns,
    unit,
    where,
)

REPLACE, ADD, DROP = range(3)  # what becomes of x: normal numbers, x plus them, x times 0 or 1 / (1 - rate)


def normal(out, key, step, first_sample):
    draw(out, out, REPLACE, 1, key, step, first_sample)


def gaussian_noise_forward(y, x, stddev, key, step, first_sample):
    draw(y, x, ADD, stddev, key, step, first_sample)


def gaussian_noise_backward(dx, dy):
    reshape_backward(dx, dy)


def dropout_forward(y, x, rate, key, step, first_sample):
    draw(y, x, DROP, rate, key, step, first_sample)


def dropout_backward(dx, dy, rate, key, step, first_sample):
    draw(dx, dy, DROP, rate, key, step, first_sample)


def draw(y, x, effect, amount, key, step, first_sample):
    size = prod(y.shape[1:])
    noise(rows_of(y), rows_of(x), effect, amount, *key, step, first_sample * size, size if isinstance(y, Lanes) else 0)


# ---- the generator --------------------------------------------------------------------------------------------------
@inner
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Ten rounds on counters, vectors of words, with one key."""
    for _ in range(10):
        high_0, low_0 = multiply_words(splat_words(0xD2511F53), c0)
        high_1, low_1 = multiply_words(splat_words(0xCD9E8D57), c2)
        c0, c1, c2, c3 = high_1 ^ c1 ^ splat_words(k0), low_1, high_0 ^ c3 ^ splat_words(k1), low_0
        k0, k1 = k0 + 0x9E3779B9, k1 + 0xBB67AE85
    return c0, c1, c2, c3


@inner
def block_values(index, stride, step, k0, k1, effect, amount):
    """What the four words of each lane's block give, for the blocks of elements index + lane stride."""
    low, high, _ = count_lanes(index, stride)
    words = philox4x32(low, high, splat_words(step), splat_words(step >> 32), k0, k1)
    u0, u1, u2, u3 = unit(words[0]), unit(words[1]), unit(words[2]), unit(words[3])
    if effect == DROP:
        return dropped(u0, amount), dropped(u1, amount), dropped(u2, amount), dropped(u3, amount)
    n0, n1 = box_muller(u0, u1, amount)
    n2, n3 = box_muller(u2, u3, amount)
    return n0, n1, n2, n3


@inner
def dropped(u, rate):
    return where(u < splat(rate), splat(0.0), splat(1.0) / splat(np.float32(1) - rate))


@inner
def box_muller(u0, u1, stddev):
    """Box & Muller 1958: two normal numbers from two uniform ones."""
    radius = splat(stddev) * sqrt(splat(-2.0) * log(u0 + splat(2.0**-24)))
    cosine, sine = turns(u1)
    return radius * cosine, radius * sine


@inner
def lane_values(index, stride, step, k0, k1, effect, amount):
    """The value of each element index + lane stride."""
    v0, v1, v2, v3 = block_values(index, stride, step, k0, k1, effect, amount)
    _, _, word = count_lanes(index, stride)
    upper = where(word == splat_words(2), v2, v3)
    return where(word == splat_words(0), v0, where(word == splat_words(1), v1, upper))


@inner
def tile_values(index, size, step, k0, k1, effect, amount):
    """Four vectors side by side: of consecutive elements, or of four elements of LANES samples of that size."""
    if index % 4 == 0 and size % 4 == 0:
        values = block_values(index, size if size else 4, step, k0, k1, effect, amount)
        return values if size else interleave(values)
    across, along = (size, 1) if size else (1, LANES)
    return (
        lane_values(index, across, step, k0, k1, effect, amount),
        lane_values(index + along, across, step, k0, k1, effect, amount),
        lane_values(index + 2 * along, across, step, k0, k1, effect, amount),
        lane_values(index + 3 * along, across, step, k0, k1, effect, amount),
    )


@kernel(numbers, numbers, i64, f32, i64, i64, counters, i64, i64, parallel=True)
def noise(y, x, effect, amount, k0, k1, step, start, size):
    """`start` is the index of the first element; size: the elements of a sample of Lanes, else 0."""
    for task in prange(chunks(y)):
        b, h, first, end = chunk(y, task)
        to, fro, now = row(y, b, h), row(x, b, h), np.int64(step[0])
        for i in range(first, end, 4 * LANES):
            index = start + b * LANES * size + (h * y.shape[2] + i) // LANES if size else start + i
            values = tile_values(index, size, now, k0, k1, effect, amount)
            if effect == ADD:
                values = add(load_tile_part(1, 4, x, fro + i, 0, end - i), values)
            if effect == DROP:
                values = multiply(load_tile_part(1, 4, x, fro + i, 0, end - i), values)
            store_tile_part(values, 1, y, to + i, 0, end - i)
