"""machine.py without a GPU: a stand-in takes CuPy's place. It refuses what CuPy refuses, and also what CuPy takes and
a GPU does not forgive; its kernels run on the emulator."""

import ctypes
import sys
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import scratchae
from scratchae import backend
from scratchae.datasets.rows import Scaled
from scratchae.kernels.cuda import launcher
from scratchae.kernels.cuda.data_set import DataSet
from scratchae.kernels.cuda.emulator import Array, Emulator, KernelError
from scratchae.kernels.cuda.emulator import unavailable as no_emulator
from scratchae.kernels.cuda.emulator.array import only_views
from scratchae.kernels.cuda.launcher import Source
from scratchae.kernels.cuda.machine import Gpu, unavailable
from tests.test_devices import AUTOENCODERS, assert_same_bits, make, waves

if no_emulator():
    pytest.skip(no_emulator(), allow_module_level=True)

NUMBERS = {np.dtype(code).type for code in "?bhilqBHILQefdFD"}  # that CuPy gives to a kernel as they are


# ---- the stand-in: arrays -------------------------------------------------------------------------------------------
class CUDARuntimeError(RuntimeError):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Memory:
    """What views of an array share: the last work on it."""

    stream, number = None, 0


class MemoryPointer:
    def __init__(self, owner):
        self._owner, self.ptr = owner, owner._array.addresses[0]
        owner._cupy.pointed[self.ptr, owner.dtype] = owner

    def copy_from_host_async(self, mem, size, stream=None):
        owner, pinned = self._owner, self._owner._cupy.pinned[mem]  # of other memory it would wait, or be wrong
        assert size == owner.nbytes <= len(pinned)
        with stream:
            there = np.frombuffer(pinned, owner.dtype, owner.size).reshape(owner.shape)
            owner._cupy.do(lambda: owner._array.write(there), owner)


