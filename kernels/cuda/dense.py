"""y = activation(x w + b): dense.cu. Here the tiles are chosen, and how many blocks share a sum, from shapes alone."""

from __future__ import annotations

from typing import NamedTuple

from .activation import ACTIVATIONS
from .launcher import Source, blocks, machine_of
from .precision import matmul_precision

THREADS = 256  # gemm.cuh's PRODUCT_THREADS
ENOUGH = 100  # blocks that give work to most of an H100's 132 multiprocessors
PLENTY = 264  # two for each of them
SHORTEST = 256  # rows that are worth a block of their own

source = Source("dense")


class Tile(NamedTuple):
    """One of gemm.cuh's tiles, and how the names of its kernels end."""

    name: str
    rows: int
    columns: int
    depth: int


SMALL, LARGE = Tile("small", 16, 32, 64), Tile("large", 128, 64, 16)


def dense_forward(y, x, w, b, activation):
    I, O = w.shape
    N = x.size // I
    tile = choose(count(LARGE, N, O), O)
    kernel, grid = f"dense_forward_{tile.name}", count(tile, N, O)
    source.launch(kernel, grid, THREADS, y, x, w, b, N, I, O, ACTIVATIONS[activation])


def dense_backward(dx, dw, db, dy, y, x, w, activation, accumulate):
    """Scratch 0 and 1 are overwritten."""
    I, O = w.shape
    N = x.size // I
    tile = backward_tile(x, w, dx, dw)
    tiles = 0 if dw is db is None else count(tile, 1 if dw is None else I, O)
    splits, rows = split(N, tiles, tile)
    dw_parts, db_parts = dw, db
    if splits > 1:
        machine = machine_of(dy)
        dw_parts = None if dw is None else machine.scratch(splits * I * O, 0)
        db_parts = None if db is None else machine.scratch(splits * O, 1)
    grid = splits * tiles + (0 if dx is None else count(tile, N, I))
    arguments = dx, dw_parts, db_parts, dy, y, x, w, N, I, O, ACTIVATIONS[activation], accumulate and splits == 1
    source.launch(f"dense_backward_{tile.name}", grid, THREADS, *arguments, splits * tiles, rows)
    if splits > 1:
        sizes = 0 if dw is None else I * O, 0 if db is None else O
        grid = blocks(sum(sizes), THREADS)
        source.launch("dense_add_splits", grid, THREADS, dw, db, dw_parts, db_parts, *sizes, splits, accumulate)


def backward_tile(x, w, dx, dw) -> Tile:
    """The tile for those of dx and dw that are wanted."""
    I, O = w.shape
    N = x.size // I
    of_dx = [] if dx is None else [count(LARGE, N, I)]  # large tiles
    of_dw = [] if dw is None else [count(LARGE, I, O) * max(1, N // SHORTEST)]
    return choose(min(of_dx + of_dw, default=0), min(I, O))


def choose(large_tiles: int, width: int) -> Tile:
    """The tile for products that would have so many large tiles, and no matrix narrower than this."""
    if large_tiles < ENOUGH or width <= SMALL.columns:
        return SMALL
    precision = matmul_precision()
    return LARGE if precision == "float32" else LARGE._replace(name=precision)


def count(tile: Tile, M: int, N: int) -> int:
    """How many tiles cover a result (M, N)."""
    return blocks(M, tile.rows) * blocks(N, tile.columns)


def split(N: int, tiles: int, tile: Tile) -> tuple[int, int]:
    """Into how many parts a sum over N rows is split where there are so many tiles, and the rows of a part."""
    parts = max(1, min(blocks(PLENTY, tiles), N // SHORTEST)) if tiles else 1
    rows = blocks(blocks(N, parts), tile.depth) * tile.depth
    return blocks(N, rows), rows
