from itertools import pairwise

import numpy as np
import pytest
from numeric import DTYPES, assert_close, check_gradients, draw, poison, run

from scratchae.kernels import reference as ops

WIDTHS, ACTIVATIONS = (3, 5, 2, 4), ("relu", "tanh", "sigmoid")  # of x and of the layers


def tensors(*rows, bias=True, dtype="float64"):
    """x, then w and b of each layer."""
    weights = []
    for I, O in pairwise(WIDTHS):
        weights += draw(10 * O, I, O, dtype=dtype), draw(O, O, dtype=dtype) if bias else None
    return draw(0, *rows, WIDTHS[0], dtype=dtype), *weights


def forward(x, *weights):
    """The outputs of all layers."""
    ys = [poison(*x.shape[:-1], O, dtype=x.dtype) for O in WIDTHS[1:]]
    run(ops.dense_chain_forward, ys, x, weights[::2], weights[1::2], ACTIVATIONS)
    return ys


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_forward(dtype, bias):
    x, *weights = tensors(7, bias=bias, dtype=dtype)
    for y, w, b, activation in zip(forward(x, *weights), weights[::2], weights[1::2], ACTIVATIONS, strict=True):
        expected = poison(7, w.shape[1], dtype=dtype)
        ops.dense_forward(expected, x, w, b, activation)
        assert_close(y, expected, dtype)
        x = y


@pytest.mark.parametrize("rows", [(2,), (3, 2)], ids=str)
def test_backward(rows):
    given = tensors(*rows)
    x, *weights = given
    ys = forward(*given)

    def backward(destinations, dy, accumulate):
        dx, *gradients = destinations
        dys = [*(poison(*y.shape) for y in ys[:-1]), dy]
        saved = ys, x, weights[::2], ACTIVATIONS
        run(ops.dense_chain_backward, dx, gradients[::2], gradients[1::2], dys, *saved, accumulate)

    check_gradients(backward, lambda *given: forward(*given)[-1], list(given), draw(99, *rows, WIDTHS[-1]))


def test_the_gradients_between_layers_are_those_of_their_outputs():
    """As those who are to be held against this room write them: dy, not dz."""
    x, *weights = tensors(4)
    ys, dy = forward(x, *weights), draw(99, 4, WIDTHS[-1])
    dys = [*(poison(*y.shape) for y in ys[:-1]), np.array(dy)]
    nothing = [None] * 3
    run(ops.dense_chain_backward, None, nothing, nothing, dys, ys, x, weights[::2], ACTIVATIONS, False)
    for i in (1, 0):
        expected = poison(*ys[i].shape)
        above = dys[i + 1], ys[i + 1], ys[i], weights[2 * i + 2], ACTIVATIONS[i + 1]
        run(ops.dense_backward, expected, None, None, *above, False)
        assert_close(dys[i], expected)
