"""A dense layer with a sigmoid, and the binary cross-entropy of its output: dense_binary_crossentropy.cu."""

from __future__ import annotations

from .dense import LARGE, THREADS, choose, count
from .launcher import Source, blocks, machine_of
from .loss import weighted_sum

TOTAL_THREADS = 1024  # as in dense_binary_crossentropy.cu
FEW = 2048  # samples, two for each thread of the block that sums them without another launch

source = Source("dense_binary_crossentropy")


def dense_binary_crossentropy(total, loss, dz, x, w, b, t, weight, scale):
    N, I = x.shape
    O = w.shape[1]
    tile = choose(count(LARGE, N, O), O)
    tiles = blocks(O, tile.columns)  # of a sample
    parts = loss if tiles == 1 else machine_of(loss).scratch(tiles * N)
    kernel, grid = f"dense_binary_crossentropy_{tile.name}", count(tile, N, O)
    source.launch(kernel, grid, THREADS, parts, dz, x, w, b, t, weight, N, I, O, scale)
    one_block = tiles > 1 and N <= FEW
    if tiles > 1:
        grid, to = (1, total) if one_block else (blocks(N, TOTAL_THREADS), None)
        source.launch("binary_crossentropy_total", grid, TOTAL_THREADS, to, loss, parts, weight, N, tiles)
    if not one_block:
        weighted_sum(total, loss, weight)
