"""Dense layers one after another on CUDA machines against the reference in float64."""

from itertools import pairwise

import numpy as np
import pytest
from cuda_arrays import assert_near, blank, fetch, place
from numeric import draw, poison

from scratchae.kernels import LONGEST_CHAIN, WIDEST_CHAIN, reference
from scratchae.kernels.cuda import dense, dense_chain, precision
from scratchae.kernels.cuda.dense_chain import dense_chain_backward, dense_chain_forward
from scratchae.kernels.cuda.emulator import Emulator, unavailable

CODES = ("relu", "tanh", "sigmoid", "linear", "tanh")
# Features of x and of the layers: whole fours and others, a single one, as many features and layers as a launch takes;
# and first layers that stand alone.
NARROW = [(7, 6, 5), (12, 7, 9, 128, 3), (60, 128, 1, 33, 64, 128)]
WIDE = [(130, 64, 5), (132, 6, 33, 12, 50), (150, 7, 9, 4)]


class Chain:
    """x and the layers' weights and biases in float32, and what the reference makes of them in float64."""

    def __init__(self, N, widths, activations=CODES, bias=True):
        shapes = list(pairwise(widths))
        self.activations = activations[: len(shapes)]
        self.x, self.dy = draw(0, N, widths[0], dtype="float32"), draw(1, N, widths[-1], dtype="float32")
        self.ws = [draw(2 + i, *s, dtype="float32") / np.float32(np.sqrt(s[0])) for i, s in enumerate(shapes)]
        self.bs = [draw(9 + O, O, dtype="float32") if bias else None for _, O in shapes]
        self.ys = [poison(N, O) for O in widths[1:]]
        reference.dense_chain_forward(self.ys, *self.in_float64(), self.bs, self.activations)

    def in_float64(self):
        return self.x.astype(float), [w.astype(float) for w in self.ws]

    def gradients(self, dy):
        """dx, then dw and db of each layer."""
        dx, dws, dbs = poison(*self.x.shape), [poison(*w.shape) for w in self.ws], [poison(w.shape[1]) for w in self.ws]
        dys = [*(poison(*y.shape) for y in self.ys[:-1]), dy.astype(float)]
        reference.dense_chain_backward(dx, dws, dbs, dys, self.ys, *self.in_float64(), self.activations, False)
        return [dx, *(d for pair in zip(dws, dbs, strict=True) for d in pair)]

    def forward(self, machine):
        """The outputs of all layers, as arrays of the machine."""
        ys = [blank(machine, y.shape) for y in self.ys]
        ws, bs = ([None if a is None else place(machine, a) for a in arrays] for arrays in (self.ws, self.bs))
        dense_chain_forward(ys, place(machine, self.x), ws, bs, self.activations)
        return ys

    def backward(self, machine, ys, dy, known=None, left_out=()):
        """dx, then dw and db of each layer, by their places; the latter added to those in `known` if there are some."""
        shapes = [self.x.shape, *(shape for w in self.ws for shape in (w.shape, w.shape[1:]))]
        written = [blank(machine, shape) for shape in shapes]
        if known is not None:
            written[1:] = [place(machine, k) for k in known]
        given = [None if i in left_out else d for i, d in enumerate(written)]
        dys = [*(blank(machine, y.shape) for y in self.ys[:-1]), place(machine, dy)]
        tensors = ys, place(machine, self.x), [place(machine, w) for w in self.ws]
        dense_chain_backward(
            given[0], given[1::2], given[2::2], dys, *tensors, self.activations, known is not None
        )  # fmt: skip
        return [fetch(machine, d) for d in written]


def check(machine, N, widths, tolerance=2e-6, left_out=(), **options):
    chain = Chain(N, widths, **options)
    ys = chain.forward(machine)
    for y, expected in zip(ys, chain.ys, strict=True):
        assert_near(fetch(machine, y), expected, tolerance)
    expected = chain.gradients(chain.dy)
    for known in None, [draw(50 + i, *g.shape, dtype="float32") for i, g in enumerate(expected[1:])]:
        actual = chain.backward(machine, ys, chain.dy, known, left_out)
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            before = 0 if known is None or i == 0 else known[i - 1]
            if i not in left_out:
                assert_near(a, e + before, tolerance)
            else:
                np.testing.assert_array_equal(a, np.nan if known is None or i == 0 else before)


@pytest.mark.parametrize("N", [1, 15, 16, 17, 33])
@pytest.mark.parametrize("widths", NARROW, ids=str)
def test_values_and_gradients(machine, widths, N):
    check(machine, N, widths)


@pytest.mark.parametrize("left_out", [(), (0,)], ids=["", "dx"])
@pytest.mark.parametrize("widths", WIDE, ids=str)
def test_a_first_layer_that_reads_many_features(machine, widths, left_out):
    check(machine, 17, widths, left_out=left_out)


@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
def test_activations(machine, activation):
    check(machine, 9, (7, 3, 6, 5), activations=(activation,) * 3, bias=False, left_out=(2, 4, 6))


