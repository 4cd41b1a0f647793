"""How a model was compiled, in the words of Keras' files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import losses, metrics, optimizers
from ..configuration import deserialize, serialize
from ..model import Model
from .architecture import WRONG, Entry
from .errors import ScratchaeFormatError


def describe(model: Model) -> Entry | None:
    """Optimizer, loss and metrics; None for a model that was not compiled."""
    if model.optimizer is None or model.loss is None:
        return None
    return {
        "optimizer": serialize(model.optimizer),
        "loss": serialize(model.loss),
        "loss_weights": None,
        "metrics": [serialize(metric) for metric in model.metrics] or None,
        "weighted_metrics": None,
        "run_eagerly": not model.records,
        "steps_per_execution": 1,
        "jit_compile": "auto" if model.records else False,  # Keras chooses by its backend
    }


def compile(model: Model, settings: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> None:
    """Compile a model as `describe` or Keras described; the optimizer starts anew.

    Raises ScratchaeFormatError for what is not here.
    """
    try:
        for name in ("loss_weights", "weighted_metrics"):
            if settings.get(name):
                raise ValueError(f"{name}={settings[name]!r} is not supported")
        optimizer = one(settings["optimizer"], custom_objects)
        loss = one(settings["loss"], custom_objects)
        found = flat(settings.get("metrics"))
        model.compile(
            optimizers.get(optimizer),
            losses.get(loss),
            [metrics.get(one(metric, custom_objects), losses.get(loss)) for metric in found],
            run_eagerly=bool(settings.get("run_eagerly")),
        )
    except ScratchaeFormatError as error:
        raise ScratchaeFormatError(f"{error}. compile=False reads the model without its optimizer and loss") from error
    except WRONG as error:
        raise ScratchaeFormatError(
            f"the file's model can't be compiled: {error}. compile=False reads it without its optimizer and loss"
        ) from error


def flat(values: Any) -> list[Any]:
    """Metrics as a list; Keras' files may have a list for each output."""
    if values is None:
        return []
    if not isinstance(values, list):
        return [values]
    return [entry for value in values for entry in (value if isinstance(value, list) else [value])]


def one(value: Any, custom_objects: Mapping[str, Any] | None) -> Any:
    """A loss, metric or optimizer: a name, the function that a name stands for, or an object."""
    if isinstance(value, str):
        return value
    if value["class_name"] == "function":
        return value["config"]
    return deserialize(value, custom_objects)
