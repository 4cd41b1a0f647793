"""An LSTM that reads one vector at every step: the two ops one after the other."""

from __future__ import annotations

import numpy as np

from .lstm import lstm_backward, lstm_forward
from .repeat_vector import repeat_vector_backward, repeat_vector_forward


def repeat_vector_lstm_forward(h, c, gates, x, wx, wh, b):
    lstm_forward(h, c, gates, repeated(x, h), wx, wh, b)


def repeat_vector_lstm_backward(dx, dwx, dwh, db, dh, h, c, gates, x, wx, wh, accumulate):
    steps = repeated(x, h)
    dsteps = None if dx is None else np.empty_like(steps)
    lstm_backward(dsteps, dwx, dwh, db, dh, h, c, gates, steps, wx, wh, accumulate)
    if dx is not None:
        repeat_vector_backward(dx, dsteps)


def repeated(x, h):
    """x (N, D) at every step of h, (N, T, D)."""
    steps = np.empty((*h.shape[:2], x.shape[1]), x.dtype)
    repeat_vector_forward(steps, x)
    return steps
