"""How fast is each kernel of the device "cpu", and how near to what the processor can do?

    python -m benchmarks.kernels

Every family of ops runs on the shapes of the standard autoencoders, a slab of samples at a time. What multiplies is
given in GFLOP/s and held against multiply-adds on registers; what moves numbers in GB/s and held against a copy in as
much memory, which ops that read more than they write can be ahead of. Both are measured in the same run and with all
threads, and so is the device "reference". A convolution behind an upsampling counts the products that are left to do,
4 of 9. Bytes are those of each tensor once, and twice where it is read and written. A chain of convolutions is each of
them in turn, and not here.

Results: benchmarks/results/kernels.json and kernels.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np
from numba import prange

from scratchae.backend import CPU, REFERENCE, Backend
from scratchae.kernels.cpu.jit import floats, i64, kernel
from scratchae.kernels.cpu.layout import CHUNK
from scratchae.kernels.cpu.simd import LANES, REGISTERS, fma, load, load_tile, splat, store, store_tile

from .machine import available_cores, processor_name
from .report import command, number, table

SLAB, VECTORS = CPU.slab_size or 128, CPU.vector_slab_size or 512  # samples of images and sequences, and of vectors
FLOAT32, BYTE = np.dtype("float32"), np.dtype("uint8")
KEY, STEP, FIRST = (1, 2), np.zeros(1, np.uint64), 0  # of noise
REFERENCE_RUNS = 3
RESULTS = Path(__file__).parent / "results"
HEADER = "op", "samples", "sizes", "least, us", "median, us", "GFLOP/s", "GB/s", "of peak", "reference, us", "ratio"


@dataclass
class Work:
    """An op with its arguments, and what it does: arithmetic operations, or bytes that are read and written.

    `memory` is where these are, if an op writes what it has read.
    """

    op: str
    sizes: str
    arguments: tuple
    flops: int = 0
    bytes: int = 0
    memory: int = 0


class Desk:
    """Tensors for the ops of a device, of so many samples."""

    def __init__(self, backend: Backend, samples: int):
        self.backend, self.N, self.rng = backend, samples, np.random.default_rng(0)

    def empty(self, *shape: int, border: tuple[int, int] = (0, 0), dtype: np.dtype = FLOAT32) -> Any:
        """An activation (N, *shape) to be written."""
        size = self.backend.activation_bytes((self.N, *shape), dtype, border)
        activation = self.backend.activation(self.backend.zeros((size,), BYTE), (self.N, *shape), dtype, border)
        self.backend.clear_border(activation)
        return activation

    def draw(self, *shape: int, border: tuple[int, int] = (0, 0)) -> Any:
        """An activation of numbers in [0, 1)."""
        activation, numbers = self.empty(*shape, border=border), self.rng.random((self.N, *shape), np.float32)
        self.backend.ops.gather(activation, numbers, np.arange(self.N), np.zeros(1, np.int32))
        return activation

    def weights(self, *shape: int) -> Any:
        """Parameters, or anything of one axis, around 0."""
        array = self.backend.empty(shape, FLOAT32)
        array[...] = self.rng.normal(0, 0.1, shape)
        return array


def text(*sizes: int) -> str:
    return "x".join(map(str, sizes))


# ---- what multiplies ------------------------------------------------------------------------------------------------
def dense(at: Desk, I: int, O: int, first: bool = False) -> Iterator[Work]:
    """Nobody asks the `first` layer for dx."""
    x, dx, y, dy = at.draw(I), None if first else at.empty(I), at.empty(O), at.draw(O)
    w, b, dw, db = at.weights(I, O), at.weights(O), at.weights(I, O), at.weights(O)
    sizes, flops = f"{I} to {O}", 2 * at.N * I * O
    yield Work("dense_forward", sizes, (y, x, w, b, "relu"), flops)
    yield Work("dense_backward", sizes, (dx, dw, db, dy, y, x, w, "relu", False), flops if first else 2 * flops)


def dense_chain(at: Desk, *widths: int) -> Iterator[Work]:
    """Layer after layer. Nobody asks the first for dx."""
    layers = list(pairwise(widths))
    x, ys, dys = at.draw(widths[0]), [at.empty(O) for O in widths[1:]], [at.draw(O) for O in widths[1:]]
    ws, dws = ([at.weights(I, O) for I, O in layers] for _ in range(2))
    bs, dbs = ([at.weights(O) for _, O in layers] for _ in range(2))
    activations, sizes, flops = ["relu"] * len(layers), " to ".join(map(str, widths)), 2 * at.N * sum(map(prod, layers))
    yield Work("dense_chain_forward", sizes, (ys, x, ws, bs, activations), flops)
    backward = None, dws, dbs, dys, ys, x, ws, activations, False
    yield Work("dense_chain_backward", sizes, backward, 2 * flops - 2 * at.N * prod(layers[0]))


def dense_binary_crossentropy(at: Desk, I: int, O: int) -> Iterator[Work]:
    x, t, dz, w, b = at.draw(I), at.draw(O), at.empty(O), at.weights(I, O), at.weights(O)
    arguments = at.weights(1), at.weights(at.N), dz, x, w, b, t, at.weights(at.N), 1 / O
    yield Work("dense_binary_crossentropy", f"{I} to {O}", arguments, 2 * at.N * I * O)


def conv2d(
    at: Desk, H: int, W: int, C: int, O: int, padding: str, pair: str = "", first: bool = False
) -> Iterator[Work]:
    """3x3, alone or with the pooling behind it or the upsampling before it."""
    h, v, taps = H, W, 9
    if pair == "up_sampling2d_":
        h, v, taps = 2 * H, 2 * W, 4
    around_x, around_dy = ((1, 1), (1, 1)) if padding == "same" else ((0, 0), (2, 2))
    h, v = (h, v) if padding == "same" else (h - 2, v - 2)
    flops = 2 * at.N * h * v * taps * C * O
    saved: tuple = ()
    if pair == "_max_pool2d":
        h, v, around_dy = (h + 1) // 2, (v + 1) // 2, (0, 0)
        saved = (at.empty(h, v, O, dtype=BYTE),)
    x, y, dy = at.draw(H, W, C, border=around_x), at.empty(h, v, O), at.draw(h, v, O, border=around_dy)
    w, b, dw, db = at.weights(3, 3, C, O), at.weights(O), at.weights(3, 3, C, O), at.weights(O)
    dx = None if first else at.empty(H, W, C)
    op, sizes = f"{pair}conv2d" if pair[:1] != "_" else f"conv2d{pair}", f"{text(H, W, C)} to {text(h, v, O)}"
    yield Work(f"{op}_forward", sizes, (y, *saved, x, w, b, padding, "relu"), flops)
    backward = dx, dw, db, dy, y, *saved, x, w, padding, "relu", False
    yield Work(f"{op}_backward", sizes, backward, flops if first else 2 * flops)


def lstm(at: Desk, T: int, I: int, U: int, pair: str = "") -> Iterator[Work]:
    """On a sequence, or on a vector that is repeated."""
    shape, inputs = ((I,), 1) if pair else ((T, I), T)
    x, dx, h, c, gates, dh = at.draw(*shape), at.empty(*shape), *(at.empty(T, n) for n in (U, U, 4 * U)), at.draw(T, U)
    wx, wh, b = at.weights(I, 4 * U), at.weights(U, 4 * U), at.weights(4 * U)
    gradients = dx, at.weights(I, 4 * U), at.weights(U, 4 * U), at.weights(4 * U)
    sizes, flops = f"{T} steps, {I} to {U}", 8 * at.N * U * (inputs * I + T * U)
    yield Work(f"{pair}lstm_forward", sizes, (h, c, gates, x, wx, wh, b), flops)
    yield Work(f"{pair}lstm_backward", sizes, (*gradients, dh, h, c, gates, x, wx, wh, False), 2 * flops)


# ---- what moves numbers ---------------------------------------------------------------------------------------------
def activations(at: Desk, *shape: int) -> Iterator[Work]:
    x, y, size = at.draw(*shape), at.empty(*shape), 4 * at.N * int(np.prod(shape))
    for name in ("relu", "sigmoid", "tanh"):
        yield Work("activation_forward", f"{text(*shape)}, {name}", (y, x, name), bytes=2 * size)
        yield Work("activation_backward", f"{text(*shape)}, {name}", (at.empty(*shape), x, y, name), bytes=3 * size)


def resampling(at: Desk, H: int, W: int, C: int) -> Iterator[Work]:
    """A large image and a small one."""
    large, small, winner = at.draw(2 * H, 2 * W, C), at.draw(H, W, C), at.empty(H, W, C, dtype=BYTE)
    pixels, sizes = at.N * H * W * C, f"{text(2 * H, 2 * W, C)}, {text(H, W, C)}"
    yield Work("max_pool2d_forward", sizes, (small, winner, large), bytes=21 * pixels)
    yield Work("max_pool2d_backward", sizes, (large, small, winner), bytes=21 * pixels)
    yield Work("up_sampling2d_forward", sizes, (large, small), bytes=20 * pixels)
    yield Work("up_sampling2d_backward", sizes, (small, large), bytes=20 * pixels)


def sequences(at: Desk, T: int, D: int) -> Iterator[Work]:
    sequence, vector, size = at.draw(T, D), at.draw(D), 4 * at.N * D
    yield Work("repeat_vector_forward", text(T, D), (sequence, vector), bytes=(T + 1) * size)
    yield Work("repeat_vector_backward", text(T, D), (vector, sequence), bytes=(T + 1) * size)
    yield Work("last_step_forward", text(T, D), (vector, sequence), bytes=2 * size)
    yield Work("last_step_backward", text(T, D), (sequence, vector), bytes=(T + 1) * size)


def shapes(at: Desk, H: int, W: int, C: int) -> Iterator[Work]:
    image, other, vector, size = at.draw(H, W, C), at.draw(H, W, C), at.draw(H * W * C), 4 * at.N * H * W * C
    sizes = text(H, W, C)
    yield Work("reshape_forward", f"{sizes} to {H * W * C}", (vector, image), bytes=2 * size)
    yield Work("reshape_backward", f"{sizes} from {H * W * C}", (image, vector), bytes=2 * size)
    yield Work("rescale_forward", sizes, (other, image, 0.5, 0.25), bytes=2 * size)
    yield Work("rescale_backward", sizes, (other, image, 0.5), bytes=2 * size)
    yield Work("add", sizes, (other, at.empty(H, W, C)), bytes=3 * size, memory=2 * size)


def gather(at: Desk, *shape: int) -> Iterator[Work]:
    """Rows of 2000, in any order."""
    rows, flag, x = at.rng.permutation(2000)[: at.N], np.zeros(1, np.int32), at.empty(*shape)
    bits = at.rng.integers(0, 255, (2000, *shape), np.uint8)
    for data in (bits.astype(np.float32), bits):
        size = (4 + data.itemsize) * at.N * int(np.prod(shape))
        yield Work("gather", f"{text(*shape)} from {data.dtype}", (x, data, rows, flag), bytes=size)


def losses(at: Desk, *shape: int) -> Iterator[Work]:
    p, t, dy, size = at.draw(*shape), at.draw(*shape), at.empty(*shape), 4 * at.N * int(np.prod(shape))
    loss, weight = at.weights(at.N), at.weights(at.N)
    for op in ("binary_crossentropy", "mean_squared_error", "mean_absolute_error"):
        yield Work(op, text(*shape), (loss, dy, p, t, weight, 1.0), bytes=3 * size)
    yield Work("binary_accuracy", text(*shape), (loss, p, t, 0.5), bytes=2 * size)
    yield Work("weighted_sum", "1", (at.weights(1), loss, weight), bytes=8 * at.N)


def noise(at: Desk, D: int) -> Iterator[Work]:
    x, y, size = at.draw(D), at.empty(D), 4 * at.N * D
    yield Work("normal", text(D), (y, KEY, STEP, FIRST), bytes=size)
    yield Work("gaussian_noise_forward", text(D), (y, x, 0.1, KEY, STEP, FIRST), bytes=2 * size)
    yield Work("gaussian_noise_backward", text(D), (y, x), bytes=2 * size)
    yield Work("dropout_forward", text(D), (y, x, 0.2, KEY, STEP, FIRST), bytes=2 * size)
    yield Work("dropout_backward", text(D), (y, x, 0.2, KEY, STEP, FIRST), bytes=2 * size)


def sampling(at: Desk, D: int) -> Iterator[Work]:
    mean, log_var, z, dmean, dlog_var = at.draw(D), at.draw(D), at.empty(D), at.empty(D), at.empty(D)
    value, size, drawn = at.weights(1), 4 * at.N * D, (None, KEY, STEP, FIRST, 1e-3)
    yield Work("sampling_forward", text(D), (z, value, mean, log_var, *drawn), bytes=3 * size)
    yield Work("sampling_backward", text(D), (dmean, dlog_var, z, mean, log_var, *drawn), bytes=5 * size)


def penalties(at: Desk, D: int) -> Iterator[Work]:
    x, dx, size = at.draw(D), at.empty(D), 4 * at.N * D
    yield Work("l1_l2_forward", text(D), (at.weights(1), x, 1e-3, 1e-3, 1.0), bytes=size)
    yield Work("l1_l2_backward", text(D), (dx, x, 1e-3, 1e-3, 1.0), bytes=3 * size, memory=2 * size)


def optimizers(at: Desk, P: int) -> Iterator[Work]:
    p, g, m, other, total = (at.weights(P) for _ in range(5))
    v, d = (abs(at.weights(P)) for _ in range(2))
    t, lr, flag = np.full(1, 9), np.full(1, 1e-6, FLOAT32), np.zeros(1, np.int32)
    updates: dict[str, tuple[tuple, int, int]] = {  # arguments, and for each parameter bytes and memory
        "sgd": ((p, g, m, lr, flag, 0.9, False), 20, 12),
        "adam": ((p, g, m, v, None, t, lr, flag, 0.9, 0.999, 1e-7), 28, 16),
        "rmsprop": ((p, g, v, None, None, lr, flag, 0.9, 0.0, 1e-7), 20, 12),
        "adadelta": ((p, g, v, d, lr, flag, 0.95, 1e-7), 28, 16),
        "weight_decay": ((p, lr, flag, 0.01), 8, 4),
        "clip_by_value": ((other, 0.1), 8, 4),
        "clip_by_norm": ((g, 1e9), 4, 4),  # which it is below
        "find_nonfinite": ((flag, g, at.weights(2)), 4, 4),
        "accumulate_gradient": ((total, g, flag), 12, 8),
        "mean_gradient": ((other, total, flag, 1), 16, 8),
        "exponential_average": ((other, p, flag, 0.99), 12, 8),
    }
    for op, (arguments, size, memory) in updates.items():
        yield Work(op, f"{P:,}", arguments, bytes=size * P, memory=memory * P)
    yield Work("end_step", "3 and 2", (np.zeros(3, np.int64), np.zeros(2), at.weights(2), flag, 32), bytes=88)


IMAGES: tuple[tuple, ...] = (  # of the convolutional autoencoder: alone, with a pooling, with an upsampling
    ((4, 4, 8, 8, "same"), (14, 14, 16, 8, "same"), (28, 28, 1, 16, "same", "", True)),
    (
        (7, 7, 8, 8, "same", "_max_pool2d"),
        (14, 14, 16, 8, "same", "_max_pool2d"),
        (28, 28, 1, 16, "same", "_max_pool2d", True),
    ),
    (
        (4, 4, 8, 8, "same", "up_sampling2d_"),
        (8, 8, 8, 16, "valid", "up_sampling2d_"),
        (14, 14, 16, 1, "same", "up_sampling2d_"),
    ),
)
FAMILIES: tuple[tuple[Callable[..., Iterator[Work]], int, tuple[tuple, ...]], ...] = (  # a smoke run takes the first
    (
        dense,
        VECTORS,
        ((128, 64), (784, 128, True), (784, 32, True), (784, 512, True), (64, 32), (128, 784), (512, 2), (2, 512)),
    ),
    (dense_chain, VECTORS, ((784, 128, 64, 32, 64, 128),)),
    (dense_binary_crossentropy, VECTORS, ((128, 784), (32, 784), (512, 784))),
    *((conv2d, SLAB, images) for images in IMAGES),
    (lstm, SLAB, ((28, 28, 32), (10, 6, 4))),
    (lstm, SLAB, ((28, 32, 28, "repeat_vector_"), (10, 4, 6, "repeat_vector_"))),
    (activations, VECTORS, ((784,),)),
    (activations, SLAB, ((14, 14, 16),)),
    (resampling, SLAB, ((7, 7, 8), (14, 14, 16))),
    (sequences, SLAB, ((28, 32),)),
    (shapes, SLAB, ((14, 14, 16),)),
    (gather, VECTORS, ((784,),)),
    (gather, SLAB, ((28, 28, 1),)),
    (losses, VECTORS, ((784,),)),
    (losses, SLAB, ((28, 28, 1),)),
    (noise, VECTORS, ((784,),)),
    (sampling, VECTORS, ((2,), (32,))),
    (penalties, VECTORS, ((32,),)),
    (optimizers, 0, ((222_384,), (3_217,))),
)


# ---- what the processor can do --------------------------------------------------------------------------------------
SUMS = 16 if REGISTERS == 32 else 12  # vectors that multiply-adds go to in turn: none waits for the one before
TURNS = 50_000


@kernel(floats, i64, parallel=True)
def multiply_add(x, tasks):
    for task in prange(tasks):
        half, one, at = splat(0.5), splat(1.0), task * SUMS * LANES
        totals = load_tile(SUMS, 1, x, at, LANES, LANES)
        for _ in range(TURNS):
            totals = fma(totals, half, one)
        store_tile(totals, SUMS, x, at, LANES, LANES)


@kernel(floats, floats, parallel=True)
def copied(y, x):
    P = x.size
    for task in prange((P + CHUNK - 1) // CHUNK):
        for i in range(task * CHUNK, min(P, (task + 1) * CHUNK), LANES):
            store(load(x, i), y, i)


def peak_gflops(seconds: float) -> float:
    """Multiply-adds on registers, two operations each."""
    tasks = 4 * numba.get_num_threads()
    x = CPU.zeros((tasks * SUMS * LANES,), FLOAT32)
    return 2 * tasks * TURNS * SUMS * LANES / min(timed(lambda: multiply_add(x, tasks), seconds, 3)) / 1e9


@cache
def copy_gbs(size: int, seconds: float) -> float:
    """A copy from one half of so much memory to the other, in whole vectors."""
    numbers = max(size // (8 * LANES), 1) * LANES
    x, y = CPU.zeros((numbers,), FLOAT32), CPU.zeros((numbers,), FLOAT32)
    return 8 * numbers / min(timed(lambda: copied(y, x), seconds, 3)) / 1e9


def timed(run: Callable[[], None], seconds: float, least: int) -> list[float]:
    """Seconds of each call, for so long and at least so many, after one that doesn't count."""
    run()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


