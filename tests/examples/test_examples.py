"""The examples run, and end with a picture."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(script, tmp_path):
    command = [sys.executable, "-W", "error", str(script), "--epochs", "1", "--out", str(tmp_path / "picture.png")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith(f"wrote {tmp_path / 'picture.png'}\n")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
