"""What a training step launches, and what each launch has to do: its arithmetic, and the arrays that it is given.

The machine is watched while a model trains, and lets everything pass. A machine that records its steps launches them
twice, and never again: the second time it records them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from scratchae.kernels import LONGEST_CHAIN
from scratchae.kernels.cuda.conv2d_chain import NEIGHBOURS
from scratchae.kernels.cuda.launcher import Source

LAST = "adam"  # kernel of a step, but for what counts it
READ_AND_WRITTEN = {
    "adam": ("p", "m", "v"),
    "add": ("y",),
    "kl_divergence_backward": ("dmean", "dlog_var"),
    "l1_l2_backward": ("dx",),
    "walk_": ("gates",),  # which hold x wx + b before
}

CHAINS = {  # what there is of a layer whose product a kernel of dense_chain.cu computes
    "dense_chain_forward": "y0 y1 y2 y3 y4",
    "dense_chain_input_gradients": "dx dy0 dy1 dy2 dy3",
    "dense_chain_parameter_gradients": "dw0 dw1 dw2 dw3 dw4",
}


@dataclass(frozen=True)
class Launch:
    """A kernel, and what it was launched with."""

    source: Source
    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    values: list
    shared: int  # bytes of dynamic shared memory

    @property
    def arguments(self) -> dict[str, Any]:
        """By the names of the kernel's parameters."""
        names = [parameter.name for parameter in self.source.kernels[self.kernel]]
        return dict(zip(names, self.values, strict=True))

    @property
    def things(self) -> list[dict[str, Any]]:
        """What it does of one kind, each with its arguments."""
        for parameter, value in zip(self.source.kernels[self.kernel], self.values, strict=True):
            if parameter.members:
                names = [member.name for member in parameter.members]
                return [dict(zip(names, struct, strict=True)) for struct in value]
        return [self.arguments]

    @property
    def threads(self) -> int:
        """Of a block."""
        return prod(self.block)

    @property
    def blocks(self) -> int:
        return prod(self.grid)

    @property
    def flops(self) -> int:
        """Arithmetic operations of its products. Where there are none memory is what takes time, and this is 0."""
        return sum(products(self.kernel, given) for given in self.things) * 2

    @property
    def bytes(self) -> int:
        """Of all the arrays that it is given, each once, or twice if it is read and written; of a data set the rows
        that are taken."""
        return sum(self.bytes_of(given) for given in self.things)

    def bytes_of(self, given: dict[str, Any]) -> int:
        """Of one thing that it does."""
        if given.get("part"):
            return 0  # the first part of a convolution's channels stands for all
        twice = next((names for kernel, names in READ_AND_WRITTEN.items() if self.kernel.startswith(kernel)), ())
        if self.kernel.startswith("walk") and given.get("zx") is not None:
            twice = ()
        total = 0
        for name, value in given.items():
            if isinstance(value, np.generic) or value is None:
                continue
            if self.kernel.startswith("gather") and name == "data":
                total += int(given["N"]) * int(given["D"]) * value.dtype.itemsize
            else:
                total += value.nbytes * (2 if name in twice else 1)
        return total

    def again(self, machine: Any) -> None:
        """Launch it once more."""
        machine.launch(self.source, self.kernel, self.grid, self.block, self.values, self.shared)

    @property
    def same_as(self) -> tuple:
        """What two launches have in common that take the same time."""
        values = [value for given in self.things for value in given.values()]
        sizes = [value.shape if hasattr(value, "shape") else value for value in values]
        return self.kernel, self.grid, self.block, tuple(map(str, sizes))


def products(kernel: str, given: dict[str, Any]) -> int:
    """Multiply-adds of a launch, from its arguments, whose letters are those of the contract."""
    a = {name: int(value) for name, value in given.items() if isinstance(value, np.integer)}
    if kernel.startswith(("dense_forward", "dense_binary_crossentropy")):
        return a["N"] * a["I"] * a["O"]
    if kernel.startswith("dense_backward"):
        return a["N"] * a["I"] * a["O"] * sum(given[name] is not None for name in ("dx", "dw"))
    if kernel in CHAINS:
        widths = [a["I"], *(a[f"O{i}"] for i in range(LONGEST_CHAIN))]
        done = [given[name] is not None for name in CHAINS[kernel].split()]
        return a["N"] * sum(I * O for (I, O), here in zip(pairwise(widths), done, strict=True) if here)
    if kernel.startswith("walk"):
        return 4 * a["N"] * a["T"] * a["U"] ** 2
    if kernel == "weight_partials":
        return a["rows"] * a["J"] * (a["I"] + a["U"])
    if kernel.startswith(("conv2d", "up_sampling2d_conv2d")) and "N" in a:
        pixels, taps = a["P"] * a["Q"], a["J"] * a["K"]
        if a.get("part"):
            return 0
        if kernel.startswith("up") or a.get("neighbour") == NEIGHBOURS["up_sampling2d"]:
            taps = (a["J"] + 1) * (a["K"] + 1) // 4  # what is left to do
        elif "convolved_rows" in a:
            pixels = a["convolved_rows"] * a["convolved_columns"]
        elif a.get("a_is_dz"):
            pixels = a["H"] * a["W"]
        return a["N"] * pixels * taps * a["C"] * a["O"]
    return 0


@dataclass
class Traffic:
    """What has passed between host and machine, and the launches."""

    launches: list[Launch] = field(default_factory=list)
    uploads: int = 0  # of arrays; each is a copy from the host
    fills: int = 0  # with one number
    downloads: int = 0  # for which the host waits

    def step(self) -> list[Launch]:
        """The launches of a whole step, the last that was seen."""
        ends = [i + 1 for i, launch in enumerate(self.launches) if launch.kernel == LAST]
        if len(ends) < 2:
            return self.launches
        tail = len(self.launches) - ends[-1]  # what counts the step stands behind its update
        return self.launches[ends[-2] + tail : ends[-1] + tail]


@contextlib.contextmanager
def watched(machine: Any) -> Iterator[Traffic]:
    """Watch a machine."""
    seen = Traffic()
    launch, upload, download = machine.launch, machine.upload, machine.download

    def watching_launch(
        source: Source, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], values: list, shared: int
    ) -> None:
        seen.launches.append(Launch(source, kernel, grid, block, values, shared))
        launch(source, kernel, grid, block, values, shared)

    def watching_upload(array: Any, value: Any) -> None:
        if np.ndim(value) == 0:
            seen.fills += 1
        else:
            seen.uploads += 1
        upload(array, value)

    def watching_download(array: Any) -> np.ndarray:
        seen.downloads += 1
        return download(array)

    for name, f in (("launch", watching_launch), ("upload", watching_upload), ("download", watching_download)):
        setattr(machine, name, f)
    try:
        yield seen
    finally:
        for name in ("launch", "upload", "download"):
            delattr(machine, name)
