"""Arrays and JSON values in one .safetensors file, with a checksum over all of it.

The safetensors library writes the file, and other programs read it with that. What is ours lies in one entry of its
metadata, a JSON text; "sha256" in it is the SHA-256 of the file with 64 zeros in that place, so that no byte can change
unnoticed.

It is read here, and not by the library, for three reasons: the library maps the file into memory, and a file that is
cut off meanwhile then kills the process; it opens files by name, so that another file may be checked than is read; and
it has all arrays in memory at once, beside the model that they are for.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from . import strict_json
from .atomic import replacing
from .errors import ScratchaeFormatError

ENTRY = "scratchae"  # ours in the metadata of the file
NO_DIGEST = "0" * 64
DTYPES = {
    **{"F32": "<f4", "F64": "<f8", "I8": "<i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"},
    **{"U8": "<u1", "U16": "<u2", "U32": "<u4", "U64": "<u8"},
}
CHUNK = 2**20


def write(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write arrays and JSON values to one file, whole or not at all.

    Args:
        path: the file, in a folder that is there.
        arrays: float32, float64 or integers, of any shape and layout in memory.
        metadata: numbers, strings, lists and dicts of them. NaN and infinity are no JSON: keep them in an array.

    Raises TypeError for other arrays, ValueError for metadata that is no JSON or longer than 1 MB, OSError where the
    file can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    text = json.dumps({"sha256": NO_DIGEST, **metadata}, allow_nan=False, separators=(",", ":"))
    tensors = {name: row_major(name, array) for name, array in arrays.items()}
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, {ENTRY: text})
        except SafetensorError as error:
            raise OSError(f"{path}: {error}") from error
        with open(temporary, "r+b") as file:
            head = read_head(file)
            if len(head) > strict_json.MAX_LENGTH:
                raise ValueError(f"{path}: the metadata has more than {strict_json.MAX_LENGTH:,} bytes, the limit")
            digest = checksum(head, file)
            file.seek(head.index(NO_DIGEST.encode()))
            file.write(digest.encode())


def row_major(name: str, array: Any) -> np.ndarray:
    """An array as it has to lie in memory: the library writes the memory, whatever the strides say."""
    array = np.asarray(array)
    dtype = array.dtype.newbyteorder("<")
    if dtype not in map(np.dtype, DTYPES.values()):
        raise TypeError(f"the array {name!r} is of type {array.dtype}; expected float32, float64 or integers")
    return np.ascontiguousarray(array, dtype).reshape(array.shape)  # alone, it makes a vector of a number


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and metadata of a file of `write`, after its checksum was found right.

    Raises ScratchaeFormatError for any other file, OSError where it can't be read.
    """
    with Container(path) as file:
        return {name: file.array(name) for name in file.places}, file.metadata


@dataclass
class Place:
    """Where in the file an array lies."""

    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    size: int  # in bytes


class Container:
    """An open file of `write`, its checksum found right: `places` by name, `metadata`, and arrays one at a time."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.file = open(path, "rb")  # noqa: SIM115 closed by __exit__
        try:
            self.size = os.fstat(self.file.fileno()).st_size
            self.places, self.metadata = self._verified()
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def array(self, name: str) -> np.ndarray:
        """A new array with what the file holds under that name."""
        place = self.places[name]
        array = np.empty(place.shape, place.dtype)
        self.file.seek(place.start)
        if place.size and self.file.readinto(array.reshape(-1).view(np.uint8)) != place.size:  # type: ignore[arg-type]
            raise self.damaged("it ends too early")
        return array

    def damaged(self, reason: str) -> ScratchaeFormatError:
        return ScratchaeFormatError(f"{self.path} is damaged, or no file of scratchae: {reason}")

    def _verified(self) -> tuple[dict[str, Place], dict[str, Any]]:
        head = read_head(self.file)
        length = int.from_bytes(head[:8], "little")
        if length != len(head) - 8:
            raise self.damaged(f"it has {self.size:,} bytes, and {length:,} of them are said to be its header")
        try:
            described = strict_json.loads(head[8:].decode())
            text = described.pop("__metadata__")[ENTRY]
            metadata = strict_json.loads(text)
            digest = metadata.pop("sha256")
            if not re.fullmatch("[0-9a-f]{64}", digest) or head.count(digest.encode()) != 1:
                raise ValueError("its checksum is none")
            if checksum(head.replace(digest.encode(), NO_DIGEST.encode()), self.file) != digest:
                raise ValueError("the checksum is another one")
            places = dict(self._places(described, len(head)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise self.damaged(reason) from error
        return places, metadata

    def _places(self, described: dict[str, Any], data: int) -> Iterator[tuple[str, Place]]:
        """The arrays, which lie one behind the other from byte `data` to the end of the file."""
        end = 0
        for name, entry in sorted(described.items(), key=lambda item: item[1]["data_offsets"]):
            shape, (start, stop) = tuple(entry["shape"]), entry["data_offsets"]
            place = Place(np.dtype(DTYPES[entry["dtype"]]), shape, data + start, stop - start)
            whole = all(type(n) is int and n >= 0 for n in (*shape, start, stop))
            fits = whole and prod(shape) * place.dtype.itemsize == place.size and start == end
            if not fits or len(shape) > 32 or prod(n or 1 for n in shape) > 2**48:  # what NumPy can't make
                raise ValueError(f"its array {name!r} lies wrong")
            end = stop
            yield name, place
        if data + end != self.size:
            raise ValueError("bytes after the last array")


def read_head(file: BinaryIO) -> bytes:
    """The first bytes of a file, before the arrays: the length of the header, and the header as far as it is there."""
    length = file.read(8)
    return length + file.read(min(int.from_bytes(length, "little"), strict_json.MAX_LENGTH))


def checksum(head: bytes, rest: BinaryIO) -> str:
    """The SHA-256 of head and rest."""
    found, buffer = hashlib.sha256(head), bytearray(CHUNK)
    while n := rest.readinto(buffer):  # type: ignore[attr-defined]
        found.update(memoryview(buffer)[:n])
    return found.hexdigest()