class ndarray:  # noqa: N801
    """cupy.ndarray without what would wait for the GPU, or launch kernels of CuPy's, behind one's back."""

    __hash__ = None
    __array_ufunc__ = None

    def __init__(self, cupy, array, memory):
        self._cupy, self._array, self._memory = cupy, array, memory

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    nbytes = property(lambda self: self._array.nbytes)
    flags = property(lambda self: self._array.flags)
    data = property(lambda self: MemoryPointer(self))

    @property
    def __cuda_array_interface__(self):
        raise AssertionError("CuPy's own arrays are taken as they are")

    def __len__(self):
        return len(self._array)

    def __array__(self, dtype=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __getitem__(self, index):
        return ndarray(self._cupy, self._array[only_views(index)], self._memory)

    def view(self, dtype=None):
        return ndarray(self._cupy, self._array.view(dtype), self._memory)

    def reshape(self, *shape):
        return ndarray(self._cupy, self._array.reshape(*shape), self._memory)

    def fill(self, value):
        if type(value) is not self.dtype.type:
            raise TypeError(f"{value!r} has to be converted to {self.dtype} first: which way is CuPy's affair")
        self._cupy.do(lambda: self._array.write(value), self)

    def set(self, arr, stream=None):
        self._cupy.live("set")
        if type(arr) is not np.ndarray:
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self.flags.c_contiguous or self.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        arr = arr.copy()  # pageable memory is read before the call returns
        with stream or nullcontext():
            self._cupy.do(lambda: self._array.write(arr), self)

    def get(self, stream=None, order="C", out=None, blocking=True):
        self._cupy.live("get")
        if not self.flags.c_contiguous:
            self._cupy.do(lambda: None, self)  # a copy, on the current stream whichever is given
        with stream or nullcontext():
            self._cupy.do(lambda: None, self)
            self._cupy.current.synchronize()
        return self._array.read()

    def astype(self, dtype):
        return self._cupy.copy_of(self, dtype)


# ---- kernels --------------------------------------------------------------------------------------------------------
class RawKernel:
    def __init__(self, cupy, source, name):
        self.cupy, self.source, self.name = cupy, source, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        assert type(grid) is tuple
        assert type(block) is tuple
        values, arrays = [], []
        for p, value in zip(self.source.kernels[self.name], args, strict=True):
            if isinstance(value, ndarray):
                assert p.pointer
                assert value.dtype == p.dtype
                assert value.flags.c_contiguous
                arrays.append(value)
                values.append(value._array)
                continue
            if p.members:
                values.append(self.structs(p, value, arrays))
                continue
            assert type(value) in NUMBERS, f"{self.name}: {p.name} is {value!r}, which CuPy can't pass on"
            if p.pointer:  # CuPy would read as many bytes of the number as a pointer has
                assert value.nbytes == 8
                assert value == 0
                values.append(None)
            else:
                assert value.dtype == p.dtype
                values.append(value)
        run, source = self.cupy.emulator.launch, self.source
        self.cupy.do(lambda: run(source, self.name, grid, block, values, shared_mem), *arrays)

    def structs(self, parameter, value, arrays):
        """What the bytes of a Many stand for; its arrays are those whose addresses have been asked for."""
        assert type(value) is np.ndarray
        assert value.size == 1
        assert value.dtype == parameter.dtype
        found = []
        for struct in value["at"][: value["count"]]:
            members = []
            for p, number in zip(parameter.members, struct, strict=True):
                if p.pointer and number:
                    arrays.append(self.cupy.pointed[int(number), p.dtype])
                    members.append(arrays[-1]._array)
                else:
                    members.append(None if p.pointer else number)
            found.append(tuple(members))
        return found


class RawModule:
    def __init__(self, cupy, source, options):
        self.cupy, self.source = cupy, source
        assert type(options) is tuple
        self.options = options

    def get_function(self, name):
        self.cupy.functions.append((self.source.text, name, self.options))
        if name not in self.source.kernels:
            raise RuntimeError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        return RawKernel(self.cupy, self.source, name)


# ---- streams --------------------------------------------------------------------------------------------------------
class Stream:
    def __init__(self, cupy, non_blocking=False):
        self.cupy, self.non_blocking = cupy, non_blocking
        self.waited = 0  # works up to this one are known to be done
        self.seen = {}  # those of other streams that are done before what follows here
        self.capture = None
        self.queue = []  # works still to do: a GPU may be as late as it likes

    def __enter__(self):
        self.cupy.streams.append(self)
        return self

    def __exit__(self, *_):
        assert self.cupy.streams.pop() is self

    def synchronize(self):
        self.cupy.live("a wait")
        self.waited = self.cupy.works
        self.catch_up(self.cupy.works)

    def wait_event(self, event):
        if event.stream is not None:
            self.seen[event.stream] = event.number
            with self:
                self.cupy.do(lambda stream=event.stream, number=event.number: stream.catch_up(number))

    def catch_up(self, number):
        while self.queue and self.queue[0][0] <= number:
            self.queue.pop(0)[1]()

    def begin_capture(self, mode=None):
        assert self.non_blocking, "work on the default stream would end the capture"
        assert self.capture is None
        self.capture = []

    def end_capture(self):
        self.capture, works = None, self.capture
        return Graph(self.cupy, works)


class Event:
    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.stream, self.number = None, 0

    def record(self, stream=None):
        self.stream, self.number = stream, stream.cupy.works

    def synchronize(self):
        if self.stream is not None:
            self.stream.waited = max(self.stream.waited, self.number)
            self.stream.catch_up(self.number)


class Graph:
    def __init__(self, cupy, works):
        self.cupy, self.works = cupy, works

    def launch(self, stream=None):
        assert stream.capture is None
        self.cupy.replays += 1
        with stream:
            for action, arrays in self.works:
                self.cupy.do(action, *arrays)


# ---- the module -----------------------------------------------------------------------------------------------------
class StandIn(ModuleType):
    """The module cupy. `driver` and `built` are CUDA versions, `free` bytes of memory."""

    __version__ = "14.2.0"
    ndarray = ndarray

    def __init__(self):
        super().__init__("cupy")
        self.emulator = Emulator()
        self.driver, self.built, self.count, self.free = 13020, 13020, lambda: 1, 2**30
        self.works, self.replays, self.memories, self.pinned, self.functions = 0, 0, {}, {}, []
        self.pointed = {}  # address and type -> the array that was last asked for its address
        self.late = False  # whether work is done when somebody waits for it, and not before
        self.streams = [Stream(self)]
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(
                CUDARuntimeError=CUDARuntimeError,
                getDeviceCount=lambda: self.count(),
                driverGetVersion=lambda: self.driver,
                runtimeGetVersion=lambda: self.built,
                memGetInfo=lambda: (self.free, 2**32),
                getDeviceProperties=lambda device: {
                    0: {"name": b"NVIDIA H100 80GB HBM3", "totalGlobalMem": 85_000_000_000, "major": 9, "minor": 0}
                }[device],
            ),
            nvrtc=SimpleNamespace(getVersion=lambda: (13, 2)),
            Device=lambda: SimpleNamespace(id=0, synchronize=self.synchronize),
            Stream=lambda non_blocking=False: Stream(self, non_blocking),
            Event=Event,
            alloc_pinned_memory=self.alloc_pinned_memory,
        )

    # ---- work, in the order of streams ----
    @property
    def current(self):
        return self.streams[-1]

    def synchronize(self):
        self.live("a wait")
        self.streams[0].waited = self.everywhere = self.works
        assert not self.late, "whose work this waits for is not written down"

    everywhere = 0

    def live(self, what):
        if self.current.capture is not None:
            raise CUDARuntimeError(900, f"cudaErrorStreamCaptureUnsupported: {what}")

    def do(self, action, *arrays):
        """Run it now or later, or let the stream capture it; its arrays must not be in use on another stream."""
        self.works += 1
        for memory in (array._memory for array in arrays):
            if memory.stream not in (None, self.current):
                done = max(memory.stream.waited, self.everywhere, self.current.seen.get(memory.stream, 0))
                assert memory.number <= done, "another stream is still at work"
            memory.stream, memory.number = self.current, self.works
        if self.current.capture is not None:
            self.current.capture.append((action, arrays))
        elif self.late:
            self.current.queue.append((self.works, action))
        else:
            action()

    # ---- arrays ----
    def empty(self, shape, dtype=float):
        self.live("an allocation")
        array = ndarray(self, self.emulator.empty(shape if isinstance(shape, tuple) else (shape,), dtype), Memory())
        self.memories[array.data.ptr] = array._memory
        self.do(lambda: None, array)  # what used the memory before did so on this stream
        return array

    def alloc_pinned_memory(self, size):
        memory = bytearray(size + 8)  # CuPy's is larger than what was asked for
        self.pinned[np.frombuffer(memory, np.uint8).ctypes.data] = memory
        return memory

    def zeros(self, shape, dtype=float):
        array = self.empty(shape, dtype)
        array.fill(array.dtype.type(0))
        return array

    def copy_of(self, array, dtype):
        copy = self.empty(array.shape, dtype)
        self.do(lambda: copy._array.write(array._array.read().astype(dtype)), array, copy)
        return copy

    def asarray(self, a):
        if isinstance(a, ndarray):
            return a
        interface = a.__cuda_array_interface__
        pointer, _ = interface["data"]
        shape, dtype = interface["shape"], np.dtype(interface["typestr"])
        strides = interface["strides"] or np.empty(shape, dtype).strides
        reach = dtype.itemsize + sum(s * (n - 1) for s, n in zip(strides, shape, strict=True))
        memory = np.frombuffer((ctypes.c_char * reach).from_address(pointer), np.uint8)
        there = np.ndarray(shape, dtype, memory, strides=strides)
        return ndarray(self, Array(self.emulator, there, None), self.memories[pointer])

    def from_dlpack(self, array, *, device=None, copy=None):
        return array.__dlpack__(stream=self.current)

    def ascontiguousarray(self, a, dtype=None):
        return a if a.flags.c_contiguous else self.copy_of(a, a.dtype)

    # ---- kernels ----
    def RawModule(self, *, code=None, path=None, options=()):  # noqa: N802
        assert (code is None) != (path is None)
        line = code.split("\n")[0]
        source = Source(line.split('"')[1].removesuffix(".cu") if line.startswith("#line") else "raw")
        source.text = code
        return RawModule(self, source, options)

    def RawKernel(self, code, name, options=()):  # noqa: N802
        return self.RawModule(code=code, options=options).get_function(name)


