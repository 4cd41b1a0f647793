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
def unpool_row(dx, to, rim, dy, fro, winner, fro_winner, h, last):
    """dx is dy at the winner's place and zero elsewhere: in a row of windows, around it, and below the `last` one.

    rim is how many rows and columns of zeros there are to be around dx.
    """
    H, W, vectors = dx.shape[1], dx.shape[2], dy.shape[3] * LANES
    row, pixel = dx.strides[1] // 4, dx.strides[2] // 4
    above, below = to + 2 * h * row, to + (2 * h + 1) * row
    nothing, two_rows, columns = splat(0), 2 * h + 1 < H, min(W, 2 * dy.shape[2])
    for w in range(0, columns, 2):
        for i in range(0, vectors, LANES):
            d, k = load(dy, fro), load_bytes(winner, fro_winner)
            store(where(k == splat(0), d, nothing), dx, above + i)
            if w + 1 < W:
                store(where(k == splat(1), d, nothing), dx, above + pixel + i)
            if two_rows:
                store(where(k == splat(2), d, nothing), dx, below + i)
                if w + 1 < W:
                    store(where(k == splat(3), d, nothing), dx, below + pixel + i)
            fro, fro_winner = fro + LANES, fro_winner + LANES
        above, below = above + 2 * pixel, below + 2 * pixel
    for y in range(2 * h, min(2 * h + 2, H)):
        clear(dx, to + y * row - rim[1] * pixel, rim[1] * vectors)
        clear(dx, to + y * row + columns * pixel, (W - columns + rim[1]) * vectors)
    for y in range(-rim[0], 0 if h == 0 else -rim[0]):
        clear(dx, to + y * row - rim[1] * pixel, (W + 2 * rim[1]) * vectors)
    for y in range(min(2 * h + 2, H), H + rim[0] if last else 0):
        clear(dx, to + y * row - rim[1] * pixel, (W + 2 * rim[1]) * vectors)


@inner
def unpool_rows(dx, to, rim, dy, b, winner, first, last):
    """unpool_row for rows of windows of block b, from the `first` to before the `last`."""
    for h in range(first, last):
        fro = b * (dy.strides[0] // 4) + h * (dy.strides[1] // 4)
        fro_winner = b * winner.strides[0] + h * winner.strides[1]
        unpool_row(dx, to, rim, dy, fro, winner, fro_winner, h, h == dy.shape[1] - 1)


@inner
def clear(x, at, count):
    """Zeros in whole vectors."""
    for i in range(at, at + count, LANES):
        store(splat(0), x, i)


@kernel(lanes, lanes, winners, parallel=True)
def unpool(dx, dy, winner):
    """One row of windows a task."""
    B, H, _, _, _ = dy.shape
    for task in prange(B * H):
        b, h = task // H, task % H
        unpool_rows(dx, b * (dx.strides[0] // 4), (0, 0), dy, b, winner, h, h + 1)
