"""A reader for the part of HDF5 that Keras writes, and for nothing else.

The HDF5 library is written for files that can be trusted: of 5,000 Keras files with a few bytes changed, 12 made it
hang and one made it crash (HDF5 2.0.0 through h5py 3.16.0). Keras needs a small part of the format, in its oldest
version: superblock 0, groups with symbol tables, datasets in one piece, one string as an attribute. The rest is refused
by name, links to other files before all.

No byte is read more often than the file has bytes: what overlaps or runs in circles uses that up and is refused. So
time and memory are bounded by the size of the file, whatever it says. Arrays are views, nothing is copied.

Source: The HDF Group, "HDF5 File Format Specification Version 3.0"; its section numbers are given below.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from . import hdf5_messages
from .errors import ScratchaeFormatError
from .hdf5_messages import ATTRIBUTE, CONTINUATION, IGNORED, SYMBOL_TABLE, Messages, damaged, foreign

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_OBJECTS = 10_000
LONGEST_PATH, LONGEST_NAME = 1000, 255
DEEPEST = 50  # groups in groups; a model in a model takes two
MOST_LEVELS = 4  # of a group's tree, which has 32 branches at each


class Stored(NamedTuple):
    """What a file holds."""

    arrays: dict[str, np.ndarray]  # by path: "layers/dense/vars/0"
    names: dict[str, str]  # the attribute "name" of groups, by path: "layers/dense/vars"


def read(content: bytes | memoryview) -> Stored:
    """All arrays of a file, as read-only views into its content, and the names of its groups.

    Raises ScratchaeFormatError where the content is damaged, or holds what Keras doesn't write.
    """
    reader = Reader(memoryview(content))
    try:
        reader.read_object("", reader.root(), 0)
    except struct.error as error:
        raise damaged(f"it ends too early ({error})") from error
    return Stored(reader.arrays, reader.names)


class Reader:
    """The content of one file, and what was found in it so far."""

    def __init__(self, content: memoryview):
        self.content = content
        self.unread = len(content)
        self.paths: set[str] = set()
        self.arrays: dict[str, np.ndarray] = {}
        self.names: dict[str, str] = {}
        self.heaps: set[int] = set()  # addresses of those with texts
        self.texts: dict[tuple[int, int], str] = {}  # by heap and index

    def part(self, start: int, size: int) -> memoryview:
        """The bytes from start to start + size."""
        if start + size > len(self.content):
            raise damaged(f"it has {len(self.content)} bytes and points to {start} to {start + size}")
        self.unread -= size
        if self.unread < 0:
            raise damaged("parts of it overlap")
        return self.content[start : start + size]

    def unpack(self, form: str, start: int) -> tuple:
        """Fields that begin at start."""
        return struct.unpack(form, self.part(start, struct.calcsize(form)))

    def root(self) -> int:
        """The address of the root group: section II.A."""
        if self.content[:8] != SIGNATURE:
            raise ScratchaeFormatError("this is no HDF5 data: it begins with other bytes")
        version, *_, offsets, lengths, _ = self.unpack("<8B", 8)
        if version != 0:
            raise foreign(f"a superblock of version {version}, not 0")
        base, _, end, _, _, root = self.unpack("<6Q", 24)
        if (offsets, lengths, base) != (8, 8, 0):
            raise foreign(f"addresses of {offsets} and {lengths} bytes from {base} on, not of 8 and 8 from 0")
        if end > len(self.content):
            raise ScratchaeFormatError(f"the HDF5 data is cut off: it had {end} bytes, {len(self.content)} are left")
        return root

    def read_object(self, path: str, address: int, depth: int) -> None:
        """The group or the dataset whose header is there."""
        if path in self.paths:
            raise damaged(f"two objects are called {path!r}")
        self.paths.add(path)
        if len(self.paths) > MOST_OBJECTS or depth > DEEPEST or len(path) > LONGEST_PATH:
            raise foreign(f"more than {MOST_OBJECTS} objects, or groups {DEEPEST} deep in groups")
        found = self.header(path, address)
        hdf5_messages.refuse_foreign(path, found)
        if SYMBOL_TABLE in found:
            self.read_name(path, found)
            tree, heap = struct.unpack_from("<2Q", hdf5_messages.only(path, found, SYMBOL_TABLE))
            for name, member in self.members(path, tree, self.local_heap(path, heap)):
                self.read_object(f"{path}/{name}" if path else name, member, depth + 1)
        else:
            shape, dtype = hdf5_messages.shape_and_type(path, found)
            size = hdf5_messages.byte_count(shape, dtype)
            data = self.part(hdf5_messages.place(path, found, size), size)
            self.arrays[path] = np.frombuffer(data, dtype).reshape(shape)

    def header(self, path: str, address: int) -> Messages:
        """The messages of an object's header, by type: section IV.A.1.a."""
        version, count, _, size = self.unpack("<BxH2I4x", address)
        if version != 1:
            raise foreign(f"an object of a newer kind, {path!r}")
        found: Messages = {}
        blocks = [self.part(address + 16, size)]
        for block in blocks:
            while len(block) >= 8 and count:
                kind, size, flags = struct.unpack_from("<2HB", block)
                data, block = block[8 : 8 + size], block[8 + size :]
                count -= 1
                if len(data) < size or (flags & 2 and kind not in IGNORED):
                    raise damaged(f"the description of {path!r} is not where it should be")
                if kind == CONTINUATION:
                    blocks.append(self.part(*struct.unpack_from("<2Q", data)))
                else:
                    found.setdefault(kind, []).append(data)
        if count:
            raise damaged(f"the description of {path!r} is not whole")
        return found

    # ---- groups -----------------------------------------------------------------------------------------------------
    def local_heap(self, path: str, address: int) -> bytes:
        """The names of a group's members: section III.D."""
        signature, size, _, start = self.unpack("<4s4x3Q", address)
        if signature != b"HEAP":
            raise damaged(f"the names of {path!r} are not where they should be")
        return bytes(self.part(start, size))

    def members(self, path: str, node: int, names: bytes, level: int | None = None) -> Iterator[tuple[str, int]]:
        """Names and addresses of a group's members, from a node of its tree down: section III.A.1."""
        signature, kind, this_level, count = self.unpack("<4s2BH16x", node)
        if signature != b"TREE" or kind != 0 or this_level > MOST_LEVELS or level not in (None, this_level):
            raise damaged(f"the tree of {path!r} is not whole")
        for (child,) in struct.iter_unpack("<8xQ", self.part(node + 24, 16 * count)):
            if this_level > 0:
                yield from self.members(path, child, names, this_level - 1)
            else:
                yield from self.entries(path, child, names)

    def entries(self, path: str, node: int, names: bytes) -> Iterator[tuple[str, int]]:
        """Names and addresses in a leaf of a group's tree: sections III.B and III.C."""
        signature, count = self.unpack("<4s2xH", node)
        if signature != b"SNOD":
            raise damaged(f"the members of {path!r} are not where they should be")
        for i in range(count):
            start, address, kind = self.unpack("<2QI20x", node + 8 + 40 * i)
            name = names[start : max(start, names.find(b"\0", start, start + LONGEST_NAME))].decode("ascii", "replace")
            if kind == 2:
                raise foreign(f"a soft link, {name!r} in {path!r}")
            if not name or not name.isascii() or not name.isprintable() or "/" in name:
                raise damaged(f"{path!r} has a member called {name!r}")
            yield name, address

    # ---- attributes -------------------------------------------------------------------------------------------------
    def read_name(self, path: str, found: Messages) -> None:
        """The attribute "name" of a group, which Keras gives to "vars"."""
        for message in found.get(ATTRIBUTE, []):
            attribute, where = hdf5_messages.text_attribute(message)
            if attribute == "name" and where is not None:
                heap, index = where
                if heap not in self.heaps:
                    self.read_texts(path, heap)
                self.names[path] = self.texts.get((heap, index), "")

    def read_texts(self, path: str, heap: int) -> None:
        """The texts in a global heap, by its address and their index: section III.E."""
        self.heaps.add(heap)
        signature, size = self.unpack("<4s4xQ", heap)
        if signature != b"GCOL" or size < 16:
            raise damaged(f"the name of {path!r} is not where it should be")
        left = self.part(heap + 16, size - 16)
        while len(left) >= 16:
            index, length = struct.unpack_from("<H6xQ", left)
            if index == 0:  # the rest is free
                break
            if len(self.texts) == MOST_OBJECTS or length > LONGEST_NAME:
                raise foreign(f"more than {MOST_OBJECTS} texts, or one of {length} letters")
            self.texts[heap, index] = bytes(left[16 : 16 + length]).decode("utf-8", "replace")
            left = left[16 + -(-length // 8) * 8 :]
