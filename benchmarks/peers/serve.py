"""What a contestant is, and the loop in which it does what contest.py asks for.

Requests and replies are lines of JSON on stdin and stdout. `prepare` builds the model anew, compiles it and warms it
up; each `round` after it times some steps; `check` tells what is needed to see that the models are the same. `measure`
is for devices that run ahead of Python: it does what prepare does, and then times whole rounds.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import numpy as np

from .models import load_images, sample_shape

BATCHES = 4  # different ones, in turn


@dataclass
class Work:
    """What is timed: run(input) for one input after the other; one run is so many training steps."""

    run: Callable[[Any], object]
    inputs: list[Any]
    steps: int = 1


Variants = dict[str, Work]  # ways to do the same, of which a user would choose the fastest; "" if there is but one


class Contestant:
    """A library. Each method builds the model with `initial_weights`; what a library has no part in stays as here."""

    def versions(self) -> dict[str, str]:
        """Package -> version."""
        raise NotImplementedError

    def settings(self) -> dict[str, str]:
        """What else decides how it computes, in words: device, precision."""
        return {}

    def seconds(self, run: Callable[[], object]) -> float:
        """How long it takes until all that run() has started is done."""
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    def training(self, model: str, batches: list[np.ndarray]) -> Variants:
        """Training steps, each of one batch (batch, *sample_shape)."""
        raise NotImplementedError

    def fit(self, model: str, x: np.ndarray, batch_size: int) -> Variants:
        """Epochs over x (N, *sample_shape)."""
        raise NotImplementedError

    def inference(self, model: str, batches: list[np.ndarray]) -> Variants:
        """Reconstructions of one batch each."""
        raise NotImplementedError

    def check(self, model: str, x: np.ndarray, noise: np.ndarray, steps: int) -> dict[str, Any]:
        """Any of: "parameters", how many are trained; "loss" of x and "output" for it, with this noise as z's;
        "later_loss", after so many training steps on x."""
        raise NotImplementedError


def serve(contestant: Contestant) -> None:
    """Answer requests until stdin ends. The first line out, before any request, tells the versions and settings."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not stand among the replies

    def reply(content: dict[str, Any]) -> None:
        replies.write(json.dumps(content) + "\n")
        replies.flush()

    reply({"versions": contestant.versions(), "settings": contestant.settings()})
    works: Variants = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "prepare":
                works.clear()  # the last cell's memory goes before this one's is taken
                works = prepare(contestant, request)
                reply({"variants": list(works)})
            elif request["do"] == "round":
                variants = {variant: works[variant] for variant in in_turn([*works], request["turn"])}
                if request["interleaved"]:
                    reply({"times": play(variants, request)})
                else:
                    reply({"times": {name: play({name: work}, request)[name] for name, work in variants.items()}})
            elif request["do"] == "measure":
                works.clear()
                reply({"times": measure(contestant, request)})
            else:
                reply(check(contestant, request))
        except Exception as error:  # this cell goes on without us
            traceback.print_exc()
            reply({"error": f"{type(error).__name__}: {error}".splitlines()[0]})


def in_turn(names: list[Any], turn: int) -> list[Any]:
    """Beginning with another one each time: nobody always follows the same one, and finds the caches as that left
    them."""
    first = turn % len(names)
    return names[first:] + names[:first]


def prepare(contestant: Contestant, request: dict[str, Any]) -> Variants:
    """Build what is to be timed, and run it once: that compiles it."""
    model, batch, batches = request["model"], request["batch"], request.get("batches", BATCHES)
    n = request.get("samples", batches * batch)
    x = load_images(request["data"], n).reshape(n, *sample_shape(model))
    if request["task"] == "fit":
        works = contestant.fit(model, x, batch)
    elif request["task"] == "training":
        works = contestant.training(model, np.split(x, batches))
    else:
        works = contestant.inference(model, np.split(x, batches))
    for work in works.values():
        work.run(work.inputs[0])
    return works


def play(works: Variants, request: dict[str, Any]) -> dict[str, list[float]]:
    """Seconds of each step of these variants, run by run in turn: as many as fit into the request's seconds, but at
    least so many."""
    for work in works.values():
        for _ in range(request["untimed"]):
            work.run(work.inputs[0])
    times: dict[str, list[float]] = {variant: [] for variant in works}
    steps = min(work.steps for work in works.values())
    end, runs = time.perf_counter() + request["seconds"], 0
    while runs * steps < request["least"] or time.perf_counter() < end:
        for variant, work in works.items():
            x = work.inputs[runs % len(work.inputs)]
            start = time.perf_counter()
            work.run(x)
            times[variant].append((time.perf_counter() - start) / work.steps)
        runs += 1
    return times


def measure(contestant: Contestant, request: dict[str, Any]) -> dict[str, list[float]]:
    """Variant -> seconds of a step, a mean over each round: as many steps as fit into the request's seconds, but each
    batch at least once."""
    times = {}
    for variant, work in prepare(contestant, request).items():

        def some(n: int, work: Work = work) -> None:
            for i in range(n):
                work.run(work.inputs[i % len(work.inputs)])

        least = len(work.inputs)
        contestant.seconds(partial(some, least))
        once = contestant.seconds(partial(some, least)) / least
        n = max(least, ceil(request["seconds"] / once))
        times[variant] = [contestant.seconds(partial(some, n)) / (n * work.steps) for _ in range(request["rounds"])]
    return times


def check(contestant: Contestant, request: dict[str, Any]) -> dict[str, Any]:
    """The contestant's numbers for a few images."""
    model, n = request["model"], request["batch"]
    x = load_images(request["data"], n).reshape(n, *sample_shape(model))
    noise = np.random.default_rng(1).standard_normal((n, 2)).astype(np.float32)
    found = contestant.check(model, x, noise, request["steps"])
    return {name: np.asarray(value).tolist() for name, value in found.items()}
