"""Convolutions one after the other, each alone or with its neighbour: conv2d_chain.cu.

A block does all convolutions of an image, so this is for as many images as a GPU has multiprocessors, or for images so
small that a convolution of its own would have few more blocks. Other chains go from op to op.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from types import ModuleType
from typing import Any

from . import conv2d, conv2d_max_pool2d, up_sampling2d_conv2d
from .activation import ACTIVATIONS
from .conv2d import LANES, border, takes_windows_of_dz
from .conv2d_max_pool2d import convolved
from .launcher import MANY, Source, blocks, machine_of

NEIGHBOURS: dict[str | None, int] = {None: 0, "max_pool2d": 1, "up_sampling2d": 2}  # conv2d_chain.cu's
PLANS: dict[str | None, ModuleType] = {
    None: conv2d,
    "max_pool2d": conv2d_max_pool2d,
    "up_sampling2d": up_sampling2d_conv2d,
}
FORWARD: dict[str | None, Callable[..., None]] = {
    None: conv2d.conv2d_forward,
    "max_pool2d": conv2d_max_pool2d.conv2d_max_pool2d_forward,
    "up_sampling2d": up_sampling2d_conv2d.up_sampling2d_conv2d_forward,
}
BACKWARD: dict[str | None, Callable[..., None]] = {
    None: conv2d.conv2d_backward,
    "max_pool2d": conv2d_max_pool2d.conv2d_max_pool2d_backward,
    "up_sampling2d": up_sampling2d_conv2d.up_sampling2d_conv2d_backward,
}
LINK_THREADS = 192  # with 256 and two blocks at a time there are too few registers for all that a thread may have to do
SUM_THREADS = conv2d.THREADS
AT_ONCE = 2  # images of a block, if there are many: the weights come once for them, and all that they leave is cached
FEW = 4  # blocks that a convolution alone has for an image
WAVES = 2  # of sums: a multiprocessor has two blocks at a time, and so many one after the other

source = Source("conv2d_chain")


def conv2d_chain_forward(links):
    N = images_of_plans(links)
    plans = [
        PLANS[link.neighbour].plan_forward(N, link.y, link.x, link.w, link.padding, LINK_THREADS) for link in links
    ]
    if suits(links, plans):
        arrays = [{"dx": None, "dy": None, "y": link.y, "x": link.x, "w": link.w, "b": link.b} for link in links]
        launch("conv2d_chain_forward", links, plans, arrays)
    else:
        for link in links:
            FORWARD[link.neighbour](*link.forward)


def conv2d_chain_backward(links):
    links, N = links[::-1], images_of_plans(links)
    asked = [link for link in links if link.dx is not None]
    plans = [PLANS[link.neighbour].plan_input_gradient(N, link.x, link.w, LINK_THREADS) for link in asked]
    if suits(links, plans):
        arrays = [{"dx": link.dx, "dy": link.dy, "y": link.y, "x": None, "w": link.w, "b": None} for link in asked]
        launch("conv2d_chain_input_gradients", asked, plans, arrays)
        launch_sums([link for link in links if link.dw is not None or link.db is not None])
    else:
        for link in links:
            BACKWARD[link.neighbour](*link.backward)


def images_at_once(links):
    """How many images a block takes through the chain: one, if there are no more for all blocks that run at a time."""
    return min(AT_ONCE, max(1, len(links[0].x) // (2 * conv2d.MULTIPROCESSORS)))


def images_of_plans(links):
    """Of so many images, no tile of a plan has more than images_at_once."""
    return images_at_once(links) * conv2d.MULTIPROCESSORS


def suits(links, plans):
    """Whether there are images for all multiprocessors, or no convolution has more than a few blocks for one."""
    return len(links[0].x) >= conv2d.MULTIPROCESSORS or all(plan.tiles * plan.grid[1] <= FEW for plan in plans)


def sizes(link):
    """What all kernels take of a link."""
    N, H, W, C = link.x.shape
    _, P, Q, O = link.y.shape
    J, K = link.w.shape[:2]
    top, left = border(J, K, link.padding)
    rows, columns = convolved(link.x, link.w, link.padding) if link.saved else (P, Q)
    found = {"N": N, "H": H, "W": W, "C": C, "P": P, "Q": Q, "O": O, "J": J, "K": K, "top": top, "left": left}
    found |= {"neighbour": NEIGHBOURS[link.neighbour], "winner": link.saved[0] if link.saved else None}
    return found | {"convolved_rows": rows, "convolved_columns": columns, "activation": ACTIVATIONS[link.activation]}


# ---- from link to link ----------------------------------------------------------------------------------------------
def launch(kernel, links, plans, arrays):
    """Where a link has many channels, one part of them comes after the other."""
    names = "images", "rows", "columns", "chunk", "groups", "width"
    structs = [
        given | sizes(link) | dict(zip(names, plan.work, strict=True)) | {"part": part}
        for link, plan, given in zip(links, plans, arrays, strict=True)
        for part in range(plan.grid[1])
    ]
    for first in range(0, len(structs), MANY):
        images, shared = images_at_once(links), max(plan.shared for plan in plans)
        grid = blocks(len(links[0].x), images)
        source.launch(kernel, grid, LINK_THREADS, structs[first : first + MANY], images, shared=shared)


# ---- side by side ---------------------------------------------------------------------------------------------------
def launch_sums(links):
    """The gradients of all weights. Those with the most to do begin first."""
    if not links:
        return
    links = sorted(links, key=products, reverse=True)
    every = sum(map(products, links))
    plans = [plan_sum(link, WAVES * 2 * conv2d.MULTIPROCESSORS * products(link) // every) for link in links]
    memory, first = machine_of(links[0].x).scratch(sum(plan.numbers for plan in plans)), 0
    sums: list[dict[str, Any]] = []
    gradients: list[dict[str, Any]] = []
    for link, plan in zip(links, plans, strict=True):
        parts, row_blocks, _ = plan.grid
        a_is_dz = link.neighbour == "up_sampling2d" or (link.neighbour is None and takes_windows_of_dz(link.w))
        both = {"partial": memory[first : first + plan.numbers], "parts": parts, "a_is_dz": a_is_dz}
        names = "images", "rows", "columns", "pitch", "block_rows", "row_groups", "column_groups"
        share = dict(zip(names, plan.share, strict=True)) | {"row_blocks": row_blocks, "blocks": prod(plan.grid)}
        sums.append(both | sizes(link) | share | {"dy": link.dy, "y": link.y, "x": link.x})
        J, K, C, O = link.w.shape
        place = {"dw": link.dw, "db": link.db, "accumulate": link.accumulate, "fold": fold(link)}
        shape = {"J": J, "K": K, "C": C, "O": O, "blocks": blocks(link.w.size + O, LANES)}
        gradients.append(both | place | shape)
        first += plan.numbers
    launch_side_by_side("conv2d_chain_weight_gradients", sums, max(plan.shared for plan in plans))
    launch_side_by_side("conv2d_chain_add_partials", gradients)


def plan_sum(link, share):
    """With its share of the blocks, but at least one."""
    return PLANS[link.neighbour].plan_weight_gradient(link.x, link.dy, link.w, link.padding, max(1, share))


def products(link):
    """How many multiply-adds the gradient of its weights takes, or about so many."""
    _, H, W, _ = link.x.shape
    J, K, C, O = link.w.shape
    return H * W * C * O * (J + fold(link)) * (K + fold(link))


def fold(link):
    """1 where weights are summed before they are used, because an upsampled image has equal neighbours."""
    return int(link.neighbour == "up_sampling2d")


def launch_side_by_side(kernel, structs, shared=0):
    for first in range(0, len(structs), MANY):
        some = structs[first : first + MANY]
        source.launch(kernel, sum(struct["blocks"] for struct in some), SUM_THREADS, some, shared=shared)
