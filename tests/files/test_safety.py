"""What no file may do: run code, take memory without end, or be half written."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_container import forged, inside

import scratchae
from scratchae.autoencoders import vanilla

ROOT = Path(__file__).parents[2]
READERS = [*(ROOT / "scratchae/files").rglob("*.py"), ROOT / "scratchae/configuration.py"]
RUNS_CODE = {"eval", "exec", "__import__", "import_module"}
UNPICKLES = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "importlib", "torch"}


@pytest.mark.parametrize("file", READERS, ids=lambda file: file.name)
def test_no_reader_of_files_can_run_what_is_in_them(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
            assert not {name.partition(".")[0] for name in names} & UNPICKLES, ast.unparse(node)
        if isinstance(node, (ast.Name, ast.Attribute)):
            assert (node.id if isinstance(node, ast.Name) else node.attr) not in RUNS_CODE | UNPICKLES, ast.unparse(
                node
            )
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
            allowed = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert allowed.get("allow_pickle") == "False", ast.unparse(node)


def test_killed_saves_leave_the_old_file_or_the_new_one():
    command = [sys.executable, "-m", "tests.files.kill_saves", "--kills", "50"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "50 kills, 0 corrupt files" in result.stdout


def large_model(path):
    scratchae.set_device("reference")
    auto = vanilla.autoencoder(1500, [1000], 300)[2]
    x = np.random.default_rng(0).random((2, 1500))
    auto.train_on_batch(x, x)
    auto.save(path)


def empty_lists(path):
    forged(path, inside("[" + ",".join(["[[]]"] * 200_000) + "]"))


def small_objects(path):
    forged(path, inside("[" + ",".join(['{\\"\\":1}'] * 100_000) + "]"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux how much memory was taken")
@pytest.mark.parametrize("make", [large_model, empty_lists, small_objects])
def test_loading_takes_at_most_twice_the_file_and_64_mb(make, tmp_path):
    make(tmp_path / "m.safetensors")
    command = [sys.executable, "-m", "tests.files.memory", tmp_path / "m.safetensors"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    taken, size = map(int, result.stdout.split())
    assert taken < 2 * size + 64 * 2**20
    if make is large_model:
        assert taken > size / 2, "nothing was measured"
