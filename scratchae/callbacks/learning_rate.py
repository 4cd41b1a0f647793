"""Learning rates that change from epoch to epoch."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from .. import checks
from ..distributed import say
from .base import Callback
from .monitor import Monitor


class LearningRateScheduler(Callback):
    """Set the learning rate at the beginning of each epoch to schedule(epoch, learning_rate), or schedule(epoch)."""

    def __init__(self, schedule: Callable[..., float], verbose: int = 0):
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch, logs=None):
        optimizer = self.model.optimizer
        assert optimizer is not None  # fit has checked
        try:
            rate = self.schedule(epoch, optimizer.learning_rate)
        except TypeError:
            rate = self.schedule(epoch)
        optimizer.learning_rate = checks.number("LearningRateScheduler", "schedule(epoch)", rate, low=0)
        if self.verbose:
            say(f"Epoch {epoch + 1}: the learning rate is {rate:g}")

    def on_epoch_end(self, epoch, logs=None):
        assert self.model.optimizer is not None
        logs["learning_rate"] = self.model.optimizer.learning_rate


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by `factor` when `monitor` has not improved for `patience` epochs.

    Args:
        monitor, mode: a key of the epoch's logs, and what better means.
        factor: below 1.
        patience: epochs without improvement before a reduction.
        min_delta: smaller changes are no improvement.
        cooldown: epochs after a reduction that don't count.
        min_lr: the learning rate goes no lower.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.factor = checks.number("ReduceLROnPlateau", "factor", factor, low=0, high=1, high_open=True)
        self.patience, self.verbose, self.cooldown, self.min_lr = patience, verbose, cooldown, min_lr
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.best = self.sign * inf
        self.wait = self.resting = 0

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        assert optimizer is not None  # fit has checked
        logs["learning_rate"] = optimizer.learning_rate
        value = self.value(logs)
        if value is None:
            return
        if self.resting:
            self.resting -= 1
            self.wait = 0
        if self.improves(value, self.best):
            self.best, self.wait = value, 0
        elif not self.resting:
            self.wait += 1
            if self.wait >= self.patience and optimizer.learning_rate > self.min_lr:
                optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
                self.resting, self.wait = self.cooldown, 0
                if self.verbose:
                    say(f"Epoch {epoch + 1}: the learning rate is reduced to {optimizer.learning_rate:g}")

    def get_state(self):
        return {"best": self.best, "wait": self.wait, "resting": self.resting}

    def set_state(self, state):
        self.best, self.wait, self.resting = state["best"], state["wait"], state["resting"]
