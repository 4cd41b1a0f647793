"""Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror & Shaw, SC 2011).

A block cipher in ten rounds turns (counter, key) into four random words. Element i of the logical array takes word
i mod 4 of counter (i // 4, step), so that any part of an array can be drawn by anyone, in any order, and again.
"""

from __future__ import annotations

import numpy as np

MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = 0x9E3779B9, 0xBB67AE85  # golden ratio and sqrt(3) - 1: added to the key in each round
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


def philox4x32(counter, key):
    """Ten rounds on counter (4, n) uint32 with key (k0, k1): (4, n) uint32."""
    c0, c1, c2, c3 = (c.astype(np.uint64) for c in counter)
    for r in range(10):
        k0, k1 = (np.uint64((k + r * weyl) & 0xFFFFFFFF) for k, weyl in zip(key, WEYL, strict=True))
        product_0, product_1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2  # 32 x 32 -> 64 bits
        c0, c1, c2, c3 = (product_1 >> HALF) ^ c1 ^ k0, product_1 & LOW, (product_0 >> HALF) ^ c3 ^ k1, product_0 & LOW
    return np.stack([c0, c1, c2, c3]).astype(np.uint32)


def random_words(shape, key, step, first_sample):
    """One 32-bit word for each element, in its block of four: (4, blocks), and where in it the array begins."""
    size = int(np.prod(shape))
    first = first_sample * (size // shape[0])
    blocks = np.arange(first // 4, (first + size + 3) // 4, dtype=np.uint64)
    s = np.uint64(step[0])
    counter = blocks & LOW, blocks >> HALF, np.full_like(blocks, s & LOW), np.full_like(blocks, s >> HALF)
    return philox4x32(counter, key), slice(first % 4, first % 4 + size)


def uniform_24(words, dtype):
    """The upper 24 bits as a number in [0, 1): exact in float32, so the same on every backend."""
    return (words >> np.uint32(8)).astype(dtype) * dtype.type(2.0**-24)


def normal_values(shape, dtype, key, step, first_sample):
    """Box & Muller 1958: words 0, 1 of a block give its normals 0, 1, and words 2, 3 its normals 2, 3."""
    words, part = random_words(shape, key, step, first_sample)
    u = uniform_24(words, np.dtype(dtype))
    radius = np.sqrt(-2 * np.log(u[0::2] + u.dtype.type(2.0**-24)))  # of (0, 1]
    angle = u.dtype.type(2 * np.pi) * u[1::2]
    values = np.empty_like(u)
    values[0::2] = radius * np.cos(angle)
    values[1::2] = radius * np.sin(angle)
    return values.T.reshape(-1)[part].reshape(shape)


def normal(out, key, step, first_sample):
    out[...] = normal_values(out.shape, out.dtype, key, step, first_sample)


def gaussian_noise_forward(y, x, stddev, key, step, first_sample):
    y[...] = x + stddev * normal_values(x.shape, x.dtype, key, step, first_sample)


def gaussian_noise_backward(dx, dy):
    dx[...] = dy


def dropout_mask(shape, dtype, rate, key, step, first_sample):
    words, part = random_words(shape, key, step, first_sample)
    kept = uniform_24(words, np.dtype(dtype)) >= rate
    return kept.T.reshape(-1)[part].reshape(shape) / np.dtype(dtype).type(1 - rate)


def dropout_forward(y, x, rate, key, step, first_sample):
    y[...] = x * dropout_mask(x.shape, x.dtype, rate, key, step, first_sample)


def dropout_backward(dx, dy, rate, key, step, first_sample):
    dx[...] = dy * dropout_mask(dy.shape, dy.dtype, rate, key, step, first_sample)
