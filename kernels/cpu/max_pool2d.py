"""Maximum of 2x2 windows, one row of windows a task, all samples of a block at once."""

from __future__ import annotations

from numba import prange

from .jit import inner, kernel, lanes, winners
from .simd import LANES, larger, load, load_bytes, place_of_larger, splat, store, store_bytes, where


def max_pool2d_forward(y, winner, x):
    pool(y.data, winner.data, x.data)


def max_pool2d_backward(dx, dy, winner):
    unpool(dx.data, dy.data, winner.data)


@kernel(lanes, winners, lanes, parallel=True)
def pool(y, winner, x):
    """A window that sticks out of the image has its inside only."""
    B, H, W, C, _ = y.shape
    y_block, y_row = y.strides[0] // 4, y.strides[1] // 4
    x_block, x_row, x_pixel = x.strides[0] // 4, x.strides[1] // 4, x.strides[2] // 4
    for task in prange(B * H):
        b, h = task // H, task % H
        to, to_winner = b * y_block + h * y_row, b * winner.strides[0] + h * winner.strides[1]
        for w in range(W):
            fro = b * x_block + 2 * h * x_row + 2 * w * x_pixel
            right, below = 2 * w + 1 < x.shape[2], 2 * h + 1 < x.shape[1]
            for _ in range(C):
                best, place = load(x, fro), splat(0)
                if right:
                    place = place_of_larger(place, best, load(x, fro + x_pixel), 1)
                    best = larger(best, load(x, fro + x_pixel))
                if below:
                    place = place_of_larger(place, best, load(x, fro + x_row), 2)
                    best = larger(best, load(x, fro + x_row))
                if right and below:
                    place = place_of_larger(place, best, load(x, fro + x_row + x_pixel), 3)
                    best = larger(best, load(x, fro + x_row + x_pixel))
                store(best, y, to)
                store_bytes(place, winner, to_winner)
                fro, to, to_winner = fro + LANES, to + LANES, to_winner + LANES


@inner
def unpool_row(dx, to, dy, fro, winner, fro_winner, h, last):
    """dx is dy at the winner's place and zero elsewhere: in a row of windows, and below the `last` one to the end."""
    W, C = dy.shape[2], dy.shape[3]
    x_row, x_pixel = dx.strides[1] // 4, dx.strides[2] // 4
    nothing = splat(0)
    for row in range(2 * h, dx.shape[1] if last else 2 * h + 2):
        at = to + row * x_row
        for column in range(dx.shape[2]):
            if row < 2 * h + 2 and column < 2 * W:
                here, window = splat(row % 2 * 2 + column % 2), column // 2 * C * LANES
                for i in range(0, C * LANES, LANES):
                    mine = load_bytes(winner, fro_winner + window + i) == here
                    store(where(mine, load(dy, fro + window + i), nothing), dx, at + i)
            else:
                for i in range(0, C * LANES, LANES):
                    store(nothing, dx, at + i)
            at += x_pixel


@kernel(lanes, lanes, winners, parallel=True)
def unpool(dx, dy, winner):
    """One row of windows a task."""
    B, H, W, C, _ = dy.shape
    y_block, y_row = dy.strides[0] // 4, dy.strides[1] // 4
    for task in prange(B * H):
        b, h = task // H, task % H
        fro_winner = b * winner.strides[0] + h * winner.strides[1]
        unpool_row(dx, b * (dx.strides[0] // 4), dy, b * y_block + h * y_row, winner, fro_winner, h, h == H - 1)
