"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

Bytes = bytes | bytearray | memoryview


def write_atomically(path: str | os.PathLike[str], content: Bytes | Iterable[Bytes]) -> None:
    """Write a file by way of a temporary one beside it: after a crash there is the old file or the new one.

    A process that is killed meanwhile leaves the temporary one behind, ".name." and some letters, which nobody reads.

    Args:
        path: in a folder that is there, FileNotFoundError otherwise.
        content: the bytes, or several pieces of them.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; make it first")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in [content] if isinstance(content, Bytes) else content:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp's files are private; this one gets the usual rights
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if os.name == "posix":
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
