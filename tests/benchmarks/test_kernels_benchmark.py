"""The benchmark of the kernels: it runs, it leaves no op out, and its arithmetic."""

import functools
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import kernels
from scratchae.backend import CPU, REFERENCE
from scratchae.kernels import Ops

ROOT = Path(__file__).parents[2]
OPS = {name for name, f in vars(Ops).items() if inspect.isfunction(f) and name[0] != "_"}
OPS -= {"conv2d_chain_forward", "conv2d_chain_backward"}  # which are the other convolutions, one after the other


def test_it_runs_and_writes_where_it_is_told(tmp_path):
    results = sorted((path, path.stat().st_mtime_ns) for path in kernels.RESULTS.iterdir())
    command = [sys.executable, "-m", "benchmarks.kernels", "--smoke", "--out", str(tmp_path)]
    environment = os.environ | {"NUMBA_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert results == sorted((path, path.stat().st_mtime_ns) for path in kernels.RESULTS.iterdir())
    found, text = json.loads((tmp_path / "kernels.json").read_text()), (tmp_path / "kernels.md").read_text()
    assert {row["op"] for row in found["rows"]} == OPS
    assert all(row["ratio"] == pytest.approx(row["reference_us"] / row["least_us"]) for row in found["rows"])
    assert all(0 < row["least_us"] <= row["median_us"] for row in found["rows"])
    assert found["peaks"]["gflops"] > 1
    assert text.count("\n| ") == len(found["rows"]) + 1
    assert "`python -m benchmarks.kernels --smoke`" in text
    assert run.stdout == text + "\n"


def test_a_smoke_run_writes_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(kernels, "measure", lambda smoke: (dict.fromkeys(PEAKS, 1.0), []))
    monkeypatch.setattr(kernels, "RESULTS", tmp_path)
    kernels.main(["--smoke"])
    assert list(tmp_path.iterdir()) == []
    kernels.main([])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kernels.json", "kernels.md"]


PEAKS = "gflops", "copy_cache_gbs", "copy_memory_gbs"


@functools.cache
def told(backend):
    return [(w.op, w.sizes, w.flops, w.bytes) for _, w, _ in kernels.works(backend, smoke=False)]


def of(op, what):
    """1: sizes, 2: arithmetic operations, 3: bytes, for each shape that an op runs on."""
    return [work[what] for work in told(CPU) if work[0] == op]


def test_work_is_counted_by_hand():
    """Slabs are 512 vectors, or 128 images or sequences."""
    assert of("dense_forward", 2)[:2] == [2 * 512 * 128 * 64, 2 * 512 * 784 * 128]
    assert of("dense_backward", 2)[:2] == [4 * 512 * 128 * 64, 2 * 512 * 784 * 128]  # the second has no dx
    pooled = [4 * 128 * 49 * 9 * 64, 4 * 128 * 196 * 9 * 128, 2 * 128 * 784 * 9 * 16]
    assert of("conv2d_max_pool2d_backward", 1) == ["7x7x8 to 4x4x8", "14x14x16 to 7x7x8", "28x28x1 to 14x14x16"]
    assert of("conv2d_max_pool2d_backward", 2) == pooled
    upsampled = [2 * 128 * 64 * 4 * 64, 2 * 128 * 196 * 4 * 128, 2 * 128 * 784 * 4 * 16]
    assert of("up_sampling2d_conv2d_forward", 1) == ["4x4x8 to 8x8x8", "8x8x8 to 14x14x16", "14x14x16 to 28x28x1"]
    assert of("up_sampling2d_conv2d_forward", 2) == upsampled
    assert of("lstm_forward", 2)[0] == 2 * 128 * 28 * (28 + 32) * 4 * 32
    assert of("adam", 3)[0] == 28 * 222_384


def test_both_devices_have_the_same_work():
    assert told(CPU) == told(REFERENCE)


def test_a_line_of_the_table():
    row = {"op": "adam", "samples": 0, "sizes": "5", "least_us": 2.0, "median_us": 2.5, "gbs": 7.25, "of_peak": 0.5}
    cells = kernels.cells({**row, "reference_us": 123.4, "ratio": 61.7})
    assert cells == ["adam", "-", "5", "2.00", "2.50", "-", "7.25", "50%", "123", "61.7"]
    assert len(cells) == len(kernels.HEADER)
