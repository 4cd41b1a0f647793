"""Files: written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..autoencoders import convolutional, recurrent, sparse, vanilla, variational
from ..model import Model
from .atomic import write_atomically


def save_weights(model: Model, path: str | os.PathLike[str], metadata: dict[str, str] | None = None) -> None:
    """The weights of a model as a .safetensors file, in the order of get_weights, and strings that describe it.

    Raises ValueError for another ending. An existing file is replaced when the new one is complete.
    """
    from safetensors.numpy import save

    require_safetensors("save_weights", path)
    names = [f"{i:03d}/{p.name}" for i, p in enumerate(model.weights)]
    # safetensors writes memory as it lies: strided views would be scrambled
    tensors = {name: np.ascontiguousarray(w) for name, w in zip(names, model.get_weights(), strict=True)}
    write_atomically(path, save(tensors, metadata={"format": "scratchae weights 1", **(metadata or {})}))


def load_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Set a model's weights from a file of save_weights.

    Raises FileNotFoundError, and ValueError where the file is damaged or holds the weights of another model; the model
    is unchanged then.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    require_safetensors("load_weights", path)
    try:
        tensors = load(Path(path).read_bytes())
    except SafetensorError as error:
        raise ValueError(f"load_weights: {path} is not a whole safetensors file ({error})") from error
    model.set_weights([tensors[name] for name in sorted(tensors)])


# ---- the autoencoders of scratchae.autoencoders: constructor, arguments and weights in one file ---------------------
KINDS: dict[str, Callable[..., tuple[Model, Model, Model]]] = {
    "vanilla": vanilla.autoencoder,
    "sparse": sparse.autoencoder,
    "convolutional": convolutional.autoencoder,
    "variational": variational.autoencoder,
    "recurrent": recurrent.autoencoder,
}


@dataclass
class Recipe:
    """How an autoencoder was made: which constructor, with which arguments, and what became of it in training."""

    kind: str
    arguments: list[Any]
    sample_shape: tuple[int, ...]  # of the data, which pictures show; a model may take it in another
    history: dict[str, list[float]]


@dataclass
class Saved:
    """What a file of save_autoencoder holds."""

    recipe: Recipe
    encoder: Model
    decoder: Model
    auto: Model


def save_autoencoder(path: str | os.PathLike[str], auto: Model, recipe: Recipe) -> None:
    """An autoencoder's weights and its recipe, as one .safetensors file."""
    save_weights(auto, path, {"autoencoder": json.dumps(asdict(recipe))})


def load_autoencoder(path: str | os.PathLike[str]) -> Saved:
    """The autoencoder in a file of save_autoencoder, compiled as its constructor does.

    The file names one of the five constructors; nothing in it is run. Raises FileNotFoundError, and ValueError where
    the file is damaged or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    require_safetensors("load_autoencoder", path)
    Path(path).stat()
    try:
        with safe_open(path, framework="numpy") as file:
            recipe = Recipe(**json.loads((file.metadata() or {})["autoencoder"]))
            sizes = [prod(file.get_slice(name).get_shape()) for name in file.keys()]  # noqa: SIM118 it is no dict
        constructor, size = KINDS[recipe.kind], encoder_size(recipe)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a whole file of scratchae train ({type(error).__name__}: {error})") from error
    if size > sum(sizes):
        raise ValueError(f"{path} describes a {recipe.kind} autoencoder of {recipe.arguments}, larger than its weights")
    encoder, decoder, auto = constructor(*recipe.arguments)
    load_weights(auto, path)
    return Saved(recipe, encoder, decoder, auto)


def encoder_size(recipe: Recipe) -> int:
    """How many numbers the kernels of the encoder hold, known before any memory is taken for them."""
    if recipe.kind == "recurrent":
        _, features, units = recipe.arguments
        return 4 * units * (features + units)
    if recipe.kind == "convolutional":
        (*_, channels), filters, _ = recipe.arguments
        return 9 * sum(a * b for a, b in pairwise([channels, *filters]))
    input_dims, hidden, latent_dims = recipe.arguments[:3]
    return sum(a * b for a, b in pairwise([input_dims, *hidden, latent_dims]))


def require_safetensors(owner: str, path: str | os.PathLike[str]) -> None:
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"{owner}: path={str(path)!r} must end in .safetensors")
