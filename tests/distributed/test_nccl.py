"""nccl.py without a GPU: NCCL's place, and CuPy's, is taken by stand-ins."""

import ctypes
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import scratchae
from scratchae.autoencoders import vanilla
from scratchae.distributed import ALONE, starting
from scratchae.distributed.processes import Processes
from tests.kernels.test_cuda_machine import cupy  # noqa: F401 a fixture

NAME = tuple(range(-64, 64))  # signed bytes, as CuPy gives them


class Comm:
    """Process 0 of two, the other of which always has the same."""

    rank, size = 0, 2

    def Dup(self):  # noqa: N802
        return self

    def bcast(self, value):
        return value

    def Bcast(self, array):  # noqa: N802
        assert type(array) is np.ndarray

    def allgather(self, value):
        return [value, value]


class Nccl(ModuleType):
    """cupy.cuda.nccl with numbers of its own; it adds up what is on the emulator."""

    available, NCCL_FLOAT32, NCCL_SUM = True, 7, 0

    def __init__(self):
        super().__init__("cupy.cuda.nccl")
        self.made, self.streams, self.counts = [], set(), []

    def get_unique_id(self):
        return NAME

    def NcclCommunicator(self, ndev, commId, rank):  # noqa: N802
        self.made.append((ndev, commId, rank))
        return self

    def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):  # noqa: N802
        assert sendbuf == recvbuf
        assert (datatype, op) == (7, 0)
        array = np.frombuffer((ctypes.c_float * count).from_address(sendbuf), np.float32)
        array *= 2
        self.counts.append(count)
        self.streams.add(stream)


@pytest.fixture
def nccl(cupy, monkeypatch):  # noqa: F811
    module, mpi4py = Nccl(), ModuleType("mpi4py")
    mpi4py.MPI = SimpleNamespace(IN_PLACE=None)
    cupy.cuda.nccl = module
    monkeypatch.setitem(sys.modules, "cupy.cuda", cupy.cuda)
    monkeypatch.setitem(sys.modules, "mpi4py", mpi4py)
    monkeypatch.setattr(starting, "_world", Processes(Comm()))
    monkeypatch.setattr(starting, "_gpus", None)
    scratchae.set_device("cuda")
    gpu = scratchae.backend.get_backend("cuda").machine
    gpu.stream.ptr = 4711
    return module


def test_a_step_is_one_sum_on_the_stream_of_the_kernels(nccl, rng):
    """Each half of a batch holds the same samples: two halves with the same gradients are what one process has."""
    half = rng.random((4, 6), dtype=np.float32)
    x = np.concatenate([half, half])

    def train():
        scratchae.set_random_seed(1)
        auto = vanilla.autoencoder(6, [5], 2)[2]
        return auto.fit(x, x, epochs=3, batch_size=8, shuffle=False, verbose=0).history["loss"], auto

    losses, auto = train()
    message = len(auto.training_store().gradients) + 2  # with loss and penalty
    assert nccl.counts == [message] * 3
    assert (nccl.made, nccl.streams) == ([(2, NAME, 0)], {4711})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starting, "_world", ALONE)
        expected, one = train()
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    for a, b in zip(auto.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_without_nccl(nccl):
    nccl.available = False
    with pytest.raises(RuntimeError, match="need NCCL, which CuPy does not find: pip install nvidia-nccl-cu13"):
        vanilla.autoencoder(6, [5], 2)[2].fit(np.zeros((8, 6)), np.zeros((8, 6)), verbose=0)
