"""Layers one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from .graph import Graph, Tensor
from .layers.base import Layer
from .layers.input_layer import Input, InputLayer
from .model import Model


class Sequential(Model):
    """Layers one behind the other.

    The first may be an Input, or a layer with input_shape=; otherwise the layers are built when the model is first
    called or trained, for the data it then sees.
    """

    def __init__(self, layers: Sequence[Any] | None = None, name: str | None = None):
        self._pending: list[Layer] = []
        self._tensors: tuple[Tensor, Tensor] | None = None  # first and last
        super().__init__(name=name)
        for layer in layers or []:
            self.add(layer)

    def _set_graph(self, inputs: Any, outputs: Any) -> None:
        if outputs is not None:
            super()._set_graph(inputs, outputs)
        else:
            self.inputs, self.outputs, self.graph, self.layers = [], [], Graph([], []), []
            self._container = None

    def add(self, layer: Any) -> None:
        """Append a layer, a model, or, as the first, an Input."""
        if isinstance(layer, Tensor):
            layer = layer.node.layer
        if not isinstance(layer, Layer):
            raise TypeError(f"Sequential: {layer!r} is a {type(layer).__name__}; expected a layer")
        if layer in self._pending or layer in self.layers:
            raise ValueError(f"Sequential: {layer} is there already; a stack has each layer once")
        if self._tensors is not None:
            self._append(layer)
        elif isinstance(layer, InputLayer):
            self._begin(layer.output)
        elif layer._input_shape is not None:
            self._pending.append(layer)
            self._begin(Input(layer._input_shape))
        else:
            self._pending.append(layer)

    def _begin(self, tensor: Tensor) -> None:
        self._tensors = tensor, tensor
        for layer in self._pending:
            self._append(layer)
        self._pending = []

    def _append(self, layer: Layer) -> None:
        assert self._tensors is not None
        first, last = self._tensors
        output = layer(last)
        if not isinstance(output, Tensor):
            raise ValueError(f"Sequential: {layer} has several outputs; use Model(inputs, outputs)")
        self._tensors = first, output
        self._set_graph(first, output)

    def build(self, input_shape: Any) -> None:
        """Build the layers for inputs of this shape (None, ...), if they are not built."""
        if self._tensors is None:
            self._begin(Input(input_shape[1:]))

    def pop(self) -> None:
        """Remove the last layer."""
        if len(self.layers) < 2:
            raise ValueError("Sequential: there is no layer to remove")
        assert self._tensors is not None
        self._tensors = self._tensors[0], self.graph.nodes[-1].inputs[0]
        self._set_graph(*self._tensors)

    def ensure_built(self, sample_shape: tuple[int, ...]) -> None:
        """Build the layers for samples of this shape, if they wait for data."""
        if self._tensors is None and prod(sample_shape) > 0:
            self.build((None, *sample_shape))
