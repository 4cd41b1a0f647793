"""The small numbers of training steps: counters, rates, sums and a flag, on the device."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from .backend import Backend


class Numbers:
    """What a step counts and sums, on the device: made once, so that steps allocate nothing and can be recorded.

    `counters` are updates of the optimizer from 1, its steps, and batches of the data set; `flag` is set where
    something is not finite, and then keeps later steps from changing anything.
    """

    def __init__(self, backend: Backend, dtype: np.dtype, metrics: int):
        self.backend, self.dtype, n = backend, dtype, 2 + metrics
        self.draw = backend.zeros((1,), np.dtype("uint64"))  # what noise is drawn from outside of training
        self.learning_rate = backend.zeros((1,), dtype)
        self.invalid = backend.zeros((1,), np.dtype("int32"))  # set by gather, and cleared at once
        self._there: dict[str, Any] = {}  # what has been uploaded, as far as it is known
        # What the host asks for, in one piece: counters, flag, sums over samples since `begin`, and a batch's values.
        self._form = struct.Struct(f"=3qi4x{n}d{n}{dtype.char}")
        self._state = backend.zeros((self._form.size,), np.dtype("uint8"))
        self.counters = self._state[:24].view(np.dtype("int64"))
        self.flag = self._state[24:28].view(np.dtype("int32"))
        self.sums = self._state[32 : 32 + 8 * n].view(np.dtype("float64"))
        self.totals = self._state[32 + 8 * n :].view(dtype)  # loss, penalties, metrics
        self.loss, self.penalty, *self.metrics = (self.totals[i : i + 1] for i in range(n))
        self.updates, self.batch = self.counters[:1], self.counters[2:]
        self.step = self._state[8:16].view(np.dtype("uint64"))

    def set(self, learning_rate: float, update: int, step: int, batch: int | None) -> None:
        """Bring what the host counts to the device, where it is not there yet; batch is None where nobody reads it."""
        there = self._there.get("counters")
        counters = update, step, there[2] if batch is None and there else batch or 0
        if self._there.get("learning_rate") != learning_rate:
            self.backend.upload(self.learning_rate, learning_rate)
        if there != counters:
            self.backend.upload(self.counters, np.array(counters))
        self._there = {"learning_rate": learning_rate, "counters": counters}

    def counted(self, steps: int, updates: int) -> None:
        """The device has made so many steps and updates, and counted by itself."""
        update, step, batch = self._there["counters"]
        self._there["counters"] = update + updates, step + steps, batch + steps

    def begin(self, sums: Sequence[float]) -> None:
        """Let steps add to these sums, and allow steps again."""
        self.backend.upload(self._state[24:], 0)
        if any(sums):
            self.backend.upload(self.sums, np.array(sums))

    def read(self) -> tuple[list[int], list[float], list[float], bool]:
        """The counters, the sums, the batch's totals, and whether all was finite; waits for the device."""
        values, n = self._form.unpack(self.backend.download(self._state).tobytes()), len(self.totals)
        finite = not values[3]
        if not finite:
            self._there.pop("counters", None)
        return list(values[:3]), list(values[4 : 4 + n]), list(values[4 + n :]), finite
