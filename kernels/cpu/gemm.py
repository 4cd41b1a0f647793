"""Matrix products on register tiles, parallel over tiles of the result.

`product` keeps 8 rows x 3 vectors of c in registers (6 x 2 where there are 16) and takes one row of b and eight
numbers of a at a time: 24 multiply-adds for 3 + 8 loads. A panel is as many columns of c as a tile is wide. Before
rows of c pass by, DEPTH rows of a panel of b are copied side by side: 24 kB that stay in the first-level cache
wherever the rows of b lie. (Rows 2 kB apart share few of its sets, and each has a page of its own; and b may be
transposed on the way.) For the same reason, columns of a are copied tile by tile, for dw = x^T dz, where several panels
share the copy. A core does 150 to 160 GFLOP/s so, where it did 90 to 130 without the copies; a tile that has all in the
first-level cache does 185 to 197, and the core's peak is 215. What was tried and lost: 6 x 4 and 12 x 2 tiles (149 and
155 against 162). Where few rows of c pass by, b stays where it is if its rows are in many sets: dw = h^T dz of 32 x 784
takes 97 us for 512 samples so, and 105 with the copy. While a tile is summed, the memory of the next one is fetched: in
a step c is rarely near, and 7 to 10 % of the steps of large models were spent waiting for it.

A task is a chunk of the rows of c and some or all panels, which take DEPTH terms in turn before the next terms come: a
chunk of c and those terms of a stay in the second-level cache. (Panel by panel, each with all terms, all of the
chunk's a is fetched for each: 5 % slower.) Threads share the rows, and a thread then meets the samples that it has had
in the layer before, in its own cache. Of few rows they share the panels, for each thread copies what it reads of b:
a step of 784-512-2 with 32 samples takes 1.20 ms so and 1.45 the other way. Small products are one thread's: to meet
takes 1.2 us, and so does what the other core has to hand over. (Of 784-128-64-32 with 32 samples, the eighteen kernels
in the middle take 45 us so, where they took 98.)

Of few terms (`short_sums`), the result is most of what is moved, and a panel's pieces of its rows come from far away
one by one: whole rows, written one after the other, are fetched ahead. In a step, 512 x 784 sums of 32 terms take 94
us so instead of 144, and 512 x 512 sums of 2 terms 109 instead of 340. (87 us, as a panel of b stays in the first-level
cache for four tiles.)

Of few rows (`few_rows`), copying b would be most of the work: each is multiplied by itself.

`product_of_rows` reads both operands along their rows, in tiles of dot products whose lanes are summed at the end: for
narrow results, and for few rows.

`product_of_columns`, for dw = x^T dz, sums over the samples. It makes two results, of the first half of them and of the
second, and adds them: with tiles of dw for tasks, each of two threads would read the samples of both, and what one
reads in the other's cache, the other has to claim back when it writes there in the next step (784-32-784 with
2,048 samples: a step of 3.5 ms instead of 4.2).

Each number of c is summed in one order, so it does not depend on how many threads there are.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numba import prange
from numba.core import config

from .activation import LINEAR, activate
from .jit import aligned, floats, i64, inlined, inner, kernel, matrix, scratch
from .simd import (
    LANES,
    REGISTERS,
    add,
    add_row,
    copy,
    fma_outer,
    fma_outer_part,
    fma_vectors,
    fma_vectors_part,
    load_part,
    load_rows,
    load_tile,
    load_tile_part,
    prefetch,
    steps_within,
    store_corner,
    store_part,
    store_rows,
    store_tile,
    store_tile_part,
    sums,
    transpose,
    zeros,
)

ROWS, WIDE = (8, 3) if REGISTERS == 32 else (6, 2)  # of a tile: numbers of a, vectors of b
NARROW = WIDE - 1  # vectors in the last panels, where WIDE does not divide their number
WIDTH, TILE = WIDE * LANES, ROWS * WIDE
FEW = (ROWS - 1) // 2  # rows that are each multiplied by themselves
SINGLE = 8  # vectors of such a row at a time
SHORT = 32  # terms of a sum that are few
SMALL = 2**15  # multiply-adds of a few rows that one thread has done before two have met,
ALONE = 2**18  # and of more rows
DOTS = {16: (4, 4), 8: (4, 2), 4: (2, 2)}[LANES]  # of product_of_rows: LANES of them
DOT_ROWS, DOT_COLUMNS = DOTS

DEPTH = 6144 // WIDTH  # rows of b at a time, for a wide panel;
DEEPER = 6144 // (NARROW * LANES)  # for a narrow one
RUN = 4  # terms of a sum taken at once: a loop of one takes 1 % longer
CHUNK = 256  # rows of c in a task: copying b costs as much as 4 of them
PASSING = 64  # rows of c for which copying b is too much
LEAST = 64  # rows that make a thread's share
ENOUGH = 16  # tasks
PIECE = 4096  # numbers of a task that adds
WRITE, ADD = 0, 1  # what c holds afterwards: the product, or the sum with what was there

# What a thread keeps: the copy of b, numbers of a for a tile at the edge, that tile of c, the panel's
# bias, and columns of a.
AT_A = WIDTH * DEPTH
AT_C = AT_A + ROWS * DEEPER
AT_BIAS = AT_C + ROWS * WIDTH
AT_TILES = AT_BIAS + WIDTH
MEMORY = AT_TILES + CHUNK * DEEPER


@inner
def lies_well(rows, N, width):
    """Whether a panel of b stays where it is: it is all of b, or few rows of c pass by and the rows of b are in many
    sets of the cache."""
    return N % LANES == 0 and (width == N or (rows <= PASSING and N % 256 > 0))


def make_panel(vectors: int) -> Any:
    """What a task does, for a panel of so many vectors."""
    width, n = vectors * LANES, ROWS * vectors

    @inner
    def copy_rows(to, at, b, at_b, ldb, depth, columns):
        """The panel's rows of b side by side, 0 behind the last column."""
        for k in range(depth):
            if columns >= width:
                row = load_tile(1, vectors, b, at_b + k * ldb, 0, LANES)
            else:
                row = load_tile_part(1, vectors, b, at_b + k * ldb, 0, columns)
            store_tile(row, 1, to, at + k * width, 0, LANES)

    @inner
    def copy_columns(to, at, b, at_b, ldb, depth, columns):
        """The same where the panel's columns are rows of b."""
        for n in range(0, width, LANES):
            for k in range(0, depth, LANES):
                block = load_rows(LANES, columns - n, b, at_b + n * ldb + k, ldb, depth - k)
                store_rows(transpose(block), depth - k, to, at + k * width + n, width, LANES)

    @inlined
    def tile(c, at_c, ldc, a, at_a, row, step, b, at_b, ldb, memory, at, depth, begin, end, activation):
        acc = load_tile(ROWS, vectors, c, at_c, ldc, LANES) if begin == ADD else zeros(n)
        for _ in range(depth // RUN):
            for _ in range(RUN):
                acc = fma_outer(acc, ROWS, a, at_a, row, b, at_b, LANES)
                at_a += step
                at_b += ldb
        for _ in range(depth % RUN):
            acc = fma_outer(acc, ROWS, a, at_a, row, b, at_b, LANES)
            at_a += step
            at_b += ldb
        if end:
            acc = activate(add_row(acc, ROWS, load_tile(1, vectors, memory, at + AT_BIAS, 0, LANES)), activation)
        store_tile(acc, ROWS, c, at_c, ldc, LANES)

    @inner
    def tile_at_edge(
        c, at_c, ldc, a, at_a, row, step, b, at_b, ldb, memory, at, depth, begin, end, activation, rows, columns
    ):  # fmt: skip
        """A tile of which only some rows and columns are there: one that is whole, in memory, stands for it."""
        for k in range(depth):
            for i in range(ROWS):
                number = load_part(a, at_a + min(i, rows - 1) * row + k * step, 1)
                store_part(number, memory, at + AT_A + k * ROWS + i, 1)
        for i in range(rows if begin == ADD else 0):
            part = load_tile_part(1, vectors, c, at_c + i * ldc, 0, columns)
            store_tile(part, 1, memory, at + AT_C + i * width, 0, LANES)
        tile(
            memory, at + AT_C, width, memory, at + AT_A, 1, ROWS, b, at_b, ldb, memory, at, depth, begin, end,
            activation,
        )  # fmt: skip
        for i in range(rows):
            part = load_tile(1, vectors, memory, at + AT_C + i * width, 0, LANES)
            store_tile_part(part, 1, c, at_c + i * ldc, 0, columns)

    @inner
    def panel(c, m, rows, n, a, row, step, k, depth, b, transposed, begin, bias, activation, totals, memory, at, tiled):
        """Terms k, k + 1, ... of columns n, n + 1, ... of rows m, m + 1, ... of c, from whole tiles of a in memory if
        it is `tiled`. The first rows' tasks also see to the totals."""
        N, K = c.shape[1], b.shape[1] if transposed else b.shape[0]
        end, columns = k + depth == K, N - n
        lies = columns >= width and lies_well(rows, N, width) and not transposed
        source, start, ldb = (b, k * N + n, N) if lies else (memory, at, width)
        if transposed:
            copy_columns(memory, at, b, n * K + k, K, depth, columns)
        elif not lies:
            copy_rows(memory, at, b, k * N + n, N, depth, columns)
        if end:
            part_of_bias = load_tile_part(1, vectors, bias, n, 0, columns) if bias.size else zeros(vectors)
            store_tile(part_of_bias, 1, memory, at + AT_BIAS, 0, LANES)
        if m == 0 and totals.size:
            total = load_tile_part(1, vectors, totals, n, 0, columns) if begin == ADD else zeros(vectors)
            for i in range(depth):
                total = add(total, load_tile(1, vectors, source, start + i * ldb, 0, LANES))
            store_tile_part(total, 1, totals, n, 0, columns)
        for i in range(0, rows, ROWS):
            prefetch(ROWS, vectors, c, (m + i + ROWS) * N + n, N)  # of the next tile
            to, fro, inside = (m + i) * N + n, (m + i) * row + k * step, min(ROWS, rows - i)
            if inside < ROWS or columns < width:
                tile_at_edge(
                    c, to, N, a, fro, row, step, source, start, ldb, memory, at, depth, begin, end, activation, inside,
                    columns,
                )  # fmt: skip
            elif tiled:
                fro = at + AT_TILES + i * depth
                tile(c, to, N, memory, fro, 1, ROWS, source, start, ldb, memory, at, depth, begin, end, activation)
            else:
                tile(c, to, N, a, fro, row, step, source, start, ldb, memory, at, depth, begin, end, activation)

    return panel


wide_panel, narrow_panel = make_panel(WIDE), make_panel(NARROW)


@inner
def copy_tiles(to, at, a, at_a, step, rows, depth):
    """Columns of a, rows of c, with the numbers that a tile takes for a term side by side: see the file's head."""
    for i in range(0, rows - rows % ROWS, ROWS):
        for k in range(depth):
            copy(ROWS, to, at + i * depth + k * ROWS, a, at_a + i + k * step)


@inner
def divide(n, parts, whole):
    """n in so many parts or a few less, each a multiple of `whole` but for the last: the size of one."""
    return ((n + parts - 1) // parts + whole - 1) // whole * whole


@inner
def up_to_multiple(n, of):
    return (n + of - 1) // of * of


@inner
def share(rows, panels, small, large):
    """Rows of a task: many where that gives tasks enough, for every number of threads the same."""
    return large if (rows + large - 1) // large * panels >= ENOUGH else small


@inner
def part_of_row(c, m, n, a, row, step, b, start, bias, activation):
    """Row m of c, SINGLE vectors from column n on."""
    K, N = b.shape
    count, at = N - n, m * N + n
    acc = load_tile_part(1, SINGLE, c, at, 0, count) if start == ADD else zeros(SINGLE)
    for k in range(K):
        acc = fma_outer_part(acc, 1, a, m * row + k * step, 0, b, k * N + n, count)
    if bias.size:
        acc = add(acc, load_tile_part(1, SINGLE, bias, n, 0, count))
    store_tile_part(activate(acc, activation), 1, c, at, 0, count)


@kernel(matrix, matrix, i64, i64, matrix, i64, floats, i64)
def few_rows(c, a, row, step, b, start, bias, activation):
    for m in range(len(c)):
        for n in range(0, c.shape[1], SINGLE * LANES):
            part_of_row(c, m, n, a, row, step, b, start, bias, activation)


@kernel(matrix, matrix, i64, i64, matrix, i64, floats, i64, parallel=True)
def few_long_rows(c, a, row, step, b, start, bias, activation):
    M, N = c.shape
    parts = (N + SINGLE * LANES - 1) // (SINGLE * LANES)
    for task in prange(M * parts):
        part_of_row(c, task // parts, task % parts * SINGLE * LANES, a, row, step, b, start, bias, activation)


@inner
def rows_of_short_sums(first, rows, c, a, row, step, b, start, bias, activation):
    """Some whole rows of c."""
    (M, N), K = c.shape, b.shape[0]
    end = min(first + rows, M)
    whole = end - (end - first) % ROWS
    for n in range(0, N, WIDTH):
        count = N - n
        for m in range(first, whole, ROWS):
            at, at_a = m * N + n, m * row
            acc = load_tile_part(ROWS, WIDE, c, at, N, count) if start == ADD else zeros(TILE)
            for k in range(K):
                if count >= WIDTH:
                    acc = fma_outer(acc, ROWS, a, at_a + k * step, row, b, k * N + n, LANES)
                else:
                    acc = fma_outer_part(acc, ROWS, a, at_a + k * step, row, b, k * N + n, count)
            if bias.size:
                acc = add_row(acc, ROWS, load_tile_part(1, WIDE, bias, n, 0, count))
            store_tile_part(activate(acc, activation), ROWS, c, at, N, count)
    for m in range(whole, end):
        for n in range(0, N, SINGLE * LANES):
            part_of_row(c, m, n, a, row, step, b, start, bias, activation)


@kernel(matrix, matrix, i64, i64, matrix, i64, floats, i64, parallel=True)
def short_sums(c, a, row, step, b, start, bias, activation):
    """product for few terms: see the file's head."""
    M = len(c)
    if c.size * SHORT <= ALONE:
        rows_of_short_sums(0, M, c, a, row, step, b, start, bias, activation)
    else:
        rows = share(M, 1, 2 * ROWS, 4 * ROWS)
        for task in prange((M + rows - 1) // rows):
            rows_of_short_sums(task * rows, rows, c, a, row, step, b, start, bias, activation)


@inner
def share_of_panels(
    worker, c, a, row, step, b, transposed, start, bias, activation, totals, other, other_totals, memory
):  # fmt: skip
    """What one of the threads does."""
    (M, N), K = c.shape, b.shape[1] if transposed else b.shape[0]
    parts = 2 if other.size else 1  # of the terms
    workers, vectors = memory.shape[0], (N + LANES - 1) // LANES
    sharers = (workers + parts - 1) // parts  # threads for a part
    columns, rows, groups = (vectors + WIDE - 1) // WIDE, (M + CHUNK - 1) // CHUNK, 1  # panels, chunks, of panels
    if rows % sharers:  # the same work for every thread
        most = max(1, vectors // NARROW)
        groups = min(sharers, most) if LEAST * sharers > M else 1
        rows = min(up_to_multiple(rows, sharers // groups), (M + ROWS - 1) // ROWS)
        columns = min(up_to_multiple(columns, groups), most)
    chunk = divide(M, rows, ROWS)
    rows = (M + chunk - 1) // chunk
    wides = max(0, vectors - NARROW * columns)  # of the panels; the others, between them, are narrow
    together = (columns + groups - 1) // groups
    tasks, tiled = rows * groups, row == 1 and together > 1
    deepest = DEPTH if wides > 0 else DEEPER
    at = worker * MEMORY
    for task in range(worker * parts * tasks // workers, (worker + 1) * parts * tasks // workers):
        part, m, first = task // tasks, task % tasks // groups * chunk, task % groups * together
        to, sums_to = (other, other_totals) if part else (c, totals)
        count = min(chunk, M - m)
        k, stop = part * K // parts, (part + 1) * K // parts
        depth, begin = divide(stop - k, (stop - k + deepest - 1) // deepest, 1), WRITE if part else start
        while k < stop:
            terms = min(depth, stop - k)
            if tiled:
                copy_tiles(memory, at + AT_TILES, a, m * row + k * step, step, count, terms)
            for p in range(first, min(first + together, columns)):
                before, with_it = p * wides // columns, (p + 1) * wides // columns  # wide ones
                n = (p * NARROW + before) * LANES
                if with_it > before:
                    wide_panel(
                        to, m, count, n, a, row, step, k, terms, b, transposed, begin, bias, activation, sums_to,
                        memory, at, tiled,
                    )  # fmt: skip
                else:
                    narrow_panel(
                        to, m, count, n, a, row, step, k, terms, b, transposed, begin, bias, activation, sums_to,
                        memory, at, tiled,
                    )  # fmt: skip
            k, begin = k + terms, ADD


@kernel(
    matrix, matrix, i64, i64, matrix, i64, i64, floats, i64, floats, matrix, floats, matrix, parallel=True
)  # fmt: skip
def panels(c, a, row, step, b, transposed, start, bias, activation, totals, other, other_totals, memory):
    """product, with the memory (threads, MEMORY) of each thread; product_of_columns, with `other` for a half of it."""
    if len(memory) == 1:  # to meet takes a microsecond
        share_of_panels(
            0, c, a, row, step, b, transposed, start, bias, activation, totals, other, other_totals, memory
        )  # fmt: skip
    else:
        for worker in prange(len(memory)):
            share_of_panels(
                worker, c, a, row, step, b, transposed, start, bias, activation, totals, other, other_totals, memory
            )  # fmt: skip
    if other.size:
        for task in prange((other.size + PIECE - 1) // PIECE):
            for i in range(task * PIECE, min((task + 1) * PIECE, other.size), LANES):
                count = other.size - i
                store_part(load_part(c, i, count) + load_part(other, i, count), c, i, count)
        for i in range(other_totals.size):
            totals[i] += other_totals[i]


NONE, NO_MATRIX = np.empty(0, np.float32), np.empty((0, 0), np.float32)


class Memory(threading.local):
    def __init__(self) -> None:
        size = config.NUMBA_NUM_THREADS * MEMORY
        self.rows = aligned(size).reshape(-1, MEMORY)


_memory = Memory()


def product(c, a, row, step, b, start, bias, activation, totals, transposed=False):
    """c (M, N) = activation(a b + bias), plus c if start is ADD; element (m, k) of a is at m row + k step.

    b (K, N), or (N, K) if it is transposed. totals (N,), if it is not empty, gets the sums of the columns of b, or
    these added.
    """
    if len(c) <= FEW and not transposed and not totals.size:
        if c.size * len(b) <= SMALL:
            few_rows(c, a, row, step, b, start, bias, activation)
        else:
            few_long_rows(c, a, row, step, b, start, bias, activation)
        return
    if transposed and b.shape[1] <= SHORT:
        b, transposed = transposed_copy(b), False
    if len(b) <= SHORT and not transposed and not totals.size:
        short_sums(c, a, row, step, b, start, bias, activation)
        return
    M, N = c.shape
    memory = memory_for(M, N, b.shape[1] if transposed else b.shape[0])
    panels(c, a, row, step, b, transposed, start, bias, activation, totals, NO_MATRIX, NONE, memory)


def product_of_columns(c, a, b, start, totals):
    """c (M, N) = a^T b with a (K, M), b (K, N), plus c if start is ADD; totals as in `product`."""
    M, N = c.shape
    other, other_totals = NO_MATRIX, NONE
    if worth_halving(M, N, len(a)):
        memory = scratch(M * N + N)
        other, other_totals = memory[: M * N].reshape(M, N), memory[M * N : M * N + totals.size]
    memory = memory_for(M, N, len(a))
    panels(c, a, 1, M, b, False, start, NONE, LINEAR, totals, other, other_totals, memory)


def memory_for(M, N, K):
    """Of each thread that is to take part. A tile of few rows or terms takes as long as a whole one."""
    alone = max(M, ROWS) * max(N, WIDTH) * max(K, SHORT) <= ALONE
    return _memory.rows[:1] if alone else _memory.rows


def worth_halving(M, N, K):
    """Whether what is saved outweighs the second result, which is written and added: measured in whole steps, it still
    does for 784 x 512 weights and 256 samples, and not for 784 x 32 and 32."""
    return K >= 128 and M * N <= 2 * K * (M + N)


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


@inner
def transposed_rows(m, to, a):
    """LANES rows of a, LANES x LANES numbers at a time in registers."""
    M, N = a.shape
    for n in range(0, N, LANES):
        block = load_rows(LANES, M - m, a, m * N + n, N, N - n)
        store_rows(transpose(block), N - n, to, n * M + m, M, M - m)


@kernel(matrix, matrix, parallel=True)
def transposed(to, a):
    """to (N, M) = a^T."""
    if a.size <= PIECE:
        for m in range(0, len(a), LANES):
            transposed_rows(m, to, a)
    else:
        for task in prange((len(a) + LANES - 1) // LANES):
            transposed_rows(task * LANES, to, a)


def transposed_copy(a):
    """a^T, in memory that the next op may take."""
    to = scratch(a.size)[: a.size].reshape(a.shape[::-1])
    transposed(to, a)
    return to
