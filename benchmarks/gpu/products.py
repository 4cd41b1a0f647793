"""The matrix products of the models' training steps: our kernels beside cublasLt's.

Ours are the ops of a step, with what they do besides the product: bias, activation, loss, the derivative of an
activation, the bias' gradient. cublasLt gets the same through its epilogues where it has them; what it `lacks` somebody
else would have to do. Both run on the same stream, captured in a graph that repeats them, so that its time is the
device's. They find their data in the cache more often than in a step; that goes for both.

Of the algorithms that cublasLt proposes the fastest counts. In float32 it uses no TF32; it has nothing like tf32x3,
which is held against its float32. Results are held against a product in float64, and have to be the same bits in a
second run: ours always are, so cublasLt's would have to be.

Left out is h w of an LSTM's single steps: a kernel of ours walks all steps at once, and a product for each would be a
launch for each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import numpy as np

import scratchae
from scratchae.kernels.cuda.precision import PRECISIONS

from ..contest import OURS, names, sizes
from ..peers.models import MODELS
from .accuracy import OF_OPS, difference
from .children import emit
from .cublaslt import WORKSPACE, Algorithm, CublasLt, CublasLtError, Epilogue, Matmul, bytes_of_bits, opened
from .device import Device, Run, open_device, repeat, rounds
from .launches import watched
from .product_cases import WITH_BIAS, WITH_BITS, Case, Part, Written, by_layer, cases, empty

THEIRS = "cublasLt"
ALGORITHMS = 8  # that are tried
TIMES, ROUND, ROUNDS = 20, 0.005, 5  # launches in a graph, seconds, their number
WARM = 0.05  # seconds of work before a case is timed: while its numbers were drawn the device was idle, and went slow
TRIAL = 5, 0.001, 3  # the same for an algorithm that may be the fastest
LIMITS = {"float32": OF_OPS, "tf32x3": OF_OPS, "tf32": 5e-3}  # of errors, in units of the largest number of a result
EVEN = 0.03  # a difference that decides nothing


# ---- theirs ---------------------------------------------------------------------------------------------------------
class Chosen(NamedTuple):
    """The fastest of cublasLt's algorithms for a product."""

    run: Run
    workspace: int  # bytes that it needs
    rank: int  # in the order in which they were proposed
    tried: int


class Placed:
    """A part's arrays on the device."""

    def __init__(self, device: Device, lt: CublasLt, part: Part, workspace: Any):
        M, N, _ = part.sizes
        self.device, self.lt, self.part, self.workspace = device, lt, part, workspace
        self.a, self.b = device.backend.array(part.a), device.backend.array(part.b)
        self.out = device.backend.array(empty(M, N))
        self.vector = device.backend.array(empty(N) if part.bias is None else part.bias)
        self.bits = device.backend.zeros((bytes_of_bits(M, N),), np.dtype("uint8"))
        self.bits_are_made = part.relu is None

    def make_bits(self) -> None:
        """DRELU's, whose order is NVIDIA's affair: by a product with the identity."""
        relu = self.part.relu
        assert relu is not None
        M, N = relu.shape
        product = self.matmul((M, N, N), (False, False), "float32", Epilogue.RELU_AUX)
        found = product.algorithms(1)
        if not found:
            raise CublasLtError("nothing makes the bits: the heuristic knows no algorithm with RELU_AUX")
        signed = self.device.backend.array(np.where(relu > 0, relu, np.float32(-1)))
        identity = self.device.backend.array(np.identity(N, np.float32))
        self.launch(product, found[0].algorithm, signed, identity)
        self.device.synchronize()
        self.bits_are_made = True

    def matmul(
        self, sizes: tuple[int, int, int], transposed: tuple[bool, bool], precision: str, epilogue: Epilogue
    ) -> Matmul:
        address = self.device.address
        vector = address(self.vector) if epilogue in (*WITH_BIAS, Epilogue.BGRADA) else 0
        bits = address(self.bits) if epilogue in WITH_BITS else 0
        return Matmul(self.lt, *sizes, transposed, precision, epilogue, vector, bits)

    def launch(self, product: Matmul, algorithm: Algorithm, a: Any, b: Any) -> None:
        addresses = map(self.device.address, (self.out, a, b, self.workspace))
        product.run(algorithm, *addresses, self.device.stream_address, self.workspace.nbytes)

    def fastest(self, precision: str, epilogue: Epilogue, smoke: bool) -> Chosen:
        """CublasLtError if there is none."""
        if epilogue == Epilogue.DRELU and not self.bits_are_made:
            self.make_bits()
        product = self.matmul(self.part.sizes, self.part.transposed, precision, epilogue)
        found = product.algorithms(ALGORITHMS, self.workspace.nbytes)
        timed: list[tuple[float, Chosen]] = []
        failed = "the heuristic knows no algorithm"
        for rank, result in enumerate(found):
            run = partial(self.launch, product, result.algorithm, self.a, self.b)
            try:
                run()  # what is loaded late is loaded now, and not while a graph is captured
                taken = median(times_of(self.device, run, TRIAL, smoke))
            except Exception as error:  # of cublasLt, or of a capture that it breaks
                failed = f"{type(error).__name__}: {error}"
                continue
            timed.append((taken, Chosen(run, result.workspace, rank, len(found))))
        if not timed:
            raise CublasLtError(failed)
        return min(timed, key=lambda pair: pair[0])[1]

    def written(self, epilogue: Epilogue) -> Written:
        """The arrays that an epilogue writes, and what has to be there."""
        return list(zip((self.out, self.vector), self.part.expected(epilogue), strict=False))


