"""What was measured in each epoch, kept and shown."""

from __future__ import annotations

import time
from typing import Any

from .base import Callback, Logs


class History(Callback):
    """What `fit` returns: `history` maps loss, metrics and val_* to a list of one number an epoch; `epoch` counts."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def on_train_begin(self, logs=None):
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)

    def get_state(self):
        return {"epoch": list(self.epoch), "history": {key: list(values) for key, values in self.history.items()}}

    def set_state(self, state):
        self.epoch = list(state["epoch"])
        self.history = {key: list(values) for key, values in state["history"].items()}


class ProgressBar(Callback):
    """verbose=1: a bar an epoch, by tqdm, in samples. verbose=2: one line an epoch."""

    reports = True

    def __init__(self, verbose: int, samples: int, batch_size: int):
        self.verbose, self.samples, self.batch_size = verbose, samples, batch_size
        self._bar: Any = None
        self._start = self._shown = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()
        title = f"Epoch {epoch + 1}/{self.params['epochs']}"
        if self.verbose == 1:
            from tqdm.auto import tqdm

            total = min(self.samples, self.params["steps"] * self.batch_size)
            self._bar = tqdm(total=total, desc=title, unit=" samples", dynamic_ncols=True)
        else:
            print(title)

    def go_on(self, batches: int) -> None:
        """Show that so many batches of the epoch were done when training was broken off."""
        if self._bar is not None:
            self._bar.initial = self._bar.n = min(batches * self.batch_size, self._bar.total)
            self._bar.refresh()

    def is_due(self) -> bool:
        """Whether it is time to show numbers again."""
        return self._bar is not None and time.perf_counter() - self._shown > 0.1

    def on_train_batch_end(self, batch, logs=None):
        if self._bar is not None:
            if logs:
                self._shown = time.perf_counter()
                self._bar.set_postfix_str(in_words(logs, ", "), refresh=False)
            self._bar.update(min(self.batch_size, self._bar.total - self._bar.n))

    def on_epoch_end(self, epoch, logs=None):
        if self._bar is not None:
            self._bar.set_postfix_str(in_words(logs, ", "))
            self.close()
        elif self.verbose == 2:
            seconds, steps = time.perf_counter() - self._start, self.params["steps"]
            print(f"{steps}/{steps} - {duration(seconds)} - {duration(seconds / steps)}/step - {in_words(logs, ' - ')}")

    def close(self) -> None:
        """Leave the terminal as it should be, also when training was broken off."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def in_words(logs: Logs, separator: str) -> str:
    """loss: 0.1234 - val_loss: 1.2e-05, as Keras prints numbers."""
    return separator.join(f"{k}: {v:.4f}" if abs(v) > 1e-3 else f"{k}: {v:.4e}" for k, v in logs.items())


def duration(seconds: float) -> str:
    """5s, 12ms or 70us."""
    if seconds >= 1:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"
