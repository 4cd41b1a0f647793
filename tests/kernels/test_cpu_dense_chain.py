"""Dense layers one after another on the fast backend against the reference in float64."""

from itertools import pairwise

import numpy as np
import pytest
from devices import assert_near, cpu, empty, fetch, place

from scratchae.kernels import reference

WIDTHS, ACTIVATIONS = (35, 20, 3, 17), ("relu", "tanh", "linear")


def drawn(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32").astype(float)


@pytest.mark.parametrize("accumulate", [True, False])
@pytest.mark.parametrize("rows", [(19,), (5, 3)], ids=str)
def test_values_and_gradients(rows, accumulate):
    shapes = list(pairwise(WIDTHS))
    x, dy = drawn(0, *rows, WIDTHS[0]), drawn(1, *rows, WIDTHS[-1])
    ws, bs = [drawn(2, *shape) / 4 for shape in shapes], [drawn(3, O) for _, O in shapes]
    results = []
    for ops in (reference, cpu):

        def parameters(arrays, fill=None, dtype="float32" if ops is cpu else "float64"):
            return [np.array(a if fill is None else np.full_like(a, fill), dtype) for a in arrays]

        if ops is cpu:
            tensors = [place(x), place(dy), empty(x.shape)]
            ys, dys = ([empty((*rows, O)) for O in WIDTHS[1:]] for _ in range(2))
        else:
            tensors = [x, np.array(dy), np.full(x.shape, np.nan)]
            ys, dys = ([np.full((*rows, O), np.nan) for O in WIDTHS[1:]] for _ in range(2))
        kx, dys[-1], dx = tensors
        dws, dbs = (parameters(arrays, 0.5 if accumulate else np.nan) for arrays in (ws, bs))
        ops.dense_chain_forward(ys, kx, parameters(ws), parameters(bs), ACTIVATIONS)
        ops.dense_chain_backward(dx, dws, dbs, dys, ys, kx, parameters(ws), ACTIVATIONS, accumulate)
        results.append([*map(fetch, ys), fetch(dx), *dws, *dbs])
    for expected, actual in zip(*results, strict=True):
        assert_near(actual, expected, 4e-6)
