"""Dense layers one after the other."""

from __future__ import annotations

from .dense import dense_backward, dense_forward


def dense_chain_forward(ys, x, ws, bs, activations):
    for y, w, b, activation in zip(ys, ws, bs, activations, strict=True):
        dense_forward(y, x, w, b, activation)
        x = y


def dense_chain_backward(dx, dws, dbs, dys, ys, x, ws, activations, accumulate):
    xs, dxs = [x, *ys[:-1]], [dx, *dys[:-1]]
    for i in reversed(range(len(ws))):
        dense_backward(dxs[i], dws[i], dbs[i], dys[i], ys[i], xs[i], ws[i], activations[i], accumulate)