def forget():
    """What was found out about CuPy."""
    unavailable.cache_clear()
    for name in ("_loaded", "ops", "machine"):
        backend.CUDA.__dict__.pop(name, None)


@pytest.fixture
def cupy(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "cupy", stand_in)
    monkeypatch.setattr(launcher, "_machines", {})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    forget()
    yield stand_in
    forget()


@pytest.fixture
def gpu(cupy):
    made = Gpu()
    cupy.functions.clear()  # of the probe
    return made


# ---- why there is no GPU --------------------------------------------------------------------------------------------
INSTALL = "pip install 'scratchae[gpu-cuda13]' (or [gpu-cuda12] for a driver before 580)"


def fails(error):
    def function(*_, **__):
        raise error

    return function


def test_a_gpu_is_found_once(cupy):
    assert unavailable() == ""
    cupy.count = fails(AssertionError("asked again"))
    assert unavailable() == ""
    assert Gpu().cupy is cupy


def test_without_cupy(cupy, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert unavailable() == f"CuPy is not installed: {INSTALL}"
    with pytest.raises(RuntimeError, match=r"device='cuda' can't be used: CuPy is not installed: pip install"):
        Gpu()
    with pytest.raises(ValueError, match=r"device='cuda' can't be used: CuPy is not installed: pip install"):
        scratchae.set_device("cuda")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        (
            "try:\n    raise ImportError('libcudart.so.12: no such file\\nmore')\nexcept ImportError as error:\n"
            "    raise ImportError('\\n=====\\nFailed to import CuPy.\\n\\nIf you installed CuPy') from error",
            "ImportError: libcudart.so.12: no such file",
        ),
        ("raise ValueError('numpy.dtype size changed')", "ValueError: numpy.dtype size changed"),
    ],
)
def test_cupy_that_cannot_be_imported(cupy, monkeypatch, tmp_path, text, said):
    (tmp_path / "cupy.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy")
    assert unavailable() == f"CuPy fails when it is imported ({said}): {INSTALL}"


