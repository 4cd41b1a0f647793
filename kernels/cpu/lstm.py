"""Long short-term memory: each block of samples is walked through time by one thread.

Forward. A register tile holds the four gates of G units: 4 G vectors, to which every feature of x_t and every unit of
h_(t-1) adds 4 G numbers times one vector. The weights are packed once a call in the order in which the tile meets
them; the gates, c and h are computed where the sums are.

Backward. One walk back through time leaves dz, the gradient of the gates' sums, in memory of the thread's own, and on
its way dh_(t-1) = dz_t wh^T and dx_t = dz_t wx^T come from tiles of ROWS vectors. Then dw = sum over time of x_t dz_t
and h_(t-1) dz_t, in tiles of vectors whose lanes are added up at the end. What each task sums is kept apart and added
in the tasks' order: their number follows from the batch, so no bit depends on how many threads there are.

`zx` is the input's share of the sums, x wx + b, where it is the same at all steps: see repeat_vector_lstm.py.

Measured for 28 steps, 28 features, 32 units and 128 samples: forward 116 and backward 119 GFLOP/s on a core of 215 (469
and 921 us); with AVX2 66 and 72. The gates take a quarter of forward.

Tried and lost, in per cent of 160 GFLOP/s: sigmoid and tanh from the general exp (50 against 62 % in forward); loops
of one term, not four (62 against 67 %); dz that begins at no cache line (59 against 67 % in backward); a dz for each
task, not each thread, which falls out of the cache (71 against 74 %); tiles of 2 x 8 for dw (worse where memory is
slow); prefetching the step before (1 %); weights packed number by number (7 us a call).
"""

from __future__ import annotations

import numpy as np
from numba import config, get_thread_id, prange

from .jit import floats, i64, inner, kernel, lanes, matrix, scratch
from .repeat_vector import spread, total
from .simd import (
    LANES,
    REGISTERS,
    add,
    fma,
    fma_packed,
    fma_vectors,
    lanes_below,
    load,
    load_part,
    load_rows,
    load_tile,
    multiply,
    part,
    sigmoid,
    sigmoid_gradient,
    splat,
    steps,
    store,
    store_first,
    store_part,
    store_rows,
    store_tile,
    sums,
    tanh,
    tanh_gradient,
    transpose,
    where,
    zeros,
)

G = 4 if REGISTERS == 32 else 2  # units in a tile of the walk forward
FORGET, CELL, OUTPUT, GATES = G, 2 * G, 3 * G, 4 * G  # where the gates' vectors begin in it, and how many they are
ROWS = 16 if REGISTERS == 32 else 8  # features in a tile of dx and dh
FEATURES, COLUMNS = (4, 4) if REGISTERS == 32 else (4, 2)  # of dw in a tile
CELLS = FEATURES * COLUMNS
CELL_VECTORS = CELLS // LANES  # that hold its sums
RUN = 4  # terms of a sum taken at once: the loop itself costs a tenth
TASKS = 32  # that backward is split into, at most

NONE, NONE_ROWS = np.empty(0, np.float32), np.empty((0, 0), np.float32)
NONE_LANES = np.empty((0, 0, 0, 0, 0), np.float32)


def lstm_forward(h, c, gates, x, wx, wh, b):
    memory = scratch(forward_size(len(wx), len(wh), 1))
    forward(h.data, c.data, gates.data, x.data, NONE_ROWS, wx, wh, NONE if b is None else b, memory)


def lstm_backward(dx, dwx, dwh, db, dh, h, c, gates, x, wx, wh, accumulate):
    I, (N, T, U) = len(wx), h.shape
    tasks, packed, partial, work = backward_sizes(N, T, I, U)
    memory = scratch(packed + partial + work)
    backward(
        NONE_LANES if dx is None else dx.data, NONE_ROWS if dwx is None else dwx, NONE_ROWS if dwh is None else dwh,
        NONE if db is None else db, NONE_ROWS, dh.data, h.data, c.data, gates.data, x.data, wx, wh, N, accumulate,
        memory[:packed], memory[packed : packed + partial], memory[packed + partial :], tasks,
    )  # fmt: skip


def last_step_forward(y, h):
    total(y, h.data, h.shape[1] - 1)


def last_step_backward(dh, dy):
    spread(dh.data, dy, dh.shape[1] - 1)


@inner
def up(n, step):
    """n rounded up to a multiple of step."""
    return (n + step - 1) // step * step


