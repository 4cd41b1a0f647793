"""Files: written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .model import Model


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file by way of a temporary one beside it: after a crash there is the old file or the new one."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp's files are private; this one gets the usual rights
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if os.name == "posix":
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def save_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """The weights of a model as a .safetensors file, in the order of get_weights.

    Raises ValueError for another ending. An existing file is replaced when the new one is complete.
    """
    from safetensors.numpy import save

    require_safetensors("save_weights", path)
    names = [f"{i:03d}/{p.name}" for i, p in enumerate(model.weights)]
    # safetensors writes memory as it lies: strided views would be scrambled
    tensors = {name: np.ascontiguousarray(w) for name, w in zip(names, model.get_weights(), strict=True)}
    write_atomically(path, save(tensors, metadata={"format": "scratchae weights 1"}))


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


def require_safetensors(owner: str, path: str | os.PathLike[str]) -> None:
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"{owner}: path={str(path)!r} must end in .safetensors")
