"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file that takes the place of `path` at the end: after a crash there is the old file or the new.

        with replacing("model.safetensors") as temporary:
            temporary.write_bytes(content)

    It lies beside `path`, in a folder of its own, for the libraries that write it may need temporary files, too. After
    an error the folder is removed, and the old file stays. A process that is killed meanwhile leaves it behind: its
    name begins with a dot, and nobody reads it. FileNotFoundError where there is no folder for `path`.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; make it first")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # some libraries' files are private; this one gets the usual rights
        synchronize(temporary, os.O_RDWR)
        temporary.replace(path)
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
