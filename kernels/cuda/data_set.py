"""A data set on the device: what `gather` reads without asking the host for a row."""

from __future__ import annotations

from typing import Any

import numpy as np

from .launcher import machine_of


class DataSet:
    """`scale * array`, for an array (samples, ...) of bytes or float32 on the device.

    To the host it looks like an array of NumPy's: rows that are asked for by number are downloaded, a slice of rows or
    another shape stays where it is.
    """

    def __init__(self, array: Any, scale: float = 1.0):
        self.array, self.scale = array, scale
        self.shape, self.ndim, self.size = array.shape, len(array.shape), array.size
        self.dtype = np.dtype("float32") if scale != 1 else array.dtype

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, slice):
            return DataSet(self.array[rows], self.scale)
        one = isinstance(rows, int | np.integer)
        taken = np.stack([machine_of(self.array).download(self.array[int(i)]) for i in np.atleast_1d(rows)])
        taken = taken.astype(self.dtype) * self.dtype.type(self.scale) if self.scale != 1 else taken
        return taken[0] if one else taken

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[np.arange(len(self))].astype(dtype or self.dtype, copy=False)

    def reshape(self, *shape: Any) -> DataSet:
        return DataSet(self.array.reshape(*shape), self.scale)


class Batch:
    """The rows of a batch as a recorded step finds them: its index is on the device, and counted up there.

    Batch number index[0] of `size` rows each, in the order `order`; the first rows of the data where there is no order.
    The last one has fewer rows, `n`.
    """

    def __init__(self, n: int, size: int, order: Any = None, index: Any = None):
        self.n, self.size, self.order, self.index = n, size, order, index

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, rows: slice) -> Batch:
        if (rows.start, rows.stop) != (0, self.n):
            raise ValueError(f"a batch of {self.n} rows on the device goes through in one, not as {rows}")
        return self


def hold(machine: Any, data: Any, room: int) -> Any:
    """A data set of the host on the device, as bytes if it is of bytes and as float32 otherwise; as it is, if it takes
    more than `room` bytes there, or is there already."""
    if isinstance(data, DataSet):
        return data
    array, scale = bytes_of(data) or (data, 1.0)
    dtype = dtype_of(array)
    if array.size * dtype.itemsize > room:
        return data
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is counted by gather
        held = machine.empty(array.shape, dtype)
        machine.upload(held, np.asarray(array, dtype))
    return DataSet(held, scale)


def dtype_of(array: Any) -> np.dtype:
    """The type in which an array lies on the device."""
    return np.dtype("uint8" if array.dtype == np.uint8 else "float32")


def bytes_of(data: Any) -> tuple[Any, float] | None:
    """The bytes and the factor of data that is bytes times a float32: a `datasets.Scaled` of images, above all."""
    array = getattr(data, "array", None)
    if isinstance(array, np.ndarray) and array.dtype == np.uint8 and data.dtype == np.float32:
        return array, data.scale
    return None
