"""How activations lie in memory: matrices row by row, images and sequences in blocks with the samples innermost.

A block holds LANES samples side by side, so that one vector is one element of LANES samples, and no kernel needs to
know how many channels there are: (B, H, W, C, LANES) with B = ceil(N / LANES). Images have a border of zeros around
them, wide enough for the convolutions that read them, so that no kernel has a special case for edges. A sequence
(N, T, D) is an image of one row, (B, 1, T, D, LANES); samples with more axes than three are one row too.

The lanes behind the last sample hold anything finite. What sums over samples leaves them out.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numba import prange, types

from .jit import f32, inner, kernel, lanes, matrix
from .simd import LANES, load_rows, load_tile_part, store_rows, store_tile_part, transpose

SPARE = 16 * LANES * 4  # bytes behind an activation that a register tile may read, and throws away


class Lanes:
    """An activation in blocks: `whole` with its border and `data` (B, H, W, C, LANES) without, `rows` (B, H, W C LANES)
    the same as data, and the shape (N, ...) that it stands for."""

    __slots__ = ("data", "rows", "shape", "whole")

    def __init__(self, whole: np.ndarray, border: tuple[int, int], shape: tuple[int, ...]):
        _, H, W, _, _ = whole.shape
        self.whole, self.shape = whole, shape
        self.data = whole[:, border[0] : H - border[0], border[1] : W - border[1]]
        self.rows = self.data.reshape(*self.data.shape[:2], -1)  # a view: rows are contiguous


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(B, H, W, C) for samples of two or more axes."""
    N, *sample = shape
    H, W = sample[:2] if len(sample) == 3 else (1, prod(sample[:-1]))
    return -(-N // LANES), H, W, sample[-1]


def activation_bytes(shape: tuple[int, ...], dtype: np.dtype, border: tuple[int, int]) -> int:
    """Memory for a tensor (N, ...), with a border of so many rows and columns on all sides of an image."""
    if len(shape) <= 2:
        return prod(shape) * dtype.itemsize
    B, H, W, C = image_shape(shape)
    return B * (H + 2 * border[0]) * (W + 2 * border[1]) * C * LANES * dtype.itemsize + SPARE


def activation(memory: np.ndarray, shape: tuple[int, ...], dtype: np.dtype, border: tuple[int, int]) -> Any:
    """The tensor on the beginning of `memory` (bytes): an ndarray up to two axes, Lanes beyond."""
    if len(shape) <= 2:
        return memory[: prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
    B, H, W, C = image_shape(shape)
    (rows, columns), size = border, activation_bytes(shape, dtype, border) - SPARE
    whole = memory[:size].view(dtype).reshape(B, H + 2 * rows, W + 2 * columns, C, LANES)
    return Lanes(whole, border, shape)


def clear_border(activation: Any) -> None:
    """Zeros around every image."""
    if isinstance(activation, Lanes):
        _, H, W, _, _ = activation.whole.shape
        rows, columns = (H - activation.data.shape[1]) // 2, (W - activation.data.shape[2]) // 2
        for edge in (activation.whole[:, :rows], activation.whole[:, H - rows :]):
            edge[...] = 0
        for edge in (activation.whole[:, :, :columns], activation.whole[:, :, W - columns :]):
            edge[...] = 0


def read(out: np.ndarray, activation: Any) -> None:
    """out = the activation, out (N, ...) contiguous."""
    if isinstance(activation, Lanes):
        N = len(out)
        rows_from_lanes(out.reshape(N, -1), activation.data)
    else:
        out[...] = activation


@kernel(matrix, lanes, parallel=True)
def rows_from_lanes(rows, x):
    """rows (N, H W C) from x (B, H, W, C, LANES): LANES elements of LANES samples are exchanged in registers."""
    N, size = rows.shape
    B, H, W, C, _ = x.shape
    block, row = x.strides[0] // 4, x.strides[1] // 4
    for task in prange(B * H):
        b, h = task // H, task % H
        fro, to, samples = b * block + h * row, b * LANES * size + h * W * C, N - b * LANES
        for i in range(0, W * C, LANES):
            elements = load_tile_part(1, LANES, x, fro + i * LANES, 0, (W * C - i) * LANES)
            count = min(W * C - i, LANES)
            store_rows(transpose(elements), samples, rows, to + i, size, count)


@kernel(lanes, matrix, parallel=True)
def lanes_from_rows(x, rows):
    """The reverse; lanes behind the last sample become zero."""
    N, size = rows.shape
    B, H, W, C, _ = x.shape
    block, row = x.strides[0] // 4, x.strides[1] // 4
    for task in prange(B * H):
        b, h = task // H, task % H
        to, fro, samples = b * block + h * row, b * LANES * size + h * W * C, N - b * LANES
        for i in range(0, W * C, LANES):
            count = min(W * C - i, LANES)
            elements = transpose(load_rows(LANES, samples, rows, fro + i, size, count))
            store_tile_part(elements, 1, x, to + i * LANES, 0, count * LANES)


# ---- number by number: what kernels that do not care for the layout walk along --------------------------------------
numbers = types.Array(f32, 3, "A")  # (B, H, L), the numbers of a row side by side
CHUNK = 4096  # numbers of a task: few microseconds


def rows_of(a: Any) -> np.ndarray:
    """The rows of Lanes; an ndarray as one long row."""
    return a.rows if isinstance(a, Lanes) else a.reshape(1, 1, -1)


def samples_of(a: Any) -> int:
    """How many samples the blocks of rows_of(a) hold; all lanes of an ndarray's one row are of one block."""
    return a.shape[0] if isinstance(a, Lanes) else LANES


@inner
def chunks(x):
    """The number of pieces of up to CHUNK numbers in the rows of x."""
    B, H, L = x.shape
    return B * H * ((L + CHUNK - 1) // CHUNK)


@inner
def chunk(x, task):
    """Where piece `task` is: its block, its row there, and its first number and end in that row."""
    B, H, L = x.shape
    pieces = (L + CHUNK - 1) // CHUNK
    row, first = task // pieces, task % pieces * CHUNK
    return row // H, row % H, first, min(first + CHUNK, L)


@inner
def row(x, b, h):
    """The place of row (b, h)."""
    return (b * x.strides[0] + h * x.strides[1]) // 4


def takes(array: np.ndarray) -> bool:
    """Kernels are compiled for arrays that are contiguous, aligned and not read-only."""
    return array.ndim <= 2 and bool(array.flags.c_contiguous and array.flags.aligned and array.flags.writeable)
