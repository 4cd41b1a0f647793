"""A dense layer with its loss on CUDA machines against the reference: in float64, and in float32 where its rounding
decides."""

import numpy as np
import pytest
from cuda_arrays import assert_near, blank, fetch, place
from numeric import draw, poison

from scratchae.kernels import reference
from scratchae.kernels.cuda import dense, precision
from scratchae.kernels.cuda.dense_binary_crossentropy import dense_binary_crossentropy
from scratchae.kernels.cuda.emulator import Emulator, unavailable

# N, I, O: logits within a tile, over several in each direction, rows that are whole fours and rows that are not
SMALL = [(1, 3, 2), (5, 7, 32), (33, 70, 65), (40, 36, 100)]
LARGE = [(131, 20, 67), (40, 36, 132)]
CHOICES = dense_binary_crossentropy.__globals__  # its module's name is that of the op


@pytest.fixture
def large_tiles(monkeypatch):
    monkeypatch.setattr(dense, "ENOUGH", 1)


def uniform(seed, *shape, low=0.0, high=1.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype("float32")


def tensors(N, I, O):
    """x, w, b, t, weight."""
    x, w, b, weight = (draw(i, *shape, dtype="float32") for i, shape in enumerate([(N, I), (I, O), (O,), (N,)]))
    return x, w / np.float32(np.sqrt(I)), b, uniform(4, N, O), weight


def on_reference(arrays, scale, dtype="float64"):
    arrays = [None if a is None else a.astype(dtype) for a in arrays]
    loss, dz = poison(len(arrays[3]), dtype=dtype), poison(*arrays[3].shape, dtype=dtype)
    reference.dense_binary_crossentropy(np.zeros(1), loss, dz, *arrays, scale)
    return loss, dz


def on(machine, arrays, scale):
    total, loss, dz = place(machine, [3]), blank(machine, len(arrays[3])), blank(machine, arrays[3].shape)
    dense_binary_crossentropy(total, loss, dz, *(None if a is None else place(machine, a) for a in arrays), scale)
    loss = fetch(machine, loss)
    terms = arrays[4] * loss
    np.testing.assert_allclose(fetch(machine, total), [3 + terms.sum()], rtol=0, atol=1e-6 * (3 + abs(terms).sum()))
    return loss, fetch(machine, dz)


def check(machine, arrays):
    scale = 1 / arrays[3].shape[1]
    (expected, expected_dz), (loss, dz) = on_reference(arrays, scale), on(machine, arrays, scale)
    np.testing.assert_allclose(loss, expected, rtol=2e-6)
    assert_near(dz, expected_dz)


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_value_and_gradient(machine, shape):
    check(machine, tensors(*shape))


@pytest.mark.parametrize("few", [32, 33])
@pytest.mark.parametrize("O", [32, 33])
def test_sums_over_many_samples(machine, O, few, monkeypatch):
    """One block makes the total of few of them, where a sample has several tiles."""
    monkeypatch.setitem(CHOICES, "FEW", few)
    check(machine, tensors(33, 4, O))


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
@pytest.mark.parametrize(("O", "launches"), [(32, 2), (33, 2), (33, 3)])
def test_launches(O, launches, monkeypatch):
    monkeypatch.setitem(CHOICES, "FEW", 5 - launches)
    machine = Emulator()
    on(machine, tensors(3, 4, O), 1.0)
    assert machine.launches.total() == launches


@pytest.mark.parametrize("chosen", ["float32", "tf32x3"])
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_value_and_gradient_in_large_tiles(machine, shape, chosen, large_tiles, monkeypatch):
    monkeypatch.setattr(precision, "_chosen", chosen)
    check(machine, tensors(*shape))


def test_tf32(machine, large_tiles, monkeypatch):
    monkeypatch.setattr(precision, "_chosen", "tf32")
    arrays = tensors(*LARGE[0])
    (expected, expected_dz), (loss, dz) = on_reference(arrays, 0.5), on(machine, arrays, 0.5)
    np.testing.assert_allclose(loss, expected, rtol=1e-3)
    assert_near(dz, expected_dz, 1e-3)


def test_without_bias(machine):
    x, w, _, t, weight = tensors(3, 4, 5)
    check(machine, (x, w, None, t, weight))


@pytest.mark.parametrize("t", [0.0, 0.25, 1.0])
@pytest.mark.parametrize(("low", "high"), [(9, 12), (12, 15), (15, 17.5), (-12, -9), (-17.5, -15), (-100, 100)])
def test_rounding_and_clip_are_those_of_float32(machine, low, high, t):
    """The weights are the identity, so that the logits are known exactly."""
    N, O = 24, 47
    logits, identity = uniform(5, N, O, low=low, high=high), np.eye(O, dtype="float32")
    weight = np.linspace(0.5, 2, N).astype("float32")
    arrays = logits, identity, None, np.full((N, O), t, "float32"), weight
    (expected, expected_dz), (loss, dz) = on_reference(arrays, 1.0, "float32"), on(machine, arrays, 1.0)
    # The sigmoid may be rounded to the other neighbour where it lies halfway between two: of few numbers, by 6e-8.
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=O * 6e-8)
    np.testing.assert_allclose(dz, expected_dz, rtol=1e-5, atol=2.5e-7)
    assert np.mean((dz == 0) != (expected_dz == 0)) < 2e-3


def test_infinite_logits_are_clipped(machine):
    x = np.array([[np.inf], [-np.inf]], "float32")
    arrays = x, np.ones((1, 2), "float32"), None, np.float32([[0, 1], [0, 1]]), np.ones(2, "float32")
    (expected, _), (loss, dz) = on_reference(arrays, 1.0, "float32"), on(machine, arrays, 1.0)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert not dz.any()


@pytest.mark.parametrize("where", ["input", "target"])
def test_nan_is_not_hidden(machine, where):
    x, w, b, t, weight = (np.array(a) for a in tensors(3, 2, 40))
    (x if where == "input" else t)[1, 1] = np.nan
    loss, dz = on(machine, (x, w, b, t, weight), 1.0)
    assert np.isnan(loss).tolist() == [False, True, False]
    assert np.isnan(dz[1]).tolist() == [where == "input" or o == 1 for o in range(40)]
    assert np.isfinite(np.delete(dz, 1, axis=0)).all()


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
@pytest.mark.parametrize("enough", [1, 100])
def test_bits_do_not_depend_on_the_order_of_threads(enough, monkeypatch):
    monkeypatch.setattr(dense, "ENOUGH", enough)
    results = [on(Emulator(order=order), tensors(*LARGE[0]), 1.0) for order in ("forward", "reverse", "random")]
    for loss, dz in results[1:]:
        np.testing.assert_array_equal(loss, results[0][0])
        np.testing.assert_array_equal(dz, results[0][1])
