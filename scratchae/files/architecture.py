"""The architecture of a model, in the words of Keras' own files: which layers, and which is called on what.

A layer that is there twice, in two models or in one, carries the same shared_object_id each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..configuration import deserialize, serialize
from ..graph import Tensor
from ..layers import InputLayer, TimeDistributed
from ..layers.base import Layer
from ..model import Model
from ..parameters import WeightBudget
from ..sequential import Sequential
from .errors import ScratchaeFormatError

FUNCTIONAL = ("keras.src.models.functional", "Functional")
FUNCTIONALS = (FUNCTIONAL, ("keras.models", "Functional"), ("keras.models", "Model"), ("keras", "Model"))
SEQUENTIAL = ("keras", "Sequential")
SEQUENTIALS = (SEQUENTIAL, ("keras.models", "Sequential"), ("keras.src.models.sequential", "Sequential"))
MAX_DEPTH = 20  # of models in models
MAX_CALLS = 1000  # of layers, those of a nested model counted each time that it is called

Entry = dict[str, Any]
WRONG = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


# ---- a model as an entry --------------------------------------------------------------------------------------------
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


def own_layers(model: Model) -> list[Layer]:
    return model.layers or getattr(model, "_pending", [])


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


# ---- a model from an entry ------------------------------------------------------------------------------------------
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


def too_large(name: str) -> ScratchaeFormatError:
    return ScratchaeFormatError(f"the file's model {name!r} has more than {MAX_CALLS} layers")


def checked(index: Any) -> int:
    if type(index) is not int or index < 0:
        raise ScratchaeFormatError(f"{index!r} stands where the number of a call or of an output belongs")
    return index


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
