"""Callbacks that write files while training runs."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

from .. import checks
from .base import Callback, Logs
from .monitor import Monitor


class ModelCheckpoint(Monitor):
    """Write the model after each epoch, or whenever it is the best so far; each file whole or not at all.

    Args:
        filepath: an ending that `Model.save` takes, or `Model.save_weights`, such as .safetensors;
            "{epoch:02d}-{val_loss:.3f}.safetensors" is filled in from the logs, epochs counted from 1.
        monitor, mode: what decides which model is best.
        save_best_only: write only when monitor is strictly better than ever before.
        save_weights_only: the weights, instead of a whole model that can be trained on.
        save_freq: "epoch", or a number of batches.
        initial_value_threshold: what the first value has to beat, with save_best_only.
    """

    reports = True

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ):
        super().__init__(monitor, mode)
        from ..files import model_format, weights_format

        (weights_format if save_weights_only else model_format)("ModelCheckpoint", filepath)
        if save_freq != "epoch":
            checks.positive_integer("ModelCheckpoint", "save_freq", save_freq)
        self.filepath, self.verbose = str(filepath), verbose
        self.save_best_only, self.save_weights_only, self.save_freq = save_best_only, save_weights_only, save_freq
        if initial_value_threshold is not None:
            self.best = initial_value_threshold
        self.epoch = self.batches = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if isinstance(self.save_freq, int):
            self.batches += 1
            if self.batches % self.save_freq == 0:
                self.save(logs)

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self.save(logs)

    def save(self, logs: Logs | None) -> None:
        """Write the file, if it is its turn."""
        if self.save_best_only:
            value = self.value(logs)
            if value is None or not self.improves(value, self.best):
                return
            self.best = value
        try:
            path = self.filepath.format(epoch=self.epoch + 1, **(logs or {}))
        except KeyError as error:
            known = ", ".join(["epoch", *(logs or {})])
            raise ValueError(
                f"ModelCheckpoint: filepath={self.filepath!r} asks for {error}; there are {known}"
            ) from None
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            print(f"Epoch {self.epoch + 1}: wrote {path}")

    def get_state(self):
        return {"best": self.best, "batches": self.batches}

    def set_state(self, state):
        self.best, self.batches = state["best"], state["batches"]


class CSVLogger(Callback):
    """Append a row to a CSV file after each epoch: the epoch, counted from 0, then the logs by name.

    Args:
        filename: the file; it is there from the beginning of training, and complete up to the last epoch at any time.
        separator: between the columns.
        append: go on with a file that is there, instead of beginning anew.
    """

    reports = True

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False):
        self.filename, self.separator, self.append = Path(filename), separator, append
        self.keys: list[str] | None = None
        self.start, self.text = 0, ""  # where in the file these rows begin, and what they are

    def on_train_begin(self, logs=None):
        self.keys, self.start, self.text = None, 0, ""
        if self.append and self.filename.exists():
            with open(self.filename, newline="") as file:
                header = next(csv.reader(file, delimiter=self.separator), None)
            self.keys = header[1:] if header else None
            self.start = self.filename.stat().st_size
        else:
            self.filename.write_text("")

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        rows: list[list[Any]] = []
        if self.keys is None:
            self.keys = sorted(logs)
            rows.append(["epoch", *self.keys])
        rows.append([epoch, *(logs.get(key, "NA") for key in self.keys)])
        text = io.StringIO()
        csv.writer(text, delimiter=self.separator, lineterminator="\n").writerows(rows)
        self.text += text.getvalue()
        with open(self.filename, "a", newline="") as file:
            file.write(text.getvalue())

    def get_state(self):
        return {"keys": self.keys, "start": self.start, "text": self.text}

    def set_state(self, state):
        """The file, too, becomes what it was: rows of epochs that are to come again are cut off."""
        self.keys, self.start, self.text = state["keys"], state["start"], state["text"]
        with open(self.filename, "r+", newline="") as file:
            file.seek(min(self.start, self.filename.stat().st_size))
            file.truncate()
            file.write(self.text)
