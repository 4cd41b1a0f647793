"""The emulator as a machine for CUDA kernels: what ../launcher.py expects of one."""

from __future__ import annotations

import ctypes
import os
import struct
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .. import launcher
from ..conveyor import Conveyor
from ..data_set import Batch, DataSet, hold
from ..launcher import Parameter, Source, packed, pointers
from . import build
from .array import Array
from .module import EXTENT, LOCK, ORDERS, KernelError, Launch, Module, Three, runtime

# One argument in eight bytes, the low ones first; of a Many where its bytes are.
SLOTS = {"float32": "f4x", "float64": "d", "int32": "i4x", "uint32": "I4x", "int64": "q", "uint64": "Q", "uint8": "B7x"}


ROOM = 2**28  # bytes of a data set that is worth a copy


class ProfileRow(NamedTuple):
    """The accesses of one line of a kernel, over all its launches."""

    kernel: str
    place: str
    memory: str  # "global" or "shared"
    access: str  # "read" or "write"
    bytes: int  # by a lane at once
    requests: int  # by warps
    per_request: float  # sectors of 32 bytes in global memory, turns in shared memory
    ideal: float  # the same if the lanes' elements lay side by side


class Emulator:
    """Runs CUDA kernels on the processor.

    check: look at every access; without it a wrong kernel may end the process, and a right one is many times faster.
    order: of blocks, and of threads between barriers: "forward", "reverse" or "random" (drawn from seed). A correct
        kernel does not depend on it.
    profile: count what the accesses would cost on a GPU, for `profile` and `format_profile`.

    `launches` counts how often each kernel has been launched.
    """

    def __init__(self, check: bool = True, order: str = "forward", seed: int = 0, profile: bool = False):
        if order not in ORDERS:
            raise ValueError(f"order={order!r}; expected one of {', '.join(map(repr, ORDERS))}")
        build.require()
        self.check, self.order, self.seed, self.profiling = check, order, seed, profile
        self.launches: Counter[str] = Counter()
        self._kernels: dict[tuple[Source, str], Kernel] = {}
        self._scratch: dict[int, Array] = {}
        self._recording: list[Callable[[], None]] | None = None
        self._sites: defaultdict[tuple, np.ndarray] = defaultdict(lambda: np.zeros(3, np.int64))

    # ---- memory -----------------------------------------------------------------------------------------------------
    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array that nobody has written: NaN, and an error if a kernel reads it."""
        self._live("memory is allocated")
        return Array.allocate(self, shape, dtype, marked=self.check)

    def upload(self, array: Array, value: Any) -> None:
        """Write an ndarray of the array's shape, or one number, into an array."""
        self._own(array)
        if isinstance(value, np.ndarray):
            if value.shape != array.shape:
                raise ValueError(f"an ndarray of shape {value.shape} cannot be uploaded into {array!r}")
            self._live("an ndarray is uploaded")
        elif not isinstance(value, int | float | np.generic):
            raise TypeError(f"upload takes an ndarray or a number, not a {type(value).__name__}")
        self._do(partial(self._write, array, value))

    def _write(self, array: Array, value: Any) -> None:
        self.launches["fill"] += not isinstance(value, np.ndarray)  # a kernel, too
        array.write(value)

    def download(self, array: Array) -> np.ndarray:
        """A copy of an array as an ndarray."""
        self._own(array)
        self._live("an array is downloaded")
        return array.read()

    def scratch(self, size: int, which: int = 0) -> Array:
        """float32 memory (size,) for partial sums: what it held is gone."""
        memory = self._scratch.get(which)
        if memory is None or memory.size < size:
            memory = self._scratch[which] = self.empty((size,), np.float32)
        part = memory[:size]
        self._do(part.forget)
        return part

    def hold(self, data: Any) -> Any:
        return hold(self, data, ROOM)

    def conveyor(self, data: Any, n: int) -> Conveyor:
        return Conveyor(self, data, n)

    def place(self, shape: tuple[int, ...], dtype: Any) -> Place:
        return Place(self, shape, dtype)

    def batch(self, n: int, size: int, order: Any = None, index: Any = None) -> Batch:
        return Batch(n, size, order, index)

    def reads(self, data: Any) -> bool:
        return False

    def record(self, work: Callable[..., None], *arrays: Any) -> Callable[..., None]:
        """As a GPU captures a graph: what may not be captured is an error, and numbers are those of now."""
        if self._recording is not None:
            raise RuntimeError("a step is being recorded already")
        recording = self._recording = []
        try:
            work(*arrays)
        finally:
            self._recording = None

        def again(*arrays: Any) -> None:
            for action in recording:
                action()

        return again

    def _do(self, action: Callable[[], None]) -> None:
        """Do it, or record it."""
        if self._recording is None:
            action()
        else:
            self._recording.append(action)

    def _live(self, what: str) -> None:
        if self._recording is not None:
            raise RuntimeError(f"{what} while a step is being recorded: a CUDA graph can't do that")

    def borrow(self, data: Any) -> Any:
        if isinstance(data, DataSet):
            return data
        return DataSet(data) if isinstance(data, Array) else None

    def _own(self, array: Any) -> None:
        if not isinstance(array, Array) or array.machine is not self:
            kind = "an array of another machine" if isinstance(array, Array) else f"a {type(array).__name__}"
            raise TypeError(f"expected an array of this emulator; got {kind}")

    # ---- kernels ----------------------------------------------------------------------------------------------------
    def launch(
        self, source: Source, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], values: list, shared: int
    ) -> None:
        """Run a kernel; KernelError if it does what it must not."""
        loaded = self._kernels.get((source, kernel))
        if loaded is None:
            module = load(source.name, source.text, tuple(source.kernels), self.check or self.profiling)
            loaded = self._kernels[source, kernel] = Kernel(module, kernel, source.kernels[kernel])
        if any(array is not None and array.machine is not self for _, array in pointers(loaded.parameters, values)):
            raise TypeError(f"{kernel} was given an array of another machine")
        if prod(block) > loaded.bound:
            raise KernelError(f"{kernel}: {prod(block)} threads; its __launch_bounds__ are {loaded.bound}")
        self._do(partial(self._run, loaded, grid, block, values, shared))

    def _run(self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], values: list, shared: int) -> None:
        self.launches[kernel.name] += 1
        launch = Launch(
            Three(*grid, *(1,) * (3 - len(grid))),
            Three(*block, *(1,) * (3 - len(block))),
            shared,
            ORDERS[self.order],
            self.seed + self.launches.total(),
            self.check,
            self.profiling,
        )
        with LOCK:
            kernel.run(launch, values)
            if self.profiling:
                self._count(kernel)

    def describe(self) -> str:
        """What it is, in words."""
        state = "every access checked" if self.check else "no checks"
        return f"CUDA kernels on the processor, by {build.compiler()}, {state}; machine code in {build.cache_folder()}"

    def warm_up(self, say: Callable[[str], None]) -> None:
        """Compile all sources of the package, as many at a time as there are cores."""
        sources = launcher.sources()
        watched = self.check or self.profiling
        build.runtime()  # which all of them need
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for i, name in enumerate(pool.map(lambda source: compiled(source, watched), sources)):
                say(f"{i + 1} of {len(sources)}: {name}")

    # ---- profile ----------------------------------------------------------------------------------------------------
    def _count(self, kernel: Kernel) -> None:
        """Add up what the runtime has counted in a launch."""
        number = 0
        while site := runtime().emulator_site(number):
            s = site.contents
            row = (kernel, s.code, "shared" if s.shared else "global", "write" if s.write else "read", s.bytes)
            self._sites[row] += np.array([s.requests, s.passes, s.ideal])
            number += 1

    def profile(self) -> list[ProfileRow]:
        """What the launches so far would have cost, line by line."""
        codes: defaultdict[Module, list[int]] = defaultdict(list)
        for kernel, code, *_ in self._sites:
            codes[kernel.module].append(code)
        places = {module: dict(zip(c, module.places(c), strict=True)) for module, c in codes.items()}
        lines: defaultdict[tuple, np.ndarray] = defaultdict(lambda: np.zeros(3, np.int64))
        for (kernel, code, *access), counts in self._sites.items():
            lines[kernel.name, places[kernel.module][code], *access] += counts
        return [
            ProfileRow._make((*line, int(requests), float(passes / requests), float(ideal / requests)))
            for line, (requests, passes, ideal) in lines.items()
        ]

    def format_profile(self) -> str:
        """The profile as a table."""
        rows = [["kernel", "line", "memory", "access", "bytes", "requests", "each takes", "could take"]]
        rows += [[*map(str, row[:6]), f"{row.per_request:.2f}", f"{row.ideal:.2f}"] for row in self.profile()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


class Place:
    """Memory for a batch, as conveyor.py has it: its copies take no time."""

    def __init__(self, machine: Emulator, shape: tuple[int, ...], dtype: Any):
        self.machine, self.array, self.host = machine, machine.empty(shape, dtype), np.empty(shape, dtype)

    def open(self) -> np.ndarray:
        return self.host

    def send(self) -> None:
        self.machine.upload(self.array, self.host)

    def close(self) -> None: ...


class Kernel:
    """A kernel of a loaded module, with what it takes."""

    def __init__(self, module: Module, name: str, parameters: tuple[Parameter, ...]):
        self.module, self.name, self.parameters = module, name, parameters
        self.function = module.library[f"launch_{name}"]
        self.bound = module.library[f"bound_{name}"]()
        by_address = [p.pointer or bool(p.members) for p in parameters]
        slots = ("Q" if far else SLOTS[p.dtype.name] for p, far in zip(parameters, by_address, strict=True))
        self.slots = struct.Struct("=" + "".join(slots))
        arrays = module.shared_arrays(name)
        self.shared, self.shared_count = b"".join(arrays), len(arrays)

    def run(self, launch: Launch, values: list) -> None:
        kept = [packed(p, v, begin) if p.members else v for p, v in zip(self.parameters, values, strict=True)]
        slots = [v if isinstance(v, np.generic) else begin(v) for v in kept]
        extents = [self.extent(parameter, array) for parameter, array in pointers(self.parameters, values)]
        launch.arguments, launch.argument_count = b"".join(extents), len(extents)
        launch.shared, launch.shared_count = self.shared, self.shared_count
        launch.values = self.slots.pack(*slots)
        launch.module, launch.module_end = self.module.begin, self.module.end
        if self.function(ctypes.byref(launch)):
            raise KernelError(self.message())

    def extent(self, parameter: Parameter, array: Array | None) -> bytes:
        """What the checker is told of an array."""
        name = self.module.address_of(parameter.name)
        if array is None:
            return EXTENT.pack(0, 0, 0, name, 0, 4)
        start, marks = array.addresses
        return EXTENT.pack(start, array.nbytes, marks, name, parameter.const, parameter.dtype.itemsize)

    def message(self) -> str:
        """What the runtime has found."""
        found = runtime().emulator_finding().contents
        what = found.what.decode()
        place = f"{found.file.decode()}:{found.line}" if found.file else self.module.places([found.code])[0]
        text = f"{self.name}: {what}; {place}, block {tuple(found.block)}, thread {tuple(found.thread)}"
        if found.other_code:
            text += f"; the other access: {self.module.places([found.other_code])[0]}"
        return text


def begin(value: Array | np.ndarray | None) -> int:
    """Where an array lies, or the bytes of a Many; 0 for a null pointer."""
    if value is None:
        return 0
    return value.ctypes.data if isinstance(value, np.ndarray) else value.addresses[0]


@cache
def load(name: str, text: str, kernels: tuple[str, ...], watched: bool) -> Module:
    """A source's library, once for all emulators of the process."""
    return Module(build.kernels(name, text, kernels, watched))


def compiled(source: Source, watched: bool) -> str:
    """Its name, when its library is there."""
    build.kernels(source.name, source.text, tuple(source.kernels), watched)
    return source.name
