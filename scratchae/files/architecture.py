"""The architecture of a model, in the words of Keras' own files: which layers, and which is called on what.

A layer that is there twice, in two models or in one, carries the same shared_object_id each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..configuration import serialize
from ..graph import Tensor
from ..layers.base import Layer
from ..model import Model
from ..sequential import Sequential
from .classes import FUNCTIONAL, SEQUENTIAL
from .errors import ScratchaeFormatError
from .model_reader import ModelReader, checked, own_layers

__all__ = ["WRONG", "Entry", "as_entry", "checked", "describe", "make"]

Entry = dict[str, Any]
WRONG = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)  # of a wrong entry


def describe(model: Model) -> Entry:
    """A model as Keras' files have it: module, class_name, config and registered_name."""
    times = Counter(layer for layer in every_layer(model))
    shared = {layer: i for i, layer in enumerate((layer for layer in times if times[layer] > 1), start=1)}
    return model_entry(model, shared)


def every_layer(model: Model) -> Iterable[Layer]:
    """The layers of a model and of those in it, each as often as it is there."""
    for layer in own_layers(model):
        yield layer
        if isinstance(layer, Model):
            yield from every_layer(layer)


def layer_entry(layer: Layer, shared: Mapping[Layer, int]) -> Entry:
    entry = model_entry(layer, shared) if isinstance(layer, Model) else serialize(layer)
    if layer in shared:
        entry["shared_object_id"] = shared[layer]
    return entry


def model_entry(model: Model, shared: Mapping[Layer, int]) -> Entry:
    if type(model) not in (Model, Sequential):
        raise ValueError(f"{model} is of a class of its own, which no file can hold; expected a Model or Sequential")
    config: Entry = {"name": model.name, "trainable": model.trainable}
    if isinstance(model, Sequential):
        config["layers"] = [layer_entry(layer, shared) for layer in own_layers(model)]
    else:
        config |= functional_config(model, shared)
    entry = as_entry(type(model), config)
    if model._container is tuple:
        entry["returns"] = "tuple"  # Keras has no word for it, and reads a list
    return entry


def as_entry(cls: type[Model], config: Entry) -> Entry:
    module, name = SEQUENTIAL if issubclass(cls, Sequential) else FUNCTIONAL
    registered = "Functional" if name == "Functional" else None
    return {"module": module, "class_name": name, "config": config, "registered_name": registered}


def functional_config(model: Model, shared: Mapping[Layer, int]) -> Entry:
    """The layers of a model with their calls, and the tensors that are its inputs and outputs.

    A tensor is [name of the layer, which of its calls in this model, which of the call's outputs].
    """
    calls: Counter[Layer] = Counter()
    place: dict[Tensor, list[Any]] = {}
    for node in model.graph.nodes:
        for k, tensor in enumerate(node.outputs):
            place[tensor] = [node.layer.name, calls[node.layer], k]
        calls[node.layer] += 1

    def argument(tensor: Tensor) -> Entry:
        described = {"shape": list(tensor.shape), "dtype": model.dtype, "keras_history": place[tensor]}
        return {"class_name": "__keras_tensor__", "config": described}

    def inbound(inputs: tuple[Tensor, ...]) -> Entry:
        tensors = [argument(tensor) for tensor in inputs]
        return {"args": tensors if len(tensors) == 1 else [tensors], "kwargs": {}}

    def end(tensor: Tensor) -> list[Any]:
        name, call, k = place[tensor]
        nested = type(tensor.node.layer) is Model  # Keras counts a nested model's own definition as a call, here only
        return [name, call + nested, k]

    def ends(tensors: list[Tensor], several: bool) -> list[Any]:
        return [end(tensor) for tensor in tensors] if several else end(tensors[0])

    layers = []
    for layer in model.layers:
        nodes = [node for node in model.graph.nodes if node.layer is layer and node.inputs]
        entry = layer_entry(layer, shared)
        layers.append({**entry, "name": layer.name, "inbound_nodes": [inbound(node.inputs) for node in nodes]})
    return {
        "layers": layers,
        "input_layers": ends(model.inputs, len(model.inputs) > 1),
        "output_layers": ends(model.outputs, model._container is not None),
    }


def make(entry: Entry, weight_bytes: int | None, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """The model that `describe` or Keras described.

    Args:
        entry: as JSON gave it.
        weight_bytes: of the weights that are there: no more memory is taken, and it is zero. None: weights are drawn.
        custom_objects: further classes by their names.

    Raises ScratchaeFormatError for a description that is wrong, too large, or of classes that are not here.
    """
    try:
        reader = ModelReader(weight_bytes, custom_objects)
        model = reader.model(entry)
        reader.close()
    except ScratchaeFormatError:
        raise
    except WRONG as error:
        raise ScratchaeFormatError(f"the file's model can't be made: {type(error).__name__}: {error}") from error
    return model
