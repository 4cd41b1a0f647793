"""Backends: which kernels run, on what arrays, in what layout. The only file that imports the kernels."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np

from .kernels import Array, DeviceMachine, Layout, Machine, Ops, RecordingMachine

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


@dataclass(frozen=True)
class Backend:
    """A device: its kernels, the machine they run on, and how much they are given at once.

    What `empty` and `activation` return goes to ops, `upload` and `download`, `clear_border` and `read` only: it need
    not be NumPy's, nor where NumPy could reach it.
    """

    name: str
    dtypes: tuple[str, ...]  # of numbers that the kernels work on
    slab_size: int | None  # samples that go through the layers at once; None: the whole batch
    vector_slab_size: int | None  # the same for models in which every sample is a vector
    load: Callable[[], tuple[Any, Any]]  # kernels and machine, whose import takes its time
    records: bool = False  # what ops do, to do it again: see recording.py
    holds_data: bool = False  # in memory of its own, where recorded steps find their batches
    unavailable: Callable[[], str] = str  # why it can't be used, in words; empty if it can

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return self.load()

    @cached_property
    def ops(self) -> Ops:
        return self._loaded[0]

    @cached_property
    def machine(self) -> Machine:
        return self._loaded[1]

    @property
    def recorder(self) -> RecordingMachine:
        """The machine of a backend that records."""
        return cast(RecordingMachine, self.machine)

    @property
    def holder(self) -> DeviceMachine:
        """The machine of a backend that holds data."""
        return cast(DeviceMachine, self.machine)

    @cached_property
    def layout(self) -> Layout:
        return self.ops.layout

    def supporting(self, dtype: np.dtype) -> Backend:
        """This backend, or on a CPU the one that stands in for it where it has no kernels for the type."""
        if dtype.name in self.dtypes:
            return self
        if self is not CPU:
            raise ValueError(
                f"device={self.name!r} computes in {' and '.join(self.dtypes)}, not in {dtype.name}: call "
                "set_floatx('float32'), or use the device 'reference'"
            )
        if (self.name, dtype.name) not in _replaced:
            _replaced.add((self.name, dtype.name))
            warnings.warn(
                f"{dtype.name} runs on the device 'reference', in NumPy: the kernels of {self.name!r} are for "
                f"{' and '.join(self.dtypes)}",
                stacklevel=2,
            )
        return REFERENCE

    # ---- arrays -----------------------------------------------------------------------------------------------------
    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """An aligned array for parameters, gradients and counters."""
        return self.machine.empty(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        array = self.empty(shape, dtype)
        self.upload(array, 0)
        return array

    def array(self, value: np.ndarray) -> Array:
        """A copy of an ndarray."""
        array = self.empty(value.shape, value.dtype)
        self.upload(array, value)
        return array

    def upload(self, array: Array, value: Any) -> None:
        """Write an ndarray of the array's shape, or one number, into an array."""
        self.machine.upload(array, value)

    def download(self, array: Array) -> np.ndarray:
        """A copy of an array."""
        return self.machine.download(array)

    # ---- tensors that flow between layers ---------------------------------------------------------------------------
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


def load_reference() -> tuple[Any, Any]:
    from .kernels import reference

    return reference, reference.machine


def load_cpu() -> tuple[Any, Any]:
    from .kernels import cpu

    return cpu, cpu.machine


def load_cuda() -> tuple[Any, Any]:
    from .kernels import cuda
    from .kernels.cuda.machine import Gpu

    return cuda, Gpu()


def load_emulator() -> tuple[Any, Any]:
    from .kernels import cuda
    from .kernels.cuda.emulator import Emulator

    return cuda, Emulator()


def no_numba() -> str:
    return "" if importlib.util.find_spec("numba") else "Numba is not installed: pip install numba, or use 'reference'"


def no_gpu() -> str:
    from .kernels.cuda.machine import unavailable

    return unavailable()


def no_emulator() -> str:
    from .kernels.cuda.emulator import unavailable

    return unavailable()


REFERENCE = Backend("reference", ("float32", "float64"), None, None, load_reference)
# Images and sequences of a slab stay in cache; for vectors the weights weigh more, which every slab reads again.
CPU = Backend("cpu", ("float32",), 128, 512, load_cpu, True, unavailable=no_numba)
CUDA = Backend("cuda", ("float32",), None, None, load_cuda, True, True, no_gpu)
EMULATOR = Backend("cuda-emulator", ("float32",), None, None, load_emulator, True, True, no_emulator)
BACKENDS = {backend.name: backend for backend in (CPU, CUDA, EMULATOR, REFERENCE)}

_default: Backend | None = None  # until set_device: the fastest there is on a CPU
_replaced: set[tuple[str, str]] = set()  # device and type for which `supporting` has warned: once is enough


def get_backend(name: str) -> Backend:
    """The backend called `name`, "auto" the fastest there is, which is said on stderr; raises ValueError with those
    there are, or with the reason why it can't be used."""
    if name == "auto":
        reason = CUDA.unavailable()
        chosen = default_on_cpu() if reason else CUDA
        print(f"scratchae: device {chosen.name!r}" + (f" ({reason})" if reason else ""), file=sys.stderr)
        return chosen
    if name not in BACKENDS:
        raise ValueError(f"device={name!r} is not there: use one of 'auto', {', '.join(map(repr, BACKENDS))}")
    reason = BACKENDS[name].unavailable()
    if reason:
        raise ValueError(f"device={name!r} can't be used: {reason}")
    return BACKENDS[name]


def default_on_cpu() -> Backend:
    """The fastest backend that needs no GPU."""
    if not no_numba():
        return CPU
    warnings.warn(
        "Numba is not installed, so everything runs in NumPy on the device 'reference', many times slower: "
        "pip install numba",
        stacklevel=2,
    )
    return REFERENCE


def default_backend() -> Backend:
    """What `set_device` chose, else "cpu"; without Numba "reference", which says so once."""
    global _default
    if _default is None:
        _default = default_on_cpu()
    return _default


def set_matmul_precision(precision: str) -> None:
    """Choose how large matrix products are computed on a GPU: "float32", on tensor cores "tf32x3", whose errors are of
    the order of float32's, or "tf32", with relative errors of some 1e-3."""
    from .kernels.cuda.precision import set_matmul_precision

    set_matmul_precision(precision)


def set_device(name: str) -> None:
    """Set the device of layers made from here on; existing models move with `model.to(name)`.

    "cpu", "reference" (NumPy), "cuda", "cuda-emulator" (the CUDA kernels on a CPU, checked, slow), or "auto": a GPU if
    there is one, else "cpu".
    """
    global _default
    _default = get_backend(name)
