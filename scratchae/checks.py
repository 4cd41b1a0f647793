"""Checks of arguments. Each error names the argument, its value and what was expected."""

from __future__ import annotations

from collections.abc import Collection
from math import isfinite

import numpy as np


def positive_integer(owner: str, name: str, value: object) -> int:
    """value as an int; TypeError or ValueError unless it is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{owner}: {name}={value!r} is a {type(value).__name__}; expected an integer of at least 1")
    if value < 1:
        raise ValueError(f"{owner}: {name}={value!r} is too small; expected an integer of at least 1")
    return int(value)


def positive_integers(owner: str, name: str, values: object, length: int | None = None) -> tuple[int, ...]:
    """values as a tuple of ints of at least 1, of the given length if there is one."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Collection):
        raise TypeError(
            f"{owner}: {name}={values!r} is a {type(values).__name__}; expected a list or tuple of integers"
        )
    if length is not None and len(values) != length:
        raise ValueError(f"{owner}: {name}={values!r} has {len(values)} entries; expected {length}")
    return tuple(positive_integer(owner, f"{name}[{i}]", value) for i, value in enumerate(values))


def number(
    owner: str,
    name: str,
    value: object,
    low: float = -np.inf,
    high: float = np.inf,
    *,
    low_open: bool = False,
    high_open: bool = False,
) -> float:
    """value as a float; TypeError unless it is a number, ValueError unless it is finite and between the bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{owner}: {name}={value!r} is a {type(value).__name__}; expected a number")
    below = value <= low if low_open else value < low
    above = value >= high if high_open else value > high
    if not isfinite(value) or below or above:
        left = "(" if low_open or low == -np.inf else "["
        right = ")" if high_open or high == np.inf else "]"
        interval = f"{left}{low:g}, {high:g}{right}"
        raise ValueError(f"{owner}: {name}={value!r} is out of range; expected a finite number in {interval}")
    return float(value)


def one_of(owner: str, name: str, value: object, allowed: Collection[str]) -> str:
    """value if it is one of the allowed strings; ValueError otherwise."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{owner}: {name}={value!r} is unknown; expected one of {', '.join(map(repr, allowed))}")
    return value
