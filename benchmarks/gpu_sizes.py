"""What a training step asks of a GPU, counted without one.

    python -m benchmarks.gpu_sizes

Two ways of counting, for each of the six models. On paper: a machine takes the launches of a step, and runs none of
them; that gives their number, their blocks, their arithmetic, and the bytes of the arrays that they are given, of each
once a launch, or twice if it is read and written. On the emulator: the kernels run, and the accesses of their warps
are counted in sectors of 32 bytes. Sectors count again what several warps read, which a GPU's caches have; so they are
more than its memory moves, and the arrays are about what it moves if the caches hold nothing from one kernel to the
next.

Registers and shared memory are NVIDIA's compiler's, from tests/kernels/cuda_resources.json. How many warps fit on a
multiprocessor follows from them.

The prediction is for each kernel max(bytes / bandwidth, operations / peak) + launches * latency, and their sum for a
step, at the rates in ASSUMED. Nothing here is measured on a GPU.

Results: benchmarks/results/gpu_sizes.json and gpu_sizes.md.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import scratchae
from scratchae import backend
from scratchae.kernels.cuda.emulator import Array, Emulator, unavailable
from tests.kernels import nvrtc

from . import floors
from .contest import ROOT, names, sizes
from .gpu.launches import Launch, Traffic, watched
from .peers import ours
from .peers.models import MODELS, load_images, sample_shape
from .report import number, table

# Of an H200: its data sheet's arithmetic; a bandwidth and a latency of a graph's nodes that are taken for granted.
ASSUMED = {"bytes_per_second": 4.3e12, "flops_per_second": 67e12, "launch_seconds": 2e-6}
ARCHITECTURE, MULTIPROCESSORS = "sm_90", 132
WARPS, BLOCKS, REGISTERS, SHARED = 64, 32, 65536, 228 * 1024  # of a multiprocessor of compute capability 9.0
WARP, UNIT, RESERVED = 32, 256, 1024  # lanes; registers that a warp gets at once; shared memory that a block costs
SECTOR = 32
COUNTED = "requests", "sectors", "wasted_sectors", "turns", "wasted_turns"  # of warps to memory; of shared memory
RESULTS = ROOT / "benchmarks" / "results"
Row = dict[str, Any]


class Paper(Emulator):
    """Takes launches and runs none of them. Its memory is not touched, so it may be large."""

    def __init__(self) -> None:
        super().__init__(check=False)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return Array(self, np.zeros(shape, dtype), None)

    def launch(self, *_: Any) -> None:
        """`watched` has seen it."""


@contextlib.contextmanager
def in_place_of_the_emulator(machine: Emulator) -> Iterator[None]:
    """Let the device "cuda-emulator" run on this machine."""
    kept = backend.EMULATOR.machine
    backend.EMULATOR.__dict__["machine"] = machine
    try:
        scratchae.set_device("cuda-emulator")
        yield
    finally:
        backend.EMULATOR.__dict__["machine"] = kept
        scratchae.set_device("cpu")


def train(machine: Emulator, model: str, batch: int, steps: int) -> list[Traffic]:
    """What passes in each of the first training steps."""
    with in_place_of_the_emulator(machine):
        x = backend.EMULATOR.array(load_images(None, batch).reshape(batch, *sample_shape(model)))
        auto = ours.build(model)
        auto.optimizer.build(auto.training_store())
        seen = []
        for _ in range(steps):
            with watched(machine) as traffic:
                auto.train_on_batch(x, x)
            seen.append(traffic)
        return seen


# ---- one model ------------------------------------------------------------------------------------------------------
def on_paper(model: str, batch: int) -> Row:
    """Launches, and the prediction from their arrays."""
    _, recorded, _, again = train(Paper(), model, batch, 4)
    groups: dict[str, list[Launch]] = defaultdict(list)
    for launch in recorded.launches:
        groups[launch.kernel].append(launch)
    kernels = [row(group) for group in groups.values()]
    fills = recorded.fills - again.fills  # within the graph, each a node of its own
    floor = floors.training_step(model, batch)
    predicted = sum(k["array_us"] for k in kernels) + 1e6 * fills * ASSUMED["launch_seconds"]
    return {
        "model": model,
        "batch": batch,
        "launches": len(recorded.launches),
        "fills": fills,
        "per_call": {"uploads": again.uploads, "fills": again.fills, "downloads": again.downloads},
        "flops": sum(k["flops"] for k in kernels),
        "array_bytes": sum(k["array_bytes"] for k in kernels),
        "floor": {"flops": floor.flops, "bytes": floor.bytes, "us": 1e6 * floor_seconds(floor)},
        "array_us": predicted,
        "kernels": kernels,
    }


def floor_seconds(floor: floors.Work) -> float:
    return floor.seconds(ASSUMED["flops_per_second"], ASSUMED["bytes_per_second"])


def row(launches: Sequence[Launch]) -> Row:
    """What a step's launches of one kernel have in common, and their sums. Occupancy is the least of them."""
    one, taken = launches[0], resources(launches[0])
    flops, array_bytes = sum(x.flops for x in launches), sum(x.bytes for x in launches)
    found: Row = {
        "kernel": one.kernel,
        "launches": len(launches),
        "blocks": [x.blocks for x in launches],
        "threads": sorted({x.threads for x in launches}),
        "flops": flops,
        "array_bytes": array_bytes,
        "array_us": 1e6 * predict(array_bytes, flops, len(launches)),
    }
    if taken is not None:
        registers, shared = taken
        resident = [resident_blocks(x.threads, registers, shared + x.shared) for x in launches]
        warps = [r * warps_of(x.threads) for r, x in zip(resident, launches, strict=True)]
        found |= {
            "registers": registers,
            "shared": [shared + x.shared for x in launches],
            "occupancy": min(warps) / WARPS,
            "waves": [x.blocks / (MULTIPROCESSORS * r) for r, x in zip(resident, launches, strict=True)],
        }
    return found


