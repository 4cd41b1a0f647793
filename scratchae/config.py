"""What holds for models that are made from here on: the float type, the device, the seed of all randomness."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np


class Session:
    """The settings that hold for new layers, and what has been handed out of their seeds and names."""

    def __init__(self, seed: int | None = None):
        self.floatx = "float32"
        self.seeds = np.random.SeedSequence(seed)
        self.names: dict[str, int] = {}


_everybodys = Session()
_own: ContextVar[Session | None] = ContextVar("session", default=None)


def _session() -> Session:
    return _own.get() or _everybodys


@contextmanager
def own_session(seed: int) -> Iterator[None]:
    """Within, in this thread, layers take seeds and names of their own and are float32, whatever the program around
    has set, and it doesn't notice: what is made there depends on the seed alone."""
    token = _own.set(Session(seed))
    try:
        yield
    finally:
        _own.reset(token)


def floatx() -> str:
    """The float type of new layers: "float32" or "float64"."""
    return _session().floatx


def set_floatx(value: str) -> None:
    """Set the float type of layers made from here on.

    Raises ValueError unless value is "float32" or "float64".
    """
    if value not in ("float32", "float64"):
        raise ValueError(f"set_floatx: value={value!r} is not a float type of this library: use 'float32' or 'float64'")
    _session().floatx = value


def set_random_seed(seed: int) -> None:
    """Make everything random from here on reproducible: initial weights, noise, dropout, shuffling.

    Each layer and each `compile` takes the next child of this seed, so a program that makes the same models in the
    same order gets the same numbers. NumPy's global generator is neither read nor set.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"set_random_seed: seed={seed!r} must be an integer of at least 0")
    _session().seeds = np.random.SeedSequence(int(seed))


def share_seeds(broadcast: Callable[[np.random.SeedSequence], np.random.SeedSequence]) -> None:
    """Take the global seed of another process."""
    session = _session()
    session.seeds = broadcast(session.seeds)


def next_seed() -> np.random.SeedSequence:
    """The next child of the global seed."""
    return _session().seeds.spawn(1)[0]


def unique_name(prefix: str) -> str:
    """`prefix`, then `prefix_1`, `prefix_2`, ...: the name of a layer or model that was given none."""
    names = _session().names
    count = names.get(prefix, 0)
    names[prefix] = count + 1
    return f"{prefix}_{count}" if count else prefix


def clear_session() -> None:
    """Start counting automatic names from the beginning, as keras.backend.clear_session does."""
    _session().names.clear()
