"""The zip archive that a .keras file is: what it may contain, read with bounds, and how it is written."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import zipfile
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

from .. import __version__
from . import strict_json
from .errors import ScratchaeFormatError

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
KERAS_VERSION = "3.15.1"  # which has read what is written here
MOST_ADDED = 2**24  # bytes by which the content may be larger than the archive: numbers hardly compress
MOST_CONFIG = 2**20  # bytes, of 1000 layers
MOST_DIRECTORY = 2**12  # bytes of the list of three files
END = struct.Struct("<4s4x2HIIH")  # how a zip archive ends: files here, files, size of their list, where, comment
LOCATOR = 20  # bytes before the end, of archives beyond 4 GB
ENCRYPTED = 1  # a flag
STORED_OR_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
WRONG = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, KeyError, NotImplementedError, OverflowError,
    RuntimeError, RecursionError,
)  # fmt: skip


def write(config: dict[str, Any], weights: bytes) -> bytes:
    """The content of a .keras file."""
    metadata = {
        "keras_version": KERAS_VERSION,
        "date_saved": datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
        "saved_by": f"scratchae {__version__}",
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(METADATA, json.dumps(metadata))
        archive.writestr(CONFIG, json.dumps(config))
        archive.writestr(WEIGHTS, weights)
    return content.getvalue()


def read(path: str | os.PathLike[str]) -> tuple[Any, bytes]:
    """The configuration, as JSON gives it, and the weights as HDF5.

    Raises ScratchaeFormatError where the archive is damaged, or has anything that Keras doesn't put there. Nothing is
    written to disk, and no more memory is taken than the file's size and 16 MB.
    """
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            check_end(file, size)
            with zipfile.ZipFile(file) as archive:
                check_members(archive.infolist(), size)
                return strict_json.loads(archive.read(CONFIG).decode()), archive.read(WEIGHTS)
        except ScratchaeFormatError:
            raise
        except WRONG as error:
            raise ScratchaeFormatError(f"this is not a whole .keras file: {type(error).__name__}: {error}") from error


def check_end(file: io.BufferedReader, size: int) -> None:
    """Raise unless the archive ends as one of a few files does: so zipfile has no long list of files to read."""
    file.seek(max(0, size - END.size - LOCATOR))
    tail = file.read()
    if len(tail) < END.size + LOCATOR:
        raise ScratchaeFormatError(f"this is no .keras file, which is a zip archive: it has {size} bytes")
    signature, _, count, directory, _, comment = END.unpack(tail[LOCATOR:])
    if signature != b"PK\5\6" or comment or tail.startswith(b"PK\6\7"):
        raise ScratchaeFormatError("this is no .keras file: it doesn't end as a zip archive does")
    if directory > MOST_DIRECTORY or count > 3:
        raise ScratchaeFormatError(f"the archive has {count} files; expected {METADATA}, {CONFIG} and {WEIGHTS}")


def check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    """Raise unless the archive has the three files, as files, and of a size that it can have stored."""
    names = sorted(member.filename for member in members)
    if names != sorted([METADATA, CONFIG, WEIGHTS]):
        raise ScratchaeFormatError(f"the archive has the files {names}; expected {METADATA}, {CONFIG} and {WEIGHTS}")
    for member in members:
        if member.flag_bits & ENCRYPTED:
            raise ScratchaeFormatError(f"{member.filename} is encrypted")
        if member.compress_type not in STORED_OR_DEFLATED:
            raise ScratchaeFormatError(f"{member.filename} is compressed in another way than zip archives usually are")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ScratchaeFormatError(f"{member.filename} is a link or something else that is no file")
        if member.filename != WEIGHTS and member.file_size > MOST_CONFIG:
            raise ScratchaeFormatError(f"{member.filename} has {member.file_size} bytes; {MOST_CONFIG} is the limit")
    declared = sum(member.file_size for member in members)
    if declared > size + MOST_ADDED:
        raise ScratchaeFormatError(f"the archive has {size} bytes and claims to hold {declared}, which can't be")
