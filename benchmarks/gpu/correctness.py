"""Does the device compute what it should? In parts, each a program of its own:

    tests          the GPU's tests of tests/, in pytest
    ops            every op at the models' shapes, on numbers drawn anew, against `reference` in float64; but for chains
                   of convolutions, which the tests and the trajectories have
    trajectories   gradients and 20 training steps against `reference` in float64, and the same bits twice
    memcheck       a step of small models within compute-sanitizer: accesses outside of what was allocated
    racecheck      the same: threads of a block that use shared memory without waiting for each other

An op's outputs are NaN before it runs. Errors are in units of the largest number of an array.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import scratchae
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational
from scratchae.backend import REFERENCE

from ..contest import ROOT
from ..kernels import FAMILIES, Desk, Work
from ..machine import available_cores
from ..peers import ours
from ..peers.models import MODELS, load_images, sample_shape
from .accuracy import difference, in_float64
from .children import emit
from .device import Device, open_device

OF_GRADIENTS, OF_LOSSES = 1e-5, 2e-5  # limits: of 20 steps, if rounding decides on no maximum and no relu
SMALL: tuple[Callable[[], Any], ...] = (
    lambda: vanilla.autoencoder(37, [23, 11], 5)[2],
    lambda: sparse.autoencoder(37, [23], 5, 0.01)[2],
    lambda: convolutional.autoencoder((12, 20, 1), [5, 3, 2], (2, 3, 2))[2],
    lambda: variational.autoencoder(37, [23], 3)[2],
    lambda: recurrent.autoencoder(9, 5, 7)[2],
)


# ---- tests ----------------------------------------------------------------------------------------------------------
def tests(name: str, smoke: bool) -> None:
    """pytest, each outcome counted as it comes. A dry run takes a few tests of the emulator."""
    if importlib.util.find_spec("pytest") is None:
        emit(what="tests", skipped="pytest is not installed")
        return
    chosen = ["tests/kernels/test_cuda_activation.py", "-k", "forward"]
    if name == "cuda":
        chosen = ["-m", "gpu", "tests/kernels/test_cuda_activation.py"]
    if not smoke:
        others = sorted(file for file in (ROOT / "tests").glob("test_*.py") if "gpu" in file.read_text())
        chosen = ["-m", "gpu", "tests/kernels", *(f"tests/{file.name}" for file in others)]
    if importlib.util.find_spec("xdist") and not smoke:
        chosen += ["-n", str(min(8, available_cores()))]  # the reference's sums take longer than the GPU's
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-W", "default", *chosen]
    start, outcomes, failed = time.monotonic(), Counter[str](), []
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            print(line, end="", file=sys.stderr)
            outcome = re.search(r"\b(PASSED|FAILED|ERROR|SKIPPED)\b", line)
            if outcome and "::" in line and not line.startswith(("FAILED", "ERROR", "SKIPPED")):  # the summary's lines
                outcomes[outcome[1].lower()] += 1
                if outcome[1] in ("FAILED", "ERROR"):
                    failed.append(re.sub(r".*?(tests/\S+).*", r"\1", line.strip()))
                if sum(outcomes.values()) % 50 == 0:  # what there is when time runs out
                    emit(what="tests", unfinished=True, **outcomes, names=failed)
    seconds = round(time.monotonic() - start, 1)
    emit(what="tests", status=run.returncode, **outcomes, names=failed, seconds=seconds)


# ---- ops ------------------------------------------------------------------------------------------------------------
def ops(device: Device, smoke: bool) -> None:
    """A line for each op and its sizes."""
    seed = time.time_ns() % 2**32
    emit(what="seed", seed=seed)
    rng = np.random.default_rng(seed)
    for family, samples, sizes in FAMILIES:
        for arguments in sizes[-1:] if smoke else sizes:
            desk = Desk(REFERENCE, 3 if smoke else samples)
            desk.rng = rng
            for work in family(desk, *arguments):
                try:
                    check(device, rng, work)
                except Exception as error:
                    emit(what="op", op=work.op, sizes=work.sizes, good=False, error=f"{type(error).__name__}: {error}")


def check(device: Device, rng: np.random.Generator, work: Work) -> None:
    """The op on the device, and the greatest errors of its outputs. What it does not write has to stay as it was, but
    for dy, which is scratch."""
    names, arguments = flattened(work)
    values = telling(work.op, names, arguments, rng)
    before, after = [in_float64(value) for value in values.values()], run_reference(work, values)
    arrays = [i for i, value in enumerate(before) if isinstance(value, np.ndarray)]
    changed = [i for i in arrays if not np.array_equal(before[i], after[i], equal_nan=True)]
    given = values | unread(work, values, changed, after)
    placed = {i: place(device, names[i], value) for i, value in given.items()}
    getattr(device.backend.ops, work.op)(*nested(placed.values(), work))
    errors: dict[str, float] = {}
    good = True
    for i in arrays:
        if names[i] in ("data", "rows") or (names[i] in ("dy", "dh") and i not in changed):
            continue
        got, wanted = device.backend.download(placed[i]), after[i]
        if names[i] == "winner" and "y" in names:  # of a window without a positive number none is asked for
            got, wanted = (np.where(after[names.index("y")] > 0, winners, 0) for winners in (got, wanted))
        error, limit = difference(got, wanted)
        errors[names[i]], good = max(error, errors.get(names[i], 0.0)), good and error <= limit
        arguments[i][...] = after[i]  # for backward, which reads what forward has saved
    emit(what="op", op=work.op, sizes=work.sizes, good=good, errors={name: float(e) for name, e in errors.items()})


def flattened(work: Work) -> tuple[list[str], list[Any]]:
    """The op's arguments and their names, one by one where one is a list: of `dys` each is a dy."""
    names: list[str] = []
    arguments: list[Any] = []
    parameters = inspect.signature(getattr(REFERENCE.ops, work.op)).parameters
    for name, argument in zip(parameters, work.arguments, strict=True):
        several = isinstance(argument, list)
        names += [name.removesuffix("s")] * len(argument) if several else [name]
        arguments += argument if several else [argument]
    return names, arguments


