"""Processes with time limits, and the file that takes results as they arrive."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from ..contest import ROOT
from ..machine import child_environment

Record = dict[str, Any]
TIMED = "times", "host_us", "ours_us", "theirs_us", "ratio", "winner"  # what a dry run doesn't keep


class LateError(Exception):
    """A process has not answered within its time."""


class Journal:
    """FOLDER/results.jsonl, a result a line, each on the disk before the next is waited for; FOLDER/log.txt has what
    the processes have said on stderr.

    Of a dry run no time is kept: one that the emulator takes, or a few runs on a processor, must not pass for a result.
    """

    def __init__(self, folder: Path, dry: bool):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.dry, self.start = folder, dry, time.monotonic()
        self.records: list[Record] = []
        self._file = (folder / "results.jsonl").open("w")
        self.errors = (folder / "log.txt").open("w+")

    def add(self, stage: str, **result: Any) -> None:
        if self.dry:
            result = {key: None if key in TIMED else value for key, value in result.items()}
        record = {"stage": stage, "at": round(time.monotonic() - self.start, 1), **result}
        self.records.append(record)
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def last_error(self) -> str:
        """The last line on stderr."""
        self.errors.flush()
        lines = Path(self.errors.name).read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        self._file.close()
        self.errors.close()


def environment(device: str, precision: str) -> dict[str, str]:
    """What children find: the device for libraries that choose by themselves, and what keeps them from TF32."""
    found = child_environment()  # of a CPU
    found.pop("NVIDIA_TF32_OVERRIDE", None)  # it would overrule what each program asks for
    if device == "cuda":
        found["JAX_PLATFORMS"] = "cuda"
        found["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        if precision == "float32":
            found["NVIDIA_TF32_OVERRIDE"] = "0"  # of cuBLAS and cuDNN
    return found


class Child:
    """A process that talks in lines of JSON; in a group of its own, which ends with it."""

    def __init__(self, python: str, arguments: Sequence[str], environment: dict[str, str], errors: IO[str]):
        self.process = subprocess.Popen(
            [python, "-m", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            process_group=0,
        )
        self._errors = errors
        self._replies: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """What a library prints before the program has turned it to stderr is no reply."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                self._replies.put(dict(json.loads(line)))
            except (ValueError, TypeError):
                with contextlib.suppress(ValueError):  # the log is closed: nobody asks any more
                    self._errors.write(line)
        self._replies.put(None)

    def read(self, deadline: float) -> Record | None:
        """The next line; None at the end. LateError if none comes until then, by time.monotonic()."""
        try:
            return self._replies.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise LateError from None

    def ask(self, deadline: float, **request: Any) -> Record:
        """The reply to a request; {"error": ...} if the process has ended."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        return self.read(deadline) or {"error": "its process has ended"}

    def close(self, patience: float = 0) -> int:
        """End it and what it has started; its status, negative if it did not end by itself in these seconds.

        A process that a driver holds does not end even now: it is left behind.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        return status


@functools.cache
def results() -> IO[str]:
    """Where a stage's program writes; what libraries print goes to stderr from now on."""
    kept = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return kept


def emit(**result: Any) -> None:
    """A result of a stage's program, for the one that has started it."""
    results().write(json.dumps(result) + "\n")
    results().flush()
