"""Batches as training steps take them: rows of the host, or what a recorded step finds on the device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .data import Data
from .distributed import ALONE, Group

if TYPE_CHECKING:
    from .model import Model


class Turn(NamedTuple):
    """A batch of an order of rows: its number there, and the size of all but the last."""

    order: np.ndarray
    batch: int
    size: int

    @property
    def rows(self) -> np.ndarray:
        return self.order[self.batch * self.size : (self.batch + 1) * self.size]


def in_groups(turns: Iterable[Turn], size: int) -> Iterator[list[Turn]]:
    """So many at a time of those that follow each other in one order; the last batch of a pass is alone if it has fewer
    rows."""
    group: list[Turn] = []
    for turn in turns:
        whole = len(turn.rows) == turn.size
        if group and (turn.order is not group[0].order or not whole):
            yield group
            group = []
        group.append(turn)
        if len(group) == size or not whole:
            yield group
            group = []
    if group:
        yield group


class Feed:
    """Data on its way to the steps of a model.

    Where steps are recorded, their data must lie at one place. A data set for which there is room lies on the device,
    and so does the order of an epoch, from which a step takes the rows whose turn it is. Of any other, and of
    `train_on_batch`'s, each batch goes there by a conveyor, to one place or another.
    """

    def __init__(self, model: Model, data: Data, hold: bool, group: Group = ALONE):
        self.model, self.original, self.data, self.group = model, data, data, group
        self.backend, _ = model.device()
        self.records = self.backend.holds_data and model.records and model.recordable
        self.records &= group.size == 1  # what happens between processes can't be recorded
        if self.records and hold:
            self.data = data.held(self.backend)
        self.on_device = self.records and self.data.is_held()
        self._order: np.ndarray | None = None  # what `_device_order` holds
        self._device_order: Any = None

    def take(self, turn: Turn) -> tuple[Data, Any]:
        """The data and the rows to give to a step."""
        if not self.records:
            return self.data, turn.rows
        if not self.on_device:
            return self._convey(turn.rows)
        order = turn.order
        if self._device_order is None or len(self._device_order) != len(order):
            self._device_order = self.backend.empty(order.shape, np.dtype("int64"))
        if self._order is not order:
            self.backend.upload(self._device_order, order)
            self._order = order
        index = self.model.numbers().batch
        return self.data, self.backend.holder.batch(len(turn.rows), turn.size, self._device_order, index)

    def take_all(self) -> tuple[Data, Any]:
        """All of the data in one batch."""
        rows = np.arange(self.data.n)
        if not self.records:
            return self.data, rows
        if self.on_device:
            return self.data, self.backend.holder.batch(len(rows), len(rows))
        return self._convey(rows)

    def _convey(self, rows: np.ndarray) -> tuple[Data, Any]:
        conveyed = self.data.conveyed(self.backend, rows, self.model.conveyors(self.backend))
        return conveyed, self.backend.holder.batch(len(rows), len(rows))
