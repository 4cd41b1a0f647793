"""Kernel calls on tape: written down once, and made again and again without Python.

From Python a call takes 1 to 3 us: the op makes views and chooses a kernel, and Numba looks at the type of each
argument and takes the arrays apart. A small model's step has 20 to 50 calls. What arrives at the machine code is the
same in every step, though, so a tape keeps that: for each call the address of the code and its arguments word by word,
an array being seven words or more. A player, some instructions for each list of types, puts the words to where machine
code expects them. Measured on two cores, batch 32: the kernels' part of a step of 784-32-784 takes 112 us from tape and
158 from Python, of the convolutional autoencoder 660 and 975.

Tried and lost: all threads going through the tape side by side, in one parallel region. To meet after each call takes
0.25 us, a region 1.6, but steps took as long, for they wait for what the other core has written; calls outside of tapes
took longer. (The convolutional autoencoder's kernels were compiled in 9 s instead of 14, for want of `prange`.)
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core.registry import cpu_target

from .jit import Kernel, recorder, refuse_if_forked

WORD = ir.IntType(64)
WORDS = WORD.as_pointer()
ADDRESS = 4  # which of an array's words it is
NOWHERE = 1 << 62  # beyond the addresses of every process


class Tape:
    """Calls in the order of their coming, and the arrays that they are about.

    Some of those may lie elsewhere every time. For each, `places` has the words with an address in it, and how far from
    its beginning.
    """

    def __init__(self, moving: Sequence[np.ndarray]) -> None:
        self.words: list[int] = []
        self.arrays: list[np.ndarray] = []
        self.places: list[list[tuple[int, int]]] = [[] for _ in moving]
        self.ranges = [range(a.ctypes.data, a.ctypes.data + a.nbytes) for a in moving]

    def add(self, kernel: Kernel, arguments: tuple) -> None:
        """A call with arguments of the types that the kernel is for."""
        kinds = kernel.signature.args
        self.words += [player(kinds), kernel.address()]
        for kind, value in zip(kinds, arguments, strict=True):
            if isinstance(value, np.ndarray):
                self.keep(value, len(self.words) + ADDRESS)
            self.words += words_of(kind, value)

    def keep(self, memory: np.ndarray, place: int) -> None:
        """See to it that the address in that word is good when the tape is played."""
        address = memory.ctypes.data
        for places, addresses in zip(self.places, self.ranges, strict=True):
            if address in addresses:
                places.append((place, address - addresses.start))
                return
        self.arrays.append(memory)


def record(work: Callable[..., None], *arrays: Sequence[np.ndarray]) -> Callable[..., None]:
    """Put the kernel calls of `work` on tape, without making them; what is returned makes them, with other arrays."""
    stand_ins = nowhere(arrays)
    tape = recorder.tape = Tape(list(chain(*stand_ins)))
    try:
        work(*stand_ins)
    finally:
        recorder.tape = None
    words = array("q", tape.words)
    (begin, count), play = words.buffer_info(), loop()
    end = begin + count * words.itemsize

    def again(*arrays: Sequence[np.ndarray]) -> None:
        refuse_if_forked()
        if tape.places:  # the tape is kept for as long as this function, and its arrays with it
            for places, memory in zip(tape.places, chain(*arrays), strict=True):
                address = start_of(memory)
                for place, offset in places:
                    words[place] = address + offset
        play(begin, end)

    return again if words else lambda *arrays: None


def start_of(memory: Any) -> int:
    """The address of an ndarray: memory.ctypes.data, in a quarter of its 0.9 us."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory)) if memory.flags.writeable else memory.ctypes.data


def nowhere(arrays: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
    """Arrays like these at addresses where there is no memory: to be written down, and not to be looked at. The real
    ones may be parts of each other, this time."""
    place, result = NOWHERE, [list(some) for some in arrays]
    for some in result:
        for i, real in enumerate(some):
            some[i] = np.asarray(Placed(real, place))
            place += real.nbytes + 64 - real.nbytes % 64
    return result


class Placed:
    """What NumPy makes an array of, like another but elsewhere."""

    def __init__(self, real: np.ndarray, address: int):
        self.__array_interface__ = {
            "shape": real.shape, "typestr": real.dtype.str, "data": (address, False), "version": 3
        }  # fmt: skip


def words_of(kind: types.Type, value: Any) -> list[int]:
    """An argument as machine code takes it. The first two words of an array, its owners, are none: the tape owns it."""
    if isinstance(kind, types.Array):
        return [0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides]
    return [int(np.float32(value).view(np.uint32)) if kind == types.float32 else int(value)]


@cache
def player(kinds: tuple[types.Type, ...]) -> int:
    """The address of a function words -> words: it calls what words[1] is the address of, a kernel for arguments of
    these types, with the words behind, and returns where the next call begins."""
    kernel = cpu_target.target_context.call_conv.get_function_type(types.void, kinds)
    function = ir.Function(ir.Module(), ir.FunctionType(WORDS, [WORDS]), "player")
    build = ir.IRBuilder(function.append_basic_block())
    words, (result, error, *parameters) = function.args[0], kernel.args

    def word(i: int) -> Any:
        return build.load(build.gep(words, [WORD(i)]))

    def argument(i: int, kind: ir.Type) -> Any:
        if isinstance(kind, ir.PointerType):
            return build.inttoptr(word(i), kind)
        return build.bitcast(build.trunc(word(i), ir.IntType(32)), kind) if isinstance(kind, ir.FloatType) else word(i)

    unused = [build.alloca(place.pointee) for place in (result, error)]  # kernels return nothing and raise nothing
    arguments = [argument(i, kind) for i, kind in enumerate(parameters, 2)]
    build.call(build.inttoptr(word(1), kernel.as_pointer()), [*unused, *arguments])
    build.ret(build.gep(words, [WORD(2 + len(parameters))]))
    return address_of(function)


@cache
def loop() -> Callable[[int, int], None]:
    """play(begin, end): calls the player whose address is at `begin`, and goes on where it says, up to the end."""
    function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), [WORDS, WORDS]), "loop")
    first, body, last = (function.append_basic_block() for _ in range(3))
    ir.IRBuilder(first).branch(body)
    build = ir.IRBuilder(body)
    words = build.phi(WORDS)
    player = build.inttoptr(build.load(words), ir.FunctionType(WORDS, [WORDS]).as_pointer())
    rest = build.call(player, [words])
    words.add_incoming(function.args[0], first)
    words.add_incoming(rest, body)
    build.cbranch(build.icmp_unsigned("<", rest, function.args[1]), body, last)
    ir.IRBuilder(last).ret_void()
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address_of(function))


def address_of(function: ir.Function) -> int:
    """Compile the function for this processor."""
    machine = binding.Target.from_default_triple().create_target_machine(opt=1)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(str(function.module)), machine)
    engine.finalize_object()
    ENGINES.append(engine)
    return engine.get_function_address(function.name)


ENGINES: list[Any] = []  # which own the functions
