"""The list of ops and the backends that define them agree."""

import inspect
import re
from pathlib import Path

import pytest

from scratchae.kernels import Ops, reference

ROOT = Path(__file__).parents[2]
OPS = {name: f for name, f in vars(Ops).items() if inspect.isfunction(f) and not name.startswith("_")}


def test_reference_exports_the_ops_and_nothing_else():
    assert len(OPS) > 40
    assert set(reference.__all__) == set(OPS)
    assert len(reference.__all__) == len(OPS)


@pytest.mark.parametrize("name", OPS)
def test_parameters_are_those_of_the_contract(name):
    promised = list(inspect.signature(OPS[name]).parameters.values())[1:]  # without self
    defined = list(inspect.signature(getattr(reference, name)).parameters.values())
    assert [(p.name, p.kind, p.default) for p in defined] == [(p.name, p.kind, p.default) for p in promised]


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