INSUFFICIENT = CUDARuntimeError(35, "cudaErrorInsufficientDriver: CUDA driver version is insufficient")
NO_DEVICE = CUDARuntimeError(100, "cudaErrorNoDevice: no CUDA-capable device is detected")


def test_without_a_driver(cupy):
    cupy.driver, cupy.count = 0, fails(INSUFFICIENT)
    assert unavailable() == "there is no NVIDIA driver (libcuda.so.1 is not found)"


def test_an_old_driver(cupy):
    cupy.driver, cupy.count = 12040, fails(INSUFFICIENT)
    assert unavailable() == (
        f"the NVIDIA driver is for CUDA 12.4 and this CuPy for 13.2: update the driver, or {INSTALL}"
    )


@pytest.mark.parametrize(("chosen", "end"), [(None, ""), ("", "; CUDA_VISIBLE_DEVICES is ''"), ("7", " is '7'")])
@pytest.mark.parametrize(
    ("count", "said"),
    [
        (fails(NO_DEVICE), "CUDA finds no device (cudaErrorNoDevice: no CUDA-capable device is detected)"),
        (lambda: 0, "there is a driver, but no device"),
    ],
)
def test_without_a_device(cupy, monkeypatch, chosen, end, count, said):
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    cupy.count = count
    reason = unavailable()
    assert reason.startswith(said)
    assert reason.endswith(end)
    assert ("CUDA_VISIBLE_DEVICES" in reason) == (chosen is not None)


@pytest.mark.parametrize(("built", "package"), [(13020, "nvidia-cuda-nvrtc"), (12090, "nvidia-cuda-nvrtc-cu12")])
def test_without_nvrtc(cupy, built, package):
    cupy.built = cupy.driver = built
    cupy.cuda.nvrtc.getVersion = fails(RuntimeError('Failure finding "libnvrtc.so"\nNo such file\n'))
    assert unavailable() == (
        f'NVRTC, which compiles the kernels, is not found (Failure finding "libnvrtc.so"): pip install {package}'
    )


@pytest.mark.parametrize(
    ("broken", "error", "said"),
    [
        ("RawKernel", ValueError("\nkern.cu(1): error: no\nmore"), "(ValueError: kern.cu(1): error: no)"),
        (
            "zeros",
            MemoryError("Out of memory allocating 512 bytes"),
            "(MemoryError: Out of memory allocating 512 bytes)",
        ),
    ],
)
def test_a_probe_that_fails(cupy, monkeypatch, broken, error, said):
    monkeypatch.setattr(cupy, broken, fails(error))
    assert unavailable() == f"a kernel of one line fails {said}"


