"""Convolution (cross-correlation) with stride 1.

All three directions are one contraction: of the J x K windows of an image with something. Forward contracts x's windows
with w over (J, K, C); the gradient of x contracts the windows of dz with w turned by 180 degrees over (J, K, O); the
gradient of w contracts x's windows with dz over all pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .activation import activate, through_activation
from .parameter_gradient import write_or_add


def windows(x, J, K, border):
    """Every J x K window of x with a border of zeros: (N, H', W', C, J, K), a view."""
    by, bx = border
    x = np.pad(x, ((0, 0), (by, by), (bx, bx), (0, 0)))
    return sliding_window_view(x, (J, K), axis=(1, 2))


def border_of(w, padding):
    J, K = w.shape[:2]
    return (J // 2, K // 2) if padding == "same" else (0, 0)


def conv2d_forward(y, x, w, b, padding, activation):
    J, K = w.shape[:2]
    patches = windows(x, J, K, border_of(w, padding))
    z = np.tensordot(patches, w, axes=([4, 5, 3], [0, 1, 2]))  # (N, H, W, O)
    if b is not None:
        z += b
    y[...] = activate(z, activation)


def conv2d_backward(dx, dw, db, dy, y, x, w, padding, activation, accumulate):
    J, K = w.shape[:2]
    by, bx = border_of(w, padding)
    dz = through_activation(dy, y, activation)
    if dx is not None:
        # x[h] reached z[h - j + by] through tap j, so the border that makes all of them exist is J - 1 - by
        patches = windows(dz, J, K, (J - 1 - by, K - 1 - bx))
        dx[...] = np.tensordot(patches, w[::-1, ::-1], axes=([4, 5, 3], [0, 1, 3]))
    if dw is not None:
        patches = windows(x, J, K, (by, bx))
        gradient = np.tensordot(patches, dz, axes=([0, 1, 2], [0, 1, 2]))  # (C, J, K, O)
        write_or_add(dw, gradient.transpose(1, 2, 0, 3), accumulate)
    if db is not None:
        write_or_add(db, dz.sum(axis=(0, 1, 2)), accumulate)
