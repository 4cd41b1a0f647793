"""An ONNX graph as it grows: nodes, weights, inputs, and tensors in the two layouts.

    samples are    ours            theirs: what ONNX' operators for sequences and images take
    vectors        (N, D)          (1, N, D)
    sequences      (N, T, D)       (T, N, D)
    images         (N, H, W, C)    (N, C, H, W)

What goes into a model and comes out of it is ours. In between a tensor stays in the layout in which it was made, and is
turned where a layer needs the other one, once: a chain of convolutions has a transpose before and one behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from ..parameters import Parameter

PERMUTATIONS = {2: ([1, 0, 2], [1, 0, 2]), 3: ([0, 3, 1, 2], [0, 2, 3, 1])}  # of sequences, images: to theirs, to ours


@dataclass
class Value:
    """A tensor: the shape of a sample with our axes, and its name in each layout that it is there in."""

    shape: tuple[int, ...]
    ours: str | None = None
    theirs: str | None = None


class Graph:
    """Nodes in the order in which they run; `node` and the like give the name of what they make."""

    def __init__(self):
        self.nodes: list[NodeProto] = []
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []
        self.initializers: list[TensorProto] = []
        self.scope = ""  # of what is added: the layer's name
        self._names: set[str] = set()
        self._weights: dict[Parameter, str] = {}
        self._constants: dict[tuple, str] = {}

    def unique(self, name: str) -> str:
        """name, or if it is taken name_1, name_2, ..."""
        candidates = chain([name], (f"{name}_{k}" for k in count(1)))
        free = next(candidate for candidate in candidates if candidate not in self._names)
        self._names.add(free)
        return free

    def input(self, name: str, shape: Sequence[int], about: str = "") -> str:
        """A further input of the model, (batch, *shape)."""
        name = self.unique(name)
        self.inputs.append(tensor(name, shape, about))
        return name

    def node(self, operation: str, *inputs: str, output: int = 0, **attributes: Any) -> str:
        """An operation, of whose outputs one is used."""
        name = self.unique(f"{self.scope}/{operation}")
        outputs = [""] * output + [name]
        self.nodes.append(helper.make_node(operation, inputs, outputs, name, **attributes))
        return name

    def weight(self, parameter: Parameter, arrange: Callable[[np.ndarray], np.ndarray] = np.asarray) -> str:
        """A parameter in float32, arranged for its operator; one that layers share is stored once."""
        if parameter not in self._weights:
            name = self._weights[parameter] = self.unique(parameter.name)
            with np.errstate(over="ignore"):
                value = parameter.numpy().astype(np.float32)
            if not np.isfinite(value).all():
                raise ValueError(
                    f"export: {parameter.name!r} has values that are no finite float32 numbers; train the model anew, "
                    "with a smaller learning rate, or set_weights to finite ones"
                )
            self._add_initializer(arrange(value), name)
        return self._weights[parameter]

    def weights(self, *parameters: Parameter | None) -> list[str]:
        """Those of the parameters that there are, as they are."""
        return [self.weight(p) for p in parameters if p is not None]

    def constant(self, array: np.ndarray | np.generic) -> str:
        """A constant operand; equal ones are stored once."""
        key = array.dtype, array.shape, array.tobytes()
        if key not in self._constants:
            self._constants[key] = self.unique("constant")
            self._add_initializer(np.asarray(array), self._constants[key])
        return self._constants[key]

    def _add_initializer(self, array: np.ndarray, name: str) -> None:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))

    def finish(self, names: Sequence[str], values: Sequence[Value]) -> None:
        """Let the values be the outputs, under these names."""
        made = [self.ours(x) for x in values]
        self.outputs = [tensor(name, x.shape) for name, x in zip(names, values, strict=True)]
        new_name: dict[str, str] = {}
        for name, old in zip(names, made, strict=True):
            if old in new_name or old in (x.name for x in self.inputs):
                self.nodes.append(helper.make_node("Identity", [old], [name], name))  # it has a name already
            else:
                new_name[old] = name
        for node in self.nodes:
            node.input[:] = [new_name.get(name, name) for name in node.input]
            node.output[:] = [new_name.get(name, name) for name in node.output]

    # ---- layouts ----------------------------------------------------------------------------------------------------
    def ours(self, x: Value) -> str:
        """x in our layout."""
        if x.ours is None:
            assert x.theirs is not None
            x.ours = self._turn(x.theirs, len(x.shape), "Squeeze", 1)
        return x.ours

    def theirs(self, x: Value) -> str:
        """x in ONNX' layout."""
        if x.theirs is None:
            assert x.ours is not None
            x.theirs = self._turn(x.ours, len(x.shape), "Unsqueeze", 0)
        return x.theirs

    def _turn(self, name: str, rank: int, of_vectors: str, way: int) -> str:
        if rank == 1:
            return self.node(of_vectors, name, self.constant(np.array([0])))
        return self.node("Transpose", name, perm=PERMUTATIONS[rank][way])


def tensor(name: str, shape: Sequence[int], about: str = "") -> ValueInfoProto:
    """What a file says of an input or output."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape], about)
