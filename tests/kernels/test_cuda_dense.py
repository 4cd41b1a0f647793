"""Dense layers on CUDA machines against the reference in float64."""

from itertools import product

import numpy as np
import pytest
from cuda_arrays import assert_near, blank, fetch, place
from numeric import draw, poison

from scratchae.kernels import reference
from scratchae.kernels.cuda import dense, precision
from scratchae.kernels.cuda.dense import dense_backward, dense_forward
from scratchae.kernels.cuda.emulator import Emulator, unavailable

# N, I, O: within a tile, over several in each direction, rows that are whole fours and rows that are not
SMALL = [(1, 3, 2), (5, 40, 7), (70, 2, 33), (33, 70, 65), (40, 136, 36)]
LARGE = [(131, 37, 67), (40, 132, 36)]
NAMES = ("dx", "dw", "db")


@pytest.fixture
def large_tiles(monkeypatch):
    """Large tiles, and sums over rows in parts, for products as small as these."""
    monkeypatch.setattr(dense, "ENOUGH", 1)
    monkeypatch.setattr(dense, "SHORTEST", 32)


def tensors(N, I, O):
    """x, w, b, dy in float32."""
    x, w, b, dy = (draw(i, *shape, dtype="float32") for i, shape in enumerate([(N, I), (I, O), (O,), (N, O)]))
    return x, w / np.float32(np.sqrt(I)), b, dy


def forward(machine, x, w, b, activation):
    y = blank(machine, (*x.shape[:-1], w.shape[1]))
    dense_forward(y, *(None if a is None else place(machine, a) for a in (x, w, b)), activation)
    return y


def backward(machine, x, w, b, dy, y, activation, known=None, left_out=()):
    """dx, dw, db; the latter two added to those in `known` if there are some."""
    written = [blank(machine, a.shape) for a in (x, w, b)]
    if known is not None:
        written[1:] = [place(machine, a) for a in known]
    given = [None if name in left_out else d for name, d in zip(NAMES, written, strict=True)]
    placed = [place(machine, a) for a in (dy, x, w)]
    dense_backward(*given, placed[0], y, *placed[1:], activation, known is not None)
    return [fetch(machine, d) for d in written]


def expected_gradients(x, w, dy, y, activation):
    x, w, dy = (a.astype(float) for a in (x, w, dy))
    gradients = poison(*x.shape), poison(*w.shape), poison(w.shape[1])
    reference.dense_backward(*gradients, dy, y, x, w, activation, False)
    return gradients


def check(machine, shape, activation, tolerance=2e-6):
    x, w, b, dy = tensors(*shape)
    y = forward(machine, x, w, b, activation)
    expected = poison(*dy.shape)
    reference.dense_forward(expected, *(a.astype(float) for a in (x, w, b)), activation)
    assert_near(fetch(machine, y), expected, tolerance)
    expected = expected_gradients(x, w, dy, fetch(machine, y), activation)
    for known in None, (draw(4, *w.shape, dtype="float32"), draw(5, *b.shape, dtype="float32")):
        actual = backward(machine, x, w, b, dy, None if activation == "linear" else y, activation, known)
        for name, a, e in zip(NAMES, actual, expected, strict=True):
            before = 0 if known is None or name == "dx" else known[NAMES.index(name) - 1]
            assert_near(a, e + before, tolerance)


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_values_and_gradients(machine, shape):
    check(machine, shape, "tanh")


@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_values_and_gradients_in_large_tiles(machine, shape, large_tiles):
    check(machine, shape, "tanh")


@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid"])
def test_activations(machine, activation):
    check(machine, (5, 7, 3), activation)


@pytest.mark.parametrize("shape", [(150, 5, 34), (130, 40, 3)], ids=str)
def test_sums_over_rows_in_parts(machine, shape, monkeypatch):
    monkeypatch.setattr(dense, "SHORTEST", 32)
    check(machine, shape, "relu")


def test_rows_of_a_sequence(machine):
    x, w, b, dy = tensors(12, 5, 3)
    x, dy = x.reshape(2, 2, 3, 5), dy.reshape(2, 2, 3, 3)
    y = forward(machine, x, w, b, "sigmoid")
    assert_near(fetch(machine, y), 1 / (1 + np.exp(-(x.astype(float) @ w + b))))
    expected = expected_gradients(x, w, dy, fetch(machine, y), "sigmoid")
    for a, e in zip(backward(machine, x, w, b, dy, y, "sigmoid"), expected, strict=True):
        assert_near(a, e)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("left_out", [("dx",), ("dw",), ("db",), ("dx", "dw"), ("dw", "db"), NAMES], ids=str)
