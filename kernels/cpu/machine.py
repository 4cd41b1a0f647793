"""What these kernels run on. Its memory is that of the reference kernels."""

from __future__ import annotations

import importlib
import time

import numba
from numba.core import config

from ..reference.machine import borrow, download, empty, hold, upload
from .jit import CACHE, KERNELS
from .simd import LANES, REGISTERS

__all__ = ["borrow", "describe", "download", "empty", "hold", "upload", "warm_up"]

LAYERS = {"omp": "omppool", "tbb": "tbbpool", "workqueue": "workqueue"}  # Numba's names for them, and its modules


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


def warm_up(say):
    begin = time.perf_counter()
    for i, kernel in enumerate(KERNELS):
        kernel.compile()
        say(f"{i + 1} of {len(KERNELS)}: {kernel.name}, {time.perf_counter() - begin:.0f} s")
