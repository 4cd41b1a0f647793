"""Nearest-neighbour upsampling by two."""

from __future__ import annotations


def up_sampling2d_forward(y, x):
    y[...] = x.repeat(2, axis=1).repeat(2, axis=2)


def up_sampling2d_backward(dx, dy):
    N, H, W, C = dx.shape
    dx[...] = dy.reshape(N, H, 2, W, 2, C).sum(axis=(2, 4))
