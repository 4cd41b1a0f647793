"""A convolution and its pooling in one: the larger image, four times as many pixels, is not stored.

A window's four pixels are two register tiles of 8 channels x 2 pixels, compared where they are; bias and activation,
which never turn an order round, come once for the largest. In the backward pass the gradient goes through the
activation at the windows' size, for y at the winner is the pooled y, is spread to the winners, and then is any
convolution's; the weights' gradients of a first layer with a 3 x 3 kernel come from the windows as they are.
"""

from __future__ import annotations

from math import prod

from numba import prange
from numba.core import config

from .activation import CODES, activate
from .conv2d import NONE, input_gradient, offsets, pack, packed_size, parameter_gradients, plain_taps
from .jit import floats, i64, inner, kernel, lanes, scratch, winners
from .layout import SPARE
from .simd import (
    LANES,
    add,
    column,
    fma_outer,
    larger,
    place_of_larger,
    splat_tile,
    store_bytes_first,
    store_first,
    zeros,
)

CHANNELS = 8  # of a register tile
TILE = 2 * CHANNELS


def conv2d_max_pool2d_forward(y, winner, x, w, b, padding, activation):
    J, K, C, O = w.shape
    taps = plain_taps(J, K, padding)
    packed = scratch(packed_size(taps, C, O))
    pack(packed, w, NONE if b is None else b, taps.weights, 0, CHANNELS)
    H, W = x.data.shape[1:3] if padding == "same" else (x.data.shape[1] - J + 1, x.data.shape[2] - K + 1)
    convolve_and_pool(y.data, winner.data, x.data, taps.places(False, x.data, C), packed, CODES[activation], H, W)


def conv2d_max_pool2d_backward(dx, dw, db, dy, y, winner, x, w, padding, activation, accumulate):
    J, K, C, O = w.shape
    N, H, W, _ = x.shape
    taps = plain_taps(J, K, padding)
    if padding == "same":
        rim_rows, rim_columns = J // 2, K // 2
    else:
        H, W, rim_rows, rim_columns = H - J + 1, W - K + 1, J - 1, K - 1
    blocks = -(-N // LANES)
    if dx is None:
        blocks = 0 if (J, K) == (3, 3) else min(config.NUMBA_NUM_THREADS, blocks)  # whose dz is in memory at once
    shape = blocks, H + 2 * rim_rows, W + 2 * rim_columns, O, LANES
    dz = scratch(prod(shape) + SPARE // 4, 1)[: prod(shape)].reshape(shape)
    dz = dz[:, rim_rows : rim_rows + H, rim_columns : rim_columns + W]
    rim = rim_rows, rim_columns
    parameter_gradients(dw, db, dz, rim, dy, y, winner.data, x, w, taps, activation, accumulate)
    if dx is not None:
        input_gradient(dx, dz, w, taps)


@inner
def pixels(x, fro, places, w, at_w, second):
    """Sums for 8 channels of a pixel and the next one (of the same again where there is no second)."""
    acc = zeros(TILE)
    for i in range(places.shape[1]):
        acc = fma_outer(acc, CHANNELS, w, at_w + i * CHANNELS, 1, x, fro + places[0, i], second)
    return acc


@kernel(lanes, winners, lanes, offsets, floats, i64, i64, i64, parallel=True)
def convolve_and_pool(y, winner, x, places, w, activation, rows, columns):
    """One row of windows a task; the convolved image has `rows` x `columns` pixels."""
    B, H, W, O, _ = y.shape
    terms = places.shape[1]
    y_block, y_row = y.strides[0] // 4, y.strides[1] // 4
    x_block, x_row, x_pixel = x.strides[0] // 4, x.strides[1] // 4, x.strides[2] // 4
    bias = (O + CHANNELS - 1) // CHANNELS * CHANNELS
    for task in prange(B * H):
        b, h = task // H, task % H
        to, to_winner = b * y_block + h * y_row, b * winner.strides[0] + h * winner.strides[1]
        for j in range(W):
            fro = b * x_block + 2 * h * x_row + 2 * j * x_pixel
            right, below = 2 * j + 1 < columns, 2 * h + 1 < rows
            second = x_pixel if right else 0
            for o in range(0, O, CHANNELS):
                at_w = bias + o * terms
                two = pixels(x, fro, places, w, at_w, second)
                best, other = column(two, CHANNELS, 0), column(two, CHANNELS, 1)
                place_of_best = place_of_larger(zeros(CHANNELS), best, other, 1)
                best = larger(best, other)
                if below:
                    two = pixels(x, fro + x_row, places, w, at_w, second)
                    first, other = column(two, CHANNELS, 0), column(two, CHANNELS, 1)
                    place_of_best = place_of_larger(place_of_best, best, first, 2)
                    best = larger(best, first)
                    place_of_best = place_of_larger(place_of_best, best, other, 3)
                    best = larger(best, other)
                best = activate(add(best, splat_tile(CHANNELS, 1, w, o)), activation)
                at = (j * O + o) * LANES
                store_first(best, CHANNELS, O - o, y, to + at, LANES, 0)
                store_bytes_first(place_of_best, O - o, winner, to_winner + at)
