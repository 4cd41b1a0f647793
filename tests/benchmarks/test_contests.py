"""The speed benchmarks: their arithmetic, their tables, and that they run."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import contest, fit, report, same_models
from benchmarks.peers import models, ours
from benchmarks.peers.serve import Work, in_turn, play

ROOT = Path(__file__).parents[2]


def times(**milliseconds):
    return {name: {"": [ms / 1000 for ms in series]} for name, series in milliseconds.items()}


def test_a_summary_has_median_and_quartiles_in_milliseconds():
    found = report.summary([0.004, 0.001, 0.003, 0.002, 0.005])
    assert found == {"median_ms": 3, "q1_ms": 2, "q3_ms": 4, "times": 5}
    assert report.summary([0.25]) == {"median_ms": 250, "q1_ms": 250, "q3_ms": 250, "times": 1}


def test_the_ratio_is_that_of_the_fastest_peer():
    row = report.summarize("deep", 32, times(scratchae=[2, 2, 9], slow=[8], fast=[3, 3, 100]))
    assert row["best_peer"] == "fast"
    assert row["ratio"] == pytest.approx(1.5)


def test_a_contestant_counts_with_its_fastest_variant():
    row = report.summarize("deep", 32, {"scratchae": {"": [1]}, "peer": {"NCHW": [3], "channels_last": [2]}})
    assert row["contestants"]["peer"]["variant"] == "channels_last"
    assert row["ratio"] == 2


def test_without_peers_there_is_no_ratio():
    row = report.summarize("deep", 32, times(scratchae=[2]))
    assert (row["best_peer"], row["ratio"]) == (None, None)
    comparison = report.comparison("name", "title", [contest.SCRATCHAE, contest.JAX])
    assert comparison.cells(row) == ["deep", "32", "2.00", "-", "-"]


def test_what_fit_adds_is_relative_to_its_steps():
    ours = {"fit": [1.05], "train_on_batch": [1.0]}
    row = fit.summarize("deep", 256, {"scratchae": ours, "Keras": {"": [2.1]}})
    assert fit.cells(row) == ["deep", "256", "1,050", "1,000", "+5.0 %", "2,100", "2.00"]


def test_the_table_is_markdown():
    assert report.table(["a", "b"], [["1", "2"], ["3", "4"]]) == "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.04567, "0.0457"), (3.7, "3.70"), (99.949, "99.9"), (99.96, "100"), (1234, "1,234")],
)
def test_numbers_have_three_digits(value, text):
    assert report.number(value) == text


def test_the_command_is_shown_without_folders():
    arguments = [
        "/home/me/benchmarks/fit.py",
        "--data",
        "/data/mnist.npz",
        "--out=/tmp/x",
        "--peers-python",
        "/p/bin/python",
    ]
    assert report.command(arguments) == "python -m benchmarks.fit --data mnist.npz --peers-python python"


def test_who_begins_changes_from_turn_to_turn():
    assert [in_turn(["a", "b", "c"], turn) for turn in range(4)] == [
        ["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"],
    ]  # fmt: skip


def test_a_round_times_as_many_steps_as_asked_for_and_takes_inputs_in_turn():
    seen = []
    request = {"seconds": 0, "least": 3, "untimed": 1}
    assert [*map(len, play({"": Work(seen.append, ["a", "b"])}, request).values())] == [3]
    assert seen == ["a", "a", "b", "a"]
    assert len(play({"": Work(seen.append, ["a"], steps=4)}, request)[""]) == 1  # one run is four steps


def test_variants_that_are_compared_are_run_in_turn():
    seen = []
    request = {"seconds": 0, "least": 2, "untimed": 1}
    times = play({"fit": Work(seen.append, ["f"]), "steps": Work(seen.append, ["s"])}, request)
    assert seen == ["f", "s", "f", "s", "f", "s"]
    assert {variant: len(seconds) for variant, seconds in times.items()} == {"fit": 2, "steps": 2}


@pytest.mark.parametrize("model", models.MODELS)
def test_ours_has_the_weights_that_all_start_from(model):
    auto = ours.build(model)
    for found, expected in zip(auto.get_weights(), models.initial_weights(model), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_images_are_repeated_where_there_are_fewer(tmp_path):
    x = np.arange(3 * 784, dtype=np.uint8).reshape(3, 28, 28)
    np.savez(tmp_path / "x.npz", x_train=x)
    images = models.load_images(str(tmp_path / "x.npz"), 5)
    np.testing.assert_array_equal(images, x[[0, 1, 2, 0, 1]].astype(np.float32) / 255)
    assert 0.05 < models.load_images(None, 100).mean() < 0.4


@pytest.mark.parametrize("name", ["train_step", "fit", "inference"])
def test_the_benchmark_runs(name, tmp_path):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--smoke", "--threads", "1", "--out", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    cells = json.loads((tmp_path / f"{name}.json").read_text())["cells"]
    assert {cell["model"] for cell in cells} == set(contest.SMOKE_MODELS)
    assert all(cell["contestants"]["scratchae"]["median_ms"] > 0 for cell in cells)
    assert f"python -m benchmarks.{name} --smoke" in (tmp_path / f"{name}.md").read_text()


def test_a_model_that_differs_is_found():
    told = {"parameters": 10, "loss": 0.7, "later_loss": 0.6, "output": [0.5]}
    found = same_models.differences(told, {**told, "parameters": 12, "loss": 0.8, "later_loss": 0.65})
    assert found == pytest.approx({"parameters": 0.2, "loss": 0.1, "output": 0, "fall": 0.5})


@pytest.mark.parametrize("module", ["pytorch", "jax_jit", "keras_fit", "onnx_runtime"])
def test_peers_have_the_same_models(module):
    """Where the peer is installed, or in the interpreter that PEERS_PYTHON names."""
    entry = next(e for e in same_models.PEERS if e.arguments == (f"benchmarks.peers.{module}",))
    python = os.environ.get("PEERS_PYTHON")
    if python is None and not all(importlib.util.find_spec(package) for package in entry.packages):
        pytest.skip(f"{entry.name} is not installed")
    command = [sys.executable, "-m", "benchmarks.same_models", "--peers", entry.name]
    result = subprocess.run(
        [*command, "--peers-python", python or sys.executable], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(": same") == len(models.MODELS)
