"""IDX, the format of MNIST (LeCun et al. 1998; described at yann.lecun.com/exdb/mnist), big-endian throughout:

byte 0, 1      zero
byte 2         the type of the values, a code of TYPES
byte 3         D, the number of dimensions
byte 4         D sizes of 4 bytes each
byte 4 + 4 D   the values, the last dimension running fastest
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO

import numpy as np

from .declared import DatasetError, Readable, byte_count, check_packed, read_array

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP = b"\x1f\x8b"


def read(path: Path, file: IO[bytes], size: int) -> np.ndarray:
    """The array of an open IDX file of `size` bytes, memory-mapped, or read into memory where it is gzipped."""
    packed = file.read(2) == GZIP
    file.seek(0)
    if packed:
        return read_packed(path, file, size)
    dtype, shape, offset = read_header(file, f"{path}, byte")
    expected = offset + byte_count(str(path), dtype, shape)
    if size != expected:
        raise DatasetError(
            f"{path}, byte {min(size, expected):,}: the file has {size:,} bytes; "
            f"its header declares {dtype.name} {shape}, which takes {expected:,}"
        )
    return np.memmap(file, dtype, "r", offset, shape)


def read_packed(path: Path, file: IO[bytes], size: int) -> np.ndarray:
    """The array of a gzipped IDX file."""
    import gzip
    import zlib

    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            dtype, shape, offset = read_header(stream, f"{path}, unpacked byte")
            check_packed(str(path), offset + byte_count(str(path), dtype, shape), size)
            return read_array(stream, f"{path}, unpacked", dtype, shape, offset)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DatasetError(
            f"{path}, by byte {file.tell():,} of {size:,}: expected a whole gzip stream, "
            f"but it is damaged or cut short ({error}); fetch the file again"
        ) from error


def read_header(stream: Readable, where: str) -> tuple[np.dtype, tuple[int, ...], int]:
    """Type, shape, and where the values begin."""
    magic = stream.read(4)
    if len(magic) < 4:
        raise DatasetError(f"{where} {len(magic)}: ends within the header; expected the 4 bytes that begin an IDX file")
    if magic[:2] != b"\0\0":
        raise DatasetError(f"{where} 0: {magic[:2]!r}; expected two zeros, which begin an IDX file")
    if magic[2] not in TYPES:
        known = ", ".join(f"0x{code:02x} {np.dtype(name).name}" for code, name in TYPES.items())
        raise DatasetError(f"{where} 2: unknown type 0x{magic[2]:02x}; expected one of {known}")
    D = magic[3]
    if D == 0:
        raise DatasetError(f"{where} 3: no dimensions; expected at least 1, the samples")
    sizes = stream.read(4 * D)
    if len(sizes) < 4 * D:
        raise DatasetError(f"{where} {4 + len(sizes)}: ends within the header; expected {D} sizes of 4 bytes each")
    shape = struct.unpack(f">{D}I", sizes)
    if 0 in shape:
        raise DatasetError(f"{where} {4 + 4 * shape.index(0)}: the shape {shape}; expected sizes of at least 1")
    return np.dtype(TYPES[magic[2]]), shape, 4 + 4 * D
