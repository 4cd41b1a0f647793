"""A callback that watches whether one of the logs gets better."""

from __future__ import annotations

import warnings
from math import inf

from .. import checks
from .base import Callback, Logs


class Monitor(Callback):
    """The base of callbacks with `monitor`, a key of the logs, and `mode`.

    mode is "min" or "max", what better means, or "auto": max for accuracies, min for all else.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0):
        owner = type(self).__name__
        self.monitor = monitor
        checks.one_of(owner, "mode", mode, ("auto", "min", "max"))
        self.min_delta = abs(checks.number(owner, "min_delta", min_delta))
        self.sign = -1 if mode == "max" or (mode == "auto" and monitor.endswith(("acc", "accuracy"))) else 1
        self.best = self.sign * inf

    def value(self, logs: Logs | None) -> float | None:
        """The watched value; None, with a warning, where the logs don't have it."""
        if self.monitor not in (logs or {}):
            warnings.warn(
                f"{type(self).__name__}: monitor={self.monitor!r} is not among {', '.join(logs or {})}, so nothing is "
                "watched; val_... needs validation_data or validation_split",
                stacklevel=3,
            )
            return None
        return (logs or {})[self.monitor]

    def improves(self, value: float, reference: float) -> bool:
        """Whether value is better than reference by more than min_delta."""
        return self.sign * value + self.min_delta < self.sign * reference
