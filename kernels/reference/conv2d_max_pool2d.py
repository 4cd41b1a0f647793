"""A convolution and its pooling, one after the other."""

from __future__ import annotations

import numpy as np

from .activation import through_activation
from .conv2d import conv2d_backward, conv2d_forward
from .max_pool2d import max_pool2d_backward, max_pool2d_forward


def convolved(x, w, padding):
    """Memory for the convolution of x."""
    N, H, W, _ = x.shape
    J, K, _, O = w.shape
    return np.empty((N, H, W, O) if padding == "same" else (N, H - J + 1, W - K + 1, O), x.dtype)


def conv2d_max_pool2d_forward(y, winner, x, w, b, padding, activation):
    z = convolved(x, w, padding)
    conv2d_forward(z, x, w, b, padding, activation)
    max_pool2d_forward(y, winner, z)


def conv2d_max_pool2d_backward(dx, dw, db, dy, y, winner, x, w, padding, activation, accumulate):
    dz = convolved(x, w, padding)
    max_pool2d_backward(dz, through_activation(dy, y, activation), winner)  # y is the convolution's where it won
    conv2d_backward(dx, dw, db, dz, None, x, w, padding, "linear", accumulate)
