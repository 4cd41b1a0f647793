"""The loss curve of a notebook, drawn anew after each epoch."""

from __future__ import annotations

from typing import Any

from .base import Callback


class LivePlot(Callback):
    """Show the loss curves below the cell of a notebook and keep them up to date. Needs IPython and matplotlib."""

    reports = True

    def __init__(self) -> None:
        try:
            from IPython.display import display
        except ImportError as error:
            raise ImportError("LivePlot draws in notebooks and needs IPython; elsewhere use verbose=1") from error
        self._display: Any = display
        self._handle: Any = None
        self._history: dict[str, list[float]] = {}

    def on_train_begin(self, logs=None):
        self._handle, self._history = None, {}

    def on_epoch_end(self, epoch, logs=None):
        from .. import plotting

        for key, value in (logs or {}).items():
            self._history.setdefault(key, []).append(value)
        picture = plotting.loss_curves(self._history)
        if self._handle is None:
            self._handle = self._display(picture, display_id=True)
        else:
            self._handle.update(picture)

    def get_state(self):
        return {"history": self._history}

    def set_state(self, state):
        self._history = state["history"]
