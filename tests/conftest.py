import os

import numpy as np
import pytest

import scratchae
from scratchae.backend import BACKENDS

numba = pytest.importorskip("numba")
# With as many test processes as cores, further threads would wait for each other.
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else numba.config.NUMBA_NUM_THREADS


@pytest.fixture(autouse=True)
def fresh_session():
    """Each test starts with the same seed, names, float type, device and threads, and leaves no settings behind."""
    numba.set_num_threads(THREADS)
    scratchae.set_device("cpu")
    scratchae.set_random_seed(7)
    scratchae.clear_session()
    yield
    scratchae.set_floatx("float32")


@pytest.fixture
def float64():
    """Layers compute in float64, for comparisons that are to be tight."""
    scratchae.set_floatx("float64")


@pytest.fixture
def rng():
    return np.random.default_rng(42)


@pytest.fixture(params=["cuda-emulator", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """Where CUDA kernels run: the emulator, and a GPU if that is asked for."""
    reason = BACKENDS[request.param].unavailable()
    if reason:
        pytest.skip(reason)
    return request.param
