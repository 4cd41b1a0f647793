"""NVRTC, NVIDIA's compiler for CUDA C++, which needs no driver: what it says of our kernels, for every architecture.

python tests/kernels/nvrtc.py            compiles everything and compares it with cuda_resources.json
python tests/kernels/nvrtc.py --write    writes that file anew: after a kernel has changed
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from scratchae.kernels.cuda.launcher import Source, sources

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)  # Turing, Ampere (twice), Ada, Hopper, Blackwell (twice)
TABLE = Path(__file__).parent / "cuda_resources.json"


class Resources(NamedTuple):
    """What one kernel takes on one architecture."""

    registers: int  # of a thread
    shared: int  # bytes of static shared memory
    stack: int  # bytes of local memory that a thread keeps arrays in
    spilled: int  # bytes of registers that did not fit and go to memory


class CompileError(RuntimeError):
    """NVRTC does not accept a source."""


# ---- the library ----------------------------------------------------------------------------------------------------
@cache
def library() -> ctypes.CDLL | None:
    """NVRTC as the wheel nvidia-cuda-nvrtc brings it, or None."""
    package = find_spec("nvidia")
    folders = package.submodule_search_locations if package and package.submodule_search_locations else []
    found = [path for folder in folders for path in Path(folder).rglob("libnvrtc.so.*")]
    return ctypes.CDLL(str(found[0])) if found else None


def version() -> str:
    """The version that makes the same code of the same source."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def call(function: str, *arguments: object) -> int:
    loaded = library()
    assert loaded is not None
    return getattr(loaded, function)(*arguments)


OPTIONS = ["-std=c++17", "-ftz=true", "-default-device", "--ptxas-options=-v"]  # the first three as CuPy compiles


def compile_source(name: str, text: str, architecture: int) -> dict[str, Resources]:
    """The resources of each kernel of a source."""
    program = ctypes.c_void_p()
    call("nvrtcCreateProgram", ctypes.byref(program), text.encode(), name.encode(), 0, None, None)
    try:
        options = [f"-arch=sm_{architecture}", *OPTIONS]
        failed = call(
            "nvrtcCompileProgram", program, len(options), (ctypes.c_char_p * len(options))(*map(str.encode, options))
        )
        said = log(program)
        if failed:
            raise CompileError(f"NVRTC does not accept {name} for sm_{architecture}:\n{said}")
        return resources(said)
    finally:
        call("nvrtcDestroyProgram", ctypes.byref(program))


def compile_for(source: Source, architectures: Iterable[int]) -> dict[int, dict[str, Resources]]:
    """A source for several architectures, as many at a time as there are cores: NVRTC runs without Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda architecture: compile_source(source.name, source.text, architecture), architectures)
        return dict(zip(architectures, results, strict=True))


def log(program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    call("nvrtcGetProgramLogSize", program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    call("nvrtcGetProgramLog", program, text)
    return text.value.decode()


def resources(log: str) -> dict[str, Resources]:
    """What ptxas has said of each kernel, and of the functions that it calls."""

    def most(pattern: str, text: str) -> int:
        return max(map(int, re.findall(pattern, text)), default=0)

    patterns = (r"Used (\d+) registers", r"(\d+) bytes smem", r"(\d+) bytes stack frame", r"(\d+) bytes spill stores")
    parts = re.split(r"Compiling entry function '(\w+)'", log)
    return {
        kernel: Resources(*(most(pattern, said) for pattern in patterns))
        for kernel, said in zip(parts[1::2], parts[2::2], strict=True)
    }


# ---- the table: of every source its digest, and of every kernel registers and shared memory by architecture ---------
def digest(source: Source) -> str:
    return hashlib.sha256("\n".join([*OPTIONS, source.text]).encode()).hexdigest()[:16]


def read_table() -> dict:
    """The file, or an empty table."""
    return json.loads(TABLE.read_text()) if TABLE.exists() else {"nvrtc": "", "sources": {}}


def rows(compiled: dict[int, dict[str, Resources]]) -> dict[str, dict[str, list[int]]]:
    """The kernels of one source as they stand in the table."""
    found: dict[str, dict[str, list[int]]] = {}
    for architecture, kernels in compiled.items():
        for kernel, taken in sorted(kernels.items()):
            found.setdefault(kernel, {})[f"sm_{architecture}"] = [taken.registers, taken.shared]
    return found


def wasteful(compiled: dict[int, dict[str, Resources]]) -> list[str]:
    """The kernels that keep something in local memory, which is as slow as any other."""
    return [
        f"{kernel} on sm_{architecture}: {taken.stack} bytes of stack, {taken.spilled} bytes spilled"
        for architecture, kernels in compiled.items()
        for kernel, taken in kernels.items()
        if taken.stack or taken.spilled
    ]


def text_of(table: dict) -> str:
    """As JSON, one kernel a line."""

    def on_one_line(match: re.Match) -> str:
        return re.sub(r"(?<=[{\[])\s+|\s+(?=[}\]])", "", re.sub(r"\s+", " ", match[0]))

    return re.sub(r"\{\s+\"sm_[^}]*\}|\[[^\]]*\]", on_one_line, json.dumps(table, indent=1)) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the table instead of comparing with it")
    arguments = parser.parse_args()
    if library() is None:
        sys.exit("NVRTC is missing: pip install nvidia-cuda-nvrtc")
    before = read_table()
    table: dict = {"nvrtc": version(), "columns": ["registers", "bytes of static shared memory"], "sources": {}}
    for source in sources():
        entry = before["sources"].get(source.name)
        if not arguments.write or before["nvrtc"] != version() or not entry or entry["digest"] != digest(source):
            compiled = compile_for(source, ARCHITECTURES)
            if wasteful(compiled):
                sys.exit("\n".join(wasteful(compiled)))
            entry = {"digest": digest(source), "kernels": rows(compiled)}
        table["sources"][source.name] = entry
        print(f"{source.name}: {len(entry['kernels'])} kernels")
    if arguments.write:
        TABLE.write_text(text_of(table))
    elif table != before:
        sys.exit(f"{TABLE.name} is not what NVRTC {version()} makes of the sources: {Path(__file__).name} --write")


if __name__ == "__main__":
    main()