def nested(values: Iterable[Any], work: Work) -> list[Any]:
    """The other way round: values that stand for the arguments, in lists where these are."""
    rest = iter(values)
    return [[next(rest) for _ in a] if isinstance(a, list) else next(rest) for a in work.arguments]


def telling(op: str, names: list[str], arguments: list[Any], rng: np.random.Generator) -> dict[int, Any]:
    """The arguments by their places, chosen so that an op has something to do: what it adds to is not zero, gradients
    have either sign, a norm is clipped, a penalty has a factor, some targets are met."""
    values = dict(enumerate(arguments))
    first = next(i for i, value in values.items() if isinstance(value, np.ndarray))
    for i, value in values.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            if i == first:
                value[...] = rng.normal(0, 0.3, value.shape)
            elif names[i] in ("dy", "dh"):
                value -= 0.5
            elif op == "binary_accuracy" and names[i] == "t":
                value[...] = value > 0.5
        elif (names[i], value) == ("scale", 0.0):
            values[i] = 1e-3
        elif names[i] == "limit":
            values[i] = 0.25
    return values


def run_reference(work: Work, values: dict[int, Any]) -> list[Any]:
    """The arguments as the reference leaves copies of them in float64."""
    copies = [in_float64(value) for value in values.values()]
    with np.errstate(all="ignore"):
        getattr(REFERENCE.ops, work.op)(*nested(copies, work))
    return copies


def unread(work: Work, values: dict[int, Any], changed: list[int], after: list[Any]) -> dict[int, np.ndarray]:
    """NaN for the arrays that an op writes and does not read: with those, the reference leaves all as without them."""

    def makes_no_difference(poison: dict[int, np.ndarray]) -> bool:
        again = run_reference(work, values | poison)
        return all(np.array_equal(after[i], again[i], equal_nan=True) for i in changed)

    poison = {i: poisoned(values[i]) for i in changed}
    if makes_no_difference(poison):
        return poison
    return {i: array for i, array in poison.items() if makes_no_difference({i: array})}


def poisoned(array: np.ndarray) -> np.ndarray:
    return np.full(array.shape, np.nan if array.dtype.kind == "f" else 77, array.dtype)


def place(device: Device, name: str, value: Any) -> Any:
    """An argument on the device. What `gather` takes rows of lies there as a data set, and the rows are the host's."""
    if not isinstance(value, np.ndarray) or name == "rows":
        return value
    return device.machine.hold(value) if name == "data" else device.backend.array(value)


# ---- training -------------------------------------------------------------------------------------------------------
def trajectories(device: Device, smoke: bool) -> None:
    """A line for each model."""
    models, batch, steps = (("dense", "recurrent"), 2, 3) if smoke else (MODELS, 32, 20)
    for model in models:
        x = noisy(load_images(None, batch)).reshape(batch, *sample_shape(model))
        expected_losses, expected_gradients, expected_weights = train("reference", "float64", model, x, steps)
        runs = [train(device.backend.name, "float32", model, x, steps) for _ in range(2)]
        losses, gradients, weights = runs[0]
        worst = max(difference(g, e)[0] for g, e in zip(gradients, expected_gradients, strict=True))
        loss = float(np.max(np.abs(losses / expected_losses - 1)))
        apart = np.linalg.norm(weights - expected_weights) / np.linalg.norm(expected_weights)
        same = all(np.array_equal(a, b) for a, b in zip(flat(runs[0]), flat(runs[1]), strict=True))
        emit(
            what="trajectory",
            model=model,
            batch=batch,
            steps=steps,
            gradients=worst,
            losses=loss,
            weights=float(apart),
            fall=float(expected_losses[-1] / expected_losses[0]),
            same_bits=same,
            good=bool(worst <= OF_GRADIENTS and loss <= OF_LOSSES and same),
        )


