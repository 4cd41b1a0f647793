"""An LSTM that reads one vector at every step: x wx + b is the same at all of them, and is computed once.

Its share of backward follows from the sum of dz over time: dx, dwx and db are those of a dense layer. The kernels are
lstm.cu's.
"""

from __future__ import annotations

from .dense import dense_backward, dense_forward
from .launcher import machine_of
from .lstm import DZ, ZX, walk, walk_back, weight_gradients


def repeat_vector_lstm_forward(h, c, gates, x, wx, wh, b):
    zx = memory_of_zx(x, wh)
    dense_forward(zx, x, wx, b, "linear")
    walk(h, c, gates, zx, wh)


def repeat_vector_lstm_backward(dx, dwx, dwh, db, dh, h, c, gates, x, wx, wh, accumulate):
    dz = machine_of(h).scratch(gates.size, DZ).reshape(gates.shape)
    dzx = memory_of_zx(x, wh)
    walk_back(dz, dzx, dh, c, gates, wh)
    dense_backward(dx, dwx, db, dzx, None, x, wx, "linear", accumulate)
    weight_gradients(None, dwh, None, dz, None, h, accumulate)


def memory_of_zx(x, wh):
    """Scratch memory (N, 4U) for x wx + b, or for its gradient."""
    N, J = len(x), wh.shape[1]
    return machine_of(x).scratch(N * J, ZX).reshape((N, J))
