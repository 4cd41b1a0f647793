"""How the kernels are compiled: `@inner` and `@inlined` for functions in kernels, `@kernel(...)` for what the ops call.

A kernel has one signature, written beside it, so it is compiled once, whatever the sizes. The machine code is kept on
disk, in a folder named after the sources: Numba itself would not notice that a function called by a kernel has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import config

# GNU OpenMP's threads wait for each other by spinning for 3.6 ms. Where other programs have the cores, a parallel
# region then lasts as long as the system's time slices: a step of 0.9 ms took 587 ms beside two busy processes. After
# 50,000 turns, 0.6 ms, they sleep: beside the two a step took 1 to 50 ms in the median of a run, and 94 at most. After
# 5,000 it was 2 to 8 ms, and 25, but they would sleep whenever Python takes its time, and on a virtual machine waking
# takes long: alone, another model's step took 8 ms instead of 4.4. Read when libgomp loads.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "50000")

# A parallel region takes 1 to 2 us with OpenMP and TBB, 60 us with Numba's own workqueue.
if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

# The types of a kernel's arguments. Images and sequences are strided by their border, everything else is contiguous.
f32, i64, u64 = types.float32, types.int64, types.uint64
floats = types.Array(f32, 1, "C")
doubles = types.Array(types.float64, 1, "C")
matrix = types.Array(f32, 2, "C")
matrix4 = types.Array(f32, 4, "C")
lanes = types.Array(f32, 5, "A")
winners = types.Array(types.uint8, 5, "A")
integers = types.Array(i64, 1, "C")
counters = types.Array(u64, 1, "C")
flags = types.Array(types.int32, 1, "C")

OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "boundscheck": False}  # never fastmath: NaN is news
PRANGE = {"prange": True} | dict.fromkeys(
    ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False
)

# Nothing is allocated in these. With Numba's runtime, arrays would be counted in and out at each call, and tiles of
# registers saved around that.
inner = numba.njit(inline="never", _nrt=False, **OPTIONS)
# For what takes less than a microsecond: a call passes each array in nine words.
inlined = numba.njit(inline="never", _nrt=False, forceinline=True, **OPTIONS)
KERNELS: list[Kernel] = []


def sources() -> str:
    """A name for the state of the sources in this folder."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def cache_folder() -> Path:
    """Where machine code is kept: in NUMBA_CACHE_DIR if that is set, else beside the sources or in the user's cache."""
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR) / f"scratchae-{sources()}"
    beside = Path(__file__).parent / "__pycache__"
    if os.access(beside if beside.exists() else beside.parent, os.W_OK):
        return beside / sources()
    user = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(user) / "scratchae" / sources()


CACHE = cache_folder()
KEPT = 7 * 24 * 3600  # seconds that the machine code of other sources is kept


def remove_old(folder: Path) -> None:
    """Remove machine code of sources that nobody has compiled for a week."""
    for other in folder.parent.glob("[0-9a-f]" * 12):
        if other != folder and time.time() - other.stat().st_mtime > KEPT:
            shutil.rmtree(other, ignore_errors=True)


class Kernel:
    """A compiled function with one signature, compiled or read from disk when it is first called."""

    said = False

    def __init__(self, function: Callable, arguments: tuple, parallel: bool):
        self.name, self.signature = function.__name__, types.void(*arguments)
        usual, config.CACHE_DIR = config.CACHE_DIR, str(CACHE)  # read by njit when it decorates
        try:
            self.run = numba.njit(cache=True, parallel=PRANGE if parallel else False, **OPTIONS)(function)
        finally:
            config.CACHE_DIR = usual
        self.compiled = False

    def __call__(self, *arguments: Any) -> None:
        refuse_if_forked()
        if not self.compiled:
            self.compile()
        if recorder.tape is None:
            self.run(*arguments)
        else:
            recorder.tape.add(self, arguments)

    def address(self) -> int:
        """Of the machine code, once it is there."""
        compiled = self.run.overloads[self.signature.args]
        return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)

    def compile(self) -> None:
        """Make the machine code, or read it from disk; says so when it is made for the first time."""
        with LOCK:
            if self.compiled:
                return
            if not Kernel.said and not self.on_disk():
                Kernel.said = True
                remove_old(CACHE)
                print(
                    "scratchae: compiling kernels for this processor, once (`scratchae warmup` does it ahead)",
                    file=sys.stderr,
                )
            self.run.compile(self.signature)
            self.run.disable_compile()
            self.compiled = True

    def on_disk(self) -> bool:
        return any(Path(self.run._cache.cache_path).glob(f"*.{self.name}-*.nbi"))


LOCK = threading.Lock()


class Recorder(threading.local):
    """The tape that kernel calls of a thread are put on, if they are: see tape.py."""

    tape: Any = None


recorder = Recorder()


def kernel(*arguments: Any, parallel: bool = False) -> Callable[[Callable], Kernel]:
    """Decorator: a function that an op calls, with the types of its arguments."""

    def decorate(function: Callable) -> Kernel:
        KERNELS.append(Kernel(function, arguments, parallel))
        return KERNELS[-1]

    return decorate


forked = False  # from a process that had used kernels


def refuse_if_forked() -> None:
    """GNU OpenMP ends a forked child at its next parallel region: an error one can read is better."""
    if not forked:
        return
    raise RuntimeError(
        "this process was forked from one that had used scratchae's parallel kernels, which OpenMP does not survive: "
        'start workers with multiprocessing.get_context("spawn"), or use set_device("reference") in them'
    )


def after_fork() -> None:
    global forked
    forked = any(k.compiled for k in KERNELS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)


# ---- memory of the ops' own -----------------------------------------------------------------------------------------
def aligned(size: int) -> np.ndarray:
    """So many floats on a cache line."""
    raw = np.empty(4 * size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + 4 * size].view(np.float32)


class Scratch(threading.local):
    def __init__(self) -> None:
        self.memory = [np.empty(0, np.float32)] * 2


_scratch = Scratch()


def scratch(size: int, which: int = 0) -> np.ndarray:
    """At least `size` floats on a cache line, the caller's until the next op: one of two buffers, that grow and are
    kept, of each thread."""
    memory = _scratch.memory[which]
    if memory.size < size:
        memory = _scratch.memory[which] = aligned(size)
    return memory
