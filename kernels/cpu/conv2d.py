"""Convolutions as sums over taps, in blocks of samples.

A tap is a pixel's displacement and a matrix of weights (channels in, channels out). The forward pass, the input's
gradient and the four phases of an upsampled convolution differ in their taps only, so one kernel does them all: a
register tile of 8 channels x 2 pixels (4 x 4 and 1 x 8 for few channels), to which each input channel of each tap
adds 8 weights times 2 vectors. Borders of zeros leave no edges to care for.

The weights' gradient keeps 3 rows of dw (a tap and an input channel each) x 8 output channels in registers and runs
over all pixels: 24 multiply-adds for 11 loads. Behind a pooling, the first layer, which owes nobody a gradient of its
input, never spreads the winners' gradient to an image: 348 us on a core for 128 images of 28 x 28 and 16 channels,
the activation included, where it took 570. Each block of samples has a partial sum of its own, and these are added in
their order: nothing depends on the number of threads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import config, get_thread_id, prange, types

from .activation import CODES, LINEAR, activate, through_activation
from .jit import floats, i64, inner, kernel, lanes, matrix4, scratch, winners
from .max_pool2d import unpool_rows
from .simd import (
    LANES,
    REGISTERS,
    add,
    fma_outer,
    fma_vectors,
    fma_windows,
    load,
    load_rows,
    load_tile,
    splat_tile,
    steps,
    store,
    store_first,
    store_rows,
    store_tile,
    sums,
    transpose,
    zeros,
)

table, offsets = types.Array(types.int64, 3, "C"), types.Array(types.int64, 2, "C")
NONE = np.empty(0, np.float32)
NO_WINNER = np.empty((0, 0, 0, 0, 0), np.uint8)
NONE_TAPS = np.empty((0, 0, 0, 0), np.float32)
TILES = ((8, 2), (4, 4), (1, 8)) if REGISTERS == 32 else ((8, 1), (4, 2), (1, 8))  # channels x pixels
ROWS, COLUMNS = (3, 8) if REGISTERS == 32 else (3, 4)  # of dw in a register tile
CELLS = ROWS * COLUMNS
CHANNELS = 2 if REGISTERS == 32 else 1  # of dw from windows, with 9 taps
WINDOW_CELLS, WINDOW_VECTORS = 9 * CHANNELS, -(-9 * CHANNELS // LANES)
CELL_VECTORS, BIAS_VECTORS = -(-CELLS // LANES), -(-8 // LANES)  # that hold the sums of a tile, and of 8 channels
BAND = 28  # pixels of those rows, about
FEW = 2**16  # floats of register tiles that are kept in cache between bands of rows, 256 kB
PIECE = 2048  # floats of partial sums that a task adds up
MANY = 2**22  # floats that partial sums of dw may take, if there are to be more than two


class Taps:
    """Where a convolution reads, and which of its weights it multiplies there.

    A plain convolution has one phase. An upsampled one has four: the output pixels (2h + p, 2w + q) see the small
    image through taps of their own, with the sums of those weights that meet the same pixel.

    forward: (phases, T, 2), rows and columns from the output's pixel to the input's.
    backward: (1, phases T, 2), from the input's pixel to the output's.
    weights: (phases, T, 4), rows j, j' and columns k, k' of the kernel whose weights are summed.
    scale: 2 if the output is twice as large, else 1.
    """

    def __init__(self, forward: Any, backward: Any, weights: Any, scale: int):
        self.forward, self.backward, self.weights = np.array(forward), np.array(backward), np.array(weights)
        self.scale = scale
        self.known: dict[tuple, np.ndarray] = {}

    def places(self, backward: bool, a: np.ndarray, channels: int = 1, step: int = 1) -> np.ndarray:
        """(phases, n): how far the n pairs of a tap and a channel of `a` are from a pixel, tap by tap.

        The last is repeated until n is a multiple of `step`.
        """
        _, row, pixel, _, _ = a.strides
        key = backward, row, pixel, channels, step
        if key not in self.known:
            taps = self.backward if backward else self.forward
            pixels = taps[..., 0] * (row // 4) + taps[..., 1] * (pixel // 4)
            pairs = (pixels[..., None] + np.arange(channels) * LANES).reshape(len(taps), -1)
            self.known[key] = np.pad(pairs, [(0, 0), (0, -pairs.shape[1] % step)], mode="edge")
        return self.known[key]


@lru_cache
def plain_taps(J: int, K: int, padding: str) -> Taps:
    top, left = (J // 2, K // 2) if padding == "same" else (0, 0)
    forward = [(j - top, k - left) for j in range(J) for k in range(K)]
    weights = [(j, j + 1, k, k + 1) for j in range(J) for k in range(K)]
    return Taps([forward], -np.array([forward]), [weights], 1)


def channel_tile(channels: int) -> int:
    """How many output channels a register tile has."""
    return 1 if channels == 1 else 4 if channels <= 4 else 8


@lru_cache
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
    tap_convolution(y.data, x.data, taps.places(False, x.data, C), packed, CODES[activation], 1, taps.scale, tile)


def deconvolve(dx, dw, db, dy, y, x, w, taps: Taps, activation: str, accumulate: bool) -> None:
    """The gradients of `convolve`."""
    parameter_gradients(dw, db, dy.data, (0, 0), dy, y, NO_WINNER, x, w, taps, activation, accumulate)
    if dx is not None:
        input_gradient(dx, dy.data, w, taps)


def parameter_gradients(dw, db, dz, rim, dy, y, winner, x, w, taps: Taps, activation: str, accumulate: bool) -> None:
    """dw and db, of which none, one or both are asked for, and dz: dy goes through the activation in place, and where
    there are winners it is spread to dz, with a rim of zeros."""
    (*_, C, O), x = w.shape, x.data
    size = partial_size(taps, C, O)
    parts = min(x.shape[0], max(2, MANY // size))
    windows = winner.size > 0 and not dz.size
    swapped = O < COLUMNS and C > O and not windows
    places = taps.places(True, dz, O, ROWS) if swapped else taps.places(False, x, C, ROWS)
    cells = places.size * max(C, O) * LANES
    band = max(1, BAND // x.shape[2]) if cells <= FEW else x.shape[1] * taps.scale  # rows
    memory = scratch(parts * size + (config.NUMBA_NUM_THREADS * 2 * FEW if cells <= FEW else 0))
    tap_gradient(
        NONE_TAPS if dw is None else dw, NONE if db is None else db, dz, *rim, dy.data, y.data, winner, x, places,
        taps.weights, taps.scale, CODES[activation], windows, swapped, accumulate, parts, size, band, memory,
    )  # fmt: skip


def input_gradient(dx, dz, w, taps: Taps) -> None:
    C, O = w.shape[2:]
    packed, tile = scratch(packed_size(taps, C, O)), channel_tile(C)
    pack(packed, w, NONE, taps.weights, 1, tile)
    tap_convolution(dx.data, dz, taps.places(True, dz, O), packed, 0, taps.scale, 1, tile)


# ---- the sum over taps ----------------------------------------------------------------------------------------------
@kernel(floats, matrix4, floats, table, i64, i64)
def pack(packed, w, b, weights, backward, tile):
    """The bias, then for each `tile` output channels the weights [phase, tap, input channel, tile], zeros at the end.

    With `backward` the roles of input and output channels are exchanged.
    """
    _, K, from_channels, to_channels = w.shape
    C, O = (to_channels, from_channels) if backward else (from_channels, to_channels)
    phases, T, _ = weights.shape
    at = (O + tile - 1) // tile * tile
    for o in range(at):
        packed[o] = b[o] if o < b.size else np.float32(0)
    for first in range(0, O, tile):
        for p in range(phases):
            for t in range(T):
                for c in range(0, C, LANES):
                    for o in range(first, first + tile, LANES):  # twice where a vector is half a tile
                        count = min(first + tile, O) - o
                        block = zeros(LANES)  # rows of channels in
                        for j in range(weights[p, t, 0], weights[p, t, 1]):
                            for k in range(weights[p, t, 2], weights[p, t, 3]):
                                tap = (j * K + k) * C * O
                                if backward:
                                    columns = load_rows(LANES, count, w, tap + o * C + c, C, C - c)
                                    block = add(block, transpose(columns))
                                else:
                                    block = add(block, load_rows(LANES, C - c, w, tap + c * O + o, O, count))
                        store_rows(block, C - c, packed, at + c * tile + o - first, tile, first + tile - o)
                at += C * tile


def make_row(channels: int, pixels: int) -> Any:
    """One row of the output, `channels` x `pixels` at a time."""

    @inner
    def row(y, to, y_step, x, fro, x_step, places, phase, w, O, W, activation):
        phases, terms = places.shape
        wide = pixels <= W  # or one pixel at a time, all pixels of the tile being the same
        group, dx, dy = (pixels, x_step, y_step) if wide else (1, 0, 0)
        bias = (O + channels - 1) // channels * channels
        for first in range(0, W, group):
            j = min(first, W - group)  # the last group may overlap the one before: it writes the same numbers
            for o in range(0, O, channels):
                acc = splat_tile(channels, pixels, w, o)
                at, at_w = fro + j * x_step, bias + (o * phases + phase * channels) * terms
                for i in range(terms):
                    acc = fma_outer(acc, channels, w, at_w + i * channels, 1, x, at + places[phase, i], dx)
                acc = activate(acc, activation)
                place = to + j * y_step + o * LANES
                if o + channels <= O:
                    store_tile(acc, channels, y, place, LANES, dy)
                else:
                    store_first(acc, channels, O - o, y, place, LANES, dy)

    return row


row_8, row_4, row_1 = (make_row(*tile) for tile in TILES)


@kernel(lanes, lanes, offsets, floats, i64, i64, i64, i64, parallel=True)
def tap_convolution(y, x, places, w, activation, x_scale, y_scale, tile):
    """y at pixels (y_scale h + p, y_scale w + q) from x around pixels (x_scale h, x_scale w), one row a task."""
    B, H, W, O, _ = y.shape
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
            y_step, x_step = y_scale * y_pixel, x_scale * x_pixel
            if tile == 8:
                row_8(y, to, y_step, x, fro, x_step, places, phase, w, O, columns, activation)
            elif tile == 4:
                row_4(y, to, y_step, x, fro, x_step, places, phase, w, O, columns, activation)
            else:
                row_1(y, to, y_step, x, fro, x_step, places, phase, w, O, columns, activation)


# ---- gradients of the parameters ------------------------------------------------------------------------------------
@lru_cache
def partial_size(taps: Taps, C: int, O: int) -> int:
    """Floats of a partial sum: dw tap by tap in tiles, and db."""
    phases, T, _ = taps.weights.shape
    whole = max(phases * (T * C + ROWS) * (O + COLUMNS), (phases * T * O + ROWS) * (C + COLUMNS)) + O + 8 + 3 * LANES
    return -(-whole // LANES) * LANES


@inner
def products(
    to, at, add_to, a, at_a, a_row, a_step, places, phase, b, at_b, b_row, b_step, channels, H, W, kept, begin, rows
):  # fmt: skip
    """Sums over pixels of (tap and channel of a) x (channel of b), in tiles [columns of b][rows of a][COLUMNS].

    Of H rows of pixels these are `rows` from `begin` on; until the last have come, tiles are kept at to[kept].
    """
    n, columns, end = places.shape[1], steps(COLUMNS, LANES), at
    for c in range(0, channels, COLUMNS):
        for first in range(0, n, ROWS):
            pairs = (places[phase, first], places[phase, first + 1], places[phase, first + 2])
            acc = load_tile(1, CELLS, to, kept, 0, LANES) if begin > 0 else zeros(CELLS)
            for h in range(begin, begin + rows):
                fro_a, fro_b = at_a + h * a_row, at_b + h * b_row + c * LANES
                for _ in range(W):
                    acc = fma_vectors(acc, a, fro_a, pairs, b, fro_b, columns)
                    fro_a += a_step
                    fro_b += b_step
            if begin + rows < H:
                store_tile(acc, 1, to, kept, 0, LANES)
            else:
                total = sums(acc)
                if add_to:
                    total = add(total, load_tile(1, CELL_VECTORS, to, end, 0, LANES))
                store_tile(total, 1, to, end, 0, LANES)
            kept += CELLS * LANES
            end += CELLS
    return end


@inner
def through_activation_and_sum(to, at, add_to, dy, y, b, activation):
    """dy becomes dz in block b, and its sums over pixels go to to[at], one a channel."""
    _, H, W, O, _ = dy.shape
    for o in range(0, O, 8):  # channels behind the last are the next pixel's: their sums are not used
        total = zeros(8)
        for h in range(H):
            place = b * (dy.strides[0] // 4) + h * (dy.strides[1] // 4) + o * LANES
            fro = b * (y.strides[0] // 4) + h * (y.strides[1] // 4) + o * LANES
            for _ in range(W):
                dz = load_tile(8, 1, dy, place, LANES, 0)
                if activation != LINEAR:
                    dz = through_activation(dz, load_tile(8, 1, y, fro, LANES, 0), activation)
                    store_first(dz, 8, O - o, dy, place, LANES, 0)
                total = add(total, dz)
                place, fro = place + O * LANES, fro + O * LANES
        total = sums(total)
        if add_to:
            total = add(total, load_tile(1, BIAS_VECTORS, to, at + o, 0, LANES))
        store_tile(total, 1, to, at + o, 0, LANES)


@inner
def window_products(to, at, add_to, x, at_x, x_row, x_pixel, dy, b, winner, H, W):
    """The same for a kernel of 3 x 3 from the windows of block b: dy is spread to the winners in registers only.

    Tiles are [channels of dy / CHANNELS][channels of x][tap][CHANNELS]. H x W pixels have been pooled.
    """
    _, rows, columns, O, _ = dy.shape
    dy_row, dy_pixel = dy.strides[1] // 4, dy.strides[2] // 4
    C, end = x.shape[3], at
    for o in range(0, O, CHANNELS):
        channel = LANES if o + CHANNELS <= O else 0  # or the same again
        for c in range(C):
            acc = zeros(WINDOW_CELLS)
            for h in range(rows):
                fro = at_x + 2 * h * x_row + c * LANES
                fro_dy = b * (dy.strides[0] // 4) + h * dy_row + o * LANES
                fro_winner = b * winner.strides[0] + h * winner.strides[1] + o * LANES
                down = x_row if 2 * h + 1 < H else 0  # nobody wins outside
                for w in range(columns):
                    right = x_pixel if 2 * w + 1 < W else 0
                    acc = fma_windows(
                        acc, x, fro, x_row, x_pixel, down, right, dy, fro_dy, channel, winner, fro_winner
                    )  # fmt: skip
                    fro, fro_dy, fro_winner = fro + 2 * x_pixel, fro_dy + dy_pixel, fro_winner + O * LANES
            total = sums(acc)
            if add_to:
                total = add(total, load_tile(1, WINDOW_VECTORS, to, end, 0, LANES))
            store_tile(total, 1, to, end, 0, LANES)
            end += WINDOW_CELLS


@inner
def add_parts(partial, begin, end, parts, size):
    """Sums of all parts, in the place of the first."""
    for i in range(begin, end - LANES + 1, LANES):
        total = load(partial, i)
        for part in range(1, parts):
            total = total + load(partial, part * size + i)
        store(total, partial, i)


@kernel(
    matrix4, floats, lanes, i64, i64, lanes, lanes, winners, lanes, offsets, table, i64, i64, i64, i64, i64, i64, i64,
    i64, floats, parallel=True,
)  # fmt: skip
def tap_gradient(
    dw, db, dz, rim_rows, rim_columns, dy, y, winner, x, places, weights, scale, activation, windows, swapped,
    accumulate, parts, size, band, partial,
):  # fmt: skip
    """dw and db; with `swapped`, rows of the register tile are taps of dz and columns are channels of x.

    `band` rows of pixels are gone through tile by tile before the next ones, so that they stay in the first-level
    cache. dy first goes through the activation, a block at a time. Where there are winners, dz is made from it, and for
    taps of x band by band: it has a block for each of dy's, to be used further, or else one for each thread, of which
    all bands take the same rows, or none where `windows` do without.
    """
    _, H, W, O, _ = dz.shape
    B, C = x.shape[0], x.shape[3]
    phases, T, _ = weights.shape
    z_block, z_row, z_pixel = dz.strides[0] // 4, dz.strides[1] // 4, dz.strides[2] // 4
    x_block, x_row, x_pixel = x.strides[0] // 4, x.strides[1] // 4, x.strides[2] // 4
    biases = size - (O + 8 + LANES)  # where a part's sums of dz begin
    window_rows = dy.shape[1] if winner.size and not windows else 0
    by_band = window_rows > 0 and dw.size > 0 and not swapped and band < H
    for part in prange(parts):
        kept = parts * size + get_thread_id() * 2 * FEW
        for b in range(part * B // parts, (part + 1) * B // parts):
            add_to, at, fro = b > part * B // parts, part * size, b * x_block
            to = (b if dz.shape[0] == B else get_thread_id()) * z_block
            through_activation_and_sum(partial, at + biases, add_to, dy, y, b, activation)
            if not by_band:
                unpool_rows(dz, to, (rim_rows, rim_columns), dy, b, winner, 0, window_rows)
            if dw.size and windows:
                window_products(partial, at, add_to, x, fro + places[0, 0], x_row, x_pixel, dy, b, winner, H, W)
            elif by_band:
                step = max(1, band // 2)
                for first in range(0, window_rows, step):
                    last = min(first + step, window_rows)
                    begin, end = 2 * first, H if last == window_rows else 2 * last
                    place = to if dz.shape[0] == B else to - begin * z_row
                    unpool_rows(dz, place, (rim_rows, rim_columns), dy, b, winner, first, last)
                    products(
                        partial, at, add_to, x, fro, x_row, x_pixel, places, 0,
                        dz, place, z_row, z_pixel, O, H, W, kept, begin, end - begin,
                    )  # fmt: skip
            elif dw.size and swapped:
                for begin in range(0, x.shape[1], band):
                    products(
                        partial, at, add_to, dz, to, scale * z_row, scale * z_pixel, places, 0,
                        x, fro, x_row, x_pixel, C, x.shape[1], x.shape[2], kept, begin, min(band, x.shape[1] - begin),
                    )  # fmt: skip
            elif dw.size:
                for phase in range(phases):
                    p, q, after = phase // scale, phase % scale, at
                    rows, columns = (H - p + scale - 1) // scale, (W - q + scale - 1) // scale
                    for begin in range(0, rows, band):
                        after = products(
                            partial, at, add_to, x, fro, x_row, x_pixel, places, phase,
                            dz, to + p * z_row + q * z_pixel, scale * z_row, scale * z_pixel, O,
                            rows, columns, kept, begin, min(band, rows - begin),
                        )  # fmt: skip
                    at = after
    if size <= PIECE:
        add_parts(partial, 0, size, parts, size)
    else:
        for task in prange((size + PIECE - 1) // PIECE):
            add_parts(partial, task * PIECE, min(size, (task + 1) * PIECE), parts, size)
    if not accumulate:
        dw[...] = 0
        db[...] = 0
    for o in range(db.size):
        db[o] += partial[biases + o]
    rows, columns = (phases * T * O, C) if swapped else (T * C, O)
    panel = (rows + ROWS - 1) // ROWS * CELLS
    phase_size = (columns + COLUMNS - 1) // COLUMNS * panel
    for p in range(phases if dw.size else 0):
        for t in range(T):
            for j in range(weights[p, t, 0], weights[p, t, 1]):
                for k in range(weights[p, t, 2], weights[p, t, 3]):
                    for c in range(C):
                        for o in range(O):
                            if windows:
                                at = (o // CHANNELS * C + c) * WINDOW_CELLS + t * CHANNELS + o % CHANNELS
                            elif swapped:
                                at = c // COLUMNS * panel + ((p * T + t) * O + o) * COLUMNS + c % COLUMNS
                            else:
                                at = p * phase_size + o // COLUMNS * panel + (t * C + c) * COLUMNS + o % COLUMNS
                            dw[j, k, c, o] += partial[at]
