import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numeric import ACTIVATIONS, DTYPES, assert_close, check_gradients, draw, poison, run
from scipy.signal import correlate2d

from scratchae.kernels import reference as ops

SIZES = [(1, 1), (3, 3), (5, 5), (3, 5)]


def correlated(x, w, b, padding, activation):
    """With scipy's correlation of one image plane by one kernel plane."""
    N, C, filters = len(x), w.shape[2], w.shape[3]
    x, w = x.astype(float), w.astype(float)
    planes = [
        [
            sum(correlate2d(x[n, :, :, c], w[:, :, c, o], padding) for c in range(C)) + (0 if b is None else b[o])
            for o in range(filters)
        ]
        for n in range(N)
    ]
    return np.vectorize(ACTIVATIONS[activation])(np.array(planes).transpose(0, 2, 3, 1))


def forward(x, w, b, padding, activation):
    N, H, W, _ = x.shape
    J, K, _, filters = w.shape
    size = (H, W) if padding == "same" else (H - J + 1, W - K + 1)
    y = poison(N, *size, filters, dtype=x.dtype)
    run(ops.conv2d_forward, y, x, w, b, padding, activation)
    return y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_forward(size, padding, activation, dtype):
    x, w, b = draw(0, 2, 5, 7, 3, dtype=dtype), draw(1, *size, 3, 4, dtype=dtype), draw(2, 4, dtype=dtype)
    for bias in (b, None):
        y = forward(x, w, bias, padding, activation)
        assert y.dtype == dtype
        assert_close(y, correlated(x, w, bias, padding, activation), dtype)


@given(
    N=st.integers(1, 3),
    H=st.integers(1, 7),
    W=st.integers(1, 7),
    C=st.integers(1, 4),
    O=st.integers(1, 4),
    J=st.sampled_from([1, 3, 5]),
    K=st.sampled_from([1, 3, 5]),
    padding=st.sampled_from(["same", "valid"]),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_forward_of_any_shape(N, H, W, C, O, J, K, padding):
    assume(padding == "same" or (H >= J and W >= K))
    x, w, b = draw(0, N, H, W, C), draw(1, J, K, C, O), draw(2, O)
    by, bx = (J // 2, K // 2) if padding == "same" else (0, 0)
    y = forward(x, w, b, padding, "linear")
    expected = np.empty(y.shape)
    for n, h, v, o in np.ndindex(y.shape):
        z = b[o]
        for j, k in np.ndindex(J, K):
            row, column = h + j - by, v + k - bx
            if 0 <= row < H and 0 <= column < W:
                z += sum(x[n, row, column, c] * w[j, k, c, o] for c in range(C))
        expected[n, h, v, o] = z
    assert_close(y, expected)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("size", "activation"),
    [((1, 1), "sigmoid"), ((3, 3), "relu"), ((3, 3), "linear"), ((5, 5), "linear"), ((3, 5), "tanh")],
)
def test_backward(size, activation, padding):
    x, w, b = draw(0, 2, 5, 7, 3), draw(1, *size, 3, 4), draw(2, 4)
    y = forward(x, w, b, padding, activation)
    y.flags.writeable = False

    def backward(destinations, dy, accumulate):
        run(ops.conv2d_backward, *destinations, dy, y, x, w, padding, activation, accumulate)

    check_gradients(backward, lambda x, w, b: forward(x, w, b, padding, activation), [x, w, b], draw(3, *y.shape))


def test_backward_where_the_kernel_is_larger_than_the_image():
    x, w, b = draw(0, 2, 2, 3, 2), draw(1, 5, 5, 2, 3), draw(2, 3)
    y = forward(x, w, b, "same", "linear")

    def backward(destinations, dy, accumulate):
        run(ops.conv2d_backward, *destinations, dy, y, x, w, "same", "linear", accumulate)

    check_gradients(backward, lambda x, w, b: forward(x, w, b, "same", "linear"), [x, w, b], draw(3, *y.shape))
