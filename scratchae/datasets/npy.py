"""NumPy's .npy files (numpy.lib.format describes them): a header of text, then the values. Nothing is unpickled."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from .declared import DatasetError, Readable, byte_count

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 10_000  # NumPy's own limit; a header of numbers takes 118 bytes


class Header(NamedTuple):
    """Type and shape of an array, where its values begin, and whether they lie in Fortran's order."""

    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    fortran: bool


def read(path: Path, file: IO[bytes], size: int) -> np.ndarray:
    """The array of an open .npy file of `size` bytes, memory-mapped."""
    header = read_header(file, str(path), size)
    return np.memmap(file, header.dtype, "r", header.offset, header.shape, "F" if header.fortran else "C")


def read_header(stream: Readable, where: str, size: int) -> Header:
    """The header of an array that takes `size` bytes with it; the stream is left at the values.

    Raises DatasetError for a damaged header, a size that differs from the declared one, and values that are no numbers.
    """
    begin = exactly(stream, 8, where, 0)
    if begin[:6] != MAGIC:
        raise DatasetError(f"{where}, byte 0: {begin[:6]!r}; expected {MAGIC!r}, which begins a .npy file")
    version = tuple(begin[6:])
    if version not in ((1, 0), (2, 0)):
        raise DatasetError(f"{where}, byte 6: version {version} of the format; expected (1, 0) or (2, 0), for numbers")
    width = 2 if version == (1, 0) else 4
    field = exactly(stream, width, where, 8)
    length = int.from_bytes(field, "little")
    if length > LONGEST_HEADER:
        raise DatasetError(f"{where}, byte 8: a header of {length:,} bytes; expected at most {LONGEST_HEADER:,}")
    text = exactly(stream, length, where, 8 + width)
    parse = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = parse(io.BytesIO(field + text))
    except Exception as error:  # NumPy evaluates the text as a Python literal, which can fail in any way
        raise DatasetError(
            f"{where}, byte {8 + width}: the header is damaged ({error}); expected descr, fortran_order and shape"
        ) from error
    if dtype.kind not in "biuf":
        what = "Python objects, which only pickle could read" if dtype.hasobject else f"values of type {dtype}"
        raise DatasetError(f"{where}: holds {what}; expected numbers: save it again as floats or integers")
    shape = tuple(int(length) for length in shape)
    nbytes = byte_count(where, dtype, shape)
    offset = 8 + width + length
    if size != offset + nbytes:
        raise DatasetError(
            f"{where}, byte {min(size, offset + nbytes):,}: {size:,} bytes are there; "
            f"the header declares {dtype} {shape}, which takes {offset + nbytes:,}"
        )
    return Header(dtype, shape, offset, fortran)


def exactly(stream: Readable, count: int, where: str, offset: int) -> bytes:
    """The next `count` bytes, which begin at `offset`."""
    data = stream.read(count)
    if len(data) < count:
        raise DatasetError(f"{where}, byte {offset + len(data)}: ends within the header; expected a whole .npy file")
    return data
