"""What the numbers were measured on, and what a child's environment must not decide for them."""

from __future__ import annotations

import os
import platform
from pathlib import Path

THREAD_VARIABLES = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"


def processor_name() -> str:
    """The processor as its maker calls it, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_cores(threads: int) -> None:
    """Confine this process and its children: the one limit that every library respects (JAX has no variable for it)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def child_environment() -> dict[str, str]:
    """Ours, with nothing in it that makes the numbers those of one machine."""
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    environment.pop("OPENBLAS_CORETYPE", None)  # forces the matrix products of another processor on NumPy
    return environment


def timed_environment(threads: int | None) -> dict[str, str]:
    """The same, with so many threads; with None each library chooses for itself, as it does for its users."""
    environment = child_environment()
    for name in THREAD_VARIABLES:
        environment.pop(name, None)
        if threads is not None:
            environment[name] = str(threads)
    return environment
