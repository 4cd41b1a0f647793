"""Memory of the emulated GPU.

It is the processor's memory, but an `Array` gives nothing away that CuPy's arrays do not give as cheaply: what would
be a copy between host and GPU, or a kernel launched behind one's back, raises a TypeError. So host code that runs here
is right for a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NoReturn

import numpy as np

ALIGNMENT = 64  # bytes


class Array:
    """An n-dimensional array of an Emulator, or a view of one."""

    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # NumPy's operators then leave the matter to the ones below, which refuse

    def __init__(self, machine: Any, data: np.ndarray, marks: np.ndarray | None):
        self.machine = machine
        self._data = data
        self._marks = marks  # as many bytes as data, 0xff where a byte has been written, else 0; None: nobody asks
        self._addresses: tuple[int, int] | None = None

    @classmethod
    def allocate(cls, machine: Any, shape: tuple[int, ...], dtype: Any, marked: bool) -> Array:
        """Memory of which nothing has been written; what can be read from it is NaN."""
        dtype = np.dtype(dtype)
        size = dtype.itemsize * prod(shape)
        memory = np.full(size + ALIGNMENT, 0xFF, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        data = memory[start : start + size].view(dtype).reshape(shape)
        return cls(machine, data, np.zeros(shape, unsigned(dtype)) if marked else None)

    # ---- what it is -------------------------------------------------------------------------------------------------
    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    @property
    def nbytes(self) -> int:
        return self._data.nbytes

    @property
    def flags(self) -> Any:
        return self._data.flags

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return f"<emulated array of {self.dtype}, shape {self.shape}>"

    # ---- views ------------------------------------------------------------------------------------------------------
    def __getitem__(self, index: Any) -> Array:
        index = only_views(index)
        return self._view(lambda memory: memory[index])

    def reshape(self, *shape: Any) -> Array:
        if not self._data.flags.c_contiguous:
            raise ValueError(f"{self!r} is not contiguous: reshape would copy it")
        return self._view(lambda memory: memory.reshape(*shape))

    def view(self, dtype: Any) -> Array:
        marks = None if self._marks is None else self._marks.view(unsigned(np.dtype(dtype)))
        return Array(self.machine, self._data.view(dtype), marks)

    def _view(self, of: Callable[[np.ndarray], np.ndarray]) -> Array:
        return Array(self.machine, of(self._data), None if self._marks is None else of(self._marks))

    # ---- contents ---------------------------------------------------------------------------------------------------
    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(value, int | float | np.number | np.bool_):
            raise TypeError(f"only a number can be assigned to {self!r}, not a {type(value).__name__}: machine.upload")
        self[index].write(value)

    def write(self, value: Any) -> None:
        """Set to a number or to an ndarray. For the machine; others say machine.upload."""
        np.copyto(self._data, value, casting="unsafe")
        if self._marks is not None:
            self._marks[...] = np.iinfo(self._marks.dtype).max

    def read(self) -> np.ndarray:
        """A copy. For the machine; others say machine.download."""
        return self._data.copy()

    def forget(self) -> None:
        """Make it memory of which nothing has been written, as when it was allocated."""
        self._data.view(unsigned(self.dtype))[...] = np.iinfo(unsigned(self.dtype)).max
        if self._marks is not None:
            self._marks[...] = 0

    @property
    def addresses(self) -> tuple[int, int]:
        """Of the memory, and of the marks or 0."""
        if self._addresses is None:
            self._addresses = address(self._data), 0 if self._marks is None else address(self._marks)
        return self._addresses

    # ---- what a GPU's array cannot do by itself ---------------------------------------------------------------------
    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse()

    def _refuse(self, *_: Any) -> NoReturn:
        raise TypeError(f"{self!r} is not in the host's memory: use machine.download")

    __float__ = __int__ = __index__ = __bool__ = __complex__ = __iter__ = __contains__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __iadd__ = __sub__ = __rsub__ = __isub__ = _refuse
    __mul__ = __rmul__ = __imul__ = __truediv__ = __rtruediv__ = __itruediv__ = _refuse
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _refuse
    __matmul__ = __rmatmul__ = __neg__ = __pos__ = __abs__ = __invert__ = _refuse
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _refuse


def only_views(index: Any) -> tuple:
    """An index that makes no copy, with an Ellipsis, for which NumPy gives an array even of one element."""
    index = index if isinstance(index, tuple) else (index,)
    for part in index:
        if not (part is Ellipsis or isinstance(part, int | np.integer | slice)):
            raise TypeError(f"a {type(part).__name__} as an index would copy: use integers and slices")
    return index if any(part is Ellipsis for part in index) else (*index, Ellipsis)


def unsigned(dtype: np.dtype) -> np.dtype:
    """The unsigned integers of the same size."""
    return np.dtype(f"u{dtype.itemsize}")


def address(memory: np.ndarray) -> int:
    return memory.__array_interface__["data"][0]
