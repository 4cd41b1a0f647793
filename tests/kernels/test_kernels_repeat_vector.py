import numpy as np
import pytest
from numeric import DTYPES, assert_close, differences, draw, poison, run

from scratchae.kernels import reference as ops


def repeated(x, T):
    y = poison(len(x), T, x.shape[1], dtype=x.dtype)
    run(ops.repeat_vector_forward, y, x)
    return y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("T", [1, 2, 5])
def test_every_step_is_the_vector(T, dtype):
    x = draw(0, 2, 3, dtype=dtype)
    y = repeated(x, T)
    for n, t, d in np.ndindex(2, T, 3):
        assert y[n, t, d] == x[n, d]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("T", [1, 2, 5])
def test_backward_sums_over_time(T, dtype):
    dy, dx = draw(1, 2, T, 3, dtype=dtype), poison(2, 3, dtype=dtype)
    run(ops.repeat_vector_backward, dx, np.array(dy))
    expected = differences(lambda x: repeated(x, T), draw(0, 2, 3), dy.astype(float))
    assert_close(dx, expected, dtype, rtol=1e-6, atol=1e-6 if dtype == "float32" else 1e-9)
