"""Where a training step's time goes: each of its kernels alone, all of them in one graph, and their sum.

A kernel is launched so often in a graph that its time is the device's and not Python's. So it finds its data in the
cache more often than in a step, where others come between; the graph of the whole step tells by how much.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import numpy as np

import scratchae

from ..contest import names, sizes
from ..peers import ours
from ..peers.models import MODELS, load_images, sample_shape
from .children import emit
from .device import Device, open_device, rounds
from .launches import Launch, watched

ROUND, ROUNDS, TIMES = 0.005, 5, 20  # seconds, their number, launches in a graph


def trained_step(device: Device, model: str, batch: int) -> list[Launch]:
    """What a training step launches, after three of them."""
    x = device.backend.array(load_images(None, batch).reshape(batch, *sample_shape(model)))
    auto = ours.build(model)
    with watched(device.machine) as seen:
        for _ in range(3):
            auto.train_on_batch(x, x)
    return seen.step()


def measure(device: Device, model: str, batch: int, smoke: bool) -> None:
    """A line for each kernel and its sizes, and one for the step."""
    launches = trained_step(device, model, batch)
    duration = (0.0, 1) if smoke else (ROUND, ROUNDS)
    times = 1 if smoke else TIMES

    def several(launch: Launch) -> None:
        for _ in range(times):
            launch.again(device.machine)

    def all_of_them() -> None:
        for launch in launches:
            launch.again(device.machine)

    replay = device.graph(all_of_them)
    whole = rounds(device.seconds, replay, *duration)
    alike: dict[tuple, list[Launch]] = {}
    for launch in launches:
        alike.setdefault(launch.same_as, []).append(launch)
    for same in alike.values():
        one = same[0]
        emit(
            what="kernel",
            model=model,
            batch=batch,
            kernel=one.kernel,
            count=len(same),
            grid=one.grid,
            block=one.block,
            flops=one.flops,
            bytes=one.bytes,
            times=[t / times for t in rounds(device.seconds, device.graph(partial(several, one)), *duration)],
        )
    emit(what="step", model=model, batch=batch, launches=len(launches), times=whole, used_bytes=device.used_bytes())


def main() -> int:
    """The stage's program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", type=names, default=MODELS)
    parser.add_argument("--batches", type=sizes, default=(256, 8192))
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    device = open_device(options.device)
    scratchae.set_device(options.device)
    for batch in options.batches:
        for model in options.models:
            with np.errstate(all="ignore"):  # of repeated updates nothing is expected
                measure(device, model, batch, options.smoke)
    return 0


if __name__ == "__main__":
    sys.exit(main())
