"""Benchmarks run, and the README says what they measured."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*arguments):
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_keras_losses_runs():
    result = run("benchmarks.keras_losses", "--smoke")
    assert result.returncode == 0, result.stderr
    assert "variational" in result.stdout


def test_files_runs():
    result = run("benchmarks.files", "--smoke")
    assert result.returncode == 0, result.stderr
    assert "dense" in result.stdout


def test_the_readme_holds_the_results():
    result = run("benchmarks.readme", "--check")
    assert result.returncode == 0, result.stderr
