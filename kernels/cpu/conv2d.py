"""Convolutions as sums over taps, in blocks of samples.

A tap is a pixel's displacement and a matrix of weights (channels in, channels out). The forward pass, the input's
gradient and the four phases of an upsampled convolution differ in their taps only, so one kernel does them all: a
register tile of 8 channels x 2 pixels (4 x 4 and 1 x 8 for few channels), to which each input channel of each tap
adds 8 weights times 2 vectors. Borders of zeros leave no edges to care for.

The weights' gradient keeps 3 rows of dw (a tap and an input channel each) x 8 output channels in registers and runs
over all pixels: 24 multiply-adds for 11 loads. Each block of samples has a partial sum of its own, and these are
added in their order: nothing depends on the number of threads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import get_thread_id, prange, types

from .activation import CODES, activate, activation_backward
from .jit import floats, i64, inner, kernel, lanes, matrix4, scratch, winners
from .max_pool2d import unpool_row
from .simd import (
    LANES,
    REGISTERS,
    add,
    fma_outer,
    fma_vectors,
    load,
    load_tile,
    splat_tile,
    steps,
    store,
    store_first,
    store_tile,
    sums,
    zeros,
)

table = types.Array(types.int64, 3, "C")
NONE = np.empty(0, np.float32)
NO_WINNER = np.empty((0, 0, 0, 0, 0), np.uint8)
NONE_TAPS = np.empty((0, 0, 0, 0), np.float32)
TILES = ((8, 2), (4, 4), (1, 8)) if REGISTERS == 32 else ((8, 1), (4, 2), (1, 8))  # channels x pixels
ROWS, COLUMNS = (3, 8) if REGISTERS == 32 else (3, 4)  # of dw in a register tile
CELLS = ROWS * COLUMNS
CELL_VECTORS, BIAS_VECTORS = -(-CELLS // LANES), -(-8 // LANES)  # that hold the sums of a tile, and of 8 channels
MANY = 2**22  # floats that partial sums of dw may take, if there are to be more than two


class Taps(NamedTuple):
    """Where a convolution reads, and which of its weights it multiplies there.

    A plain convolution has one phase. An upsampled one has four: the output pixels (2h + p, 2w + q) see the small
    image through taps of their own, with the sums of those weights that meet the same pixel.
    """

    forward: np.ndarray  # (phases, T, 2): rows and columns from the output's pixel to the input's
    backward: np.ndarray  # (1, phases T, 2): from the input's pixel to the output's
    weights: np.ndarray  # (phases, T, 4): rows j, j' and columns k, k' of the kernel whose weights are summed
    scale: int  # 2 if the output is twice as large


@lru_cache
def plain_taps(J: int, K: int, padding: str) -> Taps:
    top, left = (J // 2, K // 2) if padding == "same" else (0, 0)
    forward = [(j - top, k - left) for j in range(J) for k in range(K)]
    weights = [(j, j + 1, k, k + 1) for j in range(J) for k in range(K)]
    return Taps(np.array([forward]), -np.array([forward]), np.array([weights]), 1)


def channel_tile(channels: int) -> int:
    """How many output channels a register tile has."""
    return 1 if channels == 1 else 4 if channels <= 4 else 8


def packed_size(taps: Taps, C: int, O: int) -> int:
    """Floats that packed weights take, whichever of C and O is the output."""
    phases, T, _ = taps.forward.shape
    return max((C + 8) * O, C * (O + 8)) * phases * T + C + O + 16


def conv2d_forward(y, x, w, b, padding, activation):
    convolve(y, x, w, b, plain_taps(w.shape[0], w.shape[1], padding), activation)


def conv2d_backward(dx, dw, db, dy, y, x, w, padding, activation, accumulate):
    deconvolve(dx, dw, db, dy, y, x, w, plain_taps(w.shape[0], w.shape[1], padding), activation, accumulate)


def convolve(y, x, w, b, taps: Taps, activation: str) -> None:
    """y = activation(convolution of x + b)."""
    C, O = w.shape[2:]
    packed, tile = scratch(packed_size(taps, C, O)), channel_tile(O)
    pack(packed, w, NONE if b is None else b, taps.weights, 0, tile)
    tap_convolution(y.data, x.data, taps.forward, packed, CODES[activation], 1, taps.scale, tile)


def deconvolve(dx, dw, db, dy, y, x, w, taps: Taps, activation: str, accumulate: bool) -> None:
    """The gradients of `convolve`."""
    if activation != "linear":
        activation_backward(dy, dy, y, activation)  # dy becomes dz
    if dw is not None or db is not None:
        parameter_gradients(dw, db, dy.data, (0, 0), x, w, taps, accumulate, dy.data, NO_WINNER)
    if dx is not None:
        input_gradient(dx, dy.data, w, taps)


def parameter_gradients(dw, db, dz, rim, x, w, taps: Taps, accumulate: bool, dy, winner) -> None:
    """dw and db from dz, which is spread out of dy first where there are winners, with a rim of zeros."""
    C, O = w.shape[2:]
    size = partial_size(taps, C, O)
    parts = min(x.data.shape[0], max(2, MANY // size))
    swapped = O < COLUMNS and C > O
    tap_gradient(
        NONE_TAPS if dw is None else dw, NONE if db is None else db, dz, *rim, x.data, dy, winner, taps.forward,
        taps.backward, taps.weights, taps.scale, swapped, accumulate, parts, size, scratch(parts * size),
    )  # fmt: skip


def input_gradient(dx, dz, w, taps: Taps) -> None:
    C, O = w.shape[2:]
    packed, tile = scratch(packed_size(taps, C, O)), channel_tile(C)
    pack(packed, w, NONE, taps.weights, 1, tile)
    tap_convolution(dx.data, dz, taps.backward, packed, 0, taps.scale, 1, tile)


# ---- the sum over taps ----------------------------------------------------------------------------------------------
@kernel(floats, matrix4, floats, table, i64, i64)
def pack(packed, w, b, weights, backward, tile):
    """The bias, then for each `tile` output channels the weights [phase, tap, input channel, tile], zeros at the end.

    With `backward` the roles of input and output channels are exchanged.
    """
    C, O = (w.shape[3], w.shape[2]) if backward else (w.shape[2], w.shape[3])
    phases, T, _ = weights.shape
    at = (O + tile - 1) // tile * tile
    for o in range(at):
        packed[o] = b[o] if o < b.size else np.float32(0)
    for first in range(0, O, tile):
        for p in range(phases):
            for t in range(T):
                j0, j1, k0, k1 = weights[p, t, 0], weights[p, t, 1], weights[p, t, 2], weights[p, t, 3]
                for c in range(C):
                    for o in range(first, first + tile):
                        total = np.float32(0)
                        if o < O:
                            for j in range(j0, j1):
                                for k in range(k0, k1):
                                    total += w[j, k, o, c] if backward else w[j, k, c, o]
                        packed[at] = total
                        at += 1


def make_row(channels: int, pixels: int) -> Any:
    """One row of the output, `channels` x `pixels` at a time."""

    @inner
    def row(y, to, y_step, x, fro, x_row, x_pixel, x_step, taps, phase, w, O, C, W, activation):
        T = taps.shape[1]
        wide = pixels <= W  # or one pixel at a time, all pixels of the tile being the same
        group, dx, dy = (pixels, x_step, y_step) if wide else (1, 0, 0)
        bias = (O + channels - 1) // channels * channels
        for first in range(0, W, group):
            j = min(first, W - group)  # the last group may overlap the one before: it writes the same numbers
            for o in range(0, O, channels):
                acc = splat_tile(channels, pixels, w, o)
                at_w = bias + (o * taps.shape[0] + phase * channels) * T * C
                for t in range(T):
                    at = fro + taps[phase, t, 0] * x_row + taps[phase, t, 1] * x_pixel + j * x_step
                    for _ in range(C):
                        acc = fma_outer(acc, channels, w, at_w, 1, x, at, dx)
                        at += LANES
                        at_w += channels
                acc = activate(acc, activation)
                place = to + j * y_step + o * LANES
                if o + channels <= O:
                    store_tile(acc, channels, y, place, LANES, dy)
                else:
                    store_first(acc, channels, O - o, y, place, LANES, dy)

    return row


row_8, row_4, row_1 = (make_row(*tile) for tile in TILES)


@kernel(lanes, lanes, table, floats, i64, i64, i64, i64, parallel=True)
def tap_convolution(y, x, taps, w, activation, x_scale, y_scale, tile):
    """y at pixels (y_scale h + p, y_scale w + q) from x around pixels (x_scale h, x_scale w), one row a task."""
    B, H, W, O, _ = y.shape
    C = x.shape[3]
    y_block, y_row, y_pixel = y.strides[0] // 4, y.strides[1] // 4, y.strides[2] // 4
    x_block, x_row, x_pixel = x.strides[0] // 4, x.strides[1] // 4, x.strides[2] // 4
    for task in prange(B * H):
        b, h = task // H, task % H
        i, p = h // y_scale, h % y_scale
        for q in range(y_scale):
            columns = (W - q + y_scale - 1) // y_scale
            to = b * y_block + h * y_row + q * y_pixel
            fro = b * x_block + i * x_scale * x_row
            phase = p * y_scale + q
            if tile == 8:
                row_8(
                    y, to, y_scale * y_pixel, x, fro, x_row, x_pixel, x_scale * x_pixel, taps, phase, w, O, C, columns,
                    activation,
                )  # fmt: skip
            elif tile == 4:
                row_4(
                    y, to, y_scale * y_pixel, x, fro, x_row, x_pixel, x_scale * x_pixel, taps, phase, w, O, C, columns,
                    activation,
                )  # fmt: skip
            else:
                row_1(
                    y, to, y_scale * y_pixel, x, fro, x_row, x_pixel, x_scale * x_pixel, taps, phase, w, O, C, columns,
                    activation,
                )  # fmt: skip


# ---- gradients of the parameters ------------------------------------------------------------------------------------
def partial_size(taps: Taps, C: int, O: int) -> int:
    """Floats of a partial sum: dw tap by tap in tiles, and db."""
    phases, T, _ = taps.weights.shape
    whole = max(phases * (T * C + ROWS) * (O + COLUMNS), (phases * T * O + ROWS) * (C + COLUMNS)) + O + 8 + 3 * LANES
    return -(-whole // LANES) * LANES


@inner
def products(to, at, add_to, a, at_a, a_row, a_pixel, a_scale, taps, phase, A, b, at_b, b_row, b_step, Bs, H, W):
    """Sums over pixels of (tap and channel of a) x (channel of b), in tiles [columns of b][rows of a][COLUMNS]."""
    n = taps.shape[1] * A
    for c in range(0, Bs, COLUMNS):
        for first in range(0, n, ROWS):
            i0, i1, i2 = first, min(first + 1, n - 1), min(first + 2, n - 1)
            places = (
                taps[phase, i0 // A, 0] * a_row + taps[phase, i0 // A, 1] * a_pixel + i0 % A * LANES,
                taps[phase, i1 // A, 0] * a_row + taps[phase, i1 // A, 1] * a_pixel + i1 % A * LANES,
                taps[phase, i2 // A, 0] * a_row + taps[phase, i2 // A, 1] * a_pixel + i2 % A * LANES,
            )
            columns = steps(COLUMNS, LANES)
            acc = zeros(CELLS)
            for h in range(H):
                fro_a, fro_b = at_a + h * a_scale * a_row, at_b + h * b_row + c * LANES
                for _ in range(W):
                    acc = fma_vectors(acc, a, fro_a, places, b, fro_b, columns)
                    fro_a += a_scale * a_pixel
                    fro_b += b_step
            total = sums(acc)
            if add_to:
                total = add(total, load_tile(1, CELL_VECTORS, to, at, 0, LANES))
            store_tile(total, 1, to, at, 0, LANES)
            at += CELLS
    return at


@inner
def bias_sums(to, at, add_to, dz, start, row, step, O, H, W):
    """Sums over pixels of each channel of dz."""
    for o in range(0, O, 8):  # channels behind the last are the next pixel's: their sums are not used
        total = zeros(8)
        for h in range(H):
            fro = start + h * row + o * LANES
            for _ in range(W):
                total = add(total, load_tile(8, 1, dz, fro, LANES, 0))
                fro += step
        total = sums(total)
        if add_to:
            total = add(total, load_tile(1, BIAS_VECTORS, to, at + o, 0, LANES))
        store_tile(total, 1, to, at + o, 0, LANES)


@kernel(
    matrix4,
    floats,
    lanes,
    i64,
    i64,
    lanes,
    lanes,
    winners,
    table,
    table,
    table,
    i64,
    i64,
    i64,
    i64,
    i64,
    floats,
    parallel=True,
)
def tap_gradient(
    dw,
    db,
    dz,
    rim_rows,
    rim_columns,
    x,
    dy,
    winner,
    forward,
    backward,
    weights,
    scale,
    swapped,
    accumulate,
    parts,
    size,
    partial,
):
    """dw and db; with `swapped`, rows of the register tile are taps of dz and columns are channels of x.

    Where there are winners, dz is made from dy first: it has a block for each of dy's, to be used further, or else one
    for each thread, which then stays in cache.
    """
    _, H, W, O, _ = dz.shape
    B, C = x.shape[0], x.shape[3]
    phases, T, _ = forward.shape
    z_block, z_row, z_pixel = dz.strides[0] // 4, dz.strides[1] // 4, dz.strides[2] // 4
    x_block, x_row, x_pixel = x.strides[0] // 4, x.strides[1] // 4, x.strides[2] // 4
    biases = size - (O + 8 + LANES)  # where a part's sums of dz begin
    for part in prange(parts):
        for b in range(part * B // parts, (part + 1) * B // parts):
            add_to, at, fro = b > part * B // parts, part * size, b * x_block
            to = (b if dz.shape[0] == B else get_thread_id()) * z_block
            for h in range(dy.shape[1] if winner.size else 0):
                fro_dy = b * (dy.strides[0] // 4) + h * (dy.strides[1] // 4)
                fro_winner = b * winner.strides[0] + h * winner.strides[1]
                rim = (rim_rows, rim_columns)
                unpool_row(dz, to, rim, dy, fro_dy, winner, fro_winner, h, h == dy.shape[1] - 1)
            if db.size:
                bias_sums(partial, at + biases, add_to, dz, to, z_row, z_pixel, O, H, W)
            if dw.size and swapped:
                products(
                    partial, at, add_to, dz, to, z_row, z_pixel, scale, backward, 0, O,
                    x, fro, x_row, x_pixel, C, x.shape[1], x.shape[2],
                )  # fmt: skip
            elif dw.size:
                for phase in range(phases):
                    p, q = phase // scale, phase % scale
                    at = products(
                        partial, at, add_to, x, fro, x_row, x_pixel, 1, forward, phase, C,
                        dz, to + p * z_row + q * z_pixel, scale * z_row, scale * z_pixel, O,
                        (H - p + scale - 1) // scale, (W - q + scale - 1) // scale,
                    )  # fmt: skip
    chunk = 1024
    for task in prange((size + chunk - 1) // chunk):
        for i in range(task * chunk, min(size - LANES + 1, (task + 1) * chunk), LANES):
            total = load(partial, i)
            for part in range(1, parts):
                total = total + load(partial, part * size + i)
            store(total, partial, i)
    if not accumulate:
        dw[...] = 0
        db[...] = 0
    for o in range(db.size):
        db[o] += partial[biases + o]
    rows, columns = (phases * T * O, C) if swapped else (T * C, O)
    panel = (rows + ROWS - 1) // ROWS * ROWS * COLUMNS
    phase_size = (columns + COLUMNS - 1) // COLUMNS * panel
    for p in range(phases if dw.size else 0):
        for t in range(T):
            for j in range(weights[p, t, 0], weights[p, t, 1]):
                for k in range(weights[p, t, 2], weights[p, t, 3]):
                    for c in range(C):
                        for o in range(O):
                            if swapped:
                                at = c // COLUMNS * panel + ((p * T + t) * O + o) * COLUMNS + c % COLUMNS
                            else:
                                at = p * phase_size + o // COLUMNS * panel + (t * C + c) * COLUMNS + o % COLUMNS
                            dw[j, k, c, o] += partial[at]
