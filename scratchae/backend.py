"""Backends: which kernels run, on what arrays, in what layout. The only file that imports the kernels."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from .kernels import Array, Layout, Ops

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


@dataclass(frozen=True)
class Backend:
    """A device and the kernels for it.

    An activation's layout is the backend's own affair: what `activation` returns goes to ops, `clear_border` and
    `read` only.
    """

    name: str
    dtypes: tuple[str, ...]  # of numbers that the kernels work on
    slab_size: int | None  # samples that go through the layers at once; None: the whole batch
    vector_slab_size: int | None  # the same for models in which every sample is a vector
    load: Callable[[], Any]  # imports the kernels, which takes its time

    @cached_property
    def ops(self) -> Ops:
        return self.load()

    @cached_property
    def layout(self) -> Layout:
        return self.load().layout

    def supporting(self, dtype: np.dtype) -> Backend:
        """This backend, or the one that stands in for it where it has no kernels for the type."""
        if dtype.name in self.dtypes:
            return self
        if (self.name, dtype.name) not in _replaced:
            _replaced.add((self.name, dtype.name))
            warnings.warn(
                f"{dtype.name} runs on the device 'reference', in NumPy: the kernels of {self.name!r} are for "
                f"{' and '.join(self.dtypes)}",
                stacklevel=2,
            )
        return REFERENCE

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

    def activation_bytes(self, shape: tuple[int, ...], dtype: np.dtype, border: tuple[int, int]) -> int:
        """Memory that `activation` takes, rounded up so that the next one is aligned too."""
        return -(-self.layout.activation_bytes(shape, dtype, border) // ALIGNMENT) * ALIGNMENT

    def activation(self, memory: Array, shape: tuple[int, ...], dtype: np.dtype, border: tuple[int, int]) -> Array:
        """A tensor (N, ...) that flows between layers, laid on the beginning of `memory` (bytes).

        Kernels may read so many rows and columns around an image, which are zero after `clear_border`.
        """
        return self.layout.activation(memory, shape, dtype, border)

    def clear_border(self, activation: Array) -> None:
        """Write the zeros around an activation."""
        self.layout.clear_border(activation)

    def read(self, out: np.ndarray, activation: Array) -> None:
        """Copy an activation (N, ...) into an ndarray."""
        self.layout.read(out, activation)


def load_reference() -> Any:
    from .kernels import reference

    return reference


def load_cpu() -> Any:
    from .kernels import cpu

    return cpu


REFERENCE = Backend("reference", ("float32", "float64"), None, None, load_reference)
# Images and sequences of a slab stay in cache; for vectors the weights weigh more, which every slab reads again.
CPU = Backend("cpu", ("float32",), 128, 512, load_cpu)
BACKENDS = {backend.name: backend for backend in (CPU, REFERENCE)}

_default: Backend | None = None  # until set_device: the fastest there is
_replaced: set[tuple[str, str]] = set()  # device and type for which `supporting` has warned: once is enough


def get_backend(name: str) -> Backend:
    """The backend called `name`; raises ValueError with those there are, or with what it lacks."""
    if name not in BACKENDS:
        raise ValueError(f"device={name!r} is not there: use one of {', '.join(map(repr, BACKENDS))}")
    if name == "cpu" and not has_numba():
        raise ValueError("device='cpu' needs Numba, which is not installed: pip install numba, or use 'reference'")
    return BACKENDS[name]


def has_numba() -> bool:
    return importlib.util.find_spec("numba") is not None


def default_backend() -> Backend:
    """What `set_device` chose, else "cpu"; without Numba "reference", which says so once."""
    global _default
    if _default is None:
        _default = CPU if has_numba() else REFERENCE
        if _default is REFERENCE:
            warnings.warn(
                "Numba is not installed, so everything runs in NumPy on the device 'reference', many times slower: "
                "pip install numba",
                stacklevel=2,
            )
    return _default


def set_device(name: str) -> None:
    """Set the device of layers made from here on; existing models move with `model.to(name)`."""
    global _default
    _default = get_backend(name)
