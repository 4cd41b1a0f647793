"""Convolution (cross-correlation) with stride 1, as matrix products (im2col: Chellapilla, Puri & Simard 2006).

A pixel of the output sees J x K pixels of the input. With these laid out as one row a pixel, (N H W, J K C), all three
directions are one product: forward multiplies x's rows by w, the gradient of w is x's rows transposed times dz, and the
gradient of x multiplies dz's rows by w turned by 180 degrees.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .activation import activate, through_activation
from .parameter_gradient import write_or_add


def rows_of_windows(x, J, K, border):
    """Every J x K window of x with a border of zeros, as a row: (N H' W', J K C)."""
    by, bx = border
    bordered = np.pad(x, ((0, 0), (by, by), (bx, bx), (0, 0)))
    windows = sliding_window_view(bordered, (J, K), axis=(1, 2))  # (N, H', W', C, J, K), a view
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, J * K * x.shape[3])


def border_of(w, padding):
    J, K = w.shape[:2]
    return (J // 2, K // 2) if padding == "same" else (0, 0)


def conv2d_forward(y, x, w, b, padding, activation):
    J, K, C, O = w.shape
    z = rows_of_windows(x, J, K, border_of(w, padding)) @ w.reshape(-1, O)
    if b is not None:
        z += b
    y[...] = activate(z, activation).reshape(y.shape)


def conv2d_backward(dx, dw, db, dy, y, x, w, padding, activation, accumulate):
    J, K, C, O = w.shape
    by, bx = border_of(w, padding)
    dz = through_activation(dy, y, activation)
    if dx is not None:
        # pixel h of x reached pixel h + by - j of z through tap j: with this border, all of them are there
        rows = rows_of_windows(dz, J, K, (J - 1 - by, K - 1 - bx))
        turned = w[::-1, ::-1].transpose(0, 1, 3, 2)  # (J, K, O, C)
        dx[...] = (rows @ turned.reshape(-1, C)).reshape(dx.shape)
    dz = dz.reshape(-1, O)
    if dw is not None:
        gradient = rows_of_windows(x, J, K, (by, bx)).T @ dz  # (J K C, O)
        write_or_add(dw, gradient.reshape(w.shape), accumulate)
    if db is not None:
        write_or_add(db, dz.sum(axis=0), accumulate)
