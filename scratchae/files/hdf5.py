"""Keras' .weights.h5: weights and optimizer state of a model, in the places where Keras has them."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..layers import LSTM, TimeDistributed
from ..layers.base import Layer, snake_case
from ..model import Model
from ..parameters import Parameter
from ..sequential import Sequential
from . import hdf5_reader, optimizer_variables
from .atomic import write_atomically
from .errors import ScratchaeFormatError
from .hdf5_reader import Stored

OPTIMIZER = "optimizer/vars/"
Place = tuple[str, str, list[Parameter]]  # group, name of what has the weights, the weights


def save_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Write the weights of a model, and the state of its optimizer if it is compiled, for Keras' load_weights.

    Raises ImportError without h5py.
    """
    with model._lock:
        content = encode("save_weights", model)
    write_atomically(path, content)


def load_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Set a model's weights, and the state of its optimizer if both have one, from a .weights.h5 file.

    Raises FileNotFoundError, and ScratchaeFormatError where the file is damaged or holds the weights of another model;
    the model is unchanged then.
    """
    try:
        assign(model, hdf5_reader.read(Path(path).read_bytes()))
    except ScratchaeFormatError as error:
        raise ScratchaeFormatError(f"load_weights: {path}: {error}") from error


# ---- places: which group has whose weights --------------------------------------------------------------------------
def places(model: Model, names: Mapping[str, str]) -> Iterator[Place]:
    """The groups of a model's file, each with what belongs into it.

    A layer that is there twice has its weights in the first place. `names` are those of the file's groups.
    """
    seen: set[Layer] = set()

    def within(model: Model, prefix: str) -> Iterator[Place]:
        groups = groups_of(model, prefix, names)
        for layer in model.layers:
            if layer in seen:
                continue
            seen.add(layer)
            group = groups[layer]
            if isinstance(layer, Model):
                yield from within(layer, f"{group}/")
            elif isinstance(layer, LSTM):
                yield f"{group}/cell/vars", "lstm_cell", layer.weights
            elif isinstance(layer, TimeDistributed):
                yield f"{group}/layer/vars", layer.layer.name, layer.weights
            else:
                yield f"{group}/vars", layer.name, layer.weights

    return within(model, "")


def groups_of(model: Model, prefix: str, names: Mapping[str, str]) -> dict[Layer, str]:
    """The group of each layer. Keras counts the layers of a class, in their order: layers/dense, layers/dense_1, ..."""
    classes: dict[str, list[Layer]] = {}
    for layer in model.layers:
        classes.setdefault(class_name(layer), []).append(layer)
    found: dict[Layer, str] = {}
    for name, layers in classes.items():
        groups = [f"{prefix}layers/{name}" + (f"_{k}" if k else "") for k in range(len(layers))]
        stored = [names.get(f"{group}/vars", "") for group in groups]
        found |= dict(zip(in_order_of_names(layers, stored, name), groups, strict=True))
    return found


def class_name(layer: Layer) -> str:
    if isinstance(layer, Model):
        return "sequential" if isinstance(layer, Sequential) else "functional"
    return snake_case(type(layer).__name__)


def in_order_of_names(layers: list[Layer], stored: Sequence[str], class_name: str) -> list[Layer]:
    """Layers of one class in the order of a file's names: those with names of their own by name, the rest by number.

    A variational encoder written with plain functions has z_log_var before z_mean in Keras' order, with a Sampling
    layer after it. Both are Dense layers of one shape, so their names alone can tell.
    """

    def own(name: str) -> str:
        """A name without z_, as one calls it in Keras' examples; empty for one that was given automatically."""
        return "" if re.fullmatch(rf"({class_name}(_\d+)?)?", name) else name.removeprefix("z_")

    wanted, given = [own(name) for name in stored], [own(layer.name) for layer in layers]
    by_name = {name: layer for name, layer in zip(given, layers, strict=True) if name}
    others = [layer for name, layer in zip(given, layers, strict=True) if not name]
    if sorted(wanted) != sorted(given) or len(by_name) + len(others) < len(layers):
        return layers
    return [by_name[name] if name else others.pop(0) for name in wanted]


# ---- writing --------------------------------------------------------------------------------------------------------
def encode(owner: str, model: Model) -> bytes:
    """The content of a .weights.h5 file."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"{owner} needs h5py to write Keras' files: pip install 'scratchae[keras]'") from error
    content = io.BytesIO()
    with h5py.File(content, "w", libver="earliest") as file:
        for group, name, parameters in places(model, {}):
            write_group(file, group, name, [p.numpy() for p in parameters])
        if model.optimizer is not None:
            write_group(file, OPTIMIZER, model.optimizer.name, optimizer_variables.values(model))
    return content.getvalue()


def write_group(file, path: str, name: str, arrays: Sequence[np.ndarray]) -> None:
    group = file.create_group(path)
    group.attrs["name"] = name
    for i, array in enumerate(arrays):
        group[str(i)] = array


# ---- reading --------------------------------------------------------------------------------------------------------
def assign(model: Model, stored: Stored) -> None:
    """Set weights and optimizer state, all or nothing; ScratchaeFormatError if these are another model's."""
    left = {path for path in stored.arrays if not path.startswith(OPTIMIZER) and "/seed_generator/" not in path}
    weights: dict[Parameter, np.ndarray] = {}
    for group, _, parameters in places(model, stored.names):
        for i, parameter in enumerate(parameters):
            left.discard(path := f"{group}/{i}")
            weights[parameter] = weight(stored, path, parameter)
    if left:
        raise ScratchaeFormatError(f"there is no place for {min(left)!r}: these are the weights of another model")
    variables = optimizer_state(model, stored)
    model.set_weights([weights[parameter] for parameter in model.weights])
    if variables:
        optimizer_variables.assign(model, variables)


def weight_bytes(stored: Stored) -> int:
    """How many bytes of weights there are."""
    return sum(array.nbytes for path, array in stored.arrays.items() if not path.startswith(OPTIMIZER))


def weight(stored: Stored, path: str, parameter: Parameter) -> np.ndarray:
    """The array for a parameter, checked."""
    array = stored.arrays.get(path)
    whose = f"{path!r}, for {parameter.name!r},"
    if array is None:
        raise ScratchaeFormatError(f"{whose} is missing: these are the weights of another model")
    if array.shape != parameter.shape or array.dtype.kind != "f":
        raise ScratchaeFormatError(
            f"{whose} has shape {array.shape} and type {array.dtype}; expected {parameter.shape} and floats. These are "
            "the weights of another model"
        )
    with np.errstate(over="ignore"):
        array = array.astype(parameter.dtype, copy=False)
    if not np.isfinite(array).all():
        raise ScratchaeFormatError(f"{whose} has NaN or infinity")
    return array


def optimizer_state(model: Model, stored: Stored) -> list[np.ndarray]:
    """The variables of the model's optimizer, checked; none where the model or the file has none that fit."""
    count = sum(path.startswith(OPTIMIZER) for path in stored.arrays)
    if model.optimizer is None or count == 0:
        return []
    try:
        variables = [stored.arrays[f"{OPTIMIZER}{i}"] for i in range(count)]
    except KeyError as error:
        raise ScratchaeFormatError(f"the optimizer's variable {error} is missing") from error
    if optimizer_variables.belong(model, variables):
        return variables
    warnings.warn(
        f"the file has the state of another optimizer; this {type(model.optimizer).__name__} keeps its own, and only "
        "the weights were read",
        stacklevel=6,  # the call of load_weights
    )
    return []