def test_a_probe_with_another_result(cupy, monkeypatch):
    monkeypatch.setattr(cupy, "RawKernel", lambda code, name: lambda grid, block, args: None)
    assert unavailable() == "a kernel of one line gives [0.0, 0.0, 0.0, 0.0], not [0, 1, 2, 3]"


# ---- what it is ------------------------------------------------------------------------------------------------------
def test_describe(gpu):
    assert gpu.describe() == "NVIDIA H100 80GB HBM3, 79 GiB, compute capability 9.0, CuPy 14.2.0, CUDA 13.2"


def test_warm_up(gpu, cupy):
    said = []
    gpu.warm_up(said.append)
    sources = launcher.sources()
    assert said == [f"{i + 1} of {len(sources)}: {source.name}" for i, source in enumerate(sources)]
    assert [name for _, name, _ in cupy.functions] == [name for source in sources for name in source.kernels]
    assert {text for text, *_ in cupy.functions} == {source.text for source in sources}
    assert {options for *_, options in cupy.functions} == {("-std=c++17",)}


# ---- memory ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint64", "uint8"])
@pytest.mark.parametrize("value", [0, 3, 3.0, True, np.float64(3), np.int64(3), np.array(3)])
def test_numbers_are_written_everywhere(gpu, dtype, value):
    array = gpu.empty((2, 3), np.dtype(dtype))
    gpu.upload(array, value)
    assert gpu.download(array).dtype == dtype
    np.testing.assert_array_equal(gpu.download(array), np.full((2, 3), int(value)))


def test_large_and_odd_numbers_are_written(gpu):
    for dtype, value in (("uint64", 2**63 + 5), ("int64", -(2**62)), ("float32", np.nan), ("float32", 1e-3)):
        array = gpu.empty((1,), np.dtype(dtype))
        gpu.upload(array, value)
        np.testing.assert_array_equal(gpu.download(array), np.array([value], dtype))


def test_arrays_are_copied_both_ways(gpu, rng):
    value = rng.random((4, 6))[::2, ::-1]
    array = gpu.empty((2, 6), np.dtype("float32"))
    gpu.upload(array, value)
    np.testing.assert_array_equal(gpu.download(array), value.astype("float32"))
    np.testing.assert_array_equal(gpu.download(array[:, 1:3]), value[:, 1:3].astype("float32"))
    downloaded = gpu.download(array)
    downloaded[...] = 0
    assert gpu.download(array).all()
    with pytest.raises(ValueError, match="Shape mismatch"):
        gpu.upload(array, value.T)


def test_scratch_memory_grows_and_is_kept(gpu):
    small, other = gpu.scratch(10), gpu.scratch(10, 1)
    assert small.dtype == np.float32
    assert small.shape == (10,)
    assert gpu.scratch(4).data.ptr == small.data.ptr != other.data.ptr
    assert gpu.scratch(100).shape == (100,)
    assert gpu.scratch(10).data.ptr == gpu.scratch(100).data.ptr
    assert gpu.scratch(10, 1).data.ptr == other.data.ptr


@pytest.mark.parametrize(
    ("data", "dtype", "scale"),
    [
        (np.arange(12, dtype="uint8").reshape(3, 4), "uint8", 1),
        (np.arange(12, dtype="float64").reshape(3, 4), "float32", 1),
        (np.arange(12, dtype="int16").reshape(3, 4), "float32", 1),
        (Scaled(np.arange(12, dtype="uint8").reshape(3, 4), 0.5), "uint8", 0.5),
    ],
)
def test_data_sets_are_held_where_there_is_room(gpu, cupy, data, dtype, scale):
    needed = 12 * np.dtype(dtype).itemsize
    cupy.free = 2 * needed - 1  # half of it is for others
    assert gpu.hold(data) is data
    cupy.free = 2 * needed
    held = gpu.hold(data)
    assert isinstance(held, DataSet)
    assert (held.array.dtype, held.scale, held.shape) == (np.dtype(dtype), scale, (3, 4))
    np.testing.assert_array_equal(held[np.array([2, 0])], scale * np.arange(12).reshape(3, 4)[[2, 0]])
    assert gpu.hold(held) is held


