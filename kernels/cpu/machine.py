"""What these kernels run on. Its memory is that of the reference kernels."""

from __future__ import annotations

import importlib
import time

import numba
import numpy as np
from numba import types
from numba.core import config

from ..reference import machine as reference
from ..reference.machine import borrow, empty, hold
from .jit import CACHE, KERNELS, kernel, recorder
from .reshape import in_place
from .simd import LANES, REGISTERS
from .tape import record

__all__ = ["borrow", "describe", "download", "empty", "hold", "reads", "record", "upload", "warm_up"]

LAYERS = {"omp": "omppool", "tbb": "tbbpool", "workqueue": "workqueue"}  # Numba's names for them, and its modules


def reads(data):
    return in_place(data)[0] is not None


def describe():
    threads = f"{config.NUMBA_NUM_THREADS} threads by {threading_layer()}"
    return (
        f"Numba {numba.__version__}, float32, vectors of {LANES} in {REGISTERS} registers, {threads}; "
        f"machine code in {CACHE}"
    )


def threading_layer():
    """Which of Numba's threading layers will run, without running it."""
    chosen = config.THREADING_LAYER
    for name in [chosen] if chosen in LAYERS else config.THREADING_LAYER_PRIORITY:
        try:
            importlib.import_module(f"numba.np.ufunc.{LAYERS[name]}")
        except ImportError:
            continue
        slow = " (60 us for each kernel, OpenMP and TBB take 1: install libgomp)" if name == "workqueue" else ""
        return name + slow
    return "none"


def upload(array, value):
    if recorder.tape is None:
        reference.upload(array, value)
    elif np.ndim(value) == 0 and value == 0:
        clear(array.reshape(-1).view(np.uint8))
    else:
        raise RuntimeError(f"{value!r} is uploaded while kernel calls are recorded: only zeros can be")


def download(array):
    if recorder.tape is not None:
        raise RuntimeError("an array is downloaded while kernel calls are recorded: it would not be what they leave")
    return reference.download(array)


@kernel(types.Array(types.uint8, 1, "C"))
def clear(memory):
    memory[:] = 0


def warm_up(say):
    begin = time.perf_counter()
    for i, k in enumerate(KERNELS):
        k.compile()
        say(f"{i + 1} of {len(KERNELS)}: {k.name}, {time.perf_counter() - begin:.0f} s")
