"""Backends: which kernels run, on what arrays, in what layout. The only file that imports the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import cast

import numpy as np

from .kernels import Array, Ops, reference

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


@dataclass(frozen=True)
class Backend:
    """A device and the kernels for it.

    An activation's layout is the backend's own affair: what `activation` returns goes to ops and to `read` only.
    """

    name: str
    ops: Ops
    slab_size: int | None  # samples that go through the layers at once; None: the whole batch

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """An aligned array for parameters, gradients and counters."""
        size = prod(shape) * dtype.itemsize
        memory = np.empty(size + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        return memory[start : start + size].view(dtype).reshape(shape)

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        array = self.empty(shape, dtype)
        array[...] = 0
        return array

    def activation_bytes(self, shape: tuple[int, ...], dtype: np.dtype) -> int:
        """Memory that `activation` takes, rounded up so that the next one is aligned too."""
        return -(-prod(shape) * dtype.itemsize // ALIGNMENT) * ALIGNMENT

    def activation(self, memory: Array, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """A tensor (N, ...) that flows between layers, laid on the beginning of `memory` (bytes)."""
        return memory[: prod(shape) * dtype.itemsize].view(dtype).reshape(shape)

    def read(self, activation: Array) -> np.ndarray:
        """A copy of an activation as an ndarray."""
        return np.array(activation)


REFERENCE = Backend("reference", cast(Ops, reference), slab_size=None)
BACKENDS = {"reference": REFERENCE}

_default = REFERENCE


def get_backend(name: str) -> Backend:
    """The backend called `name`; raises ValueError with those there are."""
    if name not in BACKENDS:
        raise ValueError(f"device={name!r} is not there: use one of {', '.join(map(repr, BACKENDS))}")
    return BACKENDS[name]


def default_backend() -> Backend:
    return _default


def set_device(name: str) -> None:
    """Set the device of layers made from here on; existing models move with `model.to(name)`."""
    global _default
    _default = get_backend(name)
