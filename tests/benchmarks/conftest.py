"""CuPy's side of the GPU's benchmark, on the stand-in of tests/kernels/test_cuda_machine.py."""

import sys

import pytest

from benchmarks.gpu.device import CupyDevice, open_device
from scratchae.kernels.cuda.emulator import unavailable


@pytest.fixture
def cupy_device(monkeypatch):
    """The device "cuda" on the stand-in, with what only a benchmark asks for."""
    if unavailable():
        pytest.skip(unavailable())
    from tests.kernels import test_cuda_machine as stand_in

    cupy, clock = stand_in.StandIn(), iter(range(10**9))

    class Event(stand_in.Event):
        def record(self, stream):
            super().record(stream)
            assert stream.capture is None
            if stream is device.stream:  # and not one that brings data
                self.at = next(clock)

    def memcpy(target, source, size, kind, stream):
        assert (kind, stream) == ("on the device", 5)
        cupy.do(lambda: copied.append(size))

    def matmul(a, b, out):
        assert cupy.current is device.stream
        cupy.do(lambda: out._array.write(a._array.read() @ b._array.read()), a, b, out)

    copied = []
    cupy.copied, cupy.matmul, cupy.cuda.Event = copied, matmul, Event
    cupy.cuda.get_elapsed_time = lambda begin, end: 1000.0 * (end.at - begin.at)
    cupy.cuda.runtime.memcpyAsync, cupy.cuda.runtime.memcpyDeviceToDevice = memcpy, "on the device"
    cupy.cuda.runtime.deviceSynchronize = cupy.synchronize
    monkeypatch.setattr(stand_in.Stream, "ptr", 5, raising=False)
    monkeypatch.setattr(stand_in.ndarray, "__cuda_array_interface__", {})  # which fit asks for
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(stand_in.launcher, "_machines", {})
    stand_in.forget()
    device = open_device("cuda")
    assert isinstance(device, CupyDevice)
    yield device
    stand_in.forget()