# ---- data of a GPU ---------------------------------------------------------------------------------------------------
class Foreign:
    """An array of another library's, on the GPU, just written on that library's stream."""

    def __init__(self, cupy, value, step=1):
        self.mine = cupy.empty(value.shape, value.dtype)
        self.mine.set(np.ascontiguousarray(value))
        self.__cuda_array_interface__ = {
            "shape": value[:, ::step].shape,
            "typestr": value.dtype.str,
            "data": (self.mine.data.ptr, False),
            "strides": None if step == 1 else (value.strides[0], step * value.strides[1]),
            "version": 2,
        }


class Exporter:
    """An array that knows DLPack only."""

    def __init__(self, cupy, value, device=2):
        self.mine, self.device = cupy.empty(value.shape, value.dtype), device
        self.mine.set(value)

    def __dlpack_device__(self):
        return self.device, 0

    def __dlpack__(self, *, stream):
        assert stream is not self.mine._memory.stream
        self.mine._memory.stream.synchronize()  # as the protocol says
        return self.mine


@pytest.mark.parametrize("kind", [Foreign, Exporter])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int32", "bool"])
def test_data_is_borrowed(gpu, cupy, kind, dtype):
    value = (np.arange(12).reshape(3, 4) % 3).astype(dtype)
    data = kind(cupy, value)
    borrowed = gpu.borrow(data)
    assert isinstance(borrowed, DataSet)
    copied = dtype not in ("uint8", "float32")
    assert borrowed.dtype == ("float32" if copied else dtype)
    assert (borrowed.array.data.ptr != data.mine.data.ptr) == copied
    np.testing.assert_array_equal(np.asarray(borrowed), value)


def test_what_has_gaps_is_copied(gpu, cupy):
    value = np.arange(12, dtype="float32").reshape(3, 4)
    data = Foreign(cupy, value, step=2)
    borrowed = gpu.borrow(data)
    assert borrowed.array.flags.c_contiguous
    np.testing.assert_array_equal(np.asarray(borrowed), value[:, ::2])


def test_arrays_of_the_host_are_not_borrowed(gpu, cupy):
    for data in (np.zeros((3, 4), "float32"), [[1.0]], Exporter(cupy, np.zeros((3, 4)), device=1)):
        assert gpu.borrow(data) is None


# ---- kernels --------------------------------------------------------------------------------------------------------
def scaling(factor):
    return Source.of_text(
        "scaling",
        f"""
extern "C" __global__ void scale(float* y /*(n)*/, const float* x /*(n)*/, float by, int n, unsigned char more) {{
  extern __shared__ float unused[];
  for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = {factor} * by * (x ? x[i] : 1.f) + more;
}}
""",
    )


def test_launch(gpu, cupy):
    y, x = gpu.empty((5,), np.dtype("float32")), gpu.empty((5,), np.dtype("float32"))
    gpu.upload(x, np.arange(5.0))
    source = scaling("1.f")
    for _ in range(3):
        source.launch("scale", 1, 32, y, x, 0.5, 5, 7, shared=64)
    np.testing.assert_array_equal(gpu.download(y), 0.5 * np.arange(5) + 7)
    source.launch("scale", (1, 1), (8, 1), y, None, 0.5, 5, 7)
    np.testing.assert_array_equal(gpu.download(y), np.full(5, 7.5))
    assert len(cupy.functions) == 1  # for CuPy each of them is a module to look up and a function to load


def test_sources_of_one_name_are_told_apart(gpu):
    y = gpu.empty((5,), np.dtype("float32"))
    for factor in (2, 3):
        scaling(f"{factor}.f").launch("scale", 1, 32, y, None, 1.0, 5, 0)
        np.testing.assert_array_equal(gpu.download(y), np.full(5, factor))


def test_what_a_kernel_does_wrong_is_seen(gpu):
    # Without this the tests of whole steps below would prove less.
    y, x = gpu.empty((5,), np.dtype("float32")), gpu.empty((5,), np.dtype("float32"))
    with pytest.raises(KernelError, match="which nothing has written"):
        scaling("1.f").launch("scale", 1, 32, y, x, 1.0, 5, 0)


