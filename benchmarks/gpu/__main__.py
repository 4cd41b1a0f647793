"""One GPU run, which needs no thought and leaves what it has when it is cut short.

    python -m benchmarks.gpu --out FOLDER                                    on a GPU, within 9 minutes
    python -m benchmarks.gpu --out FOLDER --device cuda-emulator --smoke     a dry run without one, in half a minute

The stages, in this order; --stages chooses some of them:

    facts        is there a GPU, which one, versions; without one the run ends here, with status 1
    ceilings     copies, matrix products, launches: what the rest is held against
    correctness  the tests, every op, 20 training steps of each model, compute-sanitizer
    steps        our training steps: fit, and train_on_batch, on data that lies on the GPU
    kernels      each kernel of a training step alone
    products     our matrix products beside cublasLt's
    peers        PyTorch eager and in a CUDA graph, JAX, torch.compile: the same models from the same weights

Every stage has a time limit, and leaves time for those behind it. FOLDER gets results.jsonl, a result a line as it
arrives, log.txt, and gpu.md with the tables, written anew after each stage.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from ..contest import ROOT, names, sizes
from ..peers.models import MODELS
from .children import Child, Journal, LateError, environment
from .contestants import Options, Reference, compete, ours, peers
from .table import markdown

# Seconds that a stage may take, and those that are kept for it while the stages before it run.
STAGES = {
    "facts": (75, 10),
    "ceilings": (40, 15),
    "correctness": (230, 60),
    "steps": (120, 60),
    "kernels": (60, 25),
    "products": (100, 40),
    "peers": (600, 120),
}
# The parts of correctness; the first have most to say, and the tests take as long as they are given.
PARTS = {"ops": 60, "trajectories": 60, "memcheck": 45, "tests": 120, "racecheck": 45}
SMOKE_MODELS, SMOKE_BATCHES = ("dense", "recurrent"), (2,)


class Run:
    """The stages of one run."""

    def __init__(self, options: argparse.Namespace, journal: Journal):
        self.options, self.journal, self.reference = options, journal, Reference(journal)
        self.patience = 1 if options.device == "cuda" else 10  # on a busy processor a dry run takes what it takes
        self.end = time.monotonic() + 60 * options.minutes * self.patience

    def stage(self, name: str, later: Sequence[str]) -> bool:
        """Run one; False if there is no sense in the others."""
        most, least = STAGES[name]
        left = self.end - time.monotonic()
        limit = min(most * self.patience, max(left - sum(STAGES[other][1] for other in later), least), left)
        if limit < 5:
            self.journal.add(name, what="stage", skipped="no time was left")
            return True
        start = time.monotonic()
        if name == "facts":
            self.program("facts", ["benchmarks.gpu.facts", "--peers-python", self.options.peers_python], limit)
        elif name == "ceilings":
            self.program("ceilings", ["benchmarks.gpu.ceilings"], limit)
        elif name == "correctness":
            for part, most in PARTS.items():
                allowed = min(most * self.patience, limit - (time.monotonic() - start))
                if allowed < 5:
                    self.journal.add(name, what=part, skipped="no time was left")
                else:
                    self.program(name, ["benchmarks.gpu.correctness", part], allowed)
        elif name in ("kernels", "products"):
            chosen = ["--models", ",".join(self.options.models), "--batches", ",".join(map(str, self.options.batches))]
            self.program(name, [f"benchmarks.gpu.{name}", *chosen], limit)
        else:
            self.compete(name, time.monotonic() + limit)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
        return name != "facts" or any(record.get("usable") for record in self.journal.records)

    def program(self, stage: str, arguments: list[str], limit: float) -> None:
        """A stage's program: its lines go to the journal."""
        device = self.options.device
        arguments = [*arguments, "--device", device, *(["--smoke"] if self.options.smoke else [])]
        child = Child(sys.executable, arguments, environment(device, "any"), self.journal.errors)
        deadline, patience = time.monotonic() + limit, 10.0
        what = " ".join(arguments[1:2] if "correctness" in arguments[0] else [stage])
        try:
            while line := child.read(deadline):
                self.journal.add(stage, **line)
        except LateError:
            self.journal.add(stage, what="program", name=what, error=f"stopped after {limit:.0f} s")
            patience = 0
        except BaseException:
            patience = 0
            raise
        finally:
            status = child.close(patience)
        no_gpu = any(record.get("usable") is False for record in self.journal.records)  # which facts says by its status
        if status > 0 and not no_gpu:
            self.journal.add(stage, what="program", name=what, error=f"status {status}: {self.journal.last_error()}")

    def compete(self, stage: str, end: float) -> None:
        o = self.options
        options = Options(o.device, o.precision, o.models, o.batches, o.peers_python, o.data, o.smoke, self.patience)
        chosen = ours(o.device, o.precision, o.smoke) if stage == "steps" else peers(o.device, o.precision)
        try:
            compete(stage, chosen, options, self.journal, self.reference, end)
        finally:
            self.reference.close()


