"""Batches that go to the device while it works on those before them, of data for which it has no room."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from .data_set import DataSet, bytes_of, dtype_of


class Place(Protocol):
    """Memory for a batch: an array of the device, and where the host writes it."""

    array: Any

    def open(self) -> np.ndarray:
        """The host's memory, when it may be written."""

    def send(self) -> None:
        """Copy it to the device, behind the steps that read what was there and before those that follow."""

    def close(self) -> None:
        """No step that is still to come reads what is there."""


class Conveyor:
    """Two places that batches of one shape come to in turn: one is filled while steps read the other."""

    def __init__(self, machine: Any, data: Any, n: int):
        array, _ = bytes_of(data) or (data, 1.0)
        shape, dtype = (n, *array.shape[1:]), dtype_of(array)
        self.here: Place = machine.place(shape, dtype)
        self.next: Place = machine.place(shape, dtype)

    def put(self, data: Any, rows: np.ndarray) -> DataSet:
        """Rows of data on the device, for the steps up to the next call."""
        array, scale = bytes_of(data) or (data, 1.0)
        self.here.close()
        self.here, self.next = self.next, self.here
        host = self.here.open()
        if isinstance(array, np.ndarray) and array.dtype == host.dtype:
            np.take(array, rows, axis=0, out=host, mode="clip")  # "raise" would make a copy first
        else:
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is counted by gather
                host[...] = array[rows]
        self.here.send()
        return DataSet(self.here.array, scale)


class PinnedPlace:
    """A Place of CuPy's, whose memory of the host a GPU reads by itself, on a stream beside that of the steps."""

    def __init__(self, gpu: Any, shape: tuple[int, ...], dtype: Any):
        self.gpu, self.array = gpu, gpu.empty(shape, dtype)
        pinned = gpu.cupy.cuda.alloc_pinned_memory(self.array.nbytes)
        self.host = np.frombuffer(pinned, dtype, self.array.size).reshape(shape)
        self.sent, self.closed = (gpu.cupy.cuda.Event(disable_timing=True) for _ in range(2))
        self.close()  # what had the array's memory before may still be at work

    def open(self) -> np.ndarray:
        self.sent.synchronize()
        return self.host

    def send(self) -> None:
        self.gpu.copies.wait_event(self.closed)
        self.array.data.copy_from_host_async(self.host.ctypes.data, self.host.nbytes, self.gpu.copies)
        self.sent.record(self.gpu.copies)
        self.gpu.stream.wait_event(self.sent)

    def close(self) -> None:
        self.closed.record(self.gpu.stream)
