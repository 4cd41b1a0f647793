"""Runs contestants beside each other: a process for each library, timed in short rounds that take turns.

A neighbour's load, a warm processor or a slow minute of a virtual machine then strike all alike, and the medians over
all rounds compare. The benchmarks are train_step.py, fit.py and inference.py; peers/ has the contestants.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .machine import timed_environment, use_cores
from .peers.models import MODELS
from .peers.serve import in_turn

ROOT = Path(__file__).resolve().parent.parent
OURS = "scratchae"
SMOKE_MODELS = "dense", "convolutional"


@dataclass(frozen=True)
class Entry:
    """A contestant's name, the arguments of its program, and the packages without which it stays away."""

    name: str
    arguments: tuple[str, ...]
    packages: tuple[str, ...]


SCRATCHAE = Entry(OURS, ("benchmarks.peers.ours",), ("scratchae",))
PYTORCH = Entry("PyTorch", ("benchmarks.peers.pytorch",), ("torch", "numpy"))
COMPILED = Entry("torch.compile", ("benchmarks.peers.pytorch", "--compile"), ("torch", "numpy"))
JAX = Entry("JAX", ("benchmarks.peers.jax_jit",), ("jax", "numpy"))
KERAS = Entry("Keras", ("benchmarks.peers.keras_fit",), ("keras", "jax", "numpy"))
ONNX = Entry("ONNX Runtime", ("benchmarks.peers.onnx_runtime",), ("onnx", "onnxruntime", "numpy"))


@dataclass(frozen=True)
class Task:
    """What is timed, for how long in a round, and how: at least so many steps, after so many that don't count. Where
    the variants of a contestant are to be compared, their runs are interleaved; else each finds the caches its own."""

    name: str
    seconds: float
    least: int
    untimed: int
    interleaved: bool = False


Times = dict[str, list[float]]  # variant -> seconds of each step


class Player:
    """A contestant's process."""

    def __init__(self, entry: Entry, python: str, environment: dict[str, str]):
        self.name = entry.name
        # In a group of its own: should we be killed, the system wakes a stopped group that has lost its parent and
        # hangs it up, so that no stopped process stays behind.
        self.process = subprocess.Popen(
            [python, "-m", *entry.arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.versions = self._read().get("versions", {})
        self._signal("SIGSTOP")

    def ask(self, **request: Any) -> dict[str, Any]:
        """The reply to a request; {"error": ...} if there is none.

        Between requests the process is stopped: the thread pools of OpenMP, OpenBLAS and XLA spin for a while after
        their work is done, on the cores that the next contestant needs. OMP_WAIT_POLICY=passive would prevent it, too,
        but slow down the contestants themselves.
        """
        assert self.process.stdin is not None
        self._signal("SIGCONT")
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return {"error": "its process has ended"}
        reply = self._read()
        self._signal("SIGSTOP")
        return reply

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": "its process has ended"}

    def _signal(self, name: str) -> None:
        if hasattr(signal, name):  # on Windows they run on
            self.process.send_signal(getattr(signal, name))


@contextlib.contextmanager
def players(entries: Sequence[Entry], options: argparse.Namespace) -> Iterator[list[Player]]:
    """Start those that can be imported, say which cannot, and end them all at the end."""
    if options.threads is not None:
        use_cores(options.threads)
    environment = timed_environment(options.threads)
    started: list[Player] = []
    try:
        for entry in entries:
            python = sys.executable if entry.name == OURS else options.peers_python
            missing = missing_packages(python, entry.packages)
            if missing:
                print(
                    f"{entry.name} is left out: {', '.join(missing)} not installed (--peers-python PATH names another)"
                )
                continue
            started.append(Player(entry, python, environment))
        yield started
    finally:
        for player in started:
            player.close()


def missing_packages(python: str, packages: Sequence[str]) -> list[str]:
    """Those that an interpreter does not find."""
    program = "import sys, importlib.util as u; print(*[p for p in sys.argv[1:] if not u.find_spec(p)])"
    found = subprocess.run([python, "-c", program, *packages], cwd=ROOT, check=True, capture_output=True, text=True)
    return found.stdout.split()


def contest(
    rivals: Sequence[Player], task: Task, options: argparse.Namespace, model: str, batch: int, **request: Any
) -> dict[str, Times]:
    """The times of each contestant that gets through: name -> variant -> seconds of each step.

    Ends after so many rounds, or when the cell's budget is spent; one round is always played.
    """
    cell = {"task": task.name, "model": model, "batch": batch, "data": options.data, **request}
    times: dict[str, Times] = {}
    ready = []
    for player in rivals:
        reply = player.ask(do="prepare", **cell)
        if "error" not in reply:
            ready.append(player)
            times[player.name] = {variant: [] for variant in reply["variants"]}
        elif player.name == OURS:
            raise RuntimeError(f"scratchae failed in {model}, batch {batch}: {reply['error']}")
        else:
            print(f"{player.name} is left out of {model}, batch {batch}: {reply['error']}", file=sys.stderr)
    end = time.monotonic() + options.budget
    for turn in range(options.rounds):
        for player in in_turn(ready, turn):
            reply = player.ask(
                do="round", turn=turn, seconds=task.seconds, least=task.least, untimed=task.untimed,
                interleaved=task.interleaved,
            )  # fmt: skip
            if "error" in reply:
                raise RuntimeError(f"{player.name} failed in {model}, batch {batch}: {reply['error']}")
            for variant, seconds in reply["times"].items():
                times[player.name][variant] += seconds
        if time.monotonic() > end:
            break
    return times


def command_line(description: str, batches: Sequence[int], smoke_batches: Sequence[int]) -> argparse.ArgumentParser:
    """The options that the benchmarks share; `parse` reads them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="FILE.npz", help="images: x_train, uint8 (N, 28, 28); else they are drawn")
    parser.add_argument("--models", metavar="NAMES", type=names, default=MODELS, help=f"of {','.join(MODELS)} (all)")
    listed = ",".join(map(str, batches))
    parser.add_argument("--batches", metavar="SIZES", type=sizes, default=tuple(batches), help=f"default {listed}")
    parser.add_argument("--rounds", metavar="N", type=positive, default=7, help="for each cell (default 7)")
    parser.add_argument("--budget", metavar="SECONDS", type=float, default=30, help="for a cell's rounds (default 30)")
    parser.add_argument("--threads", metavar="N", type=positive, help="cores to use (all)")
    parser.add_argument("--peers-python", metavar="PATH", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="for the results (benchmarks/results)")
    parser.add_argument("--smoke", action="store_true", help="try it in seconds; writes nothing without --out")
    parser.set_defaults(smoke_batches=tuple(smoke_batches))
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, with --smoke carried out."""
    options = parser.parse_args()
    if options.data is not None:
        options.data = os.path.abspath(options.data)
        if not os.path.isfile(options.data):
            parser.error(f"--data {options.data}: no such file")
    if options.smoke:
        options.models, options.batches = SMOKE_MODELS, options.smoke_batches
        options.rounds, options.budget = 2, 1
    elif options.out is None:
        options.out = ROOT / "benchmarks" / "results"
    return options


def names(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    unknown = set(chosen) - set(MODELS)
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: expected some of {','.join(MODELS)}")
    return chosen


def sizes(text: str) -> tuple[int, ...]:
    return tuple(positive(size) for size in text.split(","))


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number
