"""A GPU through CuPy, which compiles the sources with NVRTC and keeps what it compiled on disk.

CuPy adds -ftz=true to what it compiles: on a GPU, float32 numbers below 1.2e-38 are zero.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .conveyor import Conveyor, PinnedPlace
from .data_set import Batch, DataSet, hold
from .launcher import Parameter, Source, packed, register, sources

CURE = "pip install 'scratchae[gpu-cuda13]' (or [gpu-cuda12] for a driver before 580)"
PROBE = 'extern "C" __global__ void probe(float* x) { x[threadIdx.x] = threadIdx.x; }'


@cache
def unavailable() -> str:
    """Why there is no GPU to compute on, in words; empty if there is one."""
    try:
        import cupy
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            return f"CuPy is not installed: {CURE}"
        cause = error.__cause__ or error  # CuPy puts a page of advice before it: of a wheel for another CUDA or NumPy
        return f"CuPy fails when it is imported ({type(cause).__name__}: {first_line(cause)}): {CURE}"
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        driver, built = version(runtime.driverGetVersion()), version(runtime.runtimeGetVersion())
        if driver == "0.0":
            return "there is no NVIDIA driver (libcuda.so.1 is not found)"
        if error.status == INSUFFICIENT_DRIVER:
            return f"the NVIDIA driver is for CUDA {driver} and this CuPy for {built}: update the driver, or {CURE}"
        return f"CUDA finds no device ({error}){visible_devices()}"
    if count == 0:
        return f"there is a driver, but no device{visible_devices()}"
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # the libraries that CuPy loads late raise errors of their own
        package = "nvidia-cuda-nvrtc" + ("-cu12" if runtime.runtimeGetVersion() < 13000 else "")
        return f"NVRTC, which compiles the kernels, is not found ({first_line(error)}): pip install {package}"
    try:
        x = cupy.zeros(4, np.float32)
        cupy.RawKernel(PROBE, "probe")((1,), (4,), (x,))
        result = x.get().tolist()
    except Exception as error:  # of compilation, of memory, no code for this architecture
        return f"a kernel of one line fails ({type(error).__name__}: {first_line(error)})"
    return "" if result == [0, 1, 2, 3] else f"a kernel of one line gives {result}, not [0, 1, 2, 3]"


INSUFFICIENT_DRIVER = 35  # cudaErrorInsufficientDriver
DLPACK_CUDA = 2  # kDLCUDA


def version(number: int) -> str:
    """CUDA's 13020 as 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"


def visible_devices() -> str:
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "" if chosen is None else f"; CUDA_VISIBLE_DEVICES is {chosen!r}"


def first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


class Gpu:
    """CuPy's current device. Raises RuntimeError with the reason where there is none."""

    def __init__(self) -> None:
        reason = unavailable()
        if reason:
            raise RuntimeError(f"device='cuda' can't be used: {reason}")
        import cupy

        self.cupy = cupy
        self.stream = cupy.cuda.Stream(non_blocking=True)  # of everything: the default one can't be captured
        self.copies = cupy.cuda.Stream(non_blocking=True)  # of what a conveyor brings
        self._functions: dict[tuple[Source, str], Any] = {}
        self._scratch: dict[int, Any] = {}
        register(cupy.ndarray, self)

    def describe(self) -> str:
        device = self.cupy.cuda.runtime.getDeviceProperties(self.cupy.cuda.Device().id)
        memory = device["totalGlobalMem"] / 2**30
        return (
            f"{device['name'].decode()}, {memory:.0f} GiB, compute capability {device['major']}.{device['minor']}, "
            f"CuPy {self.cupy.__version__}, CUDA {version(self.cupy.cuda.runtime.runtimeGetVersion())}"
        )

    def warm_up(self, say: Any) -> None:
        found = sources()
        for i, source in enumerate(found):
            for kernel in source.kernels:
                self._function(source, kernel)
            say(f"{i + 1} of {len(found)}: {source.name}")

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        with self.stream:
            return self.cupy.empty(shape, dtype)

    def upload(self, array: Any, value: Any) -> None:
        with self.stream:
            if np.ndim(value) == 0:
                array.fill(array.dtype.type(value))
            else:
                array.set(np.ascontiguousarray(value, array.dtype))

    def download(self, array: Any) -> np.ndarray:
        with self.stream:  # on which it also makes the copy of what is not contiguous
            return array.get()

    def hold(self, data: Any) -> Any:
        free, _ = self.cupy.cuda.runtime.memGetInfo()
        return hold(self, data, free // 2)

    def borrow(self, data: Any) -> Any:
        if isinstance(data, DataSet):
            return data
        with self.stream:
            if hasattr(data, "__cuda_array_interface__"):
                # Its owner may still be writing, on a stream that ours does not wait for.
                self.cupy.cuda.Device().synchronize()
                array = self.cupy.asarray(data)
            elif hasattr(data, "__dlpack_device__") and data.__dlpack_device__()[0] == DLPACK_CUDA:
                array = self.cupy.from_dlpack(data)
            else:
                return None
            if array.dtype not in (np.uint8, np.float32):
                array = array.astype(np.float32)
            return DataSet(self.cupy.ascontiguousarray(array))

    def conveyor(self, data: Any, n: int) -> Conveyor:
        return Conveyor(self, data, n)

    def place(self, shape: tuple[int, ...], dtype: Any) -> PinnedPlace:
        return PinnedPlace(self, shape, dtype)

    def batch(self, n: int, size: int, order: Any = None, index: Any = None) -> Batch:
        return Batch(n, size, order, index)

    def reads(self, data: Any) -> bool:
        return False  # but for memory of its own

    def record(self, work: Callable[..., None], *arrays: Any) -> Callable[..., None]:
        with self.stream:
            self.stream.begin_capture()
            try:
                work(*arrays)
            finally:
                graph = self.stream.end_capture()
        kept = graph, list(self._scratch.values())  # a graph goes on using the memory that it was recorded with
        return lambda *arrays: kept[0].launch(self.stream)

    def launch(
        self, source: Source, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], values: list, shared: int
    ) -> None:
        parameters = source.kernels[kernel]
        arguments = tuple(map(as_cupy_takes_it, parameters, values))
        with self.stream:
            self._function(source, kernel)(grid, block, arguments, shared_mem=shared)

    def scratch(self, size: int, which: int = 0) -> Any:
        memory = self._scratch.get(which)
        if memory is None or memory.size < size:
            memory = self._scratch[which] = self.empty((size,), np.float32)
        return memory[:size]

    def _function(self, source: Source, kernel: str) -> Any:
        """The kernel, compiled with all of its source when the first of them is asked for."""
        function = self._functions.get((source, kernel))
        if function is None:
            module = self.cupy.RawModule(code=source.text, options=("-std=c++17",))
            function = self._functions[source, kernel] = module.get_function(kernel)
        return function


NULL = np.uint64(0)  # CuPy passes the bytes of a NumPy scalar on; None would be no argument at all


def as_cupy_takes_it(parameter: Parameter, value: Any) -> Any:
    """An array of CuPy's or a scalar of NumPy's, and of a Many the bytes, which it passes on as well."""
    if parameter.members:
        return packed(parameter, value, lambda array: array.data.ptr)
    return NULL if value is None else value
