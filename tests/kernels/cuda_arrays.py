"""CUDA machines, and arrays on them and back: what the tests of CUDA kernels share."""

import functools

import numpy as np


@functools.cache
def emulator(order):
    """One for all tests: what it compiled and what it keeps between launches is theirs together."""
    from scratchae.kernels.cuda.emulator import Emulator

    return Emulator(check=True, order=order, seed=1)


def place(machine, array, dtype="float32"):
    """The array on the machine."""
    array = np.asarray(array, dtype)
    placed = machine.empty(array.shape, array.dtype)
    machine.upload(placed, array)
    return placed


def blank(machine, shape, dtype="float32"):
    """An array to be written: NaN, or 255 for bytes, everywhere."""
    return place(machine, np.full(shape, np.nan if dtype == "float32" else 255), dtype)


def fetch(machine, array):
    """An array as an ndarray in float64."""
    return machine.download(array).astype("float64")


def assert_near(actual, expected, tolerance=2e-6):
    """|actual - expected| <= tolerance * max |expected|: what float32 sums in another order may differ by."""
    actual, expected = np.asarray(actual, "float64"), np.asarray(expected, "float64")
    assert actual.shape == expected.shape
    scale = max(np.abs(expected[np.isfinite(expected)]).max(initial=0), 1e-30)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)
