"""Keras' .keras files: a model's architecture, how it was compiled, its weights, and the state of its optimizer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..model import Model
from . import architecture, compiling, hdf5, hdf5_reader, keras_archive
from .atomic import write_atomically
from .errors import ScratchaeFormatError


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model as Keras would. Keras' load_model reads it and goes on training.

    Keras has no Sampling layer and no summed binary cross-entropy: it reads a variational model when it is given these
    classes, as docs/keras.md shows.

    Raises ImportError without h5py, ValueError for a model of a class of its own.
    """
    with model._lock:
        config = architecture.describe(model) | {"compile_config": compiling.describe(model) or {}}
        weights = hdf5.encode("save", model)
    write_atomically(path, keras_archive.write(config, weights))


def load(path: str | os.PathLike[str], custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Model:
    """The model in a .keras file; compiled, with the state of its optimizer, if it was so and `compile` is true.

    Args:
        custom_objects: classes by name, for what the file has and this library hasn't. Nothing is imported by name.

    Raises FileNotFoundError, and ScratchaeFormatError where the file is damaged or has something that is not here.
    """
    try:
        entry, weights = keras_archive.read(path)
        stored = hdf5_reader.read(weights)
        model = architecture.make(entry, hdf5.weight_bytes(stored), custom_objects)
        if compile and entry.get("compile_config"):
            compiling.compile(model, entry["compile_config"], custom_objects)
        hdf5.assign(model, stored)
    except ScratchaeFormatError as error:
        raise ScratchaeFormatError(f"{path}: {error}") from error
    except architecture.WRONG as error:
        raise ScratchaeFormatError(f"{path} contradicts itself: {type(error).__name__}: {error}") from error
    return model


def load_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Set a model's weights, and the state of its optimizer if both have one, from a .keras file.

    Raises FileNotFoundError, and ScratchaeFormatError where the file is damaged or holds the weights of another model;
    the model is unchanged then.
    """
    try:
        hdf5.assign(model, hdf5_reader.read(keras_archive.read(path)[1]))
    except ScratchaeFormatError as error:
        raise ScratchaeFormatError(f"{path}: {error}") from error
