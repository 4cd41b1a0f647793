"""Training steps here and elsewhere: each contestant a process of its own, asked for one model and batch size after the
other, and for the loss and the output of a few images, which are held against `reference` in float64."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..contest import OURS, Entry, missing_packages
from ..peers.models import MODELS
from ..same_models import differences
from .children import Child, Journal, LateError, environment

EPOCH = 65536  # samples that fit is timed on
MEASURE = {"task": "training", "batches": 8, "seconds": 0.1, "rounds": 7}
CHECK = {"batch": 32, "steps": 3}
SMOKE_MEASURE = MEASURE | {"batches": 2, "seconds": 0.0, "rounds": 1}
SMOKE_CHECK = {"batch": 2, "steps": 1}
PRODUCTS = "dense", "deep", "sparse", "variational"  # models in which tensor cores have something to do
LARGE = 4096  # batches that they have something to do with


@dataclass(frozen=True)
class Contestant:
    """A program, and what it takes part in."""

    entry: Entry
    limit: float  # seconds
    cell: float  # of these for one model and batch size
    models: tuple[str, ...] = MODELS
    least_batch: int = 0
    compiles: bool = False  # so that a further size for a check would cost too much
    gpu_only: bool = False


def ours(device: str, precision: str, smoke: bool) -> list[Contestant]:
    """Our own: in the precision that is asked for, and next to float32 on tensor cores with float32's errors."""
    arguments = ("benchmarks.peers.ours", "--device", device, "--samples", "0" if smoke else str(EPOCH))
    found = [Contestant(Entry(OURS, (*arguments, "--precision", precision), ("scratchae",)), 120, 40)]
    if precision == "float32":
        entry = Entry(f"{OURS} tf32x3", (*arguments, "--precision", "tf32x3"), ("scratchae",))
        found.append(Contestant(entry, 60, 30, PRODUCTS, LARGE))
    return found


def peers(device: str, precision: str) -> list[Contestant]:
    """The others, those first that are fast and need not compile for long; beside the emulator, on the processor."""
    place = ("--device", "cuda" if device == "cuda" else "cpu", "--precision", precision)

    def torch(name: str, way: str) -> Entry:
        return Entry(name, ("benchmarks.peers.pytorch", *place, "--way", way), ("torch", "numpy"))

    jax = Entry("JAX", ("benchmarks.peers.jax_jit", *place), ("jax", "numpy"))
    return [
        Contestant(torch("PyTorch, CUDA graph", "graph"), 60, 20, gpu_only=True),
        Contestant(jax, 90, 30),
        Contestant(torch("PyTorch", "eager"), 60, 20),
        Contestant(torch("torch.compile reduce-overhead", "reduce-overhead"), 150, 60, compiles=True),
        Contestant(torch("torch.compile max-autotune", "max-autotune"), 240, 90, compiles=True),
    ]


class Reference:
    """What the models have to give: asked once, when it is first needed. The device "reference", in float64."""

    arguments = ("benchmarks.peers.ours", "--device", "reference", "--floatx", "float64")

    def __init__(self, journal: Journal):
        self.journal, self.told = journal, dict[str, Any]()
        self.child: Child | None = None

    def of(self, model: str, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        if model not in self.told:
            try:
                if self.child is None:
                    self.child = Child(
                        sys.executable, self.arguments, environment("cpu", "float32"), self.journal.errors
                    )
                    self.child.read(deadline)
                self.told[model] = self.child.ask(deadline, do="check", model=model, data=None, **request)
            except LateError:
                self.close()
                return {"error": "the reference took too long"}
        return self.told[model]

    def close(self) -> None:
        if self.child is not None:
            self.child.close()
            self.child = None


@dataclass
class Options:
    """What all contestants are asked for."""

    device: str
    precision: str
    models: Sequence[str]
    batches: Sequence[int]
    python: str  # of the peers
    data: str | None
    smoke: bool
    patience: float = 1  # a factor for all limits


def compete(
    stage: str,
    contestants: Sequence[Contestant],
    options: Options,
    journal: Journal,
    reference: Reference,
    end: float,
) -> None:
    """One after the other until then, by time.monotonic(); each result goes to the journal."""
    for contestant in contestants:
        entry = contestant.entry
        reason = ""
        python = sys.executable if entry.name.startswith(OURS) else options.python
        if contestant.gpu_only and options.device != "cuda":
            reason = "needs a GPU"
        elif end - time.monotonic() < 5:
            reason = "no time was left"
        elif missing := missing_packages(python, entry.packages):
            reason = f"{', '.join(missing)} not installed"
        if reason:
            journal.add(stage, what="contestant", name=entry.name, skipped=reason)
            continue
        limit = min(end, time.monotonic() + options.patience * contestant.limit)
        Match(stage, contestant, python, options, journal, reference).play(limit)


class Match:
    """One contestant's turns."""

    def __init__(
        self,
        stage: str,
        contestant: Contestant,
        python: str,
        options: Options,
        journal: Journal,
        reference: Reference,
    ):
        self.stage, self.contestant, self.python, self.options = stage, contestant, python, options
        self.journal, self.reference = journal, reference
        self.child: Child | None = None
        self.name = contestant.entry.name
        self.checked: set[str] = set()

    def play(self, end: float) -> None:
        """All models at each batch size. A turn that takes too long costs the process, and the next one starts anew."""
        chosen, least = self.contestant.models, self.contestant.least_batch
        batches = [b for b in self.options.batches if b >= least or self.options.smoke]
        try:
            for batch in batches:
                for model in (m for m in self.options.models if m in chosen):
                    if time.monotonic() > end - 1:
                        self.tell(model, batch, error="no time was left")
                        continue
                    limit = min(end, time.monotonic() + self.options.patience * self.contestant.cell)
                    try:
                        if not self.start(limit):
                            return
                        self.turn(model, batch, limit)
                    except LateError:
                        self.tell(model, batch, error="took too long")
                        self.stop()
        finally:
            self.stop()

    def tell(self, model: str, batch: int, **result: Any) -> None:
        self.journal.add(self.stage, what="cell", name=self.name, model=model, batch=batch, **result)

    def start(self, limit: float) -> bool:
        if self.child is None:
            place = environment(self.options.device, self.options.precision)
            self.child = Child(self.python, self.contestant.entry.arguments, place, self.journal.errors)
            hello = self.child.read(limit)
            if hello is None:
                error = f"it does not start: {self.journal.last_error()}"
                self.journal.add(self.stage, what="contestant", name=self.name, error=error)
                return False
            self.journal.add(self.stage, what="contestant", name=self.name, **hello)
        return True

    def stop(self) -> None:
        if self.child is not None:
            self.child.close()
            self.child = None

    def turn(self, model: str, batch: int, limit: float) -> None:
        assert self.child is not None
        smoke = self.options.smoke
        measure, check = (SMOKE_MEASURE, SMOKE_CHECK) if smoke else (MEASURE, CHECK)
        if model not in self.checked:
            self.checked.add(model)
            expected = self.reference.of(model, check, limit)
            asked = check | ({"steps": 0} if self.contestant.compiles else {})
            found = self.child.ask(limit, do="check", model=model, data=None, **asked)
            problem = expected.get("error") or found.get("error")
            told = {"error": problem} if problem else {"differences": differences(expected, found)}
            self.journal.add(self.stage, what="check", name=self.name, model=model, **told)
        reply = self.child.ask(limit, do="measure", model=model, batch=batch, data=self.options.data, **measure)
        if "error" in reply:
            self.tell(model, batch, error=reply["error"])
        else:
            for variant, times in reply["times"].items():
                self.tell(model, batch, variant=variant, times=times)
