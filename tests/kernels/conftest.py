import functools

import pytest
from cuda_arrays import emulator


@functools.cache
def gpu():
    from scratchae.kernels.cuda.machine import Gpu

    return Gpu()


@pytest.fixture(params=["forward", "reverse", "random", pytest.param("gpu", marks=pytest.mark.gpu)])
def machine(request):
    """What runs a test's CUDA kernels: the emulator with its checks on, in three orders of threads; a real GPU."""
    if request.param == "gpu":
        from scratchae.kernels.cuda.machine import unavailable

        if unavailable():
            pytest.skip(unavailable())
        return gpu()
    from scratchae.kernels.cuda.emulator import unavailable

    if unavailable():
        pytest.skip(unavailable())
    return emulator(request.param)
