"""The same elements in another shape, and what else moves data without arithmetic worth the name."""

from __future__ import annotations

import numpy as np


def reshape_forward(y, x):
    y[...] = x.reshape(y.shape)


def reshape_backward(dx, dy):
    dx[...] = dy.reshape(dx.shape)


def rescale_forward(y, x, scale, offset):
    y[...] = x * scale + offset


def rescale_backward(dx, dy, scale):
    dx[...] = dy * scale


def add(y, x):
    y += x


def gather(x, data, rows, flag):
    # A value too large for x's type becomes infinite here, and is counted.
    with np.errstate(over="ignore"):
        x[...] = data[rows]
    if not np.isfinite(x).all():
        flag[0] = 1
