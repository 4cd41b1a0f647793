"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside `path`, which takes its place at the end: after a crash there is the old file or the new.

        with replacing("model.safetensors") as temporary:
            temporary.write_bytes(content)

    After an error the temporary file is removed, and the old one stays. A process that is killed meanwhile leaves it
    behind: its name begins with a dot, and nobody reads it. FileNotFoundError where there is no folder for `path`.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; make it first")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        yield Path(name)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)  # mkstemp's files are private; this one gets the usual rights
        synchronize(name, os.O_RDWR)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if os.name == "posix":
        synchronize(path.parent, os.O_RDONLY)  # the folder, so that the new name lasts


def synchronize(path: str | os.PathLike[str], flags: int) -> None:
    """Wait until what was written has reached the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write the content of a file whole, or not at all: see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