# ---- one beside the other -------------------------------------------------------------------------------------------
@dataclass
class Result:
    """Of one of the two, and what is told of it."""

    seconds: float
    told: dict[str, Any]


@dataclass
class Duel:
    """A case: what is measured, and who is faster."""

    device: Device
    lt: CublasLt | None
    case: Case
    where: dict[str, Any]
    smoke: bool = False
    mine: dict[str, Result] = field(default_factory=dict)
    theirs: dict[str, list[Result]] = field(default_factory=dict)

    def play(self) -> None:
        if not self.smoke:
            rounds(self.device.seconds, self.case.ours, WARM, 1)
        for precision in PRECISIONS:
            self.measure_ours(precision)
        scratchae.set_matmul_precision("float32")
        if self.lt is not None:
            workspace = self.device.backend.empty((WORKSPACE,), np.dtype("uint8"))
            placed = [Placed(self.device, self.lt, part, workspace) for part in self.case.theirs]
            for precision in ("float32", "tf32"):
                self.theirs[precision] = list(self.measure_theirs(placed, precision))
        for precision in self.mine:
            self.compare(precision)

    def measure_ours(self, precision: str) -> None:
        """Small products take the same kernels in any precision, and are measured once."""
        scratchae.set_matmul_precision(precision)
        with watched(self.device.machine) as seen:
            self.case.ours()
        kernels = [launch.kernel for launch in seen.launches]
        before = self.mine.get("float32")
        if before is None or kernels != before.told["kernels"]:
            told = {"kernels": kernels}
            self.mine[precision] = self.result(OURS, precision, self.case.ours, self.case.written, told)
        elif precision == "tf32":
            self.mine[precision] = before

    def measure_theirs(self, placed: list[Placed], precision: str) -> Iterator[Result]:
        """With each of the epilogues that there are, those that do most first."""
        for i in range(max(len(p.part.epilogues) for p in placed)):
            chosen = [p.part.epilogues[min(i, len(p.part.epilogues) - 1)] for p in placed]
            label = ", ".join(epilogue.name for epilogue, _ in chosen)
            lacks = ", ".join(dict.fromkeys(lack for _, lack in chosen if lack))
            try:
                pairs = list(zip(placed, (epilogue for epilogue, _ in chosen), strict=True))
                found = [p.fastest(precision, epilogue, self.smoke) for p, epilogue in pairs]
            except CublasLtError as error:
                emit(what="product", **self.where, by=THEIRS, precision=precision, epilogue=label, missing=str(error))
                continue
            told = {
                "epilogue": label,
                "lacks": lacks,
                "workspace": max(algorithm.workspace for algorithm in found),
                "ranks": [f"{algorithm.rank + 1} of {algorithm.tried}" for algorithm in found],
            }
            written = [pair for p, epilogue in pairs for pair in p.written(epilogue)]
            run = partial(one_after_the_other, [algorithm.run for algorithm in found])
            yield self.result(THEIRS, precision, run, written, told)

    def result(self, by: str, precision: str, run: Run, written: Written, told: dict[str, Any]) -> Result:
        error, same_bits = checked(self.device, run, written)
        times = times_of(self.device, run, (TIMES, ROUND, ROUNDS), self.smoke)
        told = told | {"relative_error": error, "same_bits": same_bits, "good": error <= LIMITS[precision]}
        emit(what="product", **self.where, by=by, precision=precision, **told, times=times)
        return Result(median(times), told)

    def compare(self, precision: str) -> None:
        """Of theirs the fastest that does all of it, or if there is none the one that does most."""
        mine = self.mine[precision]
        others = self.theirs.get("tf32" if precision == "tf32" else "float32", [])
        right = [other for other in others if other.told["good"]]
        whole = [other for other in right if not other.told["lacks"]]
        best = min(whole, key=lambda other: other.seconds) if whole else next(iter(right or others), None)
        told: dict[str, Any] = {"flops": self.case.flops, "bytes": self.case.bytes}
        told |= {"ours": mine.told, "ours_us": 1e6 * mine.seconds}
        if best is not None:
            told |= {"theirs": best.told, "theirs_us": 1e6 * best.seconds}
            told |= {"ratio": best.seconds / mine.seconds, "winner": winner(mine, best)}
        emit(what="comparison", **self.where, precision=precision, **told)


