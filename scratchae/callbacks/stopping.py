"""Reasons to stop."""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

from ..distributed import say
from .base import Callback
from .monitor import Monitor


class EarlyStopping(Monitor):
    """Stop when `monitor` has not improved for `patience` epochs.

    Args:
        monitor, mode: a key of the epoch's logs, and what better means.
        min_delta: smaller changes are no improvement.
        patience: epochs without improvement before training stops.
        baseline: a value that must be beaten for the waiting to start anew.
        restore_best_weights: at the end, go back to the weights of the best epoch.
        start_from_epoch: earlier epochs are not looked at.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.sign * inf
        self.best_weights: list[Any] | None = None

    def on_epoch_end(self, epoch, logs=None):
        if epoch < self.start_from_epoch:
            return
        value = self.value(logs)
        if value is None:
            return
        self.wait += 1
        improved = self.improves(value, self.best)
        if self.restore_best_weights and (improved or self.best_weights is None):
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
        if improved:
            self.best, self.best_epoch = value, epoch
            if self.baseline is None or self.improves(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.stopped_epoch and self.verbose:
            say(f"Epoch {self.stopped_epoch + 1}: {self.monitor} has stopped improving, training ends")
        if self.restore_best_weights and self.best_weights is not None:
            self.model.set_weights(self.best_weights)

    def get_state(self):
        names = ("wait", "stopped_epoch", "best", "best_epoch", "best_weights")
        return {name: getattr(self, name) for name in names}

    def set_state(self, state):
        for name, value in state.items():
            setattr(self, name, value)


class TerminateOnNaN(Callback):
    """Stop when the loss is NaN or infinite, where `fit` would raise; the weights are those of the last good step."""

    def on_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss", 0.0)
        if not isfinite(loss):
            say(f"Batch {batch}: the loss is {loss}, training ends")
            self.model.stop_training = True
