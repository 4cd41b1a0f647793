"""Arrays on a backend and back: what the tests of its kernels share."""

import numpy as np
import pytest

pytest.importorskip("numba")

from scratchae.kernels import cpu as cpu
from scratchae.kernels.cpu import layout


def place(array, border=(0, 0), dtype="float32"):
    """The array as an activation of the fast backend: zeros in the border, NaN in whatever lies around it."""
    array = np.asarray(array, dtype)
    size = layout.activation_bytes(array.shape, array.dtype, border)
    memory = np.full(size + 64, 255, np.uint8)  # NaN, read as floats
    start = -memory.ctypes.data % 64
    placed = layout.activation(memory[start : start + size], array.shape, array.dtype, border)
    layout.clear_border(placed)
    if isinstance(placed, layout.Lanes):
        blocks = np.zeros((placed.data.shape[0] * layout.LANES, *placed.data.shape[1:4]), array.dtype)
        blocks[: len(array)] = array.reshape(len(array), *placed.data.shape[1:4])
        placed.data[...] = blocks.reshape(-1, layout.LANES, *placed.data.shape[1:4]).transpose(0, 2, 3, 4, 1)
    else:
        placed[...] = array
    return placed


def empty(shape, border=(0, 0), dtype="float32"):
    """An activation to be written: NaN (255 for bytes) everywhere but in the border."""
    placed = place(np.zeros(shape), border, dtype)
    (placed.data if isinstance(placed, layout.Lanes) else placed)[...] = np.nan if dtype == "float32" else 255
    return placed


def fetch(activation):
    """An activation as an ndarray in float64, without help of the kernels."""
    if not isinstance(activation, layout.Lanes):
        return np.array(activation, "float64")
    blocks = np.moveaxis(activation.data, 4, 1)
    samples = blocks.reshape(-1, *blocks.shape[2:])[: activation.shape[0]]
    return samples.reshape(activation.shape).astype("float64")


def assert_near(actual, expected, tolerance=2e-6):
    """|actual - expected| <= tolerance * max |expected|: what float32 sums in another order may differ by."""
    actual, expected = np.asarray(actual, "float64"), np.asarray(expected, "float64")
    assert actual.shape == expected.shape
    scale = max(np.abs(expected[np.isfinite(expected)]).max(initial=0), 1e-30)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


def with_garbage(placed, value=1e4):
    """The activation with a large number in every lane behind the last sample."""
    if isinstance(placed, layout.Lanes):
        placed.data[-1, ..., (placed.shape[0] - 1) % layout.LANES + 1 :] = value
    return placed


def assert_border(placed):
    """The border is zero, as it was."""
    if isinstance(placed, layout.Lanes):
        inside = placed.data.copy()
        placed.data[...] = 0
        assert not placed.whole.any()
        placed.data[...] = inside
