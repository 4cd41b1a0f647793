"""Training that goes on where it was broken off."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import checks
from ..distributed import world
from ..resuming import differences
from .base import Callback


class BackupAndRestore(Callback):
    """Back up all of a fit's state, so that the program, when it is started again, goes on where it was broken off.

    Killed at any moment and started again, a program ends with the same bits as one that was never killed: weights,
    history and the files of other callbacks. The backup has the weights, the state of the optimizer and of every
    callback, all seeds and counters of random numbers, and the place in the epoch; it is written whole or not at all,
    after all other callbacks, and deleted when fit comes to its end. On another device fit goes on with that device's
    bits.

    Callbacks of your own that remember anything need `get_state` and `set_state`.

    Args:
        backup_dir: a folder for the backup of this fit alone; made if it is not there.
        save_freq: "epoch", after each, or a number of batches.
        double_checkpoint: keep the backup before the last as well, in case a disk damages the last.
        delete_checkpoint: delete the backup when fit comes to its end.

    `fit` raises ValueError if the backup is of other data, or of another model, optimizer, loss or batch size, and
    ScratchaeFormatError if it is damaged.
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ):
        owner = type(self).__name__
        if not os.fspath(backup_dir):
            raise ValueError(f"{owner}: backup_dir={backup_dir!r} is empty; expected a folder")
        if save_freq != "epoch":
            if isinstance(save_freq, str):
                raise ValueError(f"{owner}: save_freq={save_freq!r} is unknown; expected 'epoch' or a number")
            save_freq = checks.positive_integer(owner, "save_freq", save_freq)
        self.backup_dir, self.save_freq = Path(backup_dir), save_freq
        self.double_checkpoint, self.delete_checkpoint = double_checkpoint, delete_checkpoint
        self.latest, self.previous = self.backup_dir / "latest.safetensors", self.backup_dir / "previous.safetensors"
        self.options: dict[str, Any] = {}  # of the program, by name, that must be the same as well
        self._task: dict[str, Any] = {}
        self._batches = 0  # since the last backup

    def epochs_done(self) -> int | None:
        """After how many epochs training was broken off; None if it never was, or before its first backup."""
        saved = self._load()
        return saved["state"]["epoch"] if saved is not None and saved["state"]["begun"] else None

    # ---- what fit asks for: see run.py ------------------------------------------------------------------------------
    def warn_of(self, callbacks: Sequence[Callback]) -> None:
        """Say so if a callback seems to remember something that the backup will not have."""
        for callback in callbacks:
            ours = type(callback).__module__.startswith("scratchae.")
            attributes = ", ".join(name for name in vars(callback) if name not in ("model", "params"))
            if attributes and not ours and type(callback).get_state is Callback.get_state:
                warnings.warn(
                    f"{type(self).__name__}: {type(callback).__name__} has attributes ({attributes}) and no get_state: "
                    "where training goes on, it begins anew. Give it get_state and set_state, or, if it remembers "
                    "nothing, a get_state that returns {}",
                    stacklevel=5,
                )

    def read(self, task: dict[str, Any]) -> dict[str, Any] | None:
        """The state in the backup, None if there is none."""
        self._task, self._batches = {**self.options, **task}, 0
        if world().rank == 0:
            self._remove_rubbish()
        saved = self._load()
        if saved is None:
            return None
        different = differences(saved["task"], self._task)
        if not different:
            return saved["state"]
        if not saved["state"]["begun"]:
            return None
        rest = f"; and {len(different) - 3} more" if len(different) > 3 else ""
        raise ValueError(
            f"{type(self).__name__}: {self.latest} is the backup of another fit: {'; '.join(different[:3])}{rest}. Run "
            f"the program as it was to go on with that fit, or delete {self.backup_dir} to begin anew"
        )

    def is_due(self) -> bool:
        """Whether there is to be a backup after the batch that is counted with this call."""
        self._batches += 1
        return isinstance(self.save_freq, int) and self._batches >= self.save_freq

    def write(self, state: dict[str, Any]) -> None:
        """Replace the backup; of several processes the first one does it."""
        from ..files.nested import write_state

        if world().rank:
            return
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        if self.double_checkpoint and self.latest.exists():
            os.replace(self.latest, self.previous)
        write_state(self.latest, {"task": self._task, "state": state})
        self._batches = 0

    def delete(self) -> None:
        """Remove the backup, and the folder if there is nothing else in it; the first process does."""
        if world().rank:
            return
        for path in (self.previous, self.latest):
            path.unlink(missing_ok=True)
        self._remove_rubbish()
        if self.backup_dir.is_dir() and not any(self.backup_dir.iterdir()):
            self.backup_dir.rmdir()

    def _remove_rubbish(self) -> None:
        """Remove what saves that were killed have left behind: see files/atomic.py."""
        for rubbish in self.backup_dir.glob(f".{self.latest.name}.*"):
            shutil.rmtree(rubbish, ignore_errors=True)

    def _load(self) -> dict[str, Any] | None:
        """What the latest backup holds that is whole; None where there is none at all."""
        from ..files.errors import ScratchaeFormatError
        from ..files.nested import read_state

        damaged: list[ScratchaeFormatError] = []
        for path in (self.latest, self.previous):
            try:
                found = read_state(path)
            except FileNotFoundError:
                continue
            except ScratchaeFormatError as error:
                damaged.append(error)
                continue
            if damaged:
                warnings.warn(f"{type(self).__name__}: {damaged[0]}; going on with {path}, from before", stacklevel=6)
            return found
        if damaged:
            raise ScratchaeFormatError(
                f"{type(self).__name__}: {damaged[0]}; put a whole copy in its place to go on, or delete "
                f"{self.backup_dir} to begin anew"
            )
        return None