# dx; a layer, its weights, its biases; layers that nobody trains; everything
LEFT_OUT = [(0,), (3, 4), (3,), (4,), (0, 1, 2), (1, 2, 3, 4, 5, 6), range(7)]


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("left_out", LEFT_OUT, ids=str)
def test_what_nobody_asks_for_is_left_out(machine, left_out, parts, monkeypatch):
    monkeypatch.setattr(dense, "SHORTEST", 130 // parts)
    check(machine, 130, (5, 34, 3, 18), left_out=left_out)


@pytest.mark.parametrize("widths", [(5, 34, 3, 18), (150, 7, 9, 4)], ids=str)
def test_sums_over_rows_in_parts(machine, widths, monkeypatch):
    monkeypatch.setattr(dense, "SHORTEST", 32)
    check(machine, 130, widths, left_out=(0,))


def test_rows_of_a_sequence(machine):
    chain = Chain(12, (5, 3, 7, 4))
    expected = chain.gradients(chain.dy)
    chain.x, chain.dy = (a.reshape(2, 6, -1) for a in (chain.x, chain.dy))
    chain.ys = [y.reshape(2, 6, -1) for y in chain.ys]
    ys = chain.forward(machine)
    assert_near(fetch(machine, ys[-1]), chain.ys[-1])
    for a, e in zip(chain.backward(machine, ys, chain.dy), expected, strict=True):
        assert_near(a.reshape(e.shape), e)


def test_nan_is_not_hidden(machine):
    chain = Chain(11, (5, 6, 7, 4), ("relu",) * 3)
    chain.x = np.array(chain.x)
    chain.x[1, 2] = np.nan
    for y in chain.forward(machine):
        assert np.isnan(fetch(machine, y)).all(axis=1).tolist() == [n == 1 for n in range(11)]
        assert np.isfinite(np.delete(fetch(machine, y), 1, axis=0)).all()
    chain.x[1, 2] = 0
    dy = np.array(chain.dy)
    dy[1, 2] = np.nan
    ys = [place(machine, np.zeros(y.shape)) for y in chain.ys]  # which let no other gradient pass
    dx, *gradients = chain.backward(machine, ys, dy)
    assert np.isnan(dx).all(axis=1).tolist() == [n == 1 for n in range(11)]
    assert np.isfinite(np.delete(dx, 1, axis=0)).all()
    assert np.isnan(gradients[-1]).tolist() == [o == 2 for o in range(4)]
    assert np.isnan(gradients[0]).all()


# ---- which layers share launches ------------------------------------------------------------------------------------
def launches(N, widths, left_out=(0,)):
    """Of forward, and of forward and backward."""
    machine, chain = Emulator(check=False), Chain(N, widths)
    ys = chain.forward(machine)
    before = machine.launches.total()
    chain.backward(machine, ys, chain.dy, left_out=left_out)
    return before, machine.launches.total() - before, +machine.launches


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_launches():
    middle = 12, 6, 3, 6, 12
    assert launches(256, middle)[:2] == (1, 2)
    assert launches(256, (131, *middle))[:2] == (2, 2)  # of the first layer, of the others; dy, all dw
    assert launches(256, (131, *middle), left_out=())[:2] == (2, 3)  # and dx of the first
    assert launches(512, middle)[:2] == (1, 3)  # sums in parts
    assert launches(16, (131, 6, 3))[2] == {"dense_forward_small": 2, "dense_backward_small": 2}  # nothing to share
    assert launches(16, (6, 5, 3))[2] == {"dense_chain_forward": 1, "dense_backward_small": 2}
    most = dense_chain.ROWS * dense.PLENTY
    assert launches(most, (4, 3, 2, 3))[:2] == (1, 3)
    assert launches(most + 1, (4, 3, 2, 3))[:2] == (3, 6)


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_a_first_layer_that_wants_large_tiles_keeps_them(monkeypatch):
    """And tensor cores, where they are asked for."""
    monkeypatch.setattr(dense, "ENOUGH", 1)
    monkeypatch.setattr(precision, "_chosen", "tf32x3")
    check(Emulator(), 40, (150, 36, 9, 40, 12), left_out=(0,))
    assert launches(40, (150, 36, 9, 40, 12))[2] == {
        "dense_forward_tf32x3": 1,
        "dense_chain_forward": 1,
        "dense_chain_input_gradients": 1,
        "dense_chain_parameter_gradients": 1,
        "dense_backward_tf32x3": 1,
    }


def test_without_large_tiles_there_is_no_choice_of_precision():
    """Layers this narrow have small tiles for as many samples as a chain takes: they are float32 in any case."""
    N = dense_chain.ROWS * dense.PLENTY
    x, w = np.empty((N, WIDEST_CHAIN)), np.empty((WIDEST_CHAIN, WIDEST_CHAIN))
    assert dense.choose(dense.count(dense.LARGE, N, WIDEST_CHAIN), WIDEST_CHAIN) == dense.SMALL
    assert dense.backward_tile(x, w, x, w) == dense.backward_tile(x, w, None, w) == dense.SMALL


def test_sizes_are_those_of_the_source():
    said = f"LAYERS = {LONGEST_CHAIN}, WIDTH = {WIDEST_CHAIN}, ROWS = {dense_chain.ROWS};"
    assert said in dense_chain.source.text


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_bits_do_not_depend_on_the_order_of_threads(monkeypatch):
    monkeypatch.setattr(dense, "SHORTEST", 32)
    chain, results = Chain(70, (9, 33, 5, 12)), []
    for order in ("forward", "reverse", "random"):
        machine = Emulator(order=order)
        ys = chain.forward(machine)
        results.append([*(fetch(machine, y) for y in ys), *chain.backward(machine, ys, chain.dy)])
    for result in results[1:]:
        for a, e in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(a, e)


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_memory_is_read_side_by_side():
    """Lanes of a warp ask for whole sectors of global memory, and meet all banks of shared memory."""
    machine, chain = Emulator(check=False, profile=True), Chain(16, (128, 64, 32, 64, 128))
    chain.backward(machine, chain.forward(machine), chain.dy, left_out=range(1, 9))
    for memory in "global", "shared":
        rows = [row for row in machine.profile() if row.memory == memory]
        assert {row.kernel for row in rows} == {"dense_chain_forward", "dense_chain_input_gradients"}
        taken = sum(row.requests * row.per_request for row in rows)
        wasted = sum(row.requests * max(0.0, row.per_request - row.ideal) for row in rows)
        assert wasted <= 0.01 * taken
