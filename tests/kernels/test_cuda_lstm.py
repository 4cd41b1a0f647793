"""Recurrent layers on CUDA machines against the reference in float64."""

import numpy as np
import pytest
from cuda_arrays import assert_near, blank, fetch, place

from scratchae.kernels import reference
from scratchae.kernels.cuda import lstm
from scratchae.kernels.cuda.emulator import Emulator, unavailable
from scratchae.kernels.cuda.lstm import lstm_backward, lstm_forward
from scratchae.kernels.cuda.repeat_vector_lstm import repeat_vector_lstm_backward, repeat_vector_lstm_forward

FORWARD = {False: lstm_forward, True: repeat_vector_lstm_forward}  # repeated: x (N, I) is the input of every step
BACKWARD = {False: lstm_backward, True: repeat_vector_lstm_backward}
REFERENCE_FORWARD = {False: reference.lstm_forward, True: reference.repeat_vector_lstm_forward}
REFERENCE_BACKWARD = {False: reference.lstm_backward, True: reference.repeat_vector_lstm_backward}
SIZES = [  # N, T, I, U
    (1, 1, 1, 1),
    (5, 3, 3, 7),
    (3, 4, 5, 32),  # the most units of the first walk, and the least of the next
    (9, 3, 2, 33),
    (2, 2, 6, 64),
    (5, 3, 3, 65),  # more than the registers hold
    (2, 2, 1, 130),  # more than a block's threads have in one round
]
NAMES = ["dx", "dwx", "dwh", "db"]


def draw(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


class Case:
    """Inputs of given sizes, what the reference makes of them, and what a machine does."""

    def __init__(self, N, T, I, U, repeated=False, bias=True, scale=1.0):
        self.N, self.T, self.U, self.repeated = N, T, U, repeated
        x = draw(4, N, I) if repeated else draw(4, N, T, I)
        self.x, self.wx, self.wh = np.float32(scale) * x, draw(1, I, 4 * U), draw(2, U, 4 * U)
        self.b = draw(3, 4 * U) if bias else None
        self.dh = draw(5, N, T, U)

    def shapes(self):
        return [(self.N, self.T, size) for size in (self.U, self.U, 4 * self.U)]

    def gradient_shapes(self):
        return [self.x.shape, self.wx.shape, self.wh.shape, (4 * self.U,)]

    def expected(self):
        x, wx, wh, b, dh = (None if a is None else a.astype(float) for a in (self.x, self.wx, self.wh, self.b, self.dh))
        saved = [np.full(shape, np.nan) for shape in self.shapes()]
        gradients = [np.full(shape, np.nan) for shape in self.gradient_shapes()]
        REFERENCE_FORWARD[self.repeated](*saved, x, wx, wh, b)
        REFERENCE_BACKWARD[self.repeated](*gradients, dh, *saved, x, wx, wh, False)
        return saved, gradients

    def run(self, machine, fill=np.nan, accumulate=False, without=()):
        """h, c, gates, and the gradients, None for those `without`; those of parameters are `fill` before."""
        x, wx, wh, b, dh = (
            None if a is None else place(machine, a) for a in (self.x, self.wx, self.wh, self.b, self.dh)
        )
        saved = [blank(machine, shape) for shape in self.shapes()]
        FORWARD[self.repeated](*saved, x, wx, wh, b)
        dx, *rest = self.gradient_shapes()
        gradients = [blank(machine, dx), *(place(machine, np.full(shape, fill)) for shape in rest)]
        gradients = [None if name in without else a for name, a in zip(NAMES, gradients, strict=True)]
        BACKWARD[self.repeated](*gradients, dh, *saved, x, wx, wh, accumulate)
        return [fetch(machine, a) for a in saved], [None if a is None else fetch(machine, a) for a in gradients]


both = pytest.mark.parametrize("repeated", [False, True], ids=["sequence", "repeated"])


@both
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_values_and_gradients(machine, sizes, repeated):
    case = Case(*sizes, repeated)
    for actual, expected in zip(case.run(machine), case.expected(), strict=True):
        for a, e in zip(actual, expected, strict=True):
            assert_near(a, e)


@both
def test_without_bias_and_added_to_known_numbers(machine, repeated):
    case = Case(5, 3, 4, 6, repeated, bias=False)
    (saved, gradients), (expected_saved, expected) = case.run(machine, 2.5, True), case.expected()
    for a, e in zip(saved, expected_saved, strict=True):
        assert_near(a, e)
    for a, e, start in zip(gradients, expected, [0, 2.5, 2.5, 2.5], strict=True):
        assert_near(a, e + start)


@both
@pytest.mark.parametrize("without", [*([name] for name in NAMES), NAMES[1:], NAMES], ids=str)
def test_a_gradient_that_nobody_asks_for(machine, without, repeated):
    case = Case(3, 3, 5, 6, repeated)
    for name, a, e in zip(NAMES, case.run(machine, without=without)[1], case.expected()[1], strict=True):
        if name in without:
            assert a is None
        else:
            assert_near(a, e)


@both
def test_sums_over_several_shares_of_the_rows(machine, repeated):
    case = Case(45, 3, 3, 4, repeated)  # 135 rows in shares of 68
    for a, e in zip(case.run(machine)[1], case.expected()[1], strict=True):
        assert_near(a, e)


@both
def test_eight_samples_a_block(machine, repeated, monkeypatch):
    monkeypatch.setattr(lstm, "BLOCKS", 4)
    case = Case(19, 3, 2, 65, repeated)
    for actual, expected in zip(case.run(machine), case.expected(), strict=True):
        for a, e in zip(actual, expected, strict=True):
            assert_near(a, e)


def test_more_than_a_block_can_count():
    class Sequence:
        shape = 2, 2**18, 512

    with pytest.raises(ValueError, match="262144 steps of 512 units"):
        lstm.walk(Sequence(), None, None, None, None)


@both
def test_the_same_bits_again(machine, repeated):
    assert_same_bits(Case(70, 2, 5, 6, repeated), machine, machine)


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
@both
def test_the_same_bits_in_any_order_of_threads(repeated):
    assert_same_bits(Case(70, 2, 5, 6, repeated), *map(Emulator, (True,) * 3, ("forward", "reverse", "random")))


def assert_same_bits(case, machine, *others):
    saved, gradients = case.run(machine)
    for other in others:
        for a, b in zip([saved, gradients], case.run(other), strict=True):
            for one, again in zip(a, b, strict=True):
                np.testing.assert_array_equal(one, again)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_its_way(machine, value):
    case = Case(5, 4, 3, 5)
    case.x[3, 1, 2] = value
    (h, c, gates), _ = case.run(machine)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = case.expected()[0]
    for a, e in zip((h, c, gates), expected, strict=True):
        assert_near(np.nan_to_num(a, nan=7), np.nan_to_num(e, nan=7))
    assert np.isnan(h[3, 1:]).all() == np.isnan(value)
    assert np.isfinite(np.delete(h, 3, axis=0)).all()


@both
def test_nan_upstream_reaches_every_gradient(machine, repeated):
    case = Case(5, 3, 3, 5, repeated)
    case.dh[4, 1, 2] = np.nan
    for a in case.run(machine)[1]:
        assert np.isnan(a).any()


def test_large_sums_saturate_the_gates(machine):
    for scale in (50, 1e4, 1e30):
        case = Case(3, 3, 4, 3, scale=scale)
        (h, _, gates), _ = case.run(machine)
        with np.errstate(over="ignore"):
            expected = case.expected()[0]
        assert_near(h, expected[0], 1e-5)
        assert (np.abs(gates) <= 1).all()
