"""Rank 2 and sequences: one vector at every time step, or at the last only (see lstm.py).

LANES features of LANES samples are exchanged in registers on their way between rows and blocks.
"""

from __future__ import annotations

from numba import prange

from .jit import i64, inner, kernel, lanes, matrix
from .simd import LANES, add, load_rows, load_tile, store_first, store_rows, transpose, zeros


def repeat_vector_forward(y, x):
    spread(y.data, x, 0)


def repeat_vector_backward(dx, dy):
    total(dx, dy.data, 0)


@kernel(lanes, matrix, i64, parallel=True)
def spread(y, x, first):
    """y (N, T, D) is x (N, D) at the steps from `first` on, and zero before; zero behind the last sample."""
    N, D = x.shape
    B, _, T, _, _ = y.shape
    block, step = y.strides[0] // 4, y.strides[2] // 4
    for b in prange(B):
        for d in range(0, D, LANES):
            features = transpose(load_rows(LANES, N - b * LANES, x, b * LANES * D + d, D, D - d))
            nothing = zeros(LANES)
            for t in range(T):
                at = b * block + t * step + d * LANES
                store_first(features if t >= first else nothing, LANES, D - d, y, at, LANES, LANES)


@inner
def total_of(b, x, y, first):
    """Of block b."""
    (N, D), T = x.shape, y.shape[2]
    block, step = y.strides[0] // 4, y.strides[2] // 4
    for d in range(0, D, LANES):
        features = zeros(LANES)
        for t in range(first, T):
            features = add(features, load_tile(1, LANES, y, b * block + t * step + d * LANES, 0, LANES))
        store_rows(transpose(features), N - b * LANES, x, b * LANES * D + d, D, D - d)


@kernel(matrix, lanes, i64, parallel=True)
def total(x, y, first):
    """x (N, D) is the sum of y (N, T, D) over the steps from `first` on."""
    if len(y) == 1:  # two threads take longer to meet
        total_of(0, x, y, first)
    else:
        for b in prange(len(y)):
            total_of(b, x, y, first)
