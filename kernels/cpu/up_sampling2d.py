"""Every pixel becomes a 2x2 block; one row of small pixels a task. Before a convolution: up_sampling2d_conv2d.py."""

from __future__ import annotations

from numba import prange

from .jit import kernel, lanes
from .simd import LANES, load, store


def up_sampling2d_forward(y, x):
    spread(y.data, x.data)


def up_sampling2d_backward(dx, dy):
    collect(dx.data, dy.data)


@kernel(lanes, lanes, parallel=True)
def spread(y, x):
    """y[2h + p, 2w + q] = x[h, w]."""
    B, H, W, C, _ = x.shape
    x_block, x_row, x_pixel = x.strides[0] // 4, x.strides[1] // 4, x.strides[2] // 4
    y_block, y_row, y_pixel = y.strides[0] // 4, y.strides[1] // 4, y.strides[2] // 4
    for task in prange(B * H):
        b, h = task // H, task % H
        for w in range(W):
            fro, to = b * x_block + h * x_row + w * x_pixel, b * y_block + 2 * h * y_row + 2 * w * y_pixel
            for i in range(0, C * LANES, LANES):
                pixel = load(x, fro + i)
                store(pixel, y, to + i)
                store(pixel, y, to + y_pixel + i)
                store(pixel, y, to + y_row + i)
                store(pixel, y, to + y_row + y_pixel + i)


@kernel(lanes, lanes, parallel=True)
def collect(dx, dy):
    """dx[h, w] is the sum of dy over its block."""
    B, H, W, C, _ = dx.shape
    x_block, x_row, x_pixel = dx.strides[0] // 4, dx.strides[1] // 4, dx.strides[2] // 4
    y_block, y_row, y_pixel = dy.strides[0] // 4, dy.strides[1] // 4, dy.strides[2] // 4
    for task in prange(B * H):
        b, h = task // H, task % H
        for w in range(W):
            to, fro = b * x_block + h * x_row + w * x_pixel, b * y_block + 2 * h * y_row + 2 * w * y_pixel
            for i in range(0, C * LANES, LANES):
                above = load(dy, fro + i) + load(dy, fro + y_pixel + i)
                below = load(dy, fro + y_row + i) + load(dy, fro + y_row + y_pixel + i)
                store(above + below, dx, to + i)
