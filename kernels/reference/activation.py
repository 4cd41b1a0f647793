"""Activations, and their derivatives in terms of their output y."""

from __future__ import annotations

import numpy as np


def sigmoid(x):
    """1 / (1 + exp(-x)), written with exp(-|x|) so that it never overflows."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def activate(z, activation):
    if activation == "linear":
        return z
    if activation == "relu":
        return np.where(z < 0, 0, z)  # this way round a NaN stays a NaN
    if activation == "sigmoid":
        return sigmoid(z)
    if activation == "tanh":
        return np.tanh(z)
    raise ValueError(f"activation={activation!r} is unknown: expected linear, relu, sigmoid or tanh")


def through_activation(dy, y, activation):
    """dz = dy * activation'(z) for y = activation(z)."""
    if activation == "linear":
        return dy
    if activation == "relu":
        return dy * (y > 0)
    if activation == "sigmoid":
        return dy * (y * (1 - y))
    if activation == "tanh":
        return dy * (1 - y * y)
    raise ValueError(f"activation={activation!r} is unknown: expected linear, relu, sigmoid or tanh")


def activation_forward(y, x, activation):
    y[...] = activate(x, activation)


def activation_backward(dx, dy, y, activation):
    dx[...] = through_activation(dy, y, activation)
