"""Commands that tell: summary, gradcheck, info."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib import metadata
from typing import Any

import numpy as np

from .common import KINDS, add_command, add_model, load_saved

SMALL = {  # autoencoders that a check of every gradient takes about a second for
    "vanilla": ((7, [5], 3), (7,)),
    "sparse": ((7, [5], 3, 0.01), (7,)),
    "convolutional": (((12, 12, 1), [2, 2, 2], (2, 2, 2)), (12, 12, 1)),
    "variational": ((7, [5], 2), (7,)),
    "recurrent": ((4, 3, 5), (4, 3)),
}
OPTIONAL = {  # package -> what it is for, and how it is installed
    "scikit-learn": "the digits data set: scratchae[sklearn]",
    "matplotlib": "pictures: scratchae[plot]",
    "onnx": "files for programs that run models: scratchae[onnx]",
    "pooch": "downloading mnist and fashion_mnist: scratchae[data]",
    "tensorboardX": "callbacks.TensorBoard: scratchae[tensorboard]",
}


def add_commands(commands: Any) -> None:
    example = "scratchae summary runs/vanilla/model.safetensors"
    parser = add_command(commands, "summary", summary, "tell the layers, shapes and parameters of a model", example)
    add_model(parser)
    parser.add_argument("--json", action="store_true", help="for programs")

    example = "scratchae gradcheck recurrent"
    parser = add_command(commands, "gradcheck", gradcheck, "hold gradients against differences of the loss", example)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(SMALL)} (all)")

    parser = add_command(
        commands, "info", info, "tell what is installed and where it computes", "scratchae info --json"
    )
    parser.add_argument("--json", action="store_true", help="for programs")

    example = "scratchae warmup"
    add_command(commands, "warmup", warmup, "compile the kernels for this processor, ahead of their first use", example)


def warmup(options: argparse.Namespace) -> int:
    from .. import backend

    device = backend.default_backend()
    end = "\x1b[K\r" if sys.stdout.isatty() else "\n"  # on a terminal one line that changes
    device.machine.warm_up(lambda text: print(text, end=end, flush=True))
    print(f"{device.name}: {device.machine.describe()}")
    return 0


def summary(options: argparse.Namespace) -> int:
    saved = load_saved(options)
    if not options.json:
        saved.auto.summary()
        return 0
    weights = [{"name": p.name, "shape": list(p.shape)} for p in saved.auto.weights]
    print(json.dumps({"kind": saved.kind, "parameters": saved.auto.count_params(), "weights": weights}))
    return 0


def gradcheck(options: argparse.Namespace) -> int:
    """Status 1 if one of them fails."""
    from ..gradcheck import GradientError, check

    unknown = set(options.kinds) - set(SMALL)
    if unknown:
        raise ValueError(f"gradcheck: {unknown.pop()!r} is unknown; expected some of {', '.join(SMALL)}")
    failed = False
    for kind in options.kinds or SMALL:
        arguments, shape = SMALL[kind]
        auto = KINDS[kind](*arguments)[2]
        x = np.random.default_rng(0).random((3, *shape))
        try:
            print(f"{kind}: {check(auto, x, x)}")
        except GradientError as error:
            failed = True
            print(f"{kind}: WRONG: {error}")
    return int(failed)


def info(options: argparse.Namespace) -> int:
    from .. import __version__, backend

    packages = {name: version(name) for name in ("numpy", "numba", "safetensors", "tqdm", *OPTIONAL)}
    devices = {name: describe(name) for name in backend.BACKENDS}
    found = {
        "scratchae": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "devices": devices,
        "default_device": backend.default_backend().name,
        "blas": blas(),
        "packages": packages,
    }
    if options.json:
        print(json.dumps(found))
        return 0
    for key in ("scratchae", "python", "system", "blas"):
        print(f"{key}: {found[key]}")
    for name, text in devices.items():
        print(f"device {name}: {text}{' (default)' if name == found['default_device'] else ''}")
    for name, number in packages.items():
        print(f"{name}: {number or 'missing; needed for ' + OPTIONAL.get(name, 'speed')}")
    return 0


def describe(name: str) -> str:
    from .. import backend

    device = backend.BACKENDS[name]
    reason = device.unavailable()
    return f"not here: {reason}" if reason else device.machine.describe()


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def blas() -> str:
    """The library that multiplies NumPy's matrices, for which processor, and its threads."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        build = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{build['name']} {build['version']}; threads unknown, pip install threadpoolctl tells"
    loaded = [library for library in threadpool_info() if library["user_api"] == "blas"]
    names = [
        f"{b['internal_api']} {b['version']} for {b.get('architecture')}, {b['num_threads']} threads" for b in loaded
    ]
    return "; ".join(names) or "none that threadpoolctl knows"
