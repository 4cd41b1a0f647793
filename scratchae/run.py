"""A run of `fit`: how far it has come, and how it goes on where another one was broken off."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from . import resuming
from .callbacks import BackupAndRestore, CallbackList, ProgressBar

if TYPE_CHECKING:
    from .model import Model
    from .training import Epochs, Means


class Run:
    """How far a fit has come.

    `epoch` is the one that runs or comes next, from 0, and `batch` how many of its batches are done; `means` are those
    of these batches, and `logs` what the last epoch ended with. With the model and the callbacks this is all that
    changes while fit runs: it goes on from `set_state` as it would have from where `get_state` was asked.
    """

    def __init__(self, model: Model, rounds: Epochs, hooks: CallbackList, bar: ProgressBar, initial_epoch: int):
        self.model, self.rounds, self.hooks, self.bar = model, rounds, hooks, bar
        self.epoch, self.batch = initial_epoch, 0
        self.means: Means | None = None
        self.logs: dict[str, float] = {}
        self.backup = hooks.find(BackupAndRestore)
        self.saved: dict[str, Any] | None = None  # what to go on from, until that is done
        self.over = False  # the fit that goes on had been told to stop
        self.backs_up_batches = self.backup is not None and self.backup.save_freq != "epoch"
        self._first = initial_epoch
        self._first_rate = resuming.learning_rate(model)

    # ---- what fit calls ---------------------------------------------------------------------------------------------
    def find_backup(self, task: dict[str, Any]) -> None:
        """Look for a backup of the same task; ValueError, before anything is changed, if it is another's."""
        assert self.backup is not None
        self.backup.warn_of(self.hooks.callbacks)
        self.saved = self.backup.read(task)
        if self.saved is not None:
            before, saved = self.saved["first_rate"], self.saved["model"]["learning_rate"]
            if self._first_rate not in (before, saved):
                warnings.warn(
                    f"fit: the learning rate is {self._first_rate:g}; the backup goes on with its own, {saved:g}",
                    stacklevel=4,
                )
            self._first_rate = before

    def place(self) -> tuple[int, int]:
        """The epoch and the batch to begin with."""
        return (self.epoch, self.batch) if self.saved is None else (self.saved["epoch"], self.saved["batch"])

    def begin(self, end: int) -> None:
        """Before the first epoch. A backup is made at once: what can't be saved is known before hours of training."""
        self.hooks.call("on_train_begin", {})
        if self.saved is None:
            self.save()
        elif self.saved["batch"] and self.saved["epoch"] < end:
            self.epoch = self.saved["epoch"]  # and the rest when it has begun
        else:
            self._go_on()
            self.over = self.model.stop_training

    def epochs(self, end: int) -> range:
        """Those still to come."""
        return range(self.epoch, self.epoch if self.over else end)

    def begin_epoch(self, epoch: int, means: Means) -> None:
        """A backup from within this epoch is taken up after the hooks of its beginning, and so undoes what they do."""
        self.epoch, self.batch, self.means = epoch, 0, means
        self.hooks.call("on_epoch_begin", epoch, {})
        if self.saved is not None:
            self._go_on()
            self.bar.go_on(self.batch)

    def is_due(self) -> bool:
        """Whether there is to be a backup after the batch that runs."""
        assert self.backup is not None
        return self.backup.is_due()

    def end_batch(self, batch: int) -> None:
        """Where a backup is due after a batch, when all callbacks have seen it."""
        self.batch = batch + 1
        self.save()

    def end_epoch(self, logs: dict[str, float]) -> None:
        self.hooks.call("on_epoch_end", self.epoch, logs)
        self.epoch, self.batch, self.means, self.logs = self.epoch + 1, 0, None, logs
        if self.backup is not None and self.backup.save_freq == "epoch":
            self.save()

    def end(self) -> None:
        self.hooks.call("on_train_end", self.logs)
        if self.backup is not None and self.backup.delete_checkpoint:
            self.backup.delete()

    # ---- the state --------------------------------------------------------------------------------------------------
    def save(self) -> None:
        if self.backup is not None:
            self.backup.write(self.get_state())

    def _go_on(self) -> None:
        assert self.saved is not None
        self.set_state(self.saved)
        self.saved = None

    def get_state(self) -> dict[str, Any]:
        return {
            "begun": self.batch > 0 or self.epoch > self._first,
            "first_rate": self._first_rate,
            "epoch": self.epoch,
            "batch": self.batch,
            "means": self.means.get_state() if self.means is not None else None,
            "logs": self.logs,
            "model": resuming.get_state(self.model),
            "position": self.rounds.position,
            "callbacks": self.hooks.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self.epoch, self.batch, self.logs = state["epoch"], state["batch"], state["logs"]
        if self.means is not None:
            self.means.set_state(state["means"])
        resuming.set_state(self.model, state["model"])
        self.rounds.go_on(state["position"])
        self.hooks.set_state(state["callbacks"])
