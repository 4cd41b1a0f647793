"""What runs beside training: hooks at the beginning and end of training, epochs and batches.

`fit` calls, in this order: on_train_begin, then for each epoch on_epoch_begin, on_train_batch_begin / _end for each
batch, on_test_begin / _end around validation, on_epoch_end, and at last on_train_end. A batch's logs are means over the
epoch so far.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from . import checks

if TYPE_CHECKING:
    from .model import Model

Logs = dict[str, float]


class Callback:
    """The base of all callbacks: define the hooks you need.

    `self.model` is the model, `self.params` holds verbose, epochs and steps. `get_state` and `set_state` let training
    that was broken off go on where it was: override them if the callback remembers anything.
    """

    model: Model
    params: dict[str, Any]

    def set_model(self, model: Model) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None: ...
    def on_train_end(self, logs: Logs | None = None) -> None: ...
    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None: ...
    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None: ...
    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_test_begin(self, logs: Logs | None = None) -> None: ...
    def on_test_end(self, logs: Logs | None = None) -> None: ...
    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_predict_begin(self, logs: Logs | None = None) -> None: ...
    def on_predict_end(self, logs: Logs | None = None) -> None: ...
    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.on_batch_end(batch, logs)

    def get_state(self) -> dict[str, Any]:
        """What the callback remembers, as numbers, strings, lists, dicts and arrays."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Remember what `get_state` gave."""


class CallbackList:
    """Several callbacks as one."""

    def __init__(self, callbacks: Sequence[Callback], model: Model, params: dict[str, Any]):
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"callbacks holds {callback!r}, a {type(callback).__name__}; expected scratchae.callbacks.Callback"
                )
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)

    def call(self, hook: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    def has(self, kind: type) -> bool:
        return any(isinstance(callback, kind) for callback in self.callbacks)


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
    """verbose=1: a bar an epoch, by tqdm. verbose=2: one line an epoch."""

    def __init__(self, verbose: int = 1):
        self.verbose = verbose
        self._bar: Any = None
        self._start = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()
        title = f"Epoch {epoch + 1}/{self.params['epochs']}"
        if self.verbose == 1:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self.params["steps"], desc=title, unit="batch", dynamic_ncols=True)
        else:
            print(title)

    def on_train_batch_end(self, batch, logs=None):
        if self._bar is not None:
            self._bar.set_postfix_str(in_words(logs, ", "), refresh=False)
            self._bar.update()

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


class EarlyStopping(Callback):
    """Stop when `monitor` has not improved for `patience` epochs.

    Args:
        monitor: a key of the epoch's logs.
        min_delta: smaller changes are no improvement.
        patience: epochs without improvement before training stops.
        mode: "min", "max", or "auto": max for accuracies, else min.
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
        self.monitor, self.min_delta, self.patience, self.verbose = monitor, abs(min_delta), patience, verbose
        checks.one_of("EarlyStopping", "mode", mode, ("auto", "min", "max"))
        self.sign = -1 if mode == "max" or (mode == "auto" and monitor.endswith(("acc", "accuracy"))) else 1
        self.baseline, self.restore_best_weights, self.start_from_epoch = (
            baseline,
            restore_best_weights,
            start_from_epoch,
        )
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.sign * inf
        self.best_weights: list[Any] | None = None

    def _improves(self, value: float, reference: float) -> bool:
        return self.sign * value + self.min_delta < self.sign * reference

    def on_epoch_end(self, epoch, logs=None):
        if epoch < self.start_from_epoch:
            return
        if self.monitor not in (logs or {}):
            warnings.warn(
                f"EarlyStopping: monitor={self.monitor!r} is not among {', '.join(logs or {})}, so it stops nothing; "
                "val_... needs validation_data or validation_split",
                stacklevel=2,
            )
            return
        value = logs[self.monitor]
        first = self.best_weights is None
        self.wait += 1
        improved = self._improves(value, self.best)
        if improved:
            self.best, self.best_epoch = value, epoch
            if self.baseline is None or self._improves(value, self.baseline):
                self.wait = 0
        if self.restore_best_weights and (improved or first):
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
        if not improved and self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: {self.monitor} has stopped improving, training ends")
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
            print(f"Batch {batch}: the loss is {loss}, training ends")
            self.model.stop_training = True


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
            print(f"Epoch {epoch + 1}: the learning rate is {rate:g}")

    def on_epoch_end(self, epoch, logs=None):
        assert self.model.optimizer is not None
        logs["learning_rate"] = self.model.optimizer.learning_rate


class LambdaCallback(Callback):
    """Functions as hooks: LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))."""

    def __init__(self, **hooks: Callable[..., None]):
        for name, function in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(key for key in vars(Callback) if key.startswith("on_"))
                raise TypeError(f"LambdaCallback: {name} is no hook; expected one of {known}")
            setattr(self, name, function)
