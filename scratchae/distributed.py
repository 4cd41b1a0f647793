"""Several processes that train one model: each takes a share of every batch, and their gradients are added up.

    mpirun -n 4 scratchae train convolutional           # the command does all of it by itself
    mpirun -n 4 python script.py                        # a script begins with

    import scratchae
    processes = scratchae.distributed.start()           # without mpirun one process, and nothing changes
    ...                                                 # every process makes the same model and opens the same data
    auto.fit(x, x, batch_size=256)                      # together: 256 samples a step, 64 of them in each of four
    if processes.rank == 0:
        auto.save_weights("auto.safetensors")

`fit` is what the processes do together; evaluate, predict and train_on_batch are each process's own affair.

The weights come out as those of one process with the same batch size, but for the order in which float32 numbers are
added. From run to run with as many processes they are the same bits: MPI_Allreduce is to give the same result whenever
it gets the same arguments (MPI 4.1, 6.9.1), and MPI libraries choose its algorithm by the number of processes and of
elements. Sums in an order of our own (all-to-all, sum by rank, all-gather) took two to three times as long.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from . import config
from .backend import Backend
from .kernels import Array

if TYPE_CHECKING:
    from .data import Data
    from .model import Model

SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")  # set by Open MPI, MPICH and Intel MPI, MVAPICH
PATIENCE = 5.0  # seconds within which an error that all processes meet has reached all of them


class Group:
    """The processes that train together, `size` of them, of which this one is number `rank`: here one by itself."""

    rank, size = 0, 1

    def share(self, n: int) -> tuple[int, int]:
        """Where the part that this process takes of n samples begins and ends; with few samples it may be empty."""
        return n * self.rank // self.size, n * (self.rank + 1) // self.size

    def begin(self, model: Model, sets: Sequence[Data | None], *numbers: int) -> None:
        """Before the first step: see to it that all processes begin with the same."""

    def add_up(self, model: Model, n: int, gradients: bool) -> None:
        """Make of each process's share of n samples the totals, and the gradients, of all of them."""

    def check(self, model: Model) -> None:
        """Raise RuntimeError if the processes no longer have the same weights."""

    def any(self, value: bool) -> bool:
        """Whether it is so in one of the processes."""
        return value

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is raised in here is raised in all processes alike, or ends them all."""
        yield

    def report(self, error: BaseException, say: Callable[[], None]) -> None:
        """Say what went wrong: once if all processes failed in the same way. If others go on, end them."""
        say()


ALONE = Group()


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
    """A number that differs where the first or the last sample does."""
    rows = [np.asarray(array[i]) for array in data.arrays() for i in (0, data.n - 1)]
    return crc32(b"".join(row.tobytes() for row in rows))


# ---- which processes there are --------------------------------------------------------------------------------------
_world: Group = ALONE
_gpus: Group | None = None  # the same processes, whose arrays are on GPUs


def world() -> Group:
    """All processes, after `start`; before it this one alone."""
    return _world


def group_on(backend: Backend) -> Group:
    """The processes as they add up what lies on this device."""
    global _gpus
    if not isinstance(_world, Processes) or backend.name != "cuda":
        return _world
    if _gpus is None:
        from .nccl import Gpus

        _gpus = Gpus(_world.comm, backend.machine)
    return _gpus


def say(text: str) -> None:
    """Print, in the first process only."""
    if _world.rank == 0:
        print(text)


def start() -> Group:
    """Join the processes that mpirun has started, and let `fit` train with all of them; returns what has `rank` and
    `size`. To be called first, before models are made: seeds are shared here, cores and GPUs divided.

    Without mpirun, or with one process, nothing changes. Where processes are started otherwise, import mpi4py.MPI
    before. An error that no one catches in one process ends all of them. Each process of a machine has its part of the
    cores for its threads, unless NUMBA_NUM_THREADS is set, and a GPU of its own of those in CUDA_VISIBLE_DEVICES.

    Raises ImportError without mpi4py, RuntimeError if mpi4py is for another MPI than mpirun's.
    """
    global _world
    started = max(int(os.environ.get(name, "1")) for name in SIZES)
    if _world is not ALONE or (started == 1 and "mpi4py.MPI" not in sys.modules):
        return _world
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError(
            f"{started} processes were started, and mpi4py, by which they train together, can't be imported ({error}): "
            "pip install 'scratchae[mpi]'"
        ) from error
    comm = MPI.COMM_WORLD
    if started > 1 and comm.size == 1:
        raise RuntimeError(
            f"mpirun started {started} processes, of which mpi4py sees one: it is made for another MPI than mpirun's, "
            f"{MPI.Get_library_version().splitlines()[0]}. pip install --no-binary mpi4py --force-reinstall mpi4py "
            "makes it for the one that is here"
        )
    if comm.size > 1:
        _world = processes = Processes(comm)
        config.share_seeds(comm.bcast)
        neighbours = comm.Split_type(MPI.COMM_TYPE_SHARED)  # on this machine
        divide_cores(neighbours.size)
        choose_gpu(neighbours.rank)
        usual = sys.excepthook
        sys.excepthook = lambda kind, error, trace: processes.report(error, lambda: usual(kind, error, trace))
    return _world


def divide_cores(processes: int) -> None:
    """Let Numba use as many threads as there are cores for each process of this machine."""
    if "NUMBA_NUM_THREADS" in os.environ:
        return
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, min(allowed, (os.cpu_count() or 1) // processes))
    if "numba" not in sys.modules:
        os.environ["NUMBA_NUM_THREADS"] = str(threads)  # read when it is imported, and must not change after that
    else:
        import numba

        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))


def choose_gpu(number: int) -> None:
    """Leave one GPU to be seen, read when CUDA begins: of those allowed, or of all, the one of this number."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = allowed.split(",") if allowed is not None else None
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)] if devices else str(number)
