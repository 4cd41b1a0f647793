"""What surrounds the device "cpu": no Numba, another float type, a forked process, and memory."""

import os
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

import scratchae
from scratchae import backend
from scratchae.autoencoders import convolutional, recurrent, vanilla

ROOT = Path(__file__).parents[1]
START = """
import os, sys, numpy as np, scratchae
from scratchae.autoencoders import vanilla
x = np.ones((200, 8))
auto = vanilla.autoencoder(8, [5], 3)[2]
"""


def run(code, *options):
    """A program in a process of its own."""
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


# ---- another float type ---------------------------------------------------------------------------------------------
def test_float64_runs_on_reference_and_says_so_once(float64, monkeypatch):
    monkeypatch.setattr(backend, "_replaced", set())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            auto = vanilla.autoencoder(8, [5], 3)[2]
            auto.fit(np.ones((4, 8)), np.ones((4, 8)), verbose=0)
            auto.to("cpu")
            assert auto.device() == (backend.REFERENCE, np.dtype("float64"))
    assert [str(warning.message) for warning in caught] == [
        "float64 runs on the device 'reference', in NumPy: the kernels of 'cpu' are for float32"
    ]


def test_float32_says_nothing(monkeypatch):
    monkeypatch.setattr(backend, "_replaced", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        auto = vanilla.autoencoder(8, [5], 3)[2]
        auto.to("reference")
        auto.to("cpu")
    assert auto.device() == (backend.CPU, np.dtype("float32"))


# ---- without Numba --------------------------------------------------------------------------------------------------
HIDE = {
    "not installed": """
import importlib.machinery, sys
class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in ("numba", "llvmlite") else super().find_spec(name, path, target)
sys.meta_path = [Finder if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
""",
    "switched off": "import sys\nsys.modules['numba'] = None\n",
}
WITHOUT_NUMBA = """
auto.fit(x, x, epochs=2, verbose=0)
print(vanilla.autoencoder(8, [5], 3)[2].to("reference").device()[0].name, auto.device()[0].name)
for attempt in (scratchae.set_device, auto.to):
    try:
        attempt("cpu")
    except ValueError as error:
        print(error)
print(auto.device()[0].name, sorted(name for name in sys.modules if name.split(".")[0] == "llvmlite"))
"""


@pytest.mark.parametrize("way", HIDE)
def test_without_numba_reference_runs_and_says_so_once(way):
    result = run(HIDE[way] + START + WITHOUT_NUMBA, "-W", "always")
    assert result.returncode == 0, result.stderr
    refusal = "device='cpu' can't be used: Numba is not installed: pip install numba, or use 'reference'"
    assert result.stdout.splitlines() == ["reference reference", refusal, refusal, "reference []"]
    assert result.stderr.count("Warning") == 1
    assert "UserWarning: Numba is not installed, so everything runs in NumPy on the device 'refer" in result.stderr


def test_a_device_that_is_not_there():
    names = "'auto', 'cpu', 'cuda', 'cuda-emulator', 'reference'"
    with pytest.raises(ValueError, match=f"device='gpu' is not there: use one of {names}"):
        scratchae.set_device("gpu")


# ---- forked processes -----------------------------------------------------------------------------------------------
FORK = """
pid = os.fork()
if pid == 0:
    code = 1
    try:
        child()
        code = 0
    finally:
        sys.stdout.flush()
        os._exit(code)
print("child:", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
REFUSED = """
auto.train_on_batch(x, x)
def child():
    for attempt in (auto.train_on_batch, auto.evaluate):
        try:
            attempt(x, x)
        except RuntimeError as error:
            print(error)
    auto.to("reference")
    auto.train_on_batch(x, x)
    scratchae.set_device("reference")
    fresh = vanilla.autoencoder(8, [5], 3)[2]
    fresh.fit(x, x, verbose=0)
    print(auto.device()[0].name, fresh.device()[0].name, flush=True)
"""
ALLOWED = """
import scratchae.kernels.cpu
def child():
    auto.train_on_batch(x, x)
    print(auto.device()[0].name)
"""
AFTER = "print('parent:', auto.train_on_batch(x, x) > 0, auto.device()[0].name)"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_from_busy_kernels_is_refused_and_may_use_reference():
    result = run(START + REFUSED + FORK + AFTER)
    refusal, again, devices, child, parent = result.stdout.splitlines()
    assert refusal == again
    assert refusal.startswith("this process was forked from one that had used scratchae's parallel kernels")
    assert 'get_context("spawn"), or use set_device("reference")' in refusal
    assert (devices, child, parent) == ("reference reference", "child: 0", "parent: True cpu")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_before_any_kernel_ran_may_use_them():
    result = run(START + ALLOWED + FORK + AFTER)
    assert result.stdout.splitlines() == ["cpu", "child: 0", "parent: True cpu"], result.stderr


# ---- memory ---------------------------------------------------------------------------------------------------------
MODELS = {
    "dense": (lambda: vanilla.autoencoder(784, [128, 64], 32)[2], (784,)),
    "convolutional": (lambda: convolutional.autoencoder((28, 28, 1), [16, 8, 8], (4, 4, 8))[2], (28, 28, 1)),
    "recurrent": (lambda: recurrent.autoencoder(10, 6, 4)[2], (10, 6)),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_step_allocates_a_few_small_objects(kind, rng):
    """7 kB at most were measured, of Python's own; the smallest activation here has 16 kB. None of it stays."""
    make, shape = MODELS[kind]
    auto, x = make(), rng.random((256, *shape), "float32")
    tracemalloc.start()
    try:
        for _ in range(3):
            auto.train_on_batch(x, x)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        auto.train_on_batch(x, x)
        _, peak = tracemalloc.get_traced_memory()
        for _ in range(10):
            auto.train_on_batch(x, x)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 12_000
    assert after - before < 2_000
