"""The same elements in another shape or layout, and what else moves data without arithmetic worth the name.

Batches are gathered in the data's own type: a row is read once, cast in registers, and for images LANES elements of
LANES samples are exchanged there. NaN and infinity are looked for where a sum of 0 times everything is not 0.
128 x 784 numbers into a matrix take 12 us on a core, into images 18, from bytes 10 and 19 (Xeon with AVX-512).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange, types

from .jit import f32, flags, i64, inner, kernel, lanes, matrix
from .layout import CHUNK, Lanes, chunk, chunks, lanes_from_rows, numbers, row, rows_from_lanes, rows_of
from .simd import (
    LANES,
    any_lane,
    fma,
    load_cast,
    load_chosen_rows,
    load_part,
    multiply,
    splat,
    store_part,
    store_tile_part,
    sum_vectors,
    transpose,
)


# ---- shape and scale ------------------------------------------------------------------------------------------------
def reshape_forward(y, x):
    if isinstance(y, Lanes) == isinstance(x, Lanes):
        copy(rows_of(y), rows_of(x))
    elif isinstance(x, Lanes):
        rows_from_lanes(y.reshape(len(y), -1), x.data)
    else:
        lanes_from_rows(y.data, x.reshape(len(x), -1))


def reshape_backward(dx, dy):
    reshape_forward(dx, dy)


def rescale_forward(y, x, scale, offset):
    scaled(rows_of(y), rows_of(x), scale, offset, False)


def rescale_backward(dx, dy, scale):
    scaled(rows_of(dx), rows_of(dy), scale, 0, False)


def add(y, x):
    scaled(rows_of(y), rows_of(x), 1, 0, True)


@kernel(numbers, numbers, parallel=True)
def copy(y, x):
    """The numbers of each block in their order; rows of x may be longer or shorter than those of y."""
    for task in prange(chunks(y)):
        b, h, first, end = chunk(y, task)
        length, to = x.shape[2], row(y, b, h)
        passed = h * y.shape[2] + first
        h, at = passed // length, passed % length
        fro = row(x, b, h)
        for i in range(first, end, LANES):
            if at == length:
                h, at = h + 1, 0
                fro = row(x, b, h)
            store_part(load_part(x, fro + at, end - i), y, to + i, end - i)
            at += LANES


@kernel(numbers, numbers, f32, f32, i64, parallel=True)
def scaled(y, x, scale, offset, accumulate):
    """y = scale x + offset, or plus it."""
    for task in prange(chunks(y)):
        b, h, first, end = chunk(y, task)
        to, fro = row(y, b, h), row(x, b, h)
        for i in range(first, end, LANES):
            n = end - i
            value = splat(scale) * load_part(x, fro + i, n) + splat(offset)
            if accumulate:
                value = load_part(y, to + i, n) + value
            store_part(value, y, to + i, n)


# ---- batches --------------------------------------------------------------------------------------------------------
def gather(x, data, rows, flag):
    array, scale = in_place(data)
    if array is None:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is counted
            array, scale = np.ascontiguousarray(data[rows], np.float32), 1.0
        rows = np.arange(len(array))
    to_rows, to_few_rows, to_lanes = GATHER[array.dtype]
    source, rows = np.asarray(array).reshape(-1), np.ascontiguousarray(rows, np.int64)
    if isinstance(x, Lanes):
        to_lanes(x.data, x.shape[0], source, rows, scale, flag)
    else:
        (to_rows if x.size > CHUNK else to_few_rows)(x.reshape(len(x), -1), source, rows, scale, flag)


def in_place(data: Any) -> tuple[np.ndarray | None, float]:
    """The memory where kernels read the rows of an array, or of `datasets.Scaled`, and their factor; None if they
    can't."""
    array, scale = data, 1.0
    if not isinstance(data, np.ndarray):
        array, scale = getattr(data, "array", None), getattr(data, "scale", 1.0)
        if not isinstance(array, np.ndarray) or data.dtype != np.float32:
            return None, 1.0
    ready = array.dtype in GATHER and array.flags.c_contiguous and array.flags.aligned
    return (array, scale) if ready else (None, 1.0)


@inner
def count_nonfinite(x):
    count = 0
    for v in x.flat:
        if not np.isfinite(v):
            count += 1
    return count


def make_gather(number: types.Type) -> tuple:
    """The kernels for data of that type, with x (N, D) and x (B, H, W, C, LANES)."""
    source, indices = (types.Array(kind, 1, "C", readonly=True) for kind in (number, i64))

    @inner
    def gather_row(x, n, data, rows, scale, flag):
        D = x.shape[1]
        fro, to, zeros = rows[n] * D, n * D, splat(0.0)
        for i in range(0, D, LANES):
            v = load_cast(data, fro + i, D - i) * splat(scale)
            store_part(v, x, to + i, D - i)
            zeros = fma(v, splat(0.0), zeros)
        if any_lane(zeros != zeros) and count_nonfinite(x[n]):
            flag[0] = 1

    @kernel(matrix, source, indices, f32, flags, parallel=True)
    def gather_rows(x, data, rows, scale, flag):
        for n in prange(len(x)):
            gather_row(x, n, data, rows, scale, flag)

    @kernel(matrix, source, indices, f32, flags)
    def gather_few_rows(x, data, rows, scale, flag):
        for n in range(len(x)):
            gather_row(x, n, data, rows, scale, flag)

    @kernel(lanes, i64, source, indices, f32, flags, parallel=True)
    def gather_lanes(x, N, data, rows, scale, flag):
        B, H, W, C, _ = x.shape
        block, line, size = x.strides[0] // 4, x.strides[1] // 4, H * W * C
        for task in prange(B * H):
            b, h = task // H, task % H
            to, fro, zeros = b * block + h * line, h * W * C, splat(0.0)
            for i in range(0, W * C, LANES):
                count = min(W * C - i, LANES)
                v = load_chosen_rows(LANES, rows, b * LANES, N - b * LANES, data, fro + i, size, count)
                v = multiply(v, splat(scale))
                store_tile_part(transpose(v), 1, x, to + i * LANES, 0, count * LANES)
                zeros = fma(sum_vectors(v), splat(0.0), zeros)
            if any_lane(zeros != zeros) and count_nonfinite(x[b, h]):
                flag[0] = 1

    return gather_rows, gather_few_rows, gather_lanes


GATHER = {np.dtype(kind.name): make_gather(kind) for kind in (types.float32, types.uint8, types.float64)}
