"""The list of ops and the backends that define them agree."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from scratchae.kernels import Layout, Ops

ROOT = Path(__file__).parents[2]
OPS = {name: f for name, f in vars(Ops).items() if inspect.isfunction(f) and not name.startswith("_")}


@pytest.fixture(params=["reference", "cpu"])
def backend(request):
    if request.param == "cpu":
        pytest.importorskip("numba")
    return importlib.import_module(f"scratchae.kernels.{request.param}")


def test_a_backend_exports_the_ops_and_its_layout(backend):
    assert len(OPS) > 50
    assert sorted(backend.__all__) == sorted([*OPS, "layout"])


@pytest.mark.parametrize("name", OPS)
def test_parameters_are_those_of_the_contract(name, backend):
    promised = list(inspect.signature(OPS[name]).parameters.values())[1:]  # without self
    defined = list(inspect.signature(getattr(backend, name)).parameters.values())
    assert [(p.name, p.kind, p.default) for p in defined] == [(p.name, p.kind, p.default) for p in promised]


@pytest.mark.parametrize("name", [n for n, f in vars(Layout).items() if inspect.isfunction(f) and n[0] != "_"])
def test_layouts_are_those_of_the_contract(name, backend):
    promised = list(inspect.signature(getattr(Layout, name)).parameters)[1:]
    assert list(inspect.signature(getattr(backend.layout, name)).parameters) == promised


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
