"""One vector at every time step."""

from __future__ import annotations


def repeat_vector_forward(y, x):
    y[...] = x[:, None]


def repeat_vector_backward(dx, dy):
    dx[...] = dy.sum(axis=1)
