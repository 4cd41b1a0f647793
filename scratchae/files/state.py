"""What training goes on from besides the weights: moments, counters, seeds and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any

import numpy as np

from ..callbacks import History
from ..layers import TimeDistributed
from ..layers.base import Layer
from ..model import Model
from ..parameters import Parameter
from .model_reader import checked

Values = dict[str, Any]
Arrays = dict[str, np.ndarray]


def weight_names(model: Model) -> list[str]:
    """A name for each of `model.weights`, such as encoder/dense/kernel: through which models, which layer, which of
    its weights."""
    found: dict[Any, str] = {}

    def visit(inside: Model, path: str) -> None:
        for layer in inside.layers:
            if isinstance(layer, Model):
                visit(layer, f"{path}{layer.name}/")
            else:
                for parameter in layer.weights:
                    found.setdefault(parameter, f"{path}{layer.name}/{parameter.name.rpartition('/')[2]}")

    visit(model, "")
    return list(found.values())


# ---- seeds ----------------------------------------------------------------------------------------------------------
def layers_of(model: Model) -> list[Layer]:
    """The model itself and every layer in it, each once, in an order that its architecture fixes."""

    def visit(layer: Layer) -> Iterator[Layer]:
        yield layer
        if isinstance(layer, Model):
            for inner in layer.layers:
                yield from visit(inner)
        elif isinstance(layer, TimeDistributed):
            yield layer.layer

    return list(dict.fromkeys(visit(model)))


def seed_values(seed: np.random.SeedSequence) -> list[Any]:
    """Where in the tree of seeds this one is; its integers as text, since they have 128 bits."""
    entropy = seed.entropy
    return [[str(part) for part in np.atleast_1d(np.array(entropy, object))], [int(key) for key in seed.spawn_key]]


def seed_from(values: Any) -> np.random.SeedSequence:
    entropy, spawn_key = values
    parts = [int(part) for part in entropy]
    return np.random.SeedSequence(parts[0] if len(parts) == 1 else parts, spawn_key=spawn_key)


def get_seeds(model: Model) -> Values:
    """Where noise and shuffling stand: the seeds of all layers, and how many of their draws are used up."""
    layers = layers_of(model)
    models = [layer for layer in layers if isinstance(layer, Model)]
    return {
        "layers": [seed_values(layer.seed) for layer in layers],
        "predictions": [one._predictions for one in models],
        "shuffle": seed_values(model._shuffle_seed) if model.optimizer is not None else None,
        "passes": model._passes if model.optimizer is not None else 0,
    }


def set_seeds(model: Model, values: Values) -> None:
    """Go on from what `get_seeds` gave, on a model of the same architecture that is compiled as that one was."""
    layers = layers_of(model)
    for layer, seed in zip(layers, values["layers"], strict=True):
        layer.seed = seed_from(seed)
    models = [layer for layer in layers if isinstance(layer, Model)]
    for one, predictions in zip(models, values["predictions"], strict=True):
        one._predictions = checked(predictions)
    if model.optimizer is not None and values["shuffle"] is not None:
        model._shuffle_seed, model._passes = seed_from(values["shuffle"]), checked(values["passes"])


# ---- optimizer ------------------------------------------------------------------------------------------------------
def optimizer_names(model: Model) -> Iterator[tuple[str, Parameter]]:
    """The names of the arrays that an optimizer keeps, and the weight that each belongs to and is shaped like."""
    assert model.optimizer is not None
    names = dict(zip(model.weights, weight_names(model), strict=True))
    for kind in model.optimizer.state_kinds():
        for parameter in model.trainable_weights:
            yield f"{kind}/{names[parameter]}", parameter


def get_optimizer(model: Model) -> tuple[Arrays, int]:
    """The optimizer's arrays, one for each trained weight, and how many steps it has made.

    None of it where `trainable` of a layer was changed since: then the optimizer has to begin anew anyway.
    """
    if model.optimizer is None or model.optimizer.serves not in ((), tuple(model.trainable_weights)):
        return {}, 0
    if not model.optimizer.iterations or not model.optimizer.state_kinds():
        return {}, model.optimizer.iterations
    store = model.training_store()
    place = dict(zip(store.trained, store.slices, strict=False))
    state = model.optimizer.get_state()
    arrays = {
        name: state[name.partition("/")[0]][place[parameter]].reshape(parameter.shape)
        for name, parameter in optimizer_names(model)
    }
    return arrays, state["iterations"]


def set_optimizer(model: Model, array: Callable[[str], np.ndarray], iterations: int) -> None:
    """Go on from what `get_optimizer` gave: `array(name)` is one of its arrays."""
    assert model.optimizer is not None
    model.optimizer.iterations = iterations
    if not model.optimizer.state_kinds():
        return
    store = model.training_store()
    place = dict(zip(store.trained, store.slices, strict=False))
    for name, parameter in optimizer_names(model):
        flat = model.optimizer.state[name.partition("/")[0]]
        store.backend.upload(flat[place[parameter]], array(name).reshape(-1))


# ---- history --------------------------------------------------------------------------------------------------------
def get_history(model: Model) -> tuple[Arrays, list[int]]:
    """What the last fit measured, and in which epochs. Arrays, since there may be NaN in it.

    What a callback of the user's added that are no numbers is left out: no training is lost for it.
    """
    if model.history is None:
        return {}, []
    measured = {
        key: np.array(values, np.float64)
        for key, values in model.history.history.items()
        if all(isinstance(value, Real) for value in values)
    }
    return measured, [int(epoch) for epoch in model.history.epoch]


def set_history(model: Model, arrays: Arrays, epochs: list[int]) -> None:
    """Have the model tell what `get_history` gave."""
    model.history = History()
    model.history.epoch = list(epochs)
    model.history.history = {key: values.tolist() for key, values in arrays.items()}
