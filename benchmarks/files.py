"""How long do saving and loading a model take?

    python -m benchmarks.files [--folder DIR]

For each of the six models, trained for one step, so that Adam's moments are in the file too: `auto.save`, the part of
it in which the disk confirms that it has the data (fsync, of the file and of its folder), `scratchae.load`, from a file
that the system still has in memory, and a backup of BackupAndRestore, fsync included.

Results: benchmarks/results/files.json and files.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import scratchae
from scratchae import callbacks
from scratchae.run import Run
from scratchae.training import Epochs

from .contest import ROOT
from .machine import processor_name
from .peers import ours
from .peers.models import MODELS, sample_shape
from .report import number, summary, table

RESULTS = ROOT / "benchmarks" / "results"
HEADER = "model", "MB", "save, ms", "of it fsync, ms", "load, ms", "backup, ms"


def trained(name: str) -> Any:
    """A model after one step."""
    auto = ours.build(name)
    x = np.random.default_rng(0).random((32, *sample_shape(name)), np.float32)
    auto.train_on_batch(x, x)
    return auto


def seconds(work: Callable[[], object], times: int) -> list[float]:
    """How long the work took, each time but the first."""
    taken = []
    for _ in range(times + 1):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return taken[1:]


@contextmanager
def confirmations(taken: list[float]) -> Any:
    """Have every fsync note how long it took."""
    fsync = os.fsync

    def timed(descriptor: int) -> None:
        start = time.perf_counter()
        fsync(descriptor)
        taken.append(time.perf_counter() - start)

    os.fsync = timed
    try:
        yield
    finally:
        os.fsync = fsync


def measure(name: str, path: Path, times: int) -> dict[str, Any]:
    """Milliseconds of a model's file."""
    auto, synced = trained(name), []  # type: ignore[var-annotated]
    with confirmations(synced):
        saving = seconds(lambda: auto.save(path), times)
    loading = seconds(lambda: scratchae.load(path), times)
    synced = [sum(synced[i : i + 2]) for i in range(2, len(synced), 2)]  # of the file, and of its folder
    backup = seconds(begun(auto, path.parent / "backup").save, times)
    timed = {"save": summary(saving), "fsync": summary(synced), "load": summary(loading), "backup": summary(backup)}
    return {"model": name, "parameters": auto.count_params(), "bytes": path.stat().st_size, **timed}


def begun(auto: Any, folder: Path) -> Run:
    """A fit that backs up into a folder."""
    backup = callbacks.BackupAndRestore(folder)
    hooks = callbacks.CallbackList([backup, callbacks.History()], auto, {"verbose": 0})
    return Run(auto, Epochs(auto, 32, 32, True, None), hooks, callbacks.ProgressBar(0, 32, 32), 0)


def cells(row: dict[str, Any]) -> list[str]:
    medians = [number(row[part]["median_ms"]) for part in ("save", "fsync", "load", "backup")]
    return [row["model"], number(row["bytes"] / 1e6), *medians]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the files are written (the system's for temporary ones)")
    parser.add_argument("--smoke", action="store_true", help="one model, a few times, no results")
    options = parser.parse_args(arguments)
    models, times = (["dense"], 3) if options.smoke else (MODELS, 50)
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(*(title.ljust(15) for title in HEADER))
        for name in models:
            rows.append(measure(name, Path(folder, "m.safetensors"), times))
            print(*(cell.ljust(15) for cell in cells(rows[-1])), flush=True)
    if not options.smoke:
        facts = {"command": "python -m benchmarks.files", "processor": processor_name()}
        (RESULTS / "files.json").write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
        text = f"# Saving and loading\n\nMedians of {times} on {facts['processor']}, `{facts['command']}`.\n\n"
        (RESULTS / "files.md").write_text(text + table(HEADER, [cells(row) for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
