"""What holds for models that are made from here on: the float type, the device, the seed of all randomness."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_floatx = "float32"
_seeds = np.random.SeedSequence()


def floatx() -> str:
    """The float type of new layers: "float32" or "float64"."""
    return _floatx


def set_floatx(value: str) -> None:
    """Set the float type of layers made from here on.

    Raises ValueError unless value is "float32" or "float64".
    """
    global _floatx
    if value not in ("float32", "float64"):
        raise ValueError(f"set_floatx: value={value!r} is not a float type of this library: use 'float32' or 'float64'")
    _floatx = value


def set_random_seed(seed: int) -> None:
    """Make everything random from here on reproducible: initial weights, noise, dropout, shuffling.

    Each layer and each `compile` takes the next child of this seed, so a program that makes the same models in the
    same order gets the same numbers. NumPy's global generator is neither read nor set.
    """
    global _seeds
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"set_random_seed: seed={seed!r} must be an integer of at least 0")
    _seeds = np.random.SeedSequence(int(seed))


def share_seeds(broadcast: Callable[[np.random.SeedSequence], np.random.SeedSequence]) -> None:
    """Take the global seed of another process."""
    global _seeds
    _seeds = broadcast(_seeds)


def next_seed() -> np.random.SeedSequence:
    """The next child of the global seed."""
    return _seeds.spawn(1)[0]


_names: dict[str, int] = {}


def unique_name(prefix: str) -> str:
    """`prefix`, then `prefix_1`, `prefix_2`, ...: the name of a layer or model that was given none."""
    count = _names.get(prefix, 0)
    _names[prefix] = count + 1
    return f"{prefix}_{count}" if count else prefix


def clear_session() -> None:
    """Start counting automatic names from the beginning, as keras.backend.clear_session does."""
    _names.clear()
