"""Long short-term memory: gates in the order i, f, g, o."""

from __future__ import annotations

import numpy as np

from .activation import sigmoid
from .parameter_gradient import write_or_add


def lstm_forward(h, c, gates, x, wx, wh, b):
    N, T, U = h.shape
    z = x @ wx  # (N, T, 4U): the input's share of every step at once
    if b is not None:
        z += b
    h_before = c_before = np.zeros((N, U), x.dtype)
    for t in range(T):
        i, f, g, o = np.split(z[:, t] + h_before @ wh, 4, axis=1)  # each (N, U)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c[:, t] = f * c_before + i * g
        h[:, t] = o * np.tanh(c[:, t])
        gates[:, t] = np.concatenate([i, f, g, o], axis=1)
        h_before, c_before = h[:, t], c[:, t]


def lstm_backward(dx, dwx, dwh, db, dh, h, c, gates, x, wx, wh, accumulate):
    N, T, U = h.shape
    zero = np.zeros((N, U), x.dtype)
    dz = np.empty_like(gates)  # (N, T, 4U)
    dh_next, dc = zero, zero  # what step t+1 sends back to step t
    for t in reversed(range(T)):
        i, f, g, o = np.split(gates[:, t], 4, axis=1)
        c_before = c[:, t - 1] if t > 0 else zero
        tanh_c = np.tanh(c[:, t])
        dh_t = dh[:, t] + dh_next
        dc = dc + dh_t * o * (1 - tanh_c * tanh_c)  # h = o tanh(c)
        dz[:, t] = np.concatenate(
            [
                dc * g * i * (1 - i),  # c = f c_before + i g
                dc * c_before * f * (1 - f),
                dc * i * (1 - g * g),
                dh_t * tanh_c * o * (1 - o),
            ],
            axis=1,
        )
        dh_next = dz[:, t] @ wh.T  # z = x wx + h_before wh + b
        dc = dc * f
    if dx is not None:
        dx[...] = dz @ wx.T
    rows = dz.reshape(N * T, 4 * U)
    if dwx is not None:
        write_or_add(dwx, x.reshape(N * T, -1).T @ rows, accumulate)
    if dwh is not None:  # the first step's h_before is zero
        write_or_add(dwh, h[:, :-1].reshape(-1, U).T @ dz[:, 1:].reshape(-1, 4 * U), accumulate)
    if db is not None:
        write_or_add(db, rows.sum(axis=0), accumulate)


def last_step_forward(y, h):
    y[...] = h[:, -1]


def last_step_backward(dh, dy):
    dh[:, :-1] = 0
    dh[:, -1] = dy
