"""Kernel calls on tape do what they do when they are called."""

import gc
import weakref

import numpy as np
import pytest

from scratchae.kernels import cpu
from scratchae.kernels.cpu import jit, machine, tape
from scratchae.kernels.cpu.jit import KERNELS, f32, floats, i64, kernel, lanes, winners
from tests.test_devices import assert_same_bits


@pytest.fixture
def called():
    """A kernel that is none of the library's: it writes what it was given."""
    known = len(KERNELS)

    @kernel(floats, f32, i64, lanes, winners)
    def write(out, a, n, x, w):
        out[0], out[1], out[2], out[3] = a, n, x.shape[3], x.strides[2]
        out[4], out[5], out[6] = x[1, 1, 2, 0, 3], w.shape[1], w[0, 1, 0, 0, 0]

    yield write
    del KERNELS[known:]


def test_every_kind_of_argument(called):
    out, whole = np.zeros(7, np.float32), np.arange(2 * 5 * 6 * 3 * 16, dtype=np.float32).reshape(2, 5, 6, 3, 16)
    x, w = whole[:, 1:-1, 2:-1], np.full((1, 2, 1, 1, 4), 7, np.uint8)
    called(out, -0.1, -5, x, w)
    expected = out.copy()
    assert expected.tolist() == [np.float32(-0.1), -5, 3, 3 * 16 * 4, x[1, 1, 2, 0, 3], 2, 7]
    out[:] = np.nan
    again = tape.record(lambda: called(out, -0.1, -5, x, w))
    assert np.isnan(out).all()
    for _ in range(2):
        again()
        assert_same_bits([out], [expected])
        out[:] = np.nan


def test_calls_in_their_order_and_arrays_that_nobody_else_keeps():
    y = np.zeros(40, np.float32)

    def work():
        for factor in (1.0, 10.0, 100.0):
            cpu.add(y, np.full(40, factor, np.float32))
            cpu.add(y, y)

    again = tape.record(work)
    gc.collect()
    np.full(4000, np.nan, np.float32)  # where the arrays were, had they been freed
    again()
    assert y.tolist() == [2 * (100 + 2 * (10 + 2 * 1))] * 40


def test_other_arrays_every_time():
    def work(xs, ys):
        for x, y in zip(xs, ys, strict=True):
            cpu.add(y[1:], x[:-1])
            cpu.add(y[:2], two)

    two, pairs = np.full((2, 3), 0.5, np.float32), [[np.zeros((n, 3), np.float32) for n in (4, 6)] for _ in range(2)]
    again = tape.record(work, *pairs)
    assert not any(array.any() for pair in pairs for array in pair)
    for x in (0.0, 1.0, 2.0):
        xs, ys = ([np.full((n, 3), value, np.float32) for n in (4, 6)] for value in (x, 10))
        if x == 2:
            for array in xs:
                array.flags.writeable = False
        again(xs, ys)
        for y in ys:
            assert y[:, 0].tolist() == [10.5, 10.5 + x, *[10 + x] * (len(y) - 2)]


def test_arrays_that_are_one_when_they_are_recorded():
    one, x, y = (np.full(5, value, np.float32) for value in (1, 2, 3))
    again = tape.record(lambda given: cpu.add(*given), [one, one])
    again([y, x])
    assert (one[0], x[0], y[0]) == (1, 2, 5)
    with pytest.raises(ValueError, match="zip"):
        again([y])


def test_a_tape_keeps_no_array_that_it_was_given():
    x = np.ones(5, np.float32)
    alive, again = weakref.ref(x), tape.record(lambda given: cpu.add(*given, *given), [x])
    again([x])
    assert x.tolist() == [2] * 5
    del x
    gc.collect()
    assert alive() is None


def test_nothing_at_all():
    assert tape.record(lambda: None)() is None
    assert tape.record(lambda given: None, [np.ones(3)])([np.ones(3)]) is None


def test_an_error_ends_the_recording():
    y = np.zeros(4, np.float32)
    with pytest.raises(ZeroDivisionError):
        tape.record(lambda: cpu.add(y, y + 1 / 0))
    cpu.add(y, np.ones(4, np.float32))
    assert y.tolist() == [1] * 4


def test_what_the_host_may_not_do_meanwhile():
    x = np.ones(3, np.float32)
    with pytest.raises(RuntimeError, match="an array is downloaded"):
        tape.record(lambda: machine.download(x))
    with pytest.raises(RuntimeError, match=r"2.0 is uploaded while .* only zeros can be"):
        tape.record(lambda: machine.upload(x, 2.0))
    with pytest.raises(RuntimeError, match="only zeros can be"):
        tape.record(lambda: machine.upload(x, np.zeros(3, np.float32)))
    again = tape.record(lambda: machine.upload(x, 0))
    assert x.tolist() == [1] * 3
    again()
    assert x.tolist() == [0] * 3


def test_a_forked_process_plays_no_tape(monkeypatch):
    y = np.zeros(4, np.float32)
    again = tape.record(lambda: cpu.add(y, y))
    monkeypatch.setattr(jit, "forked", True)
    with pytest.raises(RuntimeError, match="this process was forked"):
        again()