def forward_size(I, U, starts):
    """Floats of memory: packed weights, and the vectors that the sums start from."""
    return (I + U) * 4 * (U + G) + starts * (4 * U + LANES) * LANES


def backward_sizes(N, T, I, U):
    """The number of tasks, and floats: packed weights, what each task sums, and where each thread works."""
    J, round_up, tasks = 4 * U, up.py_func, min(-(-N // LANES), TASKS)
    packed = (round_up(U, ROWS) + round_up(I, ROWS)) * J
    partial = (round_up(I, FEATURES) + round_up(U, FEATURES)) * J + round_up(J, LANES)
    work = (T * (J + 1) + 2 * U + LANES) * LANES
    return tasks, packed, tasks * partial, config.NUMBA_NUM_THREADS * work


# ---- forward --------------------------------------------------------------------------------------------------------
@kernel(lanes, lanes, lanes, lanes, matrix, matrix, matrix, floats, floats, parallel=True)
def forward(h, c, gates, x, zx, wx, wh, b, memory):
    """Parallel over blocks. The sums start from b and x wx is added, or they start from zx and wx is empty."""
    B, _, T, U, _ = h.shape
    I, J = wx.shape[0], 4 * U
    pack_gates(memory, wx, 0, I + U, U)
    pack_gates(memory, wh, I, I + U, U)
    starts = (I + U) * up(U, G) * 4
    if not zx.size:
        for j in range(J):
            store(splat(b[j] if b.size else np.float32(0)), memory, starts + j * LANES)
    if B == 1:  # one sample, above all
        begin_and_walk(h, c, gates, x, zx, 0, I, memory, starts)
    else:
        for block in prange(B):
            begin_and_walk(h, c, gates, x, zx, block, I, memory, starts)


@inner
def begin_and_walk(h, c, gates, x, zx, block, I, memory, start):
    """One block, from where its sums start."""
    if zx.size:
        J = zx.shape[1]
        start += block * (J + LANES) * LANES
        for j in range(0, J, LANES):
            rows = load_rows(LANES, zx.shape[0] - block * LANES, zx, block * LANES * J + j, J, J - j)
            store_tile(transpose(rows), LANES, memory, start + j * LANES, LANES, 0)
    walk(h, c, gates, x, block, I, memory, start)


@inner
def pack_gates(packed, w, first_row, rows, U):
    """w as rows from `first_row` of [group of G units][row][gate][unit], zeros behind the last unit."""
    for u in range(0, U, G):
        at = (u * rows + first_row * G) * 4
        for k in range(w.shape[0]):
            for gate in range(4):
                store_part(load_part(w, (k * 4 + gate) * U + u, U - u), packed, at, G)
                at += G


@inner
def walk(h, c, gates, x, block, I, memory, start):
    """One block through all steps."""
    T, U = h.shape[2], h.shape[3]
    h_step, c_step, g_step, x_step = h.strides[2] // 4, c.strides[2] // 4, gates.strides[2] // 4, x.strides[2] // 4
    at_h, at_c = block * (h.strides[0] // 4), block * (c.strides[0] // 4)
    at_g, at_x = block * (gates.strides[0] // 4), block * (x.strides[0] // 4)
    for t in range(T):
        at_w = 0
        for u in range(0, U, G):
            z = load_tile(4, G, memory, start + u * LANES, U * LANES, LANES)
            fro = at_x
            for _ in range(I // RUN):
                z = fma_packed(z, RUN, memory, at_w, x, fro)
                at_w += RUN * GATES
                fro += RUN * LANES
            for _ in range(I % RUN):
                z = fma_packed(z, 1, memory, at_w, x, fro)
                at_w += GATES
                fro += LANES
            fro = at_h - h_step
            for _ in range(U // RUN if t > 0 else 0):
                z = fma_packed(z, RUN, memory, at_w, h, fro)
                at_w += RUN * GATES
                fro += RUN * LANES
            for _ in range(U % RUN if t > 0 else 0):
                z = fma_packed(z, 1, memory, at_w, h, fro)
                at_w += GATES
                fro += LANES
            if t == 0:
                at_w += U * GATES
            i, f = sigmoid(part(z, 0, G)), sigmoid(part(z, FORGET, G))
            g, o = tanh(part(z, CELL, G)), sigmoid(part(z, OUTPUT, G))
            state = multiply(i, g)
            if t > 0:
                state = fma(f, load_tile(1, G, c, at_c - c_step + u * LANES, 0, LANES), state)
            to, count = at_g + u * LANES, U - u
            store_first(i, G, count, gates, to, LANES, 0)
            store_first(f, G, count, gates, to + U * LANES, LANES, 0)
            store_first(g, G, count, gates, to + 2 * U * LANES, LANES, 0)
            store_first(o, G, count, gates, to + 3 * U * LANES, LANES, 0)
            store_first(state, G, count, c, at_c + u * LANES, LANES, 0)
            store_first(multiply(o, tanh(state)), G, count, h, at_h + u * LANES, LANES, 0)
        at_h, at_c, at_g, at_x = at_h + h_step, at_c + c_step, at_g + g_step, at_x + x_step


# ---- backward -------------------------------------------------------------------------------------------------------
@kernel(
    lanes, matrix, matrix, floats, matrix, lanes, lanes, lanes, lanes, lanes, matrix, matrix, i64, i64, floats, floats,
    floats, i64, parallel=True,
)  # fmt: skip
def backward(dx, dwx, dwh, db, dzx, dh, h, c, gates, x, wx, wh, N, accumulate, packed, partial, work, tasks):
    """Parallel over tasks of some blocks each. What has no size is not asked for; dzx is the sum of dz over time."""
    B, _, T, U, _ = h.shape
    I, J = wx.shape[0], 4 * U
    pack_rows(packed, 0, wh)
    if dx.size:
        pack_rows(packed, up(U, ROWS) * J, wx)
    size, dz_step = partial.size // tasks, (J + 1) * LANES  # steps are no power of two apart
    each = T * dz_step + (2 * U + LANES) * LANES
    h_cells, biases = up(I, FEATURES) * J, (up(I, FEATURES) + up(U, FEATURES)) * J
    for task in prange(tasks):
        first, to, dz = task * B // tasks, task * size, get_thread_id() * each
        for block in range(first, (task + 1) * B // tasks):
            walk_back(dx, dh, h, c, gates, block, N - block * LANES, packed, work, dz, dz_step)
            if dwx.size:
                fro = block * (x.strides[0] // 4)
                products(partial, to, block > first, x, fro, x.strides[2] // 4, I, work, dz, dz_step, J, T)
            if dwh.size:
                fro = block * (h.strides[0] // 4)
                products(
                    partial, to + h_cells, block > first, h, fro, h.strides[2] // 4, U, work, dz + dz_step, dz_step, J,
                    T - 1,
                )  # fmt: skip
            if db.size or dzx.size:
                over_time(dzx, partial, to + biases, block > first, db.size > 0, block, N, work, dz, dz_step, J, T)
    for i in range(0, size, LANES):
        cells = load(partial, i)
        for task in range(1, tasks):
            cells = cells + load(partial, task * size + i)
        store(cells, partial, i)
    write(dwx, partial, 0, accumulate)
    write(dwh, partial, h_cells, accumulate)
    for j in range(db.size):
        db[j] = partial[biases + j] + (db[j] if accumulate else np.float32(0))


@inner
def pack_rows(packed, at, w):
    """w (K, 4U) as [group of ROWS rows][column][row], zeros behind the last row."""
    K, J = w.shape
    for first in range(0, K, ROWS):
        for k in range(first, first + ROWS, LANES):
            for j in range(0, J, LANES):
                columns = transpose(load_rows(LANES, K - k, w, k * J + j, J, J - j))
                store_first(columns, LANES, J - j, packed, at + j * ROWS + k - first, ROWS, 0)
        at += J * ROWS


@inner
def walk_back(dx, dh, h, c, gates, block, samples, packed, work, dz, dz_step):
    """dz of one block at work[dz], and dx. Behind the last sample dz is zero, whatever dh is there."""
    T, U, I = h.shape[2], h.shape[3], dx.shape[3]
    J, gate, c_step = 4 * U, U * LANES, c.strides[2] // 4
    dc_next = dz + T * dz_step
    dh_next = dc_next + U * LANES  # what step t+1 sends back to step t
    real, nothing = lanes_below(samples), splat(np.float32(0))
    for u in range(2 * U):
        store(nothing, work, dc_next + u * LANES)
    for t in range(T - 1, -1, -1):
        fro_h, fro_c = block * (dh.strides[0] // 4) + t * (dh.strides[2] // 4), block * (c.strides[0] // 4) + t * c_step
        fro, to = block * (gates.strides[0] // 4) + t * (gates.strides[2] // 4), dz + t * dz_step
        for u in range(0, U * LANES, LANES):
            i, f = load(gates, fro + u), load(gates, fro + gate + u)
            g, o = load(gates, fro + 2 * gate + u), load(gates, fro + 3 * gate + u)
            c_before = load(c, fro_c - c_step + u) if t > 0 else nothing
            tanh_c = tanh(load(c, fro_c + u))
            dh_t = where(real, load(dh, fro_h + u), nothing) + load(work, dh_next + u)
            dc = load(work, dc_next + u) + tanh_gradient(dh_t * o, tanh_c)
            store(sigmoid_gradient(dc * g, i), work, to + u)
            store(sigmoid_gradient(dc * c_before, f), work, to + gate + u)
            store(tanh_gradient(dc * i, g), work, to + 2 * gate + u)
            store(sigmoid_gradient(dh_t * tanh_c, o), work, to + 3 * gate + u)
            store(dc * f, work, dc_next + u)
        if t > 0:
            times(work, dh_next, U, packed, 0, work, to, J)
        if dx.size:
            at_x = block * (dx.strides[0] // 4) + t * (dx.strides[2] // 4)
            times(dx, at_x, I, packed, up(U, ROWS) * J, work, to, J)


@inner
def times(y, at_y, rows, packed, at_w, z, at_z, J):
    """y = w z for the `rows` packed rows of w and J vectors z."""
    for first in range(0, rows, ROWS):
        acc = zeros(ROWS)
        fro = at_z
        for _ in range(J // RUN):  # J is four times the units
            acc = fma_packed(acc, RUN, packed, at_w, z, fro)
            at_w += RUN * ROWS
            fro += RUN * LANES
        store_first(acc, ROWS, rows - first, y, at_y + first * LANES, LANES, 0)


@inner
def products(partial, to, add_to, a, at_a, a_step, K, dz, at_z, z_step, J, T):
    """Sums over T steps and the samples of a block of a_k dz_j, in tiles [COLUMNS of j][FEATURES of k].

    Features behind the last one are the next step's: their sums are not used.
    """
    rows, columns = steps(FEATURES, LANES), steps(COLUMNS, LANES)
    for j in range(0, J, COLUMNS):
        for k in range(0, K, FEATURES):
            acc = zeros(CELLS)
            fro_a, fro_z = at_a + k * LANES, at_z + j * LANES
            for _ in range(T // RUN):
                for _ in range(RUN):
                    acc = fma_vectors(acc, a, fro_a, rows, dz, fro_z, columns)
                    fro_a += a_step
                    fro_z += z_step
            for _ in range(T % RUN):
                acc = fma_vectors(acc, a, fro_a, rows, dz, fro_z, columns)
                fro_a += a_step
                fro_z += z_step
            cells = sums(acc)
            if add_to:
                cells = add(cells, load_tile(1, CELL_VECTORS, partial, to, 0, LANES))
            store_tile(cells, 1, partial, to, 0, LANES)
            to += CELLS


@inner
def over_time(dzx, partial, to, add_to, with_db, block, N, dz, at_z, z_step, J, T):
    """The sum of dz over T steps: as a row for each sample in dzx, and summed over the samples too for db."""
    for j in range(0, J, LANES):
        acc = zeros(LANES)
        fro = at_z + j * LANES
        for _ in range(T):
            acc = add(acc, load_tile(1, LANES, dz, fro, 0, LANES))
            fro += z_step
        if dzx.size:
            store_rows(transpose(acc), N - block * LANES, dzx, block * LANES * J + j, J, J - j)
        if with_db:
            over_samples = sums(acc)[0]
            if add_to:
                over_samples = over_samples + load(partial, to + j)
            store(over_samples, partial, to + j)


@inner
def write(dw, partial, at, accumulate):
    """dw from tiles of sums."""
    K, J = dw.shape
    for j in range(0, J, COLUMNS):
        for k in range(0, K, FEATURES):
            for row in range(k, min(k + FEATURES, K)):
                place = row * J + j
                cells = load_part(partial, at + (row - k) * COLUMNS, COLUMNS)
                if accumulate:
                    cells = cells + load_part(dw, place, COLUMNS)
                store_part(cells, dw, place, COLUMNS)
            at += CELLS