def predict(moved: float, flops: int, launches: int) -> float:
    """Seconds."""
    busy = max(moved / ASSUMED["bytes_per_second"], flops / ASSUMED["flops_per_second"])
    return busy + launches * ASSUMED["launch_seconds"]


def resources(launch: Launch) -> tuple[int, int] | None:
    """Registers and bytes of static shared memory; None if the table is of another state of the source."""
    entry = nvrtc.read_table()["sources"].get(launch.source.name, {})
    if entry.get("digest") != nvrtc.digest(launch.source):
        return None
    registers, shared = entry["kernels"][launch.kernel][ARCHITECTURE]
    return registers, shared


def warps_of(threads: int) -> int:
    return -(-threads // WARP)


def resident_blocks(threads: int, registers: int, shared: int) -> int:
    """How many blocks a multiprocessor has at a time."""
    warps = warps_of(threads)
    of_a_warp = -(-registers * WARP // UNIT) * UNIT
    return min(BLOCKS, WARPS // warps, REGISTERS // of_a_warp // warps, SHARED // (shared + RESERVED))


def emulate(model: str, batch: int) -> dict[str, Row]:
    """Kernel -> what its warps have accessed in a training step."""
    machine = Emulator(check=False, profile=True)
    train(machine, model, batch, 1)
    found: dict[str, Row] = defaultdict(lambda: defaultdict(float))
    for line in machine.profile():
        of, taken = found[line.kernel], line.requests * line.per_request
        wasted = max(0.0, taken - line.requests * line.ideal)  # it is less where lanes read the same
        if line.memory == "global":
            of["requests"] += line.requests
            of["sectors"] += taken
            of["wasted_sectors"] += wasted
        else:
            of["turns"] += taken
            of["wasted_turns"] += wasted
    return found


def with_accesses(result: Row, accesses: dict[str, Row]) -> Row:
    """The result with what the emulator has counted, and the prediction from it."""
    for k in result["kernels"]:
        counted = accesses[k["kernel"]]
        k |= {name: round(counted[name]) for name in COUNTED}
        k["sector_bytes"] = SECTOR * k["sectors"]
        k["sector_us"] = 1e6 * predict(k["sector_bytes"], k["flops"], k["launches"])
    fills = 1e6 * result["fills"] * ASSUMED["launch_seconds"]
    return result | {
        "emulated_batch": result["batch"],
        "sector_bytes": sum(k["sector_bytes"] for k in result["kernels"]),
        "sector_us": sum(k["sector_us"] for k in result["kernels"]) + fills,
    }


# ---- tables ---------------------------------------------------------------------------------------------------------
def markdown(facts: Row, results: Sequence[Row]) -> str:
    header = ["model", "batch", "kernels", "fills", "MFLOP", "MB, floor", "MB, arrays", "MB, sectors", "floor, us"]
    header += ["predicted from arrays, us", "from sectors, us"]
    lines = [
        [
            r["model"],
            f"{r['batch']:,}",
            str(r["launches"]),
            str(r["fills"]),
            number(r["flops"] / 1e6),
            number(r["floor"]["bytes"] / 1e6),
            number(r["array_bytes"] / 1e6),
            number(r["sector_bytes"] / 1e6 if "sector_bytes" in r else None),
            number(r["floor"]["us"]),
            number(r["array_us"]),
            number(r.get("sector_us")),
        ]
        for r in results
    ]
    text = "".join(f"### {r['model']}, batch {r['batch']:,}\n\n{kernel_table(r)}\n" for r in results)
    return f"{HEAD}\n{table(header, lines)}\n{caption(facts, results)}\n## Kernel by kernel\n\n{text}"


HEAD = (
    "# Training steps on a GPU: counted by the emulator and predicted, not measured\n\n"
    "No GPU was there when these numbers were made. Sizes are counted; times follow from them by a formula.\n"
)


def kernel_table(result: Row) -> str:
    header = ["kernel", "launches", "blocks", "threads", "registers", "shared, KiB", "occupancy", "MFLOP", "MB, arrays"]
    header += ["MB, sectors", "sectors a request", "wasted", "bank conflicts", "predicted, us"]
    lines = []
    for k in sorted(result["kernels"], key=lambda k: -k["array_us"]):
        lines.append(
            [
                k["kernel"],
                str(k["launches"]),
                spread(k["blocks"]),
                spread(k["threads"]),
                str(k.get("registers", "-")),
                spread([round(s / 1024, 1) for s in k["shared"]]) if "shared" in k else "-",
                f"{k['occupancy']:.0%}" if "occupancy" in k else "-",
                number(k["flops"] / 1e6) if k["flops"] else "-",
                number(k["array_bytes"] / 1e6),
                number(k["sector_bytes"] / 1e6) if "sectors" in k else "-",
                f"{k['sectors'] / k['requests']:.1f}" if k.get("requests") else "-",
                f"{k['wasted_sectors'] / k['sectors']:.0%}" if k.get("sectors") else "-",
                f"{k['wasted_turns'] / k['turns']:.0%}" if k.get("turns") else "-",
                number(k["array_us"]),
            ]
        )
    return table(header, lines)


def spread(values: Sequence[float]) -> str:
    """The least and the greatest."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}..{high:,}"


def caption(facts: Row, results: Sequence[Row]) -> str:
    a = facts["assumed"]
    calls = {(r["batch"], ", ".join(f"{n} {name}" for name, n in r["per_call"].items())) for r in results}
    told = "; ".join(f"at batch {batch:,} {call}" for batch, call in sorted(calls))
    emulated = sorted({r["emulated_batch"] for r in results if "emulated_batch" in r})
    stale = sorted({k["kernel"] for r in results for k in r["kernels"] if "registers" not in k})
    text = (
        f"Predicted: for each kernel max(bytes / bandwidth, operations / peak) + launches x latency, with "
        f"{number(a['bytes_per_second'] / 1e12)} TB/s, {number(a['flops_per_second'] / 1e12)} TFLOP/s and "
        f"{number(1e6 * a['launch_seconds'])} us, all of them assumed; and with work for all of the "
        f"{MULTIPROCESSORS} multiprocessors, which few blocks do not give. Floor: benchmarks/floors.py at the same "
        f"rates, without launches.\n"
        f"Fills are nodes of the graph that set numbers. Besides the graph, a call of train_on_batch on "
        f"data of the device has: {told}.\n"
        f"MB, arrays: every array that a launch is given, twice where it is read and written. MB, sectors: what the "
        f"warps ask for, 32 bytes a sector, re-reading included; counted at batch "
        f"{', '.join(map(str, emulated)) or 'none'}.\n"
        f"Wasted: sectors beyond what the lanes' elements would take side by side. Bank conflicts: turns of shared "
        f"memory beyond the least, of all turns. Occupancy: of {WARPS} warps, for {ARCHITECTURE}.\n"
    )
    if stale:
        text += (
            f"Registers are unknown for {', '.join(stale)}: cuda_resources.json is of another state of the sources.\n"
        )
    return text + f"Date: {facts['date']}. `{facts['command']}`\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", metavar="NAMES", type=names, default=MODELS, help=f"of {','.join(MODELS)} (all)")
    parser.add_argument("--batches", metavar="SIZES", type=sizes, default=(256, 8192), help="on paper (256,8192)")
    parser.add_argument(
        "--emulate", metavar="SIZES", type=sizes, default=(256,), help="of these, on the emulator (256)"
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="for the results (benchmarks/results)")
    parser.add_argument("--smoke", action="store_true", help="try it in seconds; writes nothing without --out")
    options = parser.parse_args(arguments)
    if reason := unavailable():
        sys.exit(reason)
    if options.smoke:
        options.models, options.batches, options.emulate = ("dense", "recurrent"), (4,), (4,)
    folder = options.out or (None if options.smoke else RESULTS)
    command = "python -m benchmarks.gpu_sizes" + (" --smoke" if options.smoke else "")
    facts = {
        "what": "counted by the emulator and predicted, not measured",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": command,
        "assumed": ASSUMED,
    }
    results: list[Row] = []
    for model in options.models:
        for batch in options.batches:
            result = on_paper(model, batch)
            if batch in options.emulate:
                result = with_accesses(result, emulate(model, batch))
            results.append(result)
            print(f"{model}, batch {batch}: {result['launches']} kernels", file=sys.stderr, flush=True)
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "gpu_sizes.json").write_text(json.dumps({**facts, "results": results}, indent=1) + "\n")
                (folder / "gpu_sizes.md").write_text(markdown(facts, results))
    print(markdown(facts, results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
