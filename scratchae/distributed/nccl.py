"""Processes with a GPU each: sums by NCCL (docs.nvidia.com/deeplearning/nccl), from GPU to GPU.

Written to the documentation of cupy.cuda.nccl and tested against a stand-in: so far it has run on no GPU.
"""

from __future__ import annotations

from typing import Any

from ..backend import Backend
from ..kernels import Array
from .processes import Processes


class Gpus(Processes):
    """The processes of MPI, with `sum` on the stream of the kernels around it, and so in their order.

    `broadcast` and `gather`, used once a fit and once an epoch, go through the host as ever. Steps of several processes
    are launched kernel by kernel, not recorded. Raises RuntimeError where CuPy finds no NCCL, and what NCCL raises: for
    two processes on one GPU, above all.
    """

    def __init__(self, comm: Any, machine: Any):
        super().__init__(comm)
        from cupy.cuda import nccl

        if not nccl.available:
            raise RuntimeError(
                "several processes on device='cuda' need NCCL, which CuPy does not find: "
                "pip install nvidia-nccl-cu13 (or nvidia-nccl-cu12), or train with one process"
            )
        self.nccl, self.stream = nccl, machine.stream
        name = comm.bcast(nccl.get_unique_id() if comm.rank == 0 else None)
        self.communicator = nccl.NcclCommunicator(comm.size, name, comm.rank)

    def sum(self, backend: Backend, array: Array) -> None:
        pointer, nccl = array.data.ptr, self.nccl
        self.communicator.allReduce(pointer, pointer, array.size, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, self.stream.ptr)
