"""What these kernels run on, and its memory: NumPy's."""

from __future__ import annotations

from math import prod

import numpy as np

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


def describe():
    return "NumPy, float32 and float64, whole batches"


def warm_up(say):
    """NumPy is compiled already."""


def empty(shape, dtype):
    size = prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def upload(array, value):
    array[...] = value


def download(array):
    return np.array(array)


def hold(data):
    return data


def borrow(data):
    """What lies on a GPU is not for these kernels."""
