"""The list of ops and the backends that define them agree."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from scratchae.kernels import Layout, Machine, Ops
from scratchae.kernels.cuda.emulator import Emulator
from scratchae.kernels.cuda.launcher import CudaMachine
from scratchae.kernels.cuda.machine import Gpu

ROOT = Path(__file__).parents[2]
OPS = {name: f for name, f in vars(Ops).items() if inspect.isfunction(f) and not name.startswith("_")}


@pytest.fixture(params=["reference", "cpu", "cuda"])
def backend(request):
    if request.param == "cpu":
        pytest.importorskip("numba")
    return importlib.import_module(f"scratchae.kernels.{request.param}")


def test_a_backend_exports_the_ops_and_its_layout(backend):
    assert len(OPS) > 50
    machine = [] if backend.__name__.endswith("cuda") else ["machine"]  # of CUDA there are two
    assert sorted(backend.__all__) == sorted([*OPS, "layout", *machine])


@pytest.mark.parametrize("name", OPS)
def test_parameters_are_those_of_the_contract(name, backend):
    promised = list(inspect.signature(OPS[name]).parameters.values())[1:]  # without self
    defined = list(inspect.signature(getattr(backend, name)).parameters.values())
    assert [(p.name, p.kind, p.default) for p in defined] == [(p.name, p.kind, p.default) for p in promised]


def verbs(protocol):
    """Name -> parameters of what a protocol asks for, without self."""
    functions = {n: f for n, f in vars(protocol).items() if inspect.isfunction(f) and n[0] != "_"}
    assert len(functions) > 3
    return {name: list(inspect.signature(f).parameters)[1:] for name, f in functions.items()}


def test_layouts_are_those_of_the_contract(backend):
    for name, parameters in verbs(Layout).items():
        assert list(inspect.signature(getattr(backend.layout, name)).parameters) == parameters


@pytest.mark.parametrize("place", ["reference.machine", "cpu.machine"])
def test_machines_are_those_of_the_contract(place):
    machine = importlib.import_module(f"scratchae.kernels.{place}")
    for name, parameters in verbs(Machine).items():
        assert list(inspect.signature(getattr(machine, name)).parameters) == parameters


@pytest.mark.parametrize("machine", [Gpu, Emulator])
def test_cuda_machines_are_those_of_the_contract(machine):
    for name, parameters in verbs(Machine).items():
        assert list(inspect.signature(getattr(machine, name)).parameters)[1:] == parameters
    for name in ("launch", "scratch"):
        promised, made = (inspect.signature(getattr(c, name)) for c in (CudaMachine, machine))
        assert list(made.parameters) == list(promised.parameters)


@pytest.mark.parametrize("name", OPS)
def test_every_op_says_what_it_computes(name):
    assert OPS[name].__doc__


def test_kernels_are_imported_through_the_package():
    # A second import path would be a second copy of every module.
    folders = [ROOT / name for name in ("scratchae", "kernels", "tests", "benchmarks")]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    assert ROOT / "kernels" / "reference" / "dense.py" in files
    outside = re.compile(r"^\s*(import|from)\s+kernels\b", re.MULTILINE)
    assert outside.search("x = 1\n    " + "import " + "kernels.reference")
    assert [str(path) for path in files if outside.search(path.read_text())] == []
