"""What a file declares, checked before memory is taken for it.

A header is a few bytes that may ask for any amount of memory, and a packed file may unpack to any size. So each size is
held against the bytes that are there first, and only then is an array made.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

DEFLATE_LIMIT = 1032  # deflate's best: 258 bytes from two bits
CREDIBLE_RATIO = 100  # images of digits pack 5:1, one-hot labels about 50:1
SMALL = 1 << 28  # bytes that are unpacked at any possible ratio: an array of zeros is no attack
MAX_DIMENSIONS = 64  # NumPy's
CHUNK = 1 << 20


class Readable(Protocol):
    """A file, or what comes out of a packed one."""

    def read(self, size: int, /) -> bytes: ...


class DatasetError(ValueError):
    """A file is not the data that it should be. The message names the file, the place in it, and what was expected."""


def byte_count(where: str, dtype: np.dtype, shape: tuple[int, ...]) -> int:
    """Bytes of an array of this type and shape; DatasetError unless it can hold samples."""
    if not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise DatasetError(f"{where}: declares {len(shape)} dimensions; expected 1 to {MAX_DIMENSIONS}, samples first")
    if min(shape) < 1:
        raise DatasetError(f"{where}: declares the shape {shape}; expected sizes of at least 1")
    return math.prod(shape) * dtype.itemsize


def check_packed(where: str, declared: int, packed: int) -> None:
    """DatasetError if so few packed bytes cannot, or cannot credibly, unpack to the declared number."""
    if declared > packed * DEFLATE_LIMIT:
        raise DatasetError(
            f"{where}: declares {declared:,} bytes, which the {packed:,} packed bytes there cannot hold "
            f"(deflate packs at most {DEFLATE_LIMIT}:1); expected data of the declared size"
        )
    if declared > SMALL and declared > packed * CREDIBLE_RATIO:
        raise DatasetError(
            f"{where}: {packed:,} packed bytes would unpack to {declared:,}, as in a decompression bomb; above "
            f"{SMALL:,} bytes expected at most {CREDIBLE_RATIO}:1. If you trust the file, unpack it first"
        )


def read_array(
    stream: Readable, where: str, dtype: np.dtype, shape: tuple[int, ...], offset: int, fortran: bool = False
) -> np.ndarray:
    """The array that takes up the rest of an unpacking stream, now at byte `offset`; the size was checked before.

    Raises DatasetError where the stream ends early or goes on. To have read it to its end also means that its checksum
    was compared.
    """
    flat = np.empty(math.prod(shape), dtype)
    target = flat.view(np.uint8)
    done = 0
    while done < len(target):
        chunk = stream.read(min(CHUNK, len(target) - done))
        if not chunk:
            raise DatasetError(f"{where}: ends at byte {offset + done:,}; expected {offset + len(target):,} bytes")
        target[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    if stream.read(1):
        raise DatasetError(f"{where}: goes on after byte {offset + done:,}, where its header says that it ends")
    return flat.reshape(shape, order="F" if fortran else "C")