def stages(text: str) -> tuple[str, ...]:
    chosen = text.split(",")
    if unknown := set(chosen) - set(STAGES):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: expected some of {','.join(STAGES)}")
    return tuple(name for name in STAGES if name in chosen)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="for the results")
    parser.add_argument("--device", choices=["cuda", "cuda-emulator"], default="cuda")
    parser.add_argument("--stages", metavar="NAMES", type=stages, default=tuple(STAGES), help="all")
    parser.add_argument("--minutes", type=float, default=9, help="for the whole run (9)")
    parser.add_argument("--models", metavar="NAMES", type=names, default=MODELS, help=f"of {','.join(MODELS)} (all)")
    parser.add_argument("--batches", metavar="SIZES", type=sizes, default=(256, 8192), help="256,8192")
    parser.add_argument("--precision", choices=["float32", "tf32"], default="float32", help="of matrix products")
    parser.add_argument("--data", metavar="FILE.npz", help="images: x_train, uint8 (N, 28, 28); else they are drawn")
    parser.add_argument("--peers-python", metavar="PATH", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see that everything runs")
    options = parser.parse_args(arguments)
    python = shutil.which(options.peers_python)
    if python is None:
        parser.error(f"--peers-python {options.peers_python}: no program of that name")
    options.peers_python = os.path.abspath(python)  # what a link leads to would be another environment
    options.dry = options.device != "cuda" or options.smoke
    if options.device == "cuda-emulator" and not options.smoke:
        parser.error("the emulator is far too slow for these sizes: add --smoke")
    if options.dry and options.out.resolve() == (ROOT / "benchmarks" / "results").resolve():
        parser.error(f"--out {options.out}: a dry run leaves no results")
    if options.smoke:
        options.models, options.batches = SMOKE_MODELS, SMOKE_BATCHES
    if options.data is not None:
        options.data = str(Path(options.data).resolve())
    return options


def shown(arguments: Sequence[str]) -> str:
    """The command, without the folders of this machine."""
    words = [word if word.startswith("-") else Path(word).name for word in arguments]
    return " ".join(["python -m benchmarks.gpu", *words])


def tables(journal: Journal) -> str:
    """A run does not end because its tables can't be made."""
    try:
        return markdown(journal.records)
    except Exception as error:
        traceback.print_exc()
        return f"The tables can't be made: {type(error).__name__}: {error}. All results are in results.jsonl.\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = parse(arguments)
    journal = Journal(options.out, options.dry)
    journal.add(
        "run",
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        command=shown(sys.argv[1:] if arguments is None else arguments),
        device=options.device,
        precision=options.precision,
        dry=options.dry,
        data="drawn rings" if options.data is None else Path(options.data).name,
        minutes=options.minutes,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what has been started ends with us
    run, status = Run(options, journal), 0
    try:
        for i, name in enumerate(options.stages):
            try:
                good = run.stage(name, options.stages[i + 1 :])
            except Exception as error:  # of ours; the other stages may be good
                traceback.print_exc()
                journal.add(name, what="stage", error=f"{type(error).__name__}: {error}")
                good = False
            (options.out / "gpu.md").write_text(tables(journal))
            if name == "facts" and not good:
                status = 1
                break
    finally:
        text = tables(journal)
        (options.out / "gpu.md").write_text(text)
        journal.close()
    print(text)
    if status:
        print("Without a GPU: python -m benchmarks.gpu --out FOLDER --device cuda-emulator --smoke", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
