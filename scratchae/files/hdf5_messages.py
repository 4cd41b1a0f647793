"""What describes an object of an HDF5 file: the messages of its header that Keras' files have.

Source: The HDF Group, "HDF5 File Format Specification Version 3.0", section IV.A.2.
"""

from __future__ import annotations

import struct
from math import prod

from .errors import ScratchaeFormatError

DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL_FILES, LAYOUT = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08
FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE = 0x0B, 0x0C, 0x10, 0x11
PADDING, FILL_VALUES, TIMES, ATTRIBUTE_INFO, REFERENCES = {0x00}, {0x04, 0x05}, {0x0E, 0x12}, {0x15}, {0x16}
IGNORED = PADDING | FILL_VALUES | TIMES | ATTRIBUTE_INFO | REFERENCES
KNOWN = IGNORED | {DATASPACE, DATATYPE, LAYOUT, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE}

MOST_AXES = 8

Messages = dict[int, list[memoryview]]  # by type


def damaged(what: str) -> ScratchaeFormatError:
    return ScratchaeFormatError(f"the HDF5 data is damaged: {what}")


def foreign(what: str) -> ScratchaeFormatError:
    return ScratchaeFormatError(
        f"the HDF5 data has {what}; Keras writes nothing of the kind. If this file comes from you, load it with Keras "
        "and save it again"
    )


# ---- types of numbers -----------------------------------------------------------------------------------------------
def float_type(size: int, exponent: int, mantissa: int, bias: int) -> bytes:
    """The datatype of an IEEE float, little-endian, with so many bits: section d."""
    sign = 8 * size - 1
    return struct.pack("<4BI2H4BI", 0x11, 0x20, sign, 0, size, 0, 8 * size, mantissa, exponent, 0, mantissa, bias)


def integer_type(size: int, signed: bool) -> bytes:
    """The datatype of an integer of so many bytes, little-endian: section d."""
    return struct.pack("<4BI2H", 0x10, 8 * signed, 0, 0, size, 0, 8 * size)


DATATYPES = {
    float_type(2, 5, 10, 15): "<f2",
    float_type(4, 8, 23, 127): "<f4",
    float_type(8, 11, 52, 1023): "<f8",
    **{integer_type(size, True): f"<i{size}" for size in (1, 2, 4, 8)},
    **{integer_type(size, False): f"<u{size}" for size in (1, 2, 4, 8)},
}
TEXT = b"\x19\x01"  # how the datatype of a string of any length begins; the text itself is in a global heap


# ---- the messages ---------------------------------------------------------------------------------------------------
def refuse_foreign(path: str, messages: Messages) -> None:
    """Raise for an object with links, data in other files, compression, or anything else that Keras doesn't write."""
    for link in messages.get(LINK, []):
        _, flags, kind = struct.unpack_from("<3B", link)
        kind = kind if flags & 8 else 0
        names = {1: "a soft link", 64: "an external link, to another file"}
        raise foreign(f"{names.get(kind, 'a link of a newer kind')} in {path!r}")
    if LINK_INFO in messages:
        raise foreign(f"a group of a newer kind, {path!r}")
    if EXTERNAL_FILES in messages:
        raise foreign(f"an external dataset, {path!r}: its numbers are in another file")
    if FILTERS in messages:
        raise foreign(f"a compressed dataset, {path!r}")
    for kind in messages:
        if kind not in KNOWN:
            raise foreign(f"something of type {kind:#x} about {path!r}")


def shape_and_type(path: str, messages: Messages) -> tuple[tuple[int, ...], str]:
    """The shape of a dataset, and its type for NumPy: sections b and d."""
    dataspace, datatype = only(path, messages, DATASPACE), only(path, messages, DATATYPE)
    version, axes, _, kind = struct.unpack_from("<4B", dataspace)
    if version not in (1, 2) or axes > MOST_AXES or (version == 2 and kind > 1):
        raise foreign(f"a dataset of version {version} with {axes} axes, {path!r}")
    shape = struct.unpack_from(f"<{axes}Q", dataspace, 8 if version == 1 else 4)
    for encoded, dtype in DATATYPES.items():
        if datatype[: len(encoded)] == encoded:
            return shape, dtype
    raise foreign(f"a dataset that is of no float or integer type of NumPy, {path!r}")


def place(path: str, messages: Messages, size: int) -> int:
    """Where a dataset of so many bytes begins: section i."""
    layout = only(path, messages, LAYOUT)
    version, kind = struct.unpack_from("<2B", layout)
    if version in (3, 4) and kind != 1:
        names = {0: "compact", 2: "chunked", 3: "virtual"}
        raise foreign(f"a {names.get(kind, 'strange')} dataset, {path!r}")
    if version != 3:
        raise foreign(f"a dataset with a layout of version {version}, {path!r}")
    start, stored = struct.unpack_from("<2Q", layout, 2)
    if stored != size or size == 0:
        raise damaged(f"{path!r} has {stored} bytes; expected {size}, and at least one")
    return start


def text_attribute(message: memoryview) -> tuple[str, tuple[int, int] | None]:
    """An attribute's name and, if it is one string, the address and index of that in a global heap: section m."""
    version, _, name_size, type_size, space_size = struct.unpack_from("<2B3H", message)
    if version not in (1, 3):
        raise foreign(f"an attribute of version {version}")
    at = 8 if version == 1 else 9
    parts = []
    for size in (name_size, type_size, space_size):
        parts.append(message[at : at + size])
        at += -(-size // 8) * 8 if version == 1 else size
    name, datatype, dataspace = parts
    text = bytes(name).rstrip(b"\0").decode("utf-8", "replace")
    if datatype[:2] != TEXT or dataspace[1:2] != b"\0":
        return text, None
    _, address, index = struct.unpack_from("<IQI", message, at)
    return text, (address, index)


def only(path: str, messages: Messages, kind: int) -> memoryview:
    """The one message of a type."""
    found = messages.get(kind, [])
    if len(found) != 1:
        raise damaged(f"{path!r} has {len(found)} messages of type {kind:#x}; expected one")
    return found[0]


def byte_count(shape: tuple[int, ...], dtype: str) -> int:
    return prod(shape) * int(dtype[2:])
