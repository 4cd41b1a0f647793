"""CUDA kernels on a processor: the same .cu files, compiled by g++ and run block by block, with every access checked.

It is there so that kernels can be written, tested and read without a GPU. A kernel that reads past its arrays, races,
leaves out a barrier or uses memory that nobody has written ends in a `KernelError` that names the line. Numbers are
rounded once for each operation, which a GPU's compiler may do differently (it contracts a * b + c), and the time that
a kernel takes here says nothing; `Emulator(profile=True)` counts what a GPU would have to move.

What it does not have: waiting for other blocks, clusters, asynchronous copies, and PTX, which kernels wrap (see the end
of cuda_on_cpu.h).

    machine.py  the machine: launches, uploads, downloads        fibers.cpp     threads that can wait
    array.py    its memory                                       scheduler.cpp  blocks, warps, barriers
    build.py    g++, and where what it makes is kept             checker.cpp    every access
    module.py   a compiled source                                profiler.cpp   what accesses would cost
    cuda_on_cpu.h  CUDA's keywords and functions for g++
"""

from .array import Array
from .build import unavailable
from .machine import Emulator
from .module import KernelError

__all__ = ["Array", "Emulator", "KernelError", "unavailable"]
