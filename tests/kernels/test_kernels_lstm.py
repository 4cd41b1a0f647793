import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numeric import ACTIVATIONS, DTYPES, assert_close, check_gradients, differences, draw, poison, run

from scratchae.kernels import reference as ops

sigmoid = ACTIVATIONS["sigmoid"]


def written_out(x, wx, wh, b):
    """The recurrence for one unit of one sample at a time, in scalars: h, c and the gates."""
    N, T, I = x.shape
    U = len(wh)
    h, c, gates = np.zeros((N, T, U)), np.zeros((N, T, U)), np.zeros((N, T, 4 * U))
    for n, t, u in np.ndindex(N, T, U):
        before = [float(h[n, t - 1, k]) if t else 0.0 for k in range(U)]
        z = []
        for gate in range(4):
            column = gate * U + u
            z.append(0.0 if b is None else float(b[column]))
            z[-1] += sum(float(x[n, t, i]) * float(wx[i, column]) for i in range(I))
            z[-1] += sum(before[k] * float(wh[k, column]) for k in range(U))
        i, f, g, o = sigmoid(z[0]), sigmoid(z[1]), math.tanh(z[2]), sigmoid(z[3])
        c[n, t, u] = f * (c[n, t - 1, u] if t else 0.0) + i * g
        h[n, t, u] = o * math.tanh(c[n, t, u])
        gates[n, t, u::U] = i, f, g, o
    return h, c, gates


def inputs(N, T, I, U, dtype="float64"):
    return [draw(i, *s, dtype=dtype) for i, s in enumerate([(N, T, I), (I, 4 * U), (U, 4 * U), (4 * U,)])]


def forward(x, wx, wh, b):
    N, T, _ = x.shape
    U = len(wh)
    h, c, gates = (poison(N, T, size, dtype=x.dtype) for size in (U, U, 4 * U))
    run(ops.lstm_forward, h, c, gates, x, wx, wh, b)
    return h, c, gates


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@given(N=st.integers(1, 3), T=st.integers(1, 6), I=st.integers(1, 5), U=st.integers(1, 5))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_forward(dtype, bias, N, T, I, U):
    x, wx, wh, b = inputs(N, T, I, U, dtype)
    b = b if bias else None
    for actual, expected in zip(forward(x, wx, wh, b), written_out(x, wx, wh, b), strict=True):
        assert actual.dtype == dtype
        assert_close(actual, expected, dtype)


def test_forward_does_not_overflow():
    x, wx, wh, b = inputs(2, 5, 3, 4)
    h, c, gates = forward(1000 * x, wx, wh, b)
    assert np.isfinite(h).all()
    assert np.isfinite(c).all()
    assert (np.abs(gates) <= 1).all()


@pytest.mark.parametrize("T", [1, 2, 5])
def test_backward_through_time(T):
    tensors = x, wx, wh, b = inputs(2, T, 3, 4)
    h, c, gates = forward(*tensors)
    for saved in (h, c, gates):
        saved.flags.writeable = False

    def backward(destinations, dh, accumulate):
        run(ops.lstm_backward, *destinations, dh, h, c, gates, x, wx, wh, accumulate)

    check_gradients(backward, lambda *tensors: forward(*tensors)[0], tensors, draw(9, 2, T, 4))


@pytest.mark.parametrize("shape", [(2, 1, 3), (2, 5, 3)], ids=str)
def test_last_step(shape):
    N, T, U = shape
    h, y = draw(0, N, T, U), poison(N, U)
    run(ops.last_step_forward, y, h)
    assert_close(y, [[h[n, T - 1, u] for u in range(U)] for n in range(N)], rtol=0, atol=0)

    def last(h):
        y = poison(N, U)
        run(ops.last_step_forward, y, h)
        return y

    dy, dh = draw(1, N, U), poison(N, T, U)
    run(ops.last_step_backward, dh, np.array(dy))
    assert_close(dh, differences(last, h, dy), rtol=1e-8, atol=1e-9)
