import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numeric import ACTIVATIONS, DTYPES, assert_close, check_gradients, draw, poison, run

from scratchae.kernels import reference as ops


def written_out(x, w, b, activation):
    rows = x.reshape(-1, x.shape[-1])
    y = np.empty((len(rows), w.shape[1]))
    for n, o in np.ndindex(y.shape):
        z = 0.0 if b is None else float(b[o])
        for i in range(len(w)):
            z += float(rows[n, i]) * float(w[i, o])
        y[n, o] = ACTIVATIONS[activation](z)
    return y.reshape(*x.shape[:-1], w.shape[1])


def forward(x, w, b, activation):
    y = poison(*x.shape[:-1], w.shape[1], dtype=x.dtype)
    run(ops.dense_forward, y, x, w, b, activation)
    return y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(
    rows=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    I=st.integers(1, 9),
    O=st.integers(1, 9),
    bias=st.booleans(),
    seed=st.integers(0, 999),
)
@settings(max_examples=10, deadline=None, derandomize=True)
def test_forward(dtype, activation, rows, I, O, bias, seed):
    x, w = draw(seed, *rows, I, dtype=dtype), draw(seed + 1, I, O, dtype=dtype)
    b = draw(seed + 2, O, dtype=dtype) if bias else None
    y = forward(x, w, b, activation)
    assert y.dtype == dtype
    assert_close(y, written_out(x, w, b, activation), dtype)


@pytest.mark.parametrize("rows", [(2,), (2, 5), (3, 2, 4)], ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backward(activation, rows):
    x, w, b, dy = draw(0, *rows, 3), draw(1, 3, 4), draw(2, 4), draw(3, *rows, 4)
    y = forward(x, w, b, activation)
    y.flags.writeable = False

    def backward(destinations, dy, accumulate):
        run(ops.dense_backward, *destinations, dy, y, x, w, activation, accumulate)

    check_gradients(backward, lambda x, w, b: forward(x, w, b, activation), [x, w, b], dy)


def test_backward_keeps_float32():
    x, w, dy = draw(0, 2, 3, dtype="float32"), draw(1, 3, 4, dtype="float32"), draw(2, 2, 4, dtype="float32")
    dx, dw, db = poison(2, 3, dtype="float32"), poison(3, 4, dtype="float32"), poison(4, dtype="float32")
    run(ops.dense_backward, dx, dw, db, np.array(dy), np.array(dy), x, w, "linear", False)
    x, w, dy = x.astype(float), w.astype(float), dy.astype(float)
    assert_close(dx, np.einsum("no,io->ni", dy, w), "float32")
    assert_close(dw, np.einsum("ni,no->io", x, dy), "float32")
    assert_close(db, np.einsum("no->o", dy), "float32")
