"""Models made from what a file says of them, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..configuration import deserialize
from ..graph import Tensor
from ..layers import InputLayer, TimeDistributed
from ..layers.base import Layer
from ..model import Model
from ..parameters import WeightBudget
from ..sequential import Sequential
from .classes import FUNCTIONALS, SEQUENTIALS
from .errors import ScratchaeFormatError

MAX_DEPTH = 20  # of models in models
MAX_CALLS = 1000  # of layers, those of a nested model counted each time that it is called

Entry = dict[str, Any]


class ModelReader:
    """Makes the models of one file, and shares the layers that they share."""

    def __init__(self, weight_bytes: int | None, custom_objects: Mapping[str, Any] | None):
        self.budget = None if weight_bytes is None else WeightBudget(weight_bytes)
        self.custom_objects = custom_objects
        self.made: list[Layer] = []
        self.shared: dict[int, Layer] = {}
        self.calls: dict[Layer, int] = {}  # how many layers a call of a model calls
        self.depth = 0

    def model(self, entry: Entry) -> Model:
        model = self.layer(entry)
        if not isinstance(model, Model):
            raise ScratchaeFormatError(f"the file describes a {type(model).__name__}; expected a model")
        return model

    def layer(self, entry: Entry) -> Layer:
        shared_id = entry.get("shared_object_id")
        if shared_id in self.shared:
            return self.shared[shared_id]
        kind = entry.get("module"), entry["class_name"]
        if kind in FUNCTIONALS:
            layer = self.nested(self.functional, entry)
        elif kind in SEQUENTIALS:
            layer = self.nested(self.sequential, entry)
        else:
            layer = deserialize(entry, self.custom_objects)
            if not isinstance(layer, Layer):
                raise ScratchaeFormatError(f"the file has a {type(layer).__name__} where a layer belongs")
            self.limit(layer)
        if shared_id is not None:
            self.shared[shared_id] = layer
        return layer

    def limit(self, layer: Layer) -> None:
        """Have a layer, and the one in it, take memory from the budget only."""
        layer.weight_budget = self.budget
        self.made.append(layer)
        if len(self.made) > MAX_CALLS:
            raise too_large(layer.name)
        if isinstance(layer, TimeDistributed):
            self.limit(layer.layer)

    def close(self) -> None:
        """The layers are made; those that wait for data may draw their weights later."""
        for layer in self.made:
            layer.weight_budget = None

    def nested(self, make: Callable[[Entry], Model], entry: Entry) -> Model:
        if self.depth == MAX_DEPTH:
            raise ScratchaeFormatError(f"models lie in models more than {MAX_DEPTH} deep")
        self.depth += 1
        config = entry["config"]
        model = make(config)
        model._trainable = bool(config.get("trainable", True))  # the layers have their own
        if entry.get("returns") == "tuple":
            model._container = tuple
        self.depth -= 1
        layers = [node.layer for node in model.graph.nodes] or own_layers(model)
        self.calls[model] = sum(self.calls.get(layer, 1) for layer in layers)
        if self.calls[model] > MAX_CALLS:
            raise too_large(model.name)
        return model

    def sequential(self, config: Entry) -> Model:
        model = Sequential([self.layer(entry) for entry in config["layers"]], name=config["name"])
        shape = config.get("build_input_shape")
        if shape is not None:
            model.build(tuple(shape))
        return model

    def functional(self, config: Entry) -> Model:
        entries = config["layers"]
        layers: dict[str, Layer] = {}
        calls: dict[str, list[tuple[Tensor, ...]]] = {}  # the outputs of each call so far
        waiting: list[tuple[str, Entry]] = []
        for entry in entries:
            name, layer = entry["name"], self.layer(entry)
            layers[name], calls[name] = layer, []
            if isinstance(layer, InputLayer):
                calls[name].append(layer.nodes[0].outputs)
            waiting += [(name, node) for node in entry["inbound_nodes"]]

        def tensor(place: list[Any], nested_from: int = 0) -> Tensor:
            name, call, k = place
            call -= nested_from if type(layers[name]) is Model else 0
            return calls[name][checked(call)][checked(k)]

        def is_there(place: list[Any]) -> bool:
            return checked(place[1]) < len(calls[place[0]])

        if len(waiting) > MAX_CALLS:
            raise too_large(config["name"])
        while waiting:  # a layer that is called again may need what layers behind it make
            left: list[tuple[str, Entry]] = []
            for name, node in waiting:
                places, several = inputs_of(node)
                in_order = all(name != earlier for earlier, _ in left)
                if in_order and all(is_there(place) for place in places):
                    inputs = [tensor(place) for place in places]
                    outputs = layers[name](inputs if several else inputs[0])
                    calls[name].append(tuple(outputs) if isinstance(outputs, (list, tuple)) else (outputs,))
                else:
                    left.append((name, node))
            if len(left) == len(waiting):
                raise ScratchaeFormatError(f"the inputs of layer {left[0][0]!r} are nowhere made")
            waiting = left

        def ends(places: list[Any]) -> Any:
            if places and isinstance(places[0], str):
                return tensor(places, nested_from=1)
            return [tensor(place, nested_from=1) for place in places]

        return Model(ends(config["input_layers"]), ends(config["output_layers"]), name=config["name"])


def own_layers(model: Model) -> list[Layer]:
    """The layers of a model, also of one that waits for data."""
    return model.layers or getattr(model, "_pending", [])


def too_large(name: str) -> ScratchaeFormatError:
    return ScratchaeFormatError(f"the file's model {name!r} has more than {MAX_CALLS} layers")


def checked(number: Any) -> int:
    """What counts something, and begins at 0."""
    if type(number) is not int or not 0 <= number < 2**53:
        raise ScratchaeFormatError(f"{number!r} stands where a number of steps, calls or outputs belongs")
    return number


def inputs_of(node: Entry) -> tuple[list[Any], bool]:
    """The places of the tensors that a call has as its input, and whether they are a list."""
    for name, value in node.get("kwargs", {}).items():
        if value not in (None, False):
            raise ScratchaeFormatError(f"a layer is called with {name}={value!r}, which is not supported")
    [given] = node["args"]
    tensors = given if isinstance(given, list) else [given]
    places = []
    for value in tensors:
        if value["class_name"] != "__keras_tensor__":
            raise ScratchaeFormatError(f"a layer is called on a {value['class_name']!r}; expected a tensor")
        places.append(value["config"]["keras_history"])
    return places, isinstance(given, list)
