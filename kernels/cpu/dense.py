"""y = activation(x w + b): matrix products, see gemm.py.

Of the two, `product` is for results whose columns fill vectors, `product_of_rows` for those of narrow layers: for two
columns 58 against 9 GFLOP/s on a core.
"""

from __future__ import annotations

import numpy as np

from . import conv2d
from .activation import CODES, LINEAR, activate, activation_backward
from .gemm import ADD, FEW, WRITE, product, product_of_columns, product_of_rows, transposed_copy
from .jit import floats, i64, kernel, matrix, scratch
from .layout import Lanes
from .simd import LANES, load_part, splat, store_part

NONE = np.empty(0, np.float32)


def dense_forward(y, x, w, b, activation):
    if isinstance(x, Lanes):  # a dense layer at every time step is a convolution with one tap
        conv2d.conv2d_forward(y, x, w.reshape(1, 1, *w.shape), b, "valid", activation)
        return
    b = NONE if b is None else b
    if w.shape[1] >= LANES or len(x) <= FEW:
        product(y, x, x.shape[1], 1, w, WRITE, b, CODES[activation], NONE)
    else:
        product_of_rows(y, x, transposed_copy(w))
        add_bias(y, b, CODES[activation])


def dense_backward(dx, dw, db, dy, y, x, w, activation, accumulate):
    if isinstance(x, Lanes):
        tap, dtap = (None if a is None else a.reshape(1, 1, *a.shape) for a in (w, dw))
        conv2d.conv2d_backward(dx, dtap, db, dy, y, x, tap, "valid", activation, accumulate)
        return
    start, db = ADD if accumulate else WRITE, NONE if db is None else db
    if activation != "linear":
        activation_backward(dy, dy, y, activation)  # dy becomes dz
    if dw is not None and w.shape[1] >= LANES:
        product_of_columns(dw, x, dy, start, db)  # dw = x^T dz
    else:
        if db.size:
            add_rows(db, dy, start)
        if dw is not None:
            dwt = scratch(w.size)[: w.size].reshape(w.shape[::-1])
            product(dwt, dy, 1, dy.shape[1], x, WRITE, NONE, LINEAR, NONE)  # dw^T = dz^T x, which has long rows
            add_transposed(dw, dwt, start)
    if dx is not None and w.shape[0] >= LANES:
        product(dx, dy, dy.shape[1], 1, w, WRITE, NONE, LINEAR, NONE, transposed=True)  # dx = dz w^T
    elif dx is not None:
        product_of_rows(dx, dy, w)


@kernel(matrix, floats, i64)
def add_bias(y, b, activation):
    """y = activation(y + b) for up to LANES columns."""
    N, O = y.shape
    for n in range(N):
        z = load_part(y, n * O, O)
        if b.size:
            z = z + load_part(b, 0, O)
        store_part(activate(z, activation), y, n * O, O)


@kernel(matrix, matrix, i64)
def add_transposed(dw, dwt, start):
    """dw = dwt^T, or plus it, for up to LANES columns."""
    I, O = dw.shape
    for o in range(O):
        for i in range(I):
            dw[i, o] = dwt[o, i] + (dw[i, o] if start == ADD else np.float32(0))


@kernel(floats, matrix, i64)
def add_rows(db, dz, start):
    """db = the sum of the rows of dz, or plus it."""
    N, O = dz.shape
    for o in range(0, O, LANES):
        total = load_part(db, o, O - o) if start == ADD else splat(0)
        for n in range(N):
            total = total + load_part(dz, n * O + o, O - o)
        store_part(total, db, o, O - o)
