"""Pooling by two: max_pool2d.cu."""

from __future__ import annotations

from .launcher import Source, blocks

THREADS = 256

source = Source("max_pool2d")


def max_pool2d_forward(y, winner, x):
    N, P, Q, C = y.shape
    source.launch("max_pool2d_forward", *cover(N * P, Q * C), y, winner, x, *x.shape, P, Q)


def max_pool2d_backward(dx, dy, winner):
    N, H, W, C = dx.shape
    source.launch("max_pool2d_backward", *cover(N * H, W * C), dx, dy, winner, N, H, W, C, *dy.shape[1:3])


def cover(rows, columns):
    """Grid and block for one thread an element: a block has several rows if they are short."""
    across = 32
    while across < min(columns, THREADS):
        across *= 2
    down = THREADS // across
    return (blocks(rows, down), blocks(columns, across)), (across, down)
