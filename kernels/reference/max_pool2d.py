"""Maximum over 2x2 windows; ties go to the first maximum in row-major order."""

from __future__ import annotations

import numpy as np


def max_pool2d_forward(y, winner, x):
    N, H, W, C = x.shape
    P, Q = y.shape[1:3]
    inside = x[:, : 2 * P, : 2 * Q]  # "valid" drops an odd last row or column
    if inside.shape[1:3] != (2 * P, 2 * Q):  # "same" completes it with -inf, which never wins
        missing = ((0, 0), (0, 2 * P - inside.shape[1]), (0, 2 * Q - inside.shape[2]), (0, 0))
        inside = np.pad(inside, missing, constant_values=-np.inf)
    blocks = inside.reshape(N, P, 2, Q, 2, C).transpose(0, 1, 3, 5, 2, 4).reshape(N, P, Q, C, 4)
    winner[...] = np.argmax(blocks, axis=4)  # the first maximum; argmax lets NaN win
    y[...] = np.take_along_axis(blocks, winner[..., None], axis=4)[..., 0]


def max_pool2d_backward(dx, dy, winner):
    H, W = dx.shape[1:3]
    dx[...] = 0
    for place in range(4):
        i, j = divmod(place, 2)
        target = dx[:, i : 2 * dy.shape[1] : 2, j : 2 * dy.shape[2] : 2]
        P, Q = target.shape[1:3]  # one less than dy's where the window sticks out
        target[...] = np.where(winner[:, :P, :Q] == place, dy[:, :P, :Q], 0)
