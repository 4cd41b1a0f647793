"""What strangers get: the wheel, the import, the public names."""

import ast
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import scratchae

ROOT = Path(__file__).parents[1]


def tracked(*folders):
    names = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in names.splitlines() if not (ROOT / name).is_symlink()}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="compares the wheel with what git tracks")
def test_wheel_holds_every_tracked_file(tmp_path):
    command = [sys.executable, "-m", "build", "--outdir", str(tmp_path), str(ROOT)]  # sdist, and the wheel from it
    subprocess.run(command, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    kernels = {"scratchae/" + name for name in tracked("kernels")}
    assert packed == tracked("scratchae") | kernels


def test_import_is_light():
    heavy = ("numba", "mpi4py", "scipy", "sklearn", "matplotlib", "safetensors", "tqdm", "onnx")
    code = f"import sys, scratchae; print([name for name in {heavy} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_import_takes_less_than_half_a_second(tmp_path):
    # Processor time, so that tests beside this one don't count; with bytecode, as anybody's second import has it.
    code = "import time; t = time.process_time(); import scratchae; print(time.process_time() - t)"
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True, env=environment) for _ in range(5)]
    assert min(float(run.stdout) for run in runs) < 0.5


def test_kernels_are_imported_under_one_name():
    """`import kernels` would make a second copy of the module."""
    for folder in ("scratchae", "kernels", "tests", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            assert not re.search(r"^\s*(import|from) kernels\b", file.read_text(), re.MULTILINE), file
    assert scratchae.backend.REFERENCE.ops.__name__ == "scratchae.kernels.reference"


ROOMS = [
    "kernels",
    "backend",
    "parameters",
    "graph",
    "layers",
    "fusion",
    "plan",
    "model",
    "data",
    "step",
    "training",
    "autoencoders",
    "files",
    "cli",
]
VERBS = {("model", "training"), ("model", "files")}  # fit and save_weights import what does their work


def imported(tree):
    """What a file imports, in functions too, but for what only the type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")
            yield from (alias.name for alias in node.names)
        yield from imported(node)


def test_lower_rooms_know_no_higher_ones():
    for i, room in enumerate(ROOMS):
        place = ROOT / ("kernels" if room == "kernels" else f"scratchae/{room}")
        files = list(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
        assert files
        for file in files:
            above = set(imported(ast.parse(file.read_text()))) & set(ROOMS[i + 1 :])
            above -= {higher for lower, higher in VERBS if lower == room}
            assert not above, f"{file} imports {above}"


def test_public_names_exist():
    for name in scratchae.__all__:
        assert getattr(scratchae, name) is not None


def test_unknown_names_say_what_there_is():
    with pytest.raises(AttributeError, match=r"no 'applications'.*layers"):
        _ = scratchae.applications
    with pytest.raises(AttributeError, match=r"layers\.BatchNormalization is not part.*Dense"):
        _ = scratchae.layers.BatchNormalization


def test_every_public_thing_has_a_docstring():
    missing = []
    for module in (scratchae, scratchae.layers, scratchae.callbacks, scratchae.losses, scratchae.optimizers):
        for name in getattr(module, "__all__", [n for n in dir(module) if n[0].isupper()]):
            thing = getattr(module, name)
            if callable(thing) and thing.__module__.startswith("scratchae") and not thing.__doc__:
                missing.append(name)
    assert missing == []


def test_version_is_the_distribution_s():
    from importlib.metadata import version

    assert scratchae.__version__ == version("scratchae")
