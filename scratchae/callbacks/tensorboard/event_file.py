"""Files of TensorBoard's events."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

START = "events.out.tfevents."  # of the names by which TensorBoard knows its files
_numbers = itertools.count()


class EventFile:
    """One file of events in a folder; both are made when the first event is written.

    Each event is appended in one write, and the file closed again: whenever training ends, and however, everything is
    in the file and nothing stays open. (The SummaryWriter of tensorboardX has a queue and a thread, for many small
    events; here an event holds all values of a batch or an epoch.)

    A record is the length of the event (8 bytes), a checksum of these, the event, and its checksum, as in TensorFlow's
    lib/io/record_writer.h.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.name = ""

    def write(self, step: int, values: Sequence[Any]) -> None:
        """Append an event with values, each a Summary.Value of tensorboardX."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        if self.size() == 0:  # also where somebody has removed it
            self.folder.mkdir(parents=True, exist_ok=True)
            self._append(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._append(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def _append(self, event: Any) -> None:
        from tensorboardX.record_writer import masked_crc32c

        content = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        parts = length, struct.pack("<I", masked_crc32c(length)), content, struct.pack("<I", masked_crc32c(content))
        with open(self.path(), "ab") as file:
            file.write(b"".join(parts))

    def path(self) -> Path:
        """The file, which may not be there yet. Its name says when, where and by which process it was begun."""
        if not self.name:
            self.name = f"{START}{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        return self.folder / self.name

    def size(self) -> int:
        """How many bytes it has."""
        return self.path().stat().st_size if self.path().exists() else 0

    # ---- to go on where training was broken off ---------------------------------------------------------------------
    def position(self) -> dict[str, Any]:
        """Where the file ends now, everything before that safe on the disk."""
        if self.size():
            with open(self.path(), "r+b") as file:
                os.fsync(file.fileno())
        return {"name": self.path().name, "size": self.size()}

    def go_back(self, position: dict[str, Any]) -> None:
        """Forget what was written after `position`, and go on there; with a new file where that one is gone."""
        name, size = Path(position["name"]).name, int(position["size"])
        if not name.startswith(START):
            raise ValueError(f"TensorBoard: {name!r} is no name of an event file, which begin with {START}")
        self.name = name
        if self.size() < size:
            self.name = ""
        elif self.size():
            os.truncate(self.path(), size)