def test_record(gpu, cupy):
    y, x = gpu.empty((5,), np.dtype("float32")), gpu.empty((5,), np.dtype("float32"))
    source, value = scaling("1.f"), 3.0

    def work():
        gpu.upload(x, value)
        source.launch("scale", 1, 32, y, x, 2.0, 5, 0)

    work()
    again = gpu.record(work)
    value = 4.0  # numbers are those of the recording
    gpu.upload(y, 0)
    again()
    np.testing.assert_array_equal(gpu.download(y), np.full(5, 6.0))
    for action in (lambda: gpu.upload(x, np.zeros(5)), lambda: gpu.download(x), lambda: gpu.empty((5,), np.float32)):
        with pytest.raises(CUDARuntimeError, match="StreamCaptureUnsupported"):
            gpu.record(action)
        assert gpu.stream.capture is None


# ---- whole models ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["vanilla", "convolutional"])
def test_training_has_the_bits_of_the_emulator(cupy, kind):
    x = waves(11, AUTOENCODERS[kind][1])

    def trained(device, data):
        model = make(kind, device)
        losses = [model.train_on_batch(x, x) for _ in range(3)]
        history = model.fit(data, data, batch_size=4, epochs=2, verbose=0).history["loss"]
        assert model.device()[0].name == device
        return [
            np.array(losses + history),
            *model.get_weights(),
            model.predict(data),
            *model.loss_and_gradients(x, x)[1],
        ]

    expected = trained("cuda-emulator", x)
    assert_same_bits(trained("cuda", x), expected)
    assert cupy.replays
    borrowed = Foreign(cupy, x.reshape(len(x), -1))
    borrowed.__cuda_array_interface__["shape"] = x.shape
    assert_same_bits(trained("cuda", borrowed), expected)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("data", ["floats", "bytes", "floats and bytes"])
def test_data_without_room_comes_batch_by_batch(cupy, data, late):
    x = waves(30, (37,))
    images = Scaled((255 * x).astype("uint8"), 1 / 255)
    x, y = {"floats": (x, x), "bytes": (images, images), "floats and bytes": (x, images)}[data]

    def trained(device):
        model = make("vanilla", device)
        return [*model.fit(x, y, batch_size=4, epochs=3, verbose=0).history["loss"], *model.get_weights()]

    expected = trained("cuda-emulator")
    backend.CUDA.machine  # noqa: B018 the probe waits
    cupy.free, cupy.late = 0, late
    assert_same_bits(trained("cuda"), expected)
    assert cupy.replays > 15  # of 24 steps; each of two places, and of two sizes, needs two before its own
    assert len(cupy.pinned) == 4 * len({id(x), id(y)})


def test_a_model_moves_to_the_gpu_and_back(cupy):
    x = waves(5, (37,))
    model, staying = make("vanilla", "cuda-emulator"), make("vanilla", "cuda-emulator")
    for device in ("cuda", "cuda-emulator"):
        model.to(device)
        assert_same_bits([model.train_on_batch(x, x)], [staying.train_on_batch(x, x)])
    assert_same_bits(model.get_weights(), staying.get_weights())


# ---- the real CuPy, where it is installed ----------------------------------------------------------------------------
def test_cupy_has_what_the_stand_in_has():
    real = pytest.importorskip("cupy")

    def names(of):
        return [name for name in vars(of) if not name.startswith("_")]

    assert [name for name in names(ndarray) if not hasattr(real.ndarray, name)] == []
    assert [name for name in names(Stream) if name[0] != "c" and not hasattr(real.cuda.Stream, name)] == []
    assert [name for name in names(Event) if not hasattr(real.cuda.Event, name)] == []
    assert hasattr(real.cuda.MemoryPointer, "copy_from_host_async")
    assert hasattr(real.cuda, "alloc_pinned_memory")
    stand_in = StandIn()
    for path in ("runtime", "nvrtc"):
        module, other = getattr(real.cuda, path), getattr(stand_in.cuda, path)
        assert [name for name in names(other) if not hasattr(module, name)] == []
    for name in ("empty", "zeros", "asarray", "from_dlpack", "ascontiguousarray", "RawKernel", "__version__"):
        assert hasattr(real, name)
    assert isinstance(real.cuda.runtime.runtimeGetVersion(), int)
    error = real.cuda.runtime.CUDARuntimeError(35)
    assert error.status == 35
    assert str(error).startswith("cudaErrorInsufficientDriver")
    module = real.RawModule(code="", options=("-std=c++17",))  # compiled when a kernel is asked for
    assert hasattr(module, "get_function")
    assert hasattr(real.cuda.Graph, "launch")


def test_the_reason_is_one_line():
    unavailable.cache_clear()
    assert "\n" not in unavailable()