def winner(mine: Result, other: Result) -> str:
    """Who is right, and if both are, who is faster."""
    if not other.told["good"]:
        return OURS if mine.told["good"] else "none"
    ratio = other.seconds / mine.seconds if mine.told["good"] else 0.0
    if abs(ratio - 1) <= EVEN:
        return "even"
    return OURS if ratio > 1 else f"{THEIRS}, with less to do" if other.told["lacks"] else THEIRS


def checked(device: Device, run: Run, written: Written) -> tuple[float, bool]:
    """The greatest error, in units of an array's largest number, and whether it is the same bits twice."""
    found = []
    for _ in range(2):
        for array, _ in written:
            device.backend.upload(array, np.nan)
        run()
        found.append([device.backend.download(array) for array, _ in written])
    errors = [difference(got, wanted)[0] for got, (_, wanted) in zip(found[0], written, strict=True)]
    return max(errors), all(map(np.array_equal, *found))


def times_of(device: Device, run: Run, how: tuple[int, float, int], smoke: bool) -> list[float]:
    """Seconds of run() in each of some rounds, launched so often in a graph."""
    times, seconds, count = (1, 0.0, 1) if smoke else how
    replay = device.graph(partial(repeat, run, times))
    return [taken / times for taken in rounds(device.seconds, replay, seconds, count)]


def one_after_the_other(runs: Sequence[Run]) -> None:
    for run in runs:
        run()


def open_cublaslt(device: Device, path: str | None) -> CublasLt | None:
    """None where it can't be used; the reason goes to the results."""
    try:
        if device.emulated and path is None:
            raise RuntimeError("it needs a GPU")
        lt = opened(path)
    except RuntimeError as error:
        emit(what="library", name=THEIRS, skipped=str(error))
        return None
    emit(what="library", name=THEIRS, version=lt.version)
    return lt


def main() -> int:
    """The stage's program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", type=names, default=MODELS)
    parser.add_argument("--batches", type=sizes, default=(256, 8192))
    parser.add_argument("--cublaslt", metavar="FILE", help="the library; else it is looked for where CuPy's are")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    device = open_device(options.device)
    lt = open_cublaslt(device, options.cublaslt)
    for batch in options.batches:
        for layer, models in by_layer(options.models).items():
            for case in cases(device, layer, batch):
                where = {"models": models, "layer": str(layer), "batch": batch, "product": case.product}
                where["MNK"] = [part.sizes for part in case.theirs]
                try:
                    Duel(device, lt, case, where, options.smoke).play()
                except Exception as error:
                    emit(what="product", **where, error=f"{type(error).__name__}: {error}")
                    device.synchronize()  # ends the program if the device is lost
    return 0


if __name__ == "__main__":
    sys.exit(main())
