"""Several processes: what they send to each other, and what becomes of errors."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from ..backend import Backend
from ..kernels import Array
from .group import Group

if TYPE_CHECKING:
    from ..data import Data
    from ..model import Model

PATIENCE = 5.0  # seconds within which an error that all processes meet has reached all of them


class Processes(Group):
    """Processes that MPI started. What they say to each other are three calls: `sum`, `broadcast` and `gather`."""

    def __init__(self, comm: Any):
        from mpi4py import MPI

        self.comm, self._in_place = comm, MPI.IN_PLACE
        self._failed = comm.Dup()  # so that what is said about errors doesn't meet an addition half way
        self.rank, self.size = comm.rank, comm.size

    # ---- the three calls --------------------------------------------------------------------------------------------
    def sum(self, backend: Backend, array: Array) -> None:
        """Replace an array by its sum over the processes."""
        on_host = isinstance(array, np.ndarray)
        there = array if on_host else backend.download(array)
        self.comm.Allreduce(self._in_place, there)
        if not on_host:
            backend.upload(array, there)

    def broadcast(self, backend: Backend, array: Array) -> None:
        """Replace an array by that of the first process."""
        there = backend.download(array)
        self.comm.Bcast(there)
        backend.upload(array, there)

    def gather(self, value: Any) -> list[Any]:
        """A small value of every process, in their order; returns when all have come here."""
        return self.comm.allgather(value)

    # ---- what fit makes of them -------------------------------------------------------------------------------------
    def begin(self, model: Model, sets: Sequence[Data | None], *numbers: int) -> None:
        """Compare what the processes were given, ValueError if that differs; then all take the first one's weights,
        state of the optimizer and counters."""
        store, optimizer = model.training_store(), model.optimizer
        assert optimizer is not None
        seeds = [layer.seed.generate_state(2).tolist() for layer in model._all_layers()]
        given = {
            "the data": [(data.n, digest(data)) for data in sets if data is not None],
            "the arguments of fit": numbers,
            "the weights' shapes": [p.shape for p in store.parameters],
            "the seeds": (seeds, model._shuffle_seed.generate_state(2).tolist()),
        }
        for what in given:
            if len({str(each) for each in self.gather(given[what])}) > 1:
                raise ValueError(
                    f"fit: the processes differ in {what}. Each is to call scratchae.distributed.start() first, then "
                    "make the same model with the same seed, and give fit the same arguments and all of the data, of "
                    "which it takes its share by itself"
                )
        for array in (store.values, *optimizer.state.values()):
            self.broadcast(store.backend, array)
        counters = optimizer.iterations, model._passes, model._predictions
        optimizer.iterations, model._passes, model._predictions = self.gather(counters)[0]

    def add_up(self, model: Model, n: int, gradients: bool) -> None:
        """One message: the gradients, and behind them the totals."""
        backend, totals = model.device()[0], model.numbers().totals
        if not gradients:
            self.sum(backend, totals)
            return
        store, (first, end) = model.training_store(), self.share(n)
        if first == end:
            backend.upload(store.gradients, 0)  # no backward has written them
        behind = store.message[len(store.gradients) :]
        backend.upload(behind, backend.download(totals))
        self.sum(backend, store.message)
        backend.upload(totals, backend.download(behind))

    def check(self, model: Model) -> None:
        store, optimizer = model.training_store(), model.optimizer
        assert optimizer is not None
        state = crc32(store.backend.download(store.values).data), optimizer.learning_rate
        states = self.gather((*state, model._predictions))
        others = [rank for rank, other in enumerate(states) if other[:2] != states[0][:2]]
        if others:
            raise RuntimeError(
                f"fit: after {optimizer.iterations} steps the weights or the learning rate of process {others[0]} are "
                "not those of process 0. Callbacks that change them must do the same in every process, and all "
                "processors must be of one kind"
            )
        model._predictions = states[0][2]  # a callback of the first process may have predicted

    def any(self, value: bool) -> bool:
        return True in self.gather(value)

    # ---- errors -----------------------------------------------------------------------------------------------------
    @contextmanager
    def together(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            if not self._all_failed():
                self._end(error)
            raise

    def report(self, error: BaseException, say: Callable[[], None]) -> None:
        if not self._all_failed():
            self._end(error)
        texts = self._failed.allgather(repr(error))
        if texts.index(repr(error)) == self.rank:
            say()
        self._failed.Barrier()  # the launcher may end all when the first one ends

    def _all_failed(self) -> bool:
        """Whether all processes ask this, soon enough."""
        all_asked, end = self._failed.Ibarrier(), time.monotonic() + PATIENCE
        while not all_asked.Test():
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def _end(self, error: BaseException) -> None:
        """The others wait for this process in an addition, and would do so forever."""
        traceback.print_exception(error)
        print(f"scratchae: process {self.rank} of {self.size} failed and ends the others", file=sys.stderr, flush=True)
        self.comm.Abort(1)


def digest(data: Data) -> int:
    """A number that differs where the first or the last sample does, or its weight."""
    arrays = [*data.arrays(), *([] if data.weight is None else [data.weight])]
    rows = [np.asarray(array[i]) for array in arrays for i in (0, data.n - 1)]
    return crc32(b"".join(row.tobytes() for row in rows))
