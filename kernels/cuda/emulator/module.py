"""A compiled source: its kernels, its shared arrays, and from addresses of code back to lines."""

from __future__ import annotations

import ctypes
import re
import struct
import subprocess
import threading
from functools import cache
from pathlib import Path
from typing import NamedTuple

from . import build

LOCK = threading.Lock()  # held during a launch: the runtime runs one at a time
ORDERS = {"forward": 0, "reverse": 1, "random": 2}


class KernelError(RuntimeError):
    """A kernel did what it must not; the message says what, and where."""


# ---- the structures of runtime.h ------------------------------------------------------------------------------------
Three = ctypes.c_uint * 3


class Launch(ctypes.Structure):
    _fields_ = [
        ("grid", Three),
        ("block", Three),
        ("dynamic_shared", ctypes.c_uint),
        ("order", ctypes.c_int),
        ("seed", ctypes.c_uint64),
        ("check", ctypes.c_int),
        ("profile", ctypes.c_int),
        ("arguments", ctypes.c_char_p),
        ("shared", ctypes.c_char_p),
        ("argument_count", ctypes.c_int),
        ("shared_count", ctypes.c_int),
        ("values", ctypes.c_char_p),
        ("module", ctypes.c_void_p),
        ("module_end", ctypes.c_void_p),
    ]


class Finding(ctypes.Structure):
    _fields_ = [
        ("what", ctypes.c_char * 320),
        ("file", ctypes.c_char_p),
        ("line", ctypes.c_int),
        ("code", ctypes.c_uint64),
        ("other_code", ctypes.c_uint64),
        ("block", Three),
        ("thread", Three),
    ]


class Site(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint64),
        ("shared", ctypes.c_int),
        ("write", ctypes.c_int),
        ("bytes", ctypes.c_int),
        ("requests", ctypes.c_uint64),
        ("lanes", ctypes.c_uint64),
        ("passes", ctypes.c_uint64),
        ("ideal", ctypes.c_uint64),
    ]


EXTENT = struct.Struct("=QQQQII")  # begin, bytes, marks, name, constant, bytes of an element


class Symbol(NamedTuple):
    address: int  # relative to the module
    size: int
    kind: str
    name: str


@cache
def runtime() -> ctypes.CDLL:
    library = ctypes.CDLL(str(build.runtime()))
    library.emulator_finding.restype = ctypes.POINTER(Finding)
    library.emulator_site.restype = ctypes.POINTER(Site)
    return library


class Module:
    """A library made by build.kernels, loaded."""

    def __init__(self, path: Path):
        runtime()
        self.path = path
        self.library = ctypes.CDLL(str(path))
        self.symbols = symbols(path)
        self.kernels = {s.name.removeprefix("launch_") for s in self.symbols if s.name.startswith("launch_")}
        some = next(s for s in self.symbols if s.name.startswith("launch_"))
        self.begin = (ctypes.cast(self.library[some.name], ctypes.c_void_p).value or 0) - some.address
        self.end = self.begin + min(s.address for s in self.symbols if s.kind in "bBdD")  # of what cannot be written
        self._names: dict[str, ctypes.Array] = {}
        self._places: dict[int, str] = {}

    def address_of(self, name: str) -> int:
        """Of a C string that lives as long as the module."""
        if name not in self._names:
            self._names[name] = ctypes.create_string_buffer(name.encode())
        return ctypes.addressof(self._names[name])

    def shared_arrays(self, kernel: str) -> list[bytes]:
        """The static shared arrays that a kernel may use, as extents: its own, and those of functions it may call."""
        found = [(s, shared_array(s)) for s in self.symbols]
        return [
            EXTENT.pack(self.begin + s.address, s.size, 0, self.address_of(name), 0, 4)
            for s, (owner, name) in found
            if name and (owner == kernel or owner not in self.kernels)
        ]

    def places(self, codes: list[int]) -> list[str]:
        """Where in the sources instructions are: "common.cuh:12, called at dense.cu:40"."""
        unknown = [code for code in codes if code not in self._places]
        if unknown:
            # The addresses are of what comes after each call. One line for each, and one for each inlined caller.
            command = ["addr2line", "-a", "-i", "-e", str(self.path), *(hex(code - 1) for code in unknown)]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for code, lines in zip(unknown, re.split(r"^0x[0-9a-f]+\n", text, flags=re.MULTILINE)[1:], strict=True):
                chain = [Path(line.split()[0]).name for line in lines.splitlines()]
                chain = [place for place in chain if not place.startswith("exports:")]
                self._places[code] = ", called at ".join(chain)
        return [self._places[code] for code in codes]


def symbols(path: Path) -> list[Symbol]:
    text = subprocess.run(["nm", "-S", "--defined-only", str(path)], capture_output=True, text=True, check=True).stdout
    parts = [line.split() for line in text.splitlines()]  # address, size of some, kind, name
    return [Symbol(int(p[0], 16), int(p[1], 16) if len(p) == 4 else 0, p[-2], p[-1]) for p in parts]


def shared_array(symbol: Symbol) -> tuple[str, str]:
    """Function and name of a variable that a function keeps, which in kernels are the shared arrays; else twice ''.

    The linker knows it as _ZZ, the function, E, the variable, each name with its length before it: _ZZ6matmulE4left.
    """
    if symbol.kind not in "bBdDuV" or not symbol.name.startswith("_ZZ"):
        return "", ""
    owner = re.match(r"_ZZ(\d+)(\w+)", symbol.name)
    names = re.findall(r"E(?=(\d+)(\D\w*?)(?:_\d+)?$)", symbol.name)
    return owner[2][: int(owner[1])] if owner else "", next(name for size, name in names if int(size) == len(name))
