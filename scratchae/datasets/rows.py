"""Data that is scaled when it is read: a file of bytes larger than memory trains as numbers in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np


class Scaled:
    """`scale * array`, row by row: floats to those who read rows, the array's own memory to the machine.

        x = Scaled(np.load("images.npy", mmap_mode="r"), 1 / 255)
        auto.fit(x, x)

    Args:
        array: (samples, ...) numbers of any type; it is not copied, and may be memory-mapped.
        scale: the factor.
        dtype: float type of the rows.
    """

    def __init__(self, array: np.ndarray, scale: float, dtype: str = "float32"):
        self.array, self.scale, self.dtype = array, scale, np.dtype(dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def size(self) -> int:
        return self.array.size

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: Any) -> Any:
        """Rows as floats; a slice of rows is scaled data again."""
        if isinstance(rows, slice):
            return Scaled(self.array[rows], self.scale, self.dtype.name)
        return self.array[rows].astype(self.dtype) * self.dtype.type(self.scale)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return (self.array.astype(self.dtype) * self.dtype.type(self.scale)).astype(dtype or self.dtype, copy=False)

    def reshape(self, *shape: Any) -> Scaled:
        """The same rows in another shape."""
        return Scaled(self.array.reshape(*shape), self.scale, self.dtype.name)
