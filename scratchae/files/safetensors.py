"""Models as .safetensors files: the library's own format, which keeps everything.

The arrays are called weights/..., optimizer/... and history/...; the metadata has

    format      "scratchae model 1", or "scratchae weights 1"
    model       the architecture, as Keras' files have it: see architecture.py
    compile     optimizer, loss and metrics: see compiling.py; null for a model that was not compiled
    weights     the names of the weights, in the order of get_weights
    steps       how many the optimizer has made
    epochs      those of the history
    seeds       of noise and shuffling: see state.py
    notes       what the writer wants to add
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..model import Model
from ..parameters import Parameter
from . import architecture, compiling, container, state
from .container import Container
from .errors import ScratchaeFormatError

MODEL, WEIGHTS = "scratchae model 1", "scratchae weights 1"
MAX_HISTORY = 2**23  # bytes; a list of Python's numbers takes four times as much

Path = str | os.PathLike[str]


def save(model: Model, path: Path, notes: Mapping[str, Any] | None = None) -> None:
    """Write a model, its training and the models in it, whole or not at all.

    Raises ValueError or TypeError for a model with objects that no file can hold, OSError where it can't be written.
    """
    with model._lock:
        weights = named_weights(model)
        moments, steps = state.get_optimizer(model)
        history, epochs = state.get_history(model)
        metadata = {
            "format": MODEL,
            "model": architecture.describe(model),
            "compile": compiling.describe(model),
            "weights": list(weights),
            "steps": steps,
            "epochs": epochs,
            "seeds": state.get_seeds(model),
            "hint": model.target_hint,
            "notes": dict(notes or {}),
        }
    arrays = prefixed("weights", weights) | prefixed("optimizer", moments) | prefixed("history", history)
    container.write(path, arrays, metadata)


def load(path: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Model:
    """The model of a file, compiled as it was, to be trained on as if it had never been away.

    Args:
        path: a file of `save`.
        custom_objects: classes of your own by their names; none is ever imported.
        compile: False leaves optimizer, loss and metrics out.

    Raises ScratchaeFormatError for any other file, OSError where it can't be read.
    """
    with Container(path) as file:
        require(file, MODEL)
        try:
            return model_of(file, custom_objects, compile)
        except ScratchaeFormatError as error:
            raise ScratchaeFormatError(f"{file.path}: {error}") from error
        except architecture.WRONG as error:
            raise ScratchaeFormatError(f"{file.path} contradicts itself: {type(error).__name__}: {error}") from error


def model_of(file: Container, custom_objects: Mapping[str, Any] | None, compile: bool) -> Model:
    told = file.metadata
    size = sum(place.size for name, place in file.places.items() if name.startswith("weights/"))
    model = architecture.make(told["model"], size, custom_objects)
    if told["weights"] != state.weight_names(model):
        raise ScratchaeFormatError(f"its weights are {told['weights']}, and those of its model another list")
    for name, parameter in zip(told["weights"], model.weights, strict=True):
        expect(file, f"weights/{name}", parameter)
        value = file.array(f"weights/{name}")
        if not np.isfinite(value).all():
            raise ScratchaeFormatError(f"its weight {name!r} is not finite")
        parameter.assign(value)
    model.target_hint = str(told["hint"])
    if compile and told["compile"] is not None:
        compiling.compile(model, told["compile"], custom_objects)
        if steps := architecture.checked(told["steps"]):
            for name, parameter in state.optimizer_names(model):  # before there is memory for them
                expect(file, f"optimizer/{name}", parameter)
            state.set_optimizer(model, lambda name: file.array(f"optimizer/{name}"), steps)
    state.set_seeds(model, told["seeds"])
    measured = [name for name in file.places if name.startswith("history/")]
    if sum(file.places[name].size for name in measured) > MAX_HISTORY:
        raise ScratchaeFormatError(f"its history is of more than {MAX_HISTORY:,} bytes")
    if measured or told["epochs"]:
        state.set_history(model, {name.partition("/")[2]: file.array(name) for name in measured}, told["epochs"])
    return model


def expect(file: Container, name: str, parameter: Parameter) -> None:
    """Raise ScratchaeFormatError unless the file has such an array for a parameter."""
    place = file.places.get(name)
    if place is None or place.shape != parameter.shape or place.dtype != parameter.dtype:
        found = "not there" if place is None else f"{place.dtype} {place.shape}"
        raise ScratchaeFormatError(f"its array {name!r} is {found}; expected {parameter.dtype} {parameter.shape}")


def read_notes(path: Path) -> dict[str, Any]:
    """What the writer of a model file added to it."""
    with Container(path) as file:
        require(file, MODEL)
        return file.metadata["notes"]


def save_weights(model: Model, path: Path) -> None:
    """Write the weights alone."""
    weights = named_weights(model)
    container.write(path, prefixed("weights", weights), {"format": WEIGHTS, "weights": list(weights)})


def load_weights(model: Model, path: Path) -> None:
    """Set a model's weights from a file of `save_weights` or `save`: in their order, whatever they are called.

    Raises ScratchaeFormatError for any other file, ValueError where they are those of another model, which is then
    unchanged.
    """
    with Container(path) as file:
        require(file, MODEL, WEIGHTS)
        try:
            weights = [file.array(f"weights/{name}") for name in file.metadata["weights"]]
        except (KeyError, TypeError) as error:
            raise ScratchaeFormatError(f"{file.path} contradicts itself: no weight {error}") from error
    model.set_weights(weights)


def named_weights(model: Model) -> dict[str, np.ndarray]:
    return dict(zip(state.weight_names(model), model.get_weights(), strict=True))


def prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def require(file: Container, *formats: str) -> None:
    found = file.metadata.get("format")
    if found not in formats:
        cure = ". It holds weights alone: make their model, and read them with load_weights" if found == WEIGHTS else ""
        raise ScratchaeFormatError(f"{file.path} is {found!r}; expected {' or '.join(map(repr, formats))}{cure}")
