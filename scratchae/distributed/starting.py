"""Which processes there are, and which cores and GPU each has."""

from __future__ import annotations

import os
import sys

from .. import config
from ..backend import Backend
from .group import ALONE, Group
from .processes import Processes

SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")  # set by Open MPI, MPICH and Intel MPI, MVAPICH

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

    Raises ImportError without mpi4py, and where mpi4py is for another MPI than mpirun's.
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
        raise ImportError(
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
