"""A dense layer with a sigmoid, and the binary cross-entropy of its output: dense_binary_crossentropy.cu."""

from __future__ import annotations

from .dense import LARGE, THREADS, choose, count
from .launcher import Source, blocks, machine_of

source = Source("dense_binary_crossentropy")


def dense_binary_crossentropy(loss, dz, x, w, b, t, weight, scale):
    N, I = x.shape
    O = w.shape[1]
    tile = choose(count(LARGE, N, O), O)
    tiles = blocks(O, tile.columns)  # of a sample
    parts = loss if tiles == 1 else machine_of(loss).scratch(tiles * N)
    kernel, grid = f"dense_binary_crossentropy_{tile.name}", count(tile, N, O)
    source.launch(kernel, grid, THREADS, parts, dz, x, w, b, t, weight, N, I, O, scale)
    if tiles > 1:
        source.launch("binary_crossentropy_total", blocks(N, THREADS), THREADS, loss, parts, N, tiles)
