"""What of a model changes while it is trained, to be taken out and put back, and what a fit is about."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .configuration import is_serialized, serialize
from .schedules import LearningRateSchedule

if TYPE_CHECKING:
    from .data import Data
    from .model import Model

ROWS = 64  # of a data set, by which it is known again


# ---- the state of a model -------------------------------------------------------------------------------------------
def get_state(model: Model) -> dict[str, Any]:
    """Weights, optimizer and everything that random numbers come from, as copies. The model must be settled."""
    from .files.state import get_seeds

    assert model.optimizer is not None
    return {
        "weights": model.get_weights(),
        "optimizer": model.optimizer.get_state(),
        "learning_rate": learning_rate(model),
        "seeds": get_seeds(model),
        "stop_training": model.stop_training,
    }


def set_state(model: Model, state: dict[str, Any]) -> None:
    """Go on from what `get_state` gave for a model of the same architecture, on whatever device."""
    from .files.state import layers_of, set_seeds

    assert model.optimizer is not None
    for parameter, value in zip(model.weights, state["weights"], strict=True):
        parameter.assign(value)
    model.optimizer.set_state(state["optimizer"])
    if state["learning_rate"] is not None:
        model.optimizer.learning_rate = state["learning_rate"]
    set_seeds(model, state["seeds"])
    model.stop_training = state["stop_training"]
    for layer in layers_of(model):
        if layer.graph is not None:
            layer._plans.clear()  # type: ignore[attr-defined]  # of a model: they hold the noise's keys
            layer._recordings.clear()  # type: ignore[attr-defined]  # and these the optimizer's arrays


def learning_rate(model: Model) -> float | None:
    """The learning rate, None if it is a schedule of the steps."""
    assert model.optimizer is not None
    rate = model.optimizer._learning_rate
    return None if isinstance(rate, LearningRateSchedule) else rate


# ---- what a fit is about --------------------------------------------------------------------------------------------
def task(model: Model, data: Data, validation: Data | None, **arguments: Any) -> dict[str, Any]:
    """What must be the same where a fit goes on: the model, its loss and optimizer, the data, some arguments of fit.

    Names of layers don't count, as a notebook gives new ones each time, nor does a learning rate that callbacks may
    change.
    """
    optimizer = described(model.optimizer)
    if not isinstance(optimizer.get("learning_rate"), dict):
        optimizer.pop("learning_rate", None)
    about = {
        "layers": [described(layer) for layer in model._all_layers() if layer.graph is None],
        "shapes of weights": [list(p.shape) for p in model.weights],
        "float type": model.device()[1].name,
        "loss": described(model.loss),
        "metrics": [metric.name for metric in model.metrics],
        "optimizer": optimizer,
    }
    return about | arguments | contents("", data) | (contents("validation ", validation) if validation else {})


def described(thing: Any) -> dict[str, Any]:
    """An object's class and configuration, without its name."""

    def simple(value: Any) -> Any:
        if not is_serialized(value):
            return value
        return {"class": value["class_name"]} | {k: simple(v) for k, v in value["config"].items() if k != "name"}

    try:
        return simple(serialize(thing))
    except (AttributeError, TypeError):  # somebody's own class, which does not keep the arguments it was given
        return {"class": type(thing).__name__}


def contents(kind: str, data: Data) -> dict[str, Any]:
    """What data sets look like: type, shape, and a checksum of some rows."""
    names = ["x"] if len(data.inputs) == 1 else [f"x[{i}]" for i in range(len(data.inputs))]
    arrays: dict[str, Any] = dict(zip(names, data.inputs, strict=True))
    if not data.target_is_input:
        arrays["y"] = data.target
    if data.weight is not None:
        arrays["sample_weight"] = data.weight
    rows = np.unique(np.linspace(0, data.n - 1, ROWS).astype(int))
    return {
        kind + name: f"{array.dtype} {tuple(array.shape)} {zlib.crc32(np.asarray(array[rows]).tobytes()):08x}"
        for name, array in arrays.items()
    }


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Where two tasks differ, in words."""
    before, now = dict(entries("", there)), dict(entries("", here))
    pairs = {name: (before.get(name, "missing"), now.get(name, "missing")) for name in before | now}
    return [f"{name} was {was} and is {is_now}" for name, (was, is_now) in pairs.items() if was != is_now]


def entries(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The numbers and strings in nested dicts and lists, each with its path: ("layers[2].units", 5)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from entries(f"{path}.{key}" if path else key, inner)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from entries(f"{path}[{i}]", inner)
    else:
        yield path, value
