"""Matrix products on register tiles, parallel over tiles of the result.

`product` keeps 8 rows x 2 vectors of c in registers (6 x 2 where there are 16) and takes one row of b and eight
numbers of a at a time: 16 multiply-adds for 2 + 8 loads, 145 of 215 GFLOP/s on a core. Nothing is packed: of b, DEPTH
rows of a tile's columns stay in the first-level cache while all rows of a pass by. `product_of_rows` reads both
operands along their rows, in tiles of dot products whose lanes are summed at the end; so dx = dz w^T needs no
transposed copy of w.

Each number of c is summed by one thread in one order, so it does not depend on how many there are. Tasks go by rows
first: a thread then meets the samples that it has had in the layer before, in its own cache. Both kernels serve
forward and all gradients: a kernel with these tiles takes one or two seconds to compile.
"""

from __future__ import annotations

from typing import Any

from numba import prange

from .activation import activate
from .jit import floats, i64, inner, kernel, matrix
from .simd import (
    LANES,
    REGISTERS,
    add,
    add_row,
    fma_outer,
    fma_outer_part,
    fma_vectors,
    fma_vectors_part,
    load_rows,
    load_tile,
    load_tile_part,
    steps_within,
    store_corner,
    store_rows,
    store_tile,
    store_tile_part,
    sums,
    transpose,
    zeros,
)

ROWS = 8 if REGISTERS == 32 else 6
WIDTH = 2 * LANES  # columns of c in a tile
NARROW = 8  # vectors in the tile of a single row
DOTS = {16: (4, 4), 8: (4, 2), 4: (2, 2)}[LANES]  # of product_of_rows: LANES of them
DOT_ROWS, DOT_COLUMNS = DOTS

DEPTH = 8192 // WIDTH  # rows of b at a time, 32 kB; a stride of 2 kB would throw all 784 out of the second level too
ENOUGH = 16  # tasks
LARGE = 2**18  # numbers of b that leave no room for the rest in the second-level cache, 1 MB
WRITE, ADD = 0, 1  # what c holds afterwards: the product, or the sum with what was there


def make_tile(rows: int, vectors: int, whole: bool) -> Any:
    """The product for `rows` x `vectors` LANES numbers of c; not `whole`: of which only the first `count` columns."""
    n = rows * vectors
    if whole:

        @inner
        def tile(c, at_c, ldc, a, at_a, row, step, b, at_b, ldb, K, count, start, bias, at_bias, activation):
            acc = load_tile(rows, vectors, c, at_c, ldc, LANES) if start == ADD else zeros(n)
            for _ in range(K):
                acc = fma_outer(acc, rows, a, at_a, row, b, at_b, LANES)
                at_a += step
                at_b += ldb
            if bias.size and at_bias >= 0:
                acc = add_row(acc, rows, load_tile(1, vectors, bias, at_bias, 0, LANES))
            store_tile(activate(acc, activation), rows, c, at_c, ldc, LANES)

    else:

        @inner
        def tile(c, at_c, ldc, a, at_a, row, step, b, at_b, ldb, K, count, start, bias, at_bias, activation):
            acc = load_tile_part(rows, vectors, c, at_c, ldc, count) if start == ADD else zeros(n)
            for _ in range(K):
                acc = fma_outer_part(acc, rows, a, at_a, row, b, at_b, count)
                at_a += step
                at_b += ldb
            if bias.size and at_bias >= 0:
                acc = add_row(acc, rows, load_tile_part(1, vectors, bias, at_bias, 0, count))
            store_tile_part(activate(acc, activation), rows, c, at_c, ldc, count)

    return tile


wide, wide_part = make_tile(ROWS, 2, True), make_tile(ROWS, 2, False)
single, single_part = make_tile(1, NARROW, True), make_tile(1, NARROW, False)


