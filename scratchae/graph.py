"""Symbolic tensors: what `layer(tensor)` records, and the order in which to compute it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .layers.base import Layer

Shape = tuple[int | None, ...]  # the first, None, is the batch


class Tensor:
    """A value that a model will compute: its shape, and the node that makes it."""

    def __init__(self, shape: Shape, node: Node):
        self.shape = shape
        self.node = node

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape without the batch."""
        return self.shape[1:]  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"<Tensor shape={self.shape} of layer {self.node.layer.name!r}>"

    def _no_arithmetic(self, *_: object) -> Tensor:
        raise TypeError("a symbolic tensor takes no arithmetic: use a layer (Rescaling, Activation, ...) instead")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _no_arithmetic
    __truediv__ = __rtruediv__ = __matmul__ = __neg__ = __pow__ = __getitem__ = _no_arithmetic
    __array_ufunc__ = None  # so that numpy, too, leaves arithmetic to the methods above


class Node:
    """One call of a layer: which tensors went in, which came out."""

    def __init__(self, layer: Layer, inputs: Sequence[Tensor], output_shapes: Sequence[Shape]):
        self.layer = layer
        self.inputs = tuple(inputs)
        self.outputs = tuple(Tensor(shape, self) for shape in output_shapes)


class Graph:
    """The computation that leads from inputs to outputs: `nodes`, each after those whose tensors it needs."""

    def __init__(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]):
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.nodes = topological_order(inputs, outputs)


def topological_order(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Node]:
    """The nodes between inputs and outputs, each after those whose tensors it needs.

    Nodes equally far from the outputs stand in the order in which the outputs reach them: the order of Keras'
    `model.layers`, and so of the weights. Raises ValueError where an output depends on something that is no input.
    """
    found: list[Node] = []  # in the order of a depth-first walk from the outputs
    seen: set[Node] = set()

    def visit(tensor: Tensor) -> None:
        node = tensor.node
        if node in seen:
            return
        seen.add(node)
        if tensor not in inputs:
            if not node.inputs:
                raise ValueError(
                    f"the outputs depend on the input {node.layer.name!r}, which is not among inputs={list(inputs)}: "
                    "pass it to Model as well"
                )
            for needed in node.inputs:
                visit(needed)
        found.append(node)

    for tensor in (*outputs, *inputs):
        visit(tensor)

    depth = dict.fromkeys(found, 0)  # distance from the outputs: the longest way
    for node in reversed(found):
        if any(tensor in inputs for tensor in node.outputs):
            continue
        for needed in node.inputs:
            depth[needed.node] = max(depth[needed.node], depth[node] + 1)
    return sorted(found, key=lambda node: -depth[node])
