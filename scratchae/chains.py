"""Layers of a kind that follow one another, and which one op does together: each keeps its tensors.

To launch a kernel takes a GPU as long as to compute a small layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .fusion import Conv2DMaxPooling2D, Penalized, UpSampling2DConv2D
from .kernels import LONGEST_CHAIN, WIDEST_CHAIN, Link
from .layers.base import Layer
from .layers.conv2d import Conv2D
from .layers.dense import Dense

if TYPE_CHECKING:
    from .plan import Step


class Chain:
    """Steps one after another, in the order of the pass, forward or backward. This one never has more than one."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def takes(self, before: Step, after: Step) -> bool:
        """Whether two steps, one of which is the chain's last, may follow each other in it."""
        return False

    def forward(self) -> None:
        if len(self.steps) == 1:
            self.steps[0].layer.forward(self.steps[0].call)
        else:
            self.forward_together(self.steps)

    def backward(self) -> None:
        if len(self.steps) == 1:
            self.steps[0].layer.backward(self.steps[0].call)
        else:
            self.backward_together(self.steps[::-1])

    def forward_together(self, steps: list[Step]) -> None:
        """The op, for steps in the order of forward."""
        raise NotImplementedError

    def backward_together(self, steps: list[Step]) -> None:
        """The op, for steps in the order of forward."""
        raise NotImplementedError


class ConvolutionChain(Chain):
    """Convolutions, alone or with their neighbours."""

    def takes(self, before, after):
        return chain_of(before.layer) is chain_of(after.layer)

    def forward_together(self, steps):
        steps[0].call.ops.conv2d_chain_forward([link(step) for step in steps])

    def backward_together(self, steps):
        steps[0].call.ops.conv2d_chain_backward([link(step) for step in steps])


def link(step: Any) -> Link:
    """A layer of a chain of convolutions, as their op takes it."""
    layer, call = step.layer, step.call
    conv, neighbour = layer, None
    if isinstance(layer, Conv2DMaxPooling2D):
        conv, neighbour = layer.first, "max_pool2d"
    elif isinstance(layer, UpSampling2DConv2D):
        conv, neighbour = layer.second, "up_sampling2d"
    saved = (call.winner,) if neighbour == "max_pool2d" else ()
    dw, db = call.gradients(conv.w, conv.b)
    b = None if conv.b is None else conv.b.data
    return Link(
        neighbour, call.dx, dw, db, call.dy, call.y, saved, call.x, conv.w.data, b, conv.padding, conv.activation,
        call.accumulate,
    )  # fmt: skip


class DenseChain(Chain):
    """Narrow dense layers: the middle of a deep autoencoder. The output of the last may have a penalty."""

    def takes(self, before, after):
        return (
            len(self.steps) < LONGEST_CHAIN
            and type(before.layer) is Dense
            and chain_of(after.layer) is DenseChain
            and max(before.layer.units, dense_of(after.layer).units) <= WIDEST_CHAIN
            and before.first_touch == after.first_touch  # their gradients are all written or all added
        )

    def forward_together(self, steps):
        first, last = steps[0].call, steps[-1]
        layers = [dense_of(step.layer) for step in steps]
        bs = [None if layer.b is None else layer.b.data for layer in layers]
        ys, ws = [step.call.y for step in steps], [layer.w.data for layer in layers]
        first.ops.dense_chain_forward(ys, first.x, ws, bs, [layer.activation for layer in layers])
        if isinstance(last.layer, Penalized):
            last.layer.second.add_penalty(last.call, last.call.y)

    def backward_together(self, steps):
        first, last = steps[0].call, steps[-1]
        if isinstance(last.layer, Penalized):
            last.layer.second.add_gradient(last.call, last.call.dy, last.call.y)
        layers = [dense_of(step.layer) for step in steps]
        dws = first.gradients(*(layer.w for layer in layers))
        dbs = first.gradients(*(layer.b for layer in layers))
        dys, ys = [step.call.dy for step in steps], [step.call.y for step in steps]
        ws, activations = [layer.w.data for layer in layers], [layer.activation for layer in layers]
        first.ops.dense_chain_backward(first.dx, dws, dbs, dys, ys, first.x, ws, activations, first.accumulate)


def dense_of(layer: Any) -> Dense:
    """A dense layer without its penalty."""
    return layer.first if isinstance(layer, Penalized) else layer


def chain_of(layer: Layer) -> type[Chain]:
    """The kind of chain that a layer may be a part of."""
    if type(layer) in (Conv2D, Conv2DMaxPooling2D, UpSampling2DConv2D):
        return ConvolutionChain
    return DenseChain if type(dense_of(layer)) is Dense else Chain


def chained(steps: Sequence[Step], fused: bool) -> list[Chain]:
    """The steps in their order, which is that of forward or of backward: those together that one op does."""
    chains: list[Chain] = []
    for step in steps:
        if not (chains and continues(chains[-1], step)):
            chains.append(chain_of(step.layer)() if fused else Chain())
        chains[-1].steps.append(step)
    return chains


def continues(chain: Chain, step: Step) -> bool:
    """Whether a step is the chain's next, and has weights of its own."""
    last = chain.steps[-1]
    if step.inputs == last.outputs:
        follows = chain.takes(last, step)
    else:
        follows = step.outputs == last.inputs and chain.takes(step, last)
    weights = {parameter for other in chain.steps for parameter in other.layer.parameters}
    return follows and not last.sums and not weights.intersection(step.layer.parameters)
