"""States, nested lists and dicts with arrays in them, as files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from . import container
from .errors import ScratchaeFormatError

FORMAT = "scratchae state 1"
INTEGERS = np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64
SCALARS = {np.dtype(kind).name: kind for kind in (np.bool_, *INTEGERS, np.float16, np.float32, np.float64)}
LONG = 1000  # characters: longer texts are kept as arrays of bytes, as JSON has its limit


def write_state(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write None, numbers, strings, arrays, and lists, tuples and dicts of them, whole or not at all.

    Raises TypeError, which names its place, for anything else.
    """
    arrays: dict[str, np.ndarray] = {}
    container.write(path, arrays, {"format": FORMAT, "state": {k: pack(v, k, arrays) for k, v in state.items()}})


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `write_state` wrote, with the same bits and types; ScratchaeFormatError if the file is damaged."""
    arrays, metadata = container.read(path)
    if metadata.get("format") != FORMAT:
        raise ScratchaeFormatError(f"{path} is no state of scratchae; its format is {metadata.get('format')!r}")
    try:
        return {k: unpack(v, arrays) for k, v in metadata["state"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ScratchaeFormatError(f"{path} contradicts itself: {type(error).__name__}: {error}") from error


def pack(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    """A value as JSON has it: what JSON has not is a dict with its type as the only key. Arrays go into `arrays`."""
    if isinstance(value, str) and len(value) > LONG:
        arrays[place] = np.frombuffer(value.encode(), np.uint8)
        return {"text": place}
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if type(value) is float:
        return value if isfinite(value) else {"float": str(value)}
    if isinstance(value, list) and value and all(type(inner) is float for inner in value):
        arrays[place] = np.array(value)
        return {"floats": place}
    if isinstance(value, list):
        return [pack(inner, f"{place}/{i}", arrays) for i, inner in enumerate(value)]
    if isinstance(value, tuple):
        return {"tuple": pack(list(value), place, arrays)}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: pack(inner, f"{place}/{key}", arrays) for key, inner in value.items()}}
    if isinstance(value, np.generic) and value.dtype.name in SCALARS:
        return {value.dtype.name: pack(value.item(), place, arrays)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        arrays[place] = value
        return {"array": place}
    raise TypeError(
        f"the state holds, as {place}, {value!r}, a {type(value).__name__}; expected None, numbers, strings, arrays of "
        "numbers, and lists, tuples and dicts of them with strings as keys"
    )


def unpack(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """What `pack` was given."""
    if isinstance(value, list):
        return [unpack(inner, arrays) for inner in value]
    if not isinstance(value, dict):
        return value
    [(kind, inner)] = value.items()
    if kind == "array":
        return arrays[inner]
    if kind == "floats":
        return arrays[inner].tolist()
    if kind == "text":
        return arrays[inner].tobytes().decode()
    if kind == "dict":
        return {key: unpack(one, arrays) for key, one in inner.items()}
    if kind == "tuple":
        return tuple(unpack(inner, arrays))
    if kind == "float":
        return float(inner)
    return SCALARS[kind](unpack(inner, arrays))