# ---- the run --------------------------------------------------------------------------------------------------------
def works(backend: Backend, smoke: bool) -> Iterator[tuple[int, Work, Callable[[], None]]]:
    """All work for a device, made when its turn comes: backward follows forward, whose outputs it reads."""
    for family, samples, sizes in FAMILIES:
        for arguments in sizes[:1] if smoke else sizes:
            for work in family(Desk(backend, samples), *arguments):
                yield samples, work, partial(getattr(backend.ops, work.op), *work.arguments)


def measure(smoke: bool) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """The processor's peaks, and a row for each op and shape. First the fast kernels, so that no thread of NumPy's
    BLAS is still spinning beside them."""
    seconds = 0.002 if smoke else 0.2
    peak = peak_gflops(seconds)
    rows: list[dict[str, Any]] = []
    for samples, work, run in works(CPU, smoke):
        times = timed(run, seconds, 3)
        row: dict[str, Any] = {"op": work.op, "samples": samples, "sizes": work.sizes}
        row |= {"least_us": 1e6 * min(times), "median_us": 1e6 * median(times), "times": len(times)}
        if work.flops:
            row["gflops"] = work.flops / min(times) / 1e9
        else:
            row["gbs"] = work.bytes / min(times) / 1e9
            row["copy_gbs"] = copy_gbs(work.memory or work.bytes, seconds)
        rows.append(row)
    peak = max(peak, peak_gflops(seconds))  # of two, in case a neighbour was busy
    for row in rows:
        row["of_peak"] = row["gflops"] / peak if "gflops" in row else row["gbs"] / row["copy_gbs"]
    for row, (_, _, run) in zip(rows, works(REFERENCE, smoke), strict=True):
        row["reference_us"] = 1e6 * min(timed(run, 0, 1 if smoke else REFERENCE_RUNS))
        row["ratio"] = row["reference_us"] / row["least_us"]
    sizes = {"cache": 2**20, "memory": 2**21 if smoke else 2**28}
    return {"gflops": peak} | {f"copy_{name}_gbs": copy_gbs(size, seconds) for name, size in sizes.items()}, rows


