"""Models on disk. The ending of a path says in which format."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .atomic import write_atomically
from .errors import ScratchaeFormatError

if TYPE_CHECKING:
    from ..model import Model

__all__ = [
    "ScratchaeFormatError",
    "load",
    "load_model",
    "load_weights",
    "model_format",
    "read_notes",
    "save",
    "save_weights",
    "weights_format",
    "write_atomically",
]


def model_format(owner: str, path: str | os.PathLike[str]) -> Any:
    """The module that saves and loads models in files with this ending; ValueError for another one."""
    if str(path).endswith(".safetensors"):
        from . import safetensors

        return safetensors
    if str(path).endswith(".keras"):
        from . import keras

        return keras
    raise ValueError(f"{owner}: path={str(path)!r} must end in .safetensors or .keras")


def weights_format(owner: str, path: str | os.PathLike[str]) -> Any:
    """The module that saves and loads weights in files with this ending; ValueError for another one."""
    if str(path).endswith(".safetensors"):
        from . import safetensors

        return safetensors
    if str(path).endswith(".weights.h5"):
        from . import hdf5

        return hdf5
    raise ValueError(f"{owner}: path={str(path)!r} must end in .safetensors or .weights.h5")


def save(model: Model, path: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Write a model to one file, whole or not at all: architecture, weights, compile settings, state of the optimizer,
    history. A .safetensors file keeps all of it; a .keras file, for Keras, all but the history.

    Raises ValueError for another ending, FileExistsError where there is a file and overwrite is False.
    """
    form = model_format("save", path)
    require_new("save", path, overwrite)
    form.save(model, path)


def load_model(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Model:
    """The model of a file, compiled as it was, with the optimizer's state.

    Args:
        path: a file of `save`, or one that Keras wrote in a format that is known here.
        custom_objects: classes of your own by their names.
        compile: False leaves optimizer, loss and metrics out.
        safe_mode: without effect: nothing that is in a file is ever run, whatever this says.

    Raises ScratchaeFormatError (a ValueError) for a file that is damaged, or asks for what is not here; OSError where
    it can't be read.
    """
    return model_format("load_model", path).load(path, custom_objects, compile)


def load(
    path: str | os.PathLike[str], custom_objects: Mapping[str, Any] | None = None, compile: bool = True
) -> tuple[Model, Model, Model]:
    """encoder, decoder, auto of a file: an autoencoder that is two models, one called on the output of the other.

    Raises ScratchaeFormatError where the file holds another model, and what `load_model` raises.
    """
    auto = model_format("load", path).load(path, custom_objects, compile)
    encoder, decoder = parts_of(auto, path)
    return encoder, decoder, auto


def read_notes(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What the program that wrote the file noted in it besides the model."""
    if not str(path).endswith(".safetensors"):
        return {}
    from . import safetensors

    return safetensors.read_notes(path)


def parts_of(auto: Model, path: str | os.PathLike[str]) -> tuple[Model, Model]:
    """The encoder and the decoder in an autoencoder, or in the model that is all of it but for its input."""
    from ..model import Model

    inner = [layer for layer in auto.layers if isinstance(layer, Model)]
    if len(inner) == 1:
        return parts_of(inner[0], path)
    if len(inner) != 2:
        raise ScratchaeFormatError(
            f"{path} holds one model, {auto}, and not an encoder and a decoder in it: read it with load_model"
        )
    return inner[0], inner[1]


def save_weights(model: Model, path: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Write the weights of a model alone; ValueError for another ending than .safetensors or .weights.h5."""
    form = weights_format("save_weights", path)
    require_new("save_weights", path, overwrite)
    form.save_weights(model, path)


def load_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Set a model's weights from a file of weights, or of a whole model.

    Raises ScratchaeFormatError where the file is damaged, ValueError where it holds the weights of another model, which
    is then unchanged.
    """
    find = model_format if str(path).endswith(".keras") else weights_format
    find("load_weights", path).load_weights(model, path)


def require_new(owner: str, path: str | os.PathLike[str], overwrite: bool) -> None:
    if not overwrite and Path(path).exists():
        raise FileExistsError(f"{owner}: {path} is there already; overwrite=True replaces it")
