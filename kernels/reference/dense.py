"""y = activation(x w + b)."""

from __future__ import annotations

from .activation import activate, through_activation
from .parameter_gradient import write_or_add


def dense_forward(y, x, w, b, activation):
    z = x @ w  # (..., O)
    if b is not None:
        z += b
    y[...] = activate(z, activation)


def dense_backward(dx, dw, db, dy, y, x, w, activation, accumulate):
    dz = through_activation(dy, y, activation)
    if dx is not None:
        dx[...] = dz @ w.T
    dz = dz.reshape(-1, dz.shape[-1])  # (rows, O): time steps are rows like samples
    x = x.reshape(-1, x.shape[-1])  # (rows, I)
    if dw is not None:
        write_or_add(dw, x.T @ dz, accumulate)
    if db is not None:
        write_or_add(db, dz.sum(axis=0), accumulate)