def cells(row: dict[str, Any]) -> list[str]:
    """A line of the table."""
    figures = [number(row.get(key)) for key in ("least_us", "median_us", "gflops", "gbs")]
    return [
        row["op"],
        str(row["samples"] or "-"),
        row["sizes"],
        *figures,
        f"{row['of_peak']:.0%}",
        number(row["reference_us"]),
        number(row["ratio"]),
    ]


def caption(facts: dict[str, Any]) -> str:
    """What the numbers depend on, to stand below the table."""
    peaks, versions = facts["peaks"], ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"Ratio: the reference's least time to ours. Peaks with {facts['threads']} threads: "
        f"{number(peaks['gflops'])} GFLOP/s; a copy in the cache {number(peaks['copy_cache_gbs'])} GB/s, in memory "
        f"{number(peaks['copy_memory_gbs'])}.\n"
        f"Processor: {facts['processor']}; cores: {facts['cores']}. Date: {facts['date']}. {facts['device']}.\n"
        f"Versions: {versions}.\n"
        f"`{facts['command']}`\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="for the results (benchmarks/results)")
    parser.add_argument("--smoke", action="store_true", help="try it in seconds; writes nothing without --out")
    options = parser.parse_args(arguments)
    peaks, rows = measure(options.smoke)
    facts = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": command(sys.argv),
        "processor": processor_name(),
        "cores": available_cores(),
        "threads": numba.get_num_threads(),
        "device": CPU.machine.describe().split("; machine code")[0],
        "versions": {"Python": sys.version.split()[0], "NumPy": np.__version__, "Numba": numba.__version__},
        "peaks": peaks,
    }
    result = f'# Kernels of the device "cpu"\n\n{table(HEADER, [cells(row) for row in rows])}\n{caption(facts)}'
    print(result)
    folder = options.out or (None if options.smoke else RESULTS)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kernels.json").write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
        (folder / "kernels.md").write_text(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