def noisy(x: np.ndarray) -> np.ndarray:
    """Images without equal neighbours and black areas: there Adam makes whole steps of what is but rounding."""
    return (0.8 * x + 0.2 * np.random.default_rng(0).random(x.shape)).astype(np.float32)


Trained = tuple[np.ndarray, list[np.ndarray], np.ndarray]


def train(device: str, floatx: str, model: str, x: np.ndarray, steps: int) -> Trained:
    """The losses, the first gradients, and all weights in the end."""
    scratchae.set_floatx(floatx)
    scratchae.set_device(device)
    auto = ours.build(model)
    _, gradients = auto.loss_and_gradients(x, x)
    losses = np.array([auto.train_on_batch(x, x) for _ in range(steps)], np.float64)
    weights = np.concatenate([w.astype(np.float64).ravel() for w in auto.get_weights()])
    scratchae.set_floatx("float32")
    return losses, gradients, weights


def flat(run: Trained) -> Iterator[np.ndarray]:
    losses, gradients, weights = run
    yield from (losses, *gradients, weights)


# ---- compute-sanitizer ----------------------------------------------------------------------------------------------
def find_sanitizer() -> str | None:
    """On the PATH, in a toolkit or among NVIDIA's wheels."""
    toolkit = Path(os.environ.get("CUDA_PATH", "/usr/local/cuda"))
    wheels = Path(sysconfig.get_path("purelib"), "nvidia").glob("*/bin")
    folders = [os.environ.get("PATH", ""), *map(str, (toolkit / "bin", toolkit / "compute-sanitizer", *wheels))]
    return shutil.which("compute-sanitizer", path=os.pathsep.join(folders))


def sanitize(tool: str, device: Device) -> None:
    """What the tool finds in `small_steps`."""
    if device.emulated:
        emit(what=tool, skipped="the emulator does this itself, at every access")
        if tool == "memcheck":
            small_steps(device)  # so that a dry run tries what it is to watch
        return
    sanitizer = find_sanitizer()
    if sanitizer is None:
        cure = "pip install nvidia-cuda-sanitizer-api, or a CUDA toolkit, at CUDA_PATH or /usr/local/cuda"
        emit(what=tool, skipped=f"compute-sanitizer is not found: {cure}")
        return
    program = [sys.executable, "-m", "benchmarks.gpu.correctness", "small-steps", "--device", "cuda"]
    command = [sanitizer, "--tool", tool, "--error-exitcode", "9", "--print-limit", "5", *program]
    start = time.monotonic()
    run = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    print(run.stdout, file=sys.stderr)
    said = [line.strip("= ") for line in run.stdout.splitlines() if line.startswith("=====")]
    summary = next((line for line in reversed(said) if "SUMMARY" in line), None)
    good, seconds = run.returncode == 0, round(time.monotonic() - start, 1)
    if summary is None:
        emit(what="program", name=tool, error=f"it gives no summary, status {run.returncode}: {' '.join(said[:3])}")
    else:
        emit(what=tool, good=good, status=run.returncode, summary=summary, first=said[1:6], seconds=seconds)


def small_steps(device: Device) -> None:
    """Three training steps of each small model: as they come, recorded, and run again."""
    device.without_pool()
    scratchae.set_device(device.backend.name)
    for make in SMALL:
        auto = make()
        x = np.random.default_rng(0).random((3 if device.emulated else 19, *auto.input_shape[1:]), np.float32)
        for _ in range(3):
            auto.train_on_batch(x, x)


def main() -> int:
    """The stage's programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["tests", "ops", "trajectories", "memcheck", "racecheck", "small-steps"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.part == "tests":
        tests(options.device, options.smoke)
        return 0
    device = open_device(options.device)
    if options.part == "ops":
        ops(device, options.smoke)
    elif options.part == "trajectories":
        trajectories(device, options.smoke)
    elif options.part == "small-steps":
        small_steps(device)
    else:
        sanitize(options.part, device)
    return 0


if __name__ == "__main__":
    sys.exit(main())