@inner
def gemm(c, at_c, ldc, a, at_a, row, step, b, at_b, ldb, M, N, K, start, bias, at_bias, activation):
    """c[m, n] = activation(sum_k a[m row + k step] b[k ldb + n] + bias[n]), plus c if start is ADD; serial."""
    whole = M - M % ROWS
    for n in range(0, N, WIDTH):
        count = N - n
        for first in range(0, K if whole else 0, DEPTH):
            depth, end = min(DEPTH, K - first), first + DEPTH >= K
            begin, bias_from, act = start if first == 0 else ADD, at_bias + n if end else -1, activation if end else 0
            for m in range(0, whole, ROWS):
                to, fro, fro_b = at_c + m * ldc + n, at_a + m * row + first * step, at_b + first * ldb + n
                if count >= WIDTH:
                    wide(c, to, ldc, a, fro, row, step, b, fro_b, ldb, depth, count, begin, bias, bias_from, act)
                else:
                    wide_part(c, to, ldc, a, fro, row, step, b, fro_b, ldb, depth, count, begin, bias, bias_from, act)
    for m in range(whole, M):
        for n in range(0, N, NARROW * LANES):
            count = N - n
            to, fro, bias_from = at_c + m * ldc + n, at_a + m * row, at_bias + n
            if count >= NARROW * LANES:
                single(c, to, ldc, a, fro, row, step, b, at_b + n, ldb, K, count, start, bias, bias_from, activation)
            else:
                single_part(
                    c, to, ldc, a, fro, row, step, b, at_b + n, ldb, K, count, start, bias, bias_from, activation
                )


@inner
def dots(c, at_c, ldc, a, at_a, lda, b, at_b, ldb, M, N, K):
    """c[m, n] = sum_k a[m lda + k] b[n ldb + k]; serial. Places beyond the last row repeat it and are not stored."""
    whole = K - K % LANES
    for n in range(0, N, DOT_COLUMNS):
        columns = steps_within(DOT_COLUMNS, ldb, N - n)
        for m in range(0, M, DOT_ROWS):
            rows = steps_within(DOT_ROWS, lda, M - m)
            acc = zeros(LANES)
            fro_a, fro_b = at_a + m * lda, at_b + n * ldb
            for k in range(0, whole, LANES):
                acc = fma_vectors(acc, a, fro_a + k, rows, b, fro_b + k, columns)
            if whole < K:
                acc = fma_vectors_part(acc, a, fro_a + whole, rows, b, fro_b + whole, columns, K - whole)
            store_corner(sums(acc)[0], DOT_COLUMNS, c, at_c + m * ldc + n, ldc, M - m, N - n)


@inner
def share(rows, panels, small, large):
    """Rows of a task: many where that gives tasks enough, for every number of threads the same."""
    return large if (rows + large - 1) // large * panels >= ENOUGH else small


@kernel(matrix, matrix, i64, i64, matrix, i64, floats, i64, floats, parallel=True)
def product(c, a, row, step, b, start, bias, activation, totals):
    """c (M, N) = activation(a b + bias), plus c if start is ADD; element (m, k) of a is at m row + k step.

    totals (N,), if it is not empty, gets the sums of the columns of b, or these added.
    """
    M, N = c.shape
    K = b.shape[0]
    panels = (N + WIDTH - 1) // WIDTH
    chunk = share(M, panels, ROWS, 4 * ROWS)
    by_columns = K * N > LARGE and panels >= ENOUGH  # b is read once then
    if by_columns:
        chunk = M
    chunks = (M + chunk - 1) // chunk
    for task in prange(panels * chunks):
        m, n = task // panels * chunk, task % panels * WIDTH
        rows, columns = min(chunk, M - m), min(WIDTH, N - n)
        if m == 0 and totals.size:
            total = load_tile_part(1, 2, totals, n, 0, columns) if start == ADD else zeros(2)
            for k in range(K):
                total = add(total, load_tile_part(1, 2, b, k * N + n, 0, columns))
            store_tile_part(total, 1, totals, n, 0, columns)
        gemm(c, m * N + n, N, a, m * row, row, step, b, n, N, rows, columns, K, start, bias, n, activation)


@kernel(matrix, matrix, matrix, parallel=True)
def product_of_rows(c, a, b):
    """c (M, N) = a b^T with a (M, K), b (N, K)."""
    M, N = c.shape
    K = b.shape[1]
    panels = (N + LANES - 1) // LANES
    chunk = share(M, panels, 2 * DOT_ROWS, 8 * DOT_ROWS)
    chunks = (M + chunk - 1) // chunk
    for task in prange(panels * chunks):
        m, n = task // panels * chunk, task % panels * LANES
        dots(c, m * N + n, N, a, m * K, K, b, n * K, K, min(chunk, M - m), min(LANES, N - n), K)


@kernel(matrix, matrix, parallel=True)
def transposed(to, a):
    """to (N, M) = a^T, LANES x LANES numbers at a time in registers."""
    M, N = a.shape
    for task in prange((M + LANES - 1) // LANES):
        m = task * LANES
        for n in range(0, N, LANES):
            block = load_rows(LANES, M - m, a, m * N + n, N, N - n)
            store_rows(transpose(block), N - n, to, n * M + m, M, M - m)