def test_what_nobody_asks_for_is_left_out(machine, left_out, parts, monkeypatch):
    monkeypatch.setattr(dense, "SHORTEST", 130 // parts)
    x, w, b, dy = tensors(130, 34, 3)
    actual = backward(machine, x, w, b, dy, None, "linear", left_out=left_out)
    for name, a, e in zip(NAMES, actual, expected_gradients(x, w, dy, None, "linear"), strict=True):
        if name in left_out:
            assert np.isnan(a).all()
        else:
            assert_near(a, e)


def test_without_bias(machine):
    x, w, _, _ = tensors(5, 6, 7)
    assert_near(fetch(machine, forward(machine, x, w, None, "relu")), np.maximum(x.astype(float) @ w, 0))


def check_nan(machine, N, I, O):
    x, w, b, dy = (np.array(a) for a in tensors(N, I, O))
    x[1, 2] = np.nan
    y = fetch(machine, forward(machine, x, w, b, "relu"))
    assert np.isnan(y[1]).all()
    assert np.isfinite(np.delete(y, 1, axis=0)).all()
    x[1, 2], dy[1, 2] = 0, np.nan
    y = place(machine, np.zeros((N, O)))  # which lets no other gradient pass
    dx, dw, db = backward(machine, x, w, b, dy, y, "relu")
    assert np.isnan(dx).all(axis=1).tolist() == [n == 1 for n in range(N)]
    assert np.isnan(dw).all(axis=0).tolist() == [o == 2 for o in range(O)]
    assert np.isnan(db).tolist() == [o == 2 for o in range(O)]
    assert np.isfinite(np.delete(dx, 1, axis=0)).all()
    assert np.isfinite(np.delete(dw, 2, axis=1)).all()


def test_nan_is_not_hidden(machine):
    check_nan(machine, 4, 5, 6)


@pytest.mark.parametrize("chosen", precision.PRECISIONS)
def test_nan_is_not_hidden_by_large_tiles(machine, chosen, large_tiles, monkeypatch):
    monkeypatch.setattr(precision, "_chosen", chosen)
    check_nan(machine, 33, 34, 35)


def gradients_and_value(machine, shape):
    x, w, b, dy = tensors(*shape)
    y = forward(machine, x, w, b, "relu")
    return [fetch(machine, y), *backward(machine, x, w, b, dy, y, "relu")]


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
@pytest.mark.parametrize("chosen", precision.PRECISIONS)
def test_bits_do_not_depend_on_the_order_of_threads(chosen, large_tiles, monkeypatch):
    monkeypatch.setattr(precision, "_chosen", chosen)
    for shape in ((131, 37, 67), (70, 40, 3)):
        results = [gradients_and_value(Emulator(order=order), shape) for order in ("forward", "reverse", "random")]
        for other, (i, expected) in product(results[1:], enumerate(results[0])):
            np.testing.assert_array_equal(other[i], expected)


# ---- tensor cores ---------------------------------------------------------------------------------------------------
def errors(machine, shape, chosen, monkeypatch):
    """The largest errors of y, dx, dw and db, relative to the largest numbers of each."""
    monkeypatch.setattr(precision, "_chosen", chosen)
    x, w, b, dy = tensors(*shape)
    y = forward(machine, x, w, b, "linear")
    actual = [fetch(machine, y), *backward(machine, x, w, b, dy, None, "linear")]
    expected = [x.astype(float) @ w + b, *expected_gradients(x, w, dy, None, "linear")]
    return np.array([np.abs(a - e).max() / np.abs(e).max() for a, e in zip(actual, expected, strict=True)])


@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_precisions(machine, shape, large_tiles, monkeypatch):
    float32 = errors(machine, shape, "float32", monkeypatch)
    three = errors(machine, shape, "tf32x3", monkeypatch)
    tf32 = errors(machine, shape, "tf32", monkeypatch)
    assert (three <= 3 * float32 + 1e-7).all()
    assert (tf32 <= 1e-3).all()


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_precision_is_a_choice(large_tiles, monkeypatch):
    machine = Emulator()  # a GPU may have no such tensor cores
    exact, rounded = (errors(machine, LARGE[1], chosen, monkeypatch) for chosen in ("float32", "tf32"))
    assert (rounded[:3] > 20 * exact[:3]).all()
    assert rounded[3] == exact[3]  # db is no product


def test_unknown_precision_is_refused(monkeypatch):
    monkeypatch.setattr(precision, "_chosen", "float32")
    precision.set_matmul_precision("tf32x3")
    assert precision.matmul_precision() == "tf32x3"
    with pytest.raises(ValueError, match="precision='bfloat16' is unknown: expected float32, tf32x3 or tf32"):
        precision.set_matmul_precision("bfloat16")
    assert precision.matmul_precision() == "tf32x3"


# ---- what is chosen from the shapes ---------------------------------------------------------------------------------
@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_launches():
    for N, launches in ((256, {"dense_forward_small": 1, "dense_backward_small": 1}), (512, {"dense_add_splits": 1})):
        machine = Emulator(check=False)
        x, w, b, dy = tensors(N, 2, 3)
        backward(machine, x, w, b, dy, forward(machine, x, w, b, "relu"), "relu")
        assert launches.items() <= machine.launches.items()
        assert machine.launches.total() == N // 256 + 1


def test_tiles_and_parts():
    assert dense.choose(dense.count(dense.LARGE, 8192, 128), 128) == dense.LARGE
    assert dense.choose(dense.count(dense.LARGE, 256, 128), 128) == dense.SMALL
    assert dense.choose(dense.count(dense.LARGE, 8192, 512), 2) == dense.SMALL
    for N, tiles, tile in product((1, 255, 256, 1000, 8192), (1, 14, 300), (dense.SMALL, dense.LARGE)):
        parts, rows = dense.split(N, tiles, tile)
        assert (parts - 1) * rows < N <= parts * rows
        assert rows % tile.depth == 0
        assert parts == 1 or (rows >= dense.SHORTEST and tiles * (parts - 1) < dense.PLENTY)
