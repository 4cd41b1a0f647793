"""Long short-term memory: lstm.cu. The products with wx are those of a dense layer on all samples' steps."""

from __future__ import annotations

from math import prod

from .dense import dense_backward, dense_forward
from .launcher import Source, blocks, machine_of
from .repeat_vector import spread, total

BLOCKS = 264  # that work is cut into where there is enough of it: two for each multiprocessor of an H100
ROWS, COLUMNS, SHARE = 128, 64, 64  # gemm.cuh's large tile, for the weights' gradients, and rows worth a block
THREADS = 256  # also of a product
DZ, ZX, PARTIAL = 10, 11, 12  # scratch memories, apart from those of the dense layers' products

source = Source("lstm")


def lstm_forward(h, c, gates, x, wx, wh, b):
    dense_forward(gates, x, wx, b, "linear")
    walk(h, c, gates, None, wh)


def lstm_backward(dx, dwx, dwh, db, dh, h, c, gates, x, wx, wh, accumulate):
    dz = machine_of(h).scratch(gates.size, DZ).reshape(gates.shape)
    walk_back(dz, None, dh, c, gates, wh)
    if dx is not None:
        dense_backward(dx, None, None, dz, None, x, wx, "linear", False)
    weight_gradients(dwx, dwh, db, dz, x, h, accumulate)


def last_step_forward(y, h):
    total(y, h, h.shape[1] - 1)


def last_step_backward(dh, dy):
    spread(dh, dy, dh.shape[1] - 1)


def walk(h, c, gates, zx, wh):
    """h, c and gates from x wx + b, which is in zx (N, 4U) if it is the same at every step, and else in the gates."""
    launch_walk("walk", *h.shape, h, c, gates, zx, wh)


def walk_back(dz, dzx, dh, c, gates, wh):
    """The gradient of the gates' sums in dz (N, T, 4U), and added up over the steps in dzx (N, 4U)."""
    launch_walk("walk_back", *c.shape, dz, dzx, dh, c, gates, wh)


def launch_walk(kernel, N, T, U, *arrays):
    """Up to 64 units registers hold the weights; with more, more samples share what is read where there are enough."""
    samples = 8 if U > 64 and N >= 4 * BLOCKS else 4  # of a block
    if max(samples * T, U) * 4 * U >= 2**31:
        raise ValueError(f"LSTM: {T} steps of {U} units are more than a block of the CUDA kernels can count")
    kernel += "_32_units" if U <= 32 else "_64_units" if U <= 64 else f"_{samples}_samples"
    source.launch(kernel, blocks(N, samples), 128 if U <= 32 else 256, *arrays, N, T, U)


def weight_gradients(dwx, dwh, db, dz, x, h, accumulate):
    """dwx, dwh and db from dz: sums over shares of the rows, and then the sum of those."""
    if dwx is None and dwh is None and db is None:
        return
    N, T, U = h.shape
    J, rows = 4 * U, N * T
    I, U = 0 if dwx is None else x.shape[2], 0 if dwh is None else U
    features = up(I + 1 + U, 4)
    tiles = blocks(features, COLUMNS), blocks(J, ROWS)
    shares = max(1, min(BLOCKS // prod(tiles), rows // SHARE))
    partial = machine_of(h).scratch(shares * J * features, PARTIAL)
    source.launch("weight_partials", (*tiles, shares), THREADS, partial, dz, x, h, rows, I, U, J, T)
    grid = blocks(J * features, THREADS)
    source.launch("weight_gradients", grid, THREADS, dwx, dwh, db, partial, I, U, J, shares, accumulate)


def up(n, step):
    """n rounded up to a multiple of step."""
    return blocks(n, step) * step
