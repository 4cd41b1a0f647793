"""What the device can do: copies, multiply-adds, matrix products, launches. Times are of one copy, product or launch.

The rates are what later figures are held against, so they come from libraries or from kernels of a few lines, and not
from what is measured against them.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial

import numpy as np

from scratchae.kernels.cuda.launcher import Source

from .children import emit
from .cublaslt import WORKSPACE, Epilogue, opened
from .device import Device, numbers, open_device, repeat, rounds
from .product_cases import ALONE, Part
from .products import Placed

COPIES = tuple(2**n for n in (20, 22, 24, 26, 28, 30))  # bytes
PRODUCTS = 2048, 4096, 8192
THREADS, TURNS, SUMS = 256, 4096, 16

MULTIPLY_ADDS = Source.of_text(
    "multiply_adds",
    r"""
extern "C" __global__ void __launch_bounds__(256) multiply_adds(float* y, float a, int turns) {
  const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  float sum[16];  // none waits for the one before
#pragma unroll
  for (int s = 0; s < 16; ++s) sum[s] = threadIdx.x + s;
#pragma unroll 4
  for (int turn = 0; turn < turns; ++turn) {
#pragma unroll
    for (int s = 0; s < 16; ++s) sum[s] = fmaf(sum[s], a, 1.0f);
  }
  float total = 0;
#pragma unroll
  for (int s = 0; s < 16; ++s) total += sum[s];
  y[i] = total;
}
""",
)
NOTHING = Source.of_text(
    "nothing",
    r"""
extern "C" __global__ void nothing(float* y) {
  if (threadIdx.x == 1) y[0] = 1;
}
""",
)


def copies(device: Device, smoke: bool) -> None:
    """From one array of the device to another; bytes are counted where they are read and where they are written."""
    for size in COPIES[:1] if smoke else COPIES:
        source, target = numbers(device, size // 4), device.backend.empty((size // 4,), np.dtype("float32"))
        run = device.graph(partial(repeat, partial(device.copy, target, source), 10))
        times = [t / 10 for t in rounds(device.seconds, run, *duration(smoke))]
        emit(what="copy", bytes=2 * size, times=times)


def multiply_adds(device: Device, smoke: bool) -> None:
    """Multiply-adds on registers, two operations each."""
    blocks, turns = (2, 4) if smoke else (132 * 64, TURNS)
    y = device.backend.empty((blocks * THREADS,), np.dtype("float32"))
    run = partial(MULTIPLY_ADDS.launch, "multiply_adds", blocks, THREADS, y, 0.5, turns)
    times = rounds(device.seconds, run, *duration(smoke))
    emit(what="multiply-adds", precision="float32", flops=2 * blocks * THREADS * SUMS * turns, times=times)


def products(device: Device, smoke: bool) -> None:
    """cuBLAS through CuPy, in float32."""
    for n in (32,) if smoke else PRODUCTS:
        a, b, c = (numbers(device, n, n, seed=seed) for seed in range(3))
        try:
            times = rounds(device.seconds, partial(device.matmul, c, a, b), *duration(smoke))
        except Exception as error:  # of the loader, or of cuBLAS
            emit(what="product", by="CuPy", error=f"{type(error).__name__}: {str(error).splitlines()[0]}")
            return
        emit(what="product", by="CuPy", precision="float32", n=n, flops=2 * n**3, times=times)


def cublaslt_products(device: Device, smoke: bool) -> None:
    """cublasLt, also with TF32, which is what the other precisions are held against."""
    if device.emulated:
        return
    try:
        lt = opened()
    except RuntimeError as error:
        emit(what="product", by="cublasLt", error=str(error))
        return
    n, rng = 64 if smoke else PRODUCTS[1], np.random.default_rng(0)
    square = Part(*(rng.standard_normal((n, n), np.float32) for _ in range(2)), (False, False), ALONE)
    placed = Placed(device, lt, square, device.backend.empty((WORKSPACE,), np.dtype("uint8")))
    for precision in ("float32", "tf32"):
        run = placed.fastest(precision, Epilogue.DEFAULT, smoke).run
        times = rounds(device.seconds, run, *duration(smoke))
        emit(what="product", by="cublasLt", precision=precision, n=n, flops=2 * n**3, times=times)


def launches(device: Device, smoke: bool) -> None:
    """A kernel that does nothing: launched from Python, and a node of a graph in which each waits for the one before.

    host_us is what Python takes to launch it, while the device is behind.
    """
    y = device.backend.array(np.zeros(1, np.float32))
    run = partial(NOTHING.launch, "nothing", 1, 32, y)
    n = 2 if smoke else 100
    run()
    device.synchronize()
    start = time.perf_counter()
    repeat(run, n)
    host = (time.perf_counter() - start) / n
    device.synchronize()
    emit(what="launch", by="Python", host_us=1e6 * host, times=rounds(device.seconds, run, *duration(smoke)))
    for nodes in (1, n):
        replay = device.graph(partial(repeat, run, nodes))
        times = rounds(device.seconds, replay, *duration(smoke))
        emit(what="launch", by=f"a graph of {nodes}", nodes=nodes, times=[t / nodes for t in times])


def duration(smoke: bool) -> tuple[float, int]:
    """Of a round, and how many there are."""
    return (0.0, 1) if smoke else (0.05, 7)


def main() -> int:
    """The stage's program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    device = open_device(options.device)
    for part in (copies, multiply_adds, launches, products, cublaslt_products):
        part(device, options.smoke)
    return 0


if __name__ == "__main__":
    sys.exit(main())
