"""All that the benchmark asks of CuPy, and what the emulator answers in its place: a dry run takes the same way.

Times are those of CUDA's events. The second one is recorded when the whole device has come to rest: the kernels run in
a stream of their own, of which `fit` says nothing, and what waiting for rest takes is little beside a round of 50 ms.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from math import ceil, prod
from typing import Any

import numpy as np

from scratchae import backend

Run = Callable[[], object]


class CupyDevice:
    """CuPy's current device."""

    emulated = False

    def __init__(self) -> None:
        import cupy

        self.cupy = cupy
        self.backend = backend.CUDA
        self.machine: Any = backend.CUDA.machine
        self.stream = getattr(self.machine, "stream", None) or cupy.cuda.Stream(non_blocking=True)

    def facts(self) -> dict[str, Any]:
        """What the device is, and the versions that numbers depend on."""
        runtime, nvrtc = self.cupy.cuda.runtime, self.cupy.cuda.nvrtc
        found = runtime.getDeviceProperties(self.cupy.cuda.Device().id)
        return {
            "name": found["name"].decode(),
            "compute capability": f"{found['major']}.{found['minor']}",
            "multiprocessors": found["multiProcessorCount"],
            "memory, GiB": round(found["totalGlobalMem"] / 2**30, 1),
            "cache, MiB": round(found.get("l2CacheSize", 0) / 2**20, 1),
            "driver's CUDA": version(runtime.driverGetVersion()),
            "CUDA": version(runtime.runtimeGetVersion()),
            "NVRTC": ".".join(map(str, nvrtc.getVersion())),
            "CuPy": self.cupy.__version__,
        }

    def used_bytes(self) -> int:
        """Of the device's memory, by all programs."""
        free, total = self.cupy.cuda.runtime.memGetInfo()
        return total - free

    def synchronize(self) -> None:
        self.cupy.cuda.runtime.deviceSynchronize()

    def seconds(self, run: Run) -> float:
        """How long it takes until all that run() has started is done."""
        begin, end = self.cupy.cuda.Event(), self.cupy.cuda.Event()
        self.synchronize()
        begin.record(self.stream)
        run()
        self.synchronize()
        end.record(self.stream)
        end.synchronize()
        return self.cupy.cuda.get_elapsed_time(begin, end) / 1000

    @property
    def stream_address(self) -> int:
        """For libraries that are not CuPy's."""
        return self.stream.ptr

    def address(self, array: Any) -> int:
        return array.data.ptr

    def graph(self, run: Run) -> Run:
        """What run() launches, to be launched again in one."""
        with self.stream:
            self.stream.begin_capture()
            try:
                run()
            finally:
                captured = self.stream.end_capture()
        return lambda: captured.launch(self.stream)

    def copy(self, target: Any, source: Any) -> None:
        """On the device, from one array to another as large."""
        runtime = self.cupy.cuda.runtime
        runtime.memcpyAsync(
            target.data.ptr, source.data.ptr, source.nbytes, runtime.memcpyDeviceToDevice, self.stream.ptr
        )

    def matmul(self, out: Any, a: Any, b: Any) -> None:
        """cuBLAS, in float32; ImportError if it isn't there."""
        with self.stream:
            self.cupy.matmul(a, b, out=out)

    def without_pool(self) -> None:
        """Give each array memory of its own from now on, around which a tool can watch."""
        self.cupy.cuda.set_allocator(None)


class EmulatedDevice:
    """The emulator. What it takes is time, too, and nothing else."""

    emulated = True

    def __init__(self) -> None:
        self.backend = backend.EMULATOR
        self.machine: Any = backend.EMULATOR.machine

    def facts(self) -> dict[str, Any]:
        return {"name": "emulator"}

    def used_bytes(self) -> int:
        return 0

    def synchronize(self) -> None:
        """It never runs ahead."""

    def seconds(self, run: Run) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    @property
    def stream_address(self) -> int:
        return 0

    def address(self, array: Any) -> int:
        return array.addresses[0]

    def graph(self, run: Run) -> Run:
        return run

    def copy(self, target: Any, source: Any) -> None:
        self.machine.upload(target, self.machine.download(source))

    def matmul(self, out: Any, a: Any, b: Any) -> None:
        self.machine.upload(out, self.machine.download(a) @ self.machine.download(b))

    def without_pool(self) -> None:
        """Every array has its own memory."""


Device = CupyDevice | EmulatedDevice


def open_device(name: str) -> Device:
    """ "cuda" or "cuda-emulator"; ends the program with the reason if it can't be used."""
    found = backend.BACKENDS[name]
    if reason := found.unavailable():
        sys.exit(reason)
    return EmulatedDevice() if found is backend.EMULATOR else CupyDevice()


def version(number: int) -> str:
    """CUDA's 13020 as 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"


def repeat(run: Run, n: int) -> None:
    for _ in range(n):
        run()


def rounds(seconds_of: Callable[[Run], float], run: Run, seconds: float, count: int, least: int = 1) -> list[float]:
    """Seconds of run() in each of so many rounds, which last so long: at least so many runs each, after as many that
    don't count."""

    def some(n: int) -> Run:
        def several() -> None:
            for _ in range(n):
                run()

        return several

    seconds_of(some(least))
    once = seconds_of(some(least)) / least
    n = max(least, ceil(seconds / max(once, 1e-9)))
    return [seconds_of(some(n)) / n for _ in range(count)]


def numbers(device: Device, *shape: int, seed: int = 0) -> Any:
    """Standard normal numbers in an array of the device: zeros would be kinder than data is. Some millions that differ
    are enough; drawing a GiB of them would take longer than what is measured."""
    drawn = np.random.default_rng(seed).standard_normal(min(prod(shape), 2**22), np.float32)
    return device.backend.array(np.resize(drawn, shape))
