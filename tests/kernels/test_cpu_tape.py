"""Kernel calls on tape do what they do when they are called."""

import gc

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


def test_nothing_at_all():
    assert tape.record(lambda: None)() is None


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
