"""From a .cu file to a shared library: g++, and the folder in which the libraries are kept.

A library's name holds a digest of all that went into it, so what is there is right, and what is not is made. Two
processes may make the same one; the last to finish puts it in place of the other's.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
RUNTIME = ("fibers.cpp", "scheduler.cpp", "checker.cpp", "profiler.cpp")
KEPT = 7 * 24 * 3600  # seconds that a library is kept after its last use

# Each operation is rounded once (-ffp-contract=off), and memory is bytes that any type may be read from.
COMMON = ["-std=c++17", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-fno-strict-aliasing", "-fno-plt", "-w"]
FAST = ["-O2", "-march=native"]
# Vectors stay whole (no-tree-sra), so that an access of 16 bytes is seen as one.
WATCHED = ["-O1", "-march=native", "-fno-tree-sra", "-fsanitize=thread", "-fsanitize=bounds,alignment"]
LINES = ["-g1", "-gdwarf-4"]  # in version 5 some of binutils take the first file of the table for another


class CompileError(RuntimeError):
    """g++ does not accept a source."""


def unavailable() -> str:
    """Why the emulator cannot be used here, or nothing."""
    if not sys.platform.startswith("linux"):
        return f"the emulator is for Linux, not for {sys.platform}"
    if shutil.which("g++") is None:
        return "the emulator needs g++, which is not on the PATH: install it (Debian: apt install g++)"
    return ""


def require() -> None:
    if reason := unavailable():
        raise RuntimeError(reason)


@cache
def compiler() -> str:
    """The compiler's name and version."""
    require()
    version = subprocess.run(["g++", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout
    return f"g++ {version.strip()}"


# ---- the folder -----------------------------------------------------------------------------------------------------
@cache
def cache_folder() -> Path:
    """In SCRATCHAE_CUDA_CACHE if that is set, else beside the sources, in the user's cache or among temporary files."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    chosen = os.environ.get("SCRATCHAE_CUDA_CACHE")
    for folder in [Path(chosen)] if chosen else [HERE / "__pycache__", Path(user) / "scratchae" / "cuda-emulator"]:
        if is_writable(folder):
            return folder
    mine = Path(tempfile.gettempdir()) / f"scratchae-{os.getuid()}"
    if is_writable(mine) and mine.stat().st_uid == os.getuid():
        return mine
    return Path(tempfile.mkdtemp(prefix="scratchae-"))


def is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def remove_old(folder: Path) -> None:
    """Remove libraries that nobody has used for a week."""
    for library in folder.glob("*.so"):
        with suppress(OSError):  # another process may be faster
            if time.time() - library.stat().st_mtime > KEPT:
                library.unlink()


# ---- libraries ------------------------------------------------------------------------------------------------------
@cache
def runtime() -> Path:
    """The library that all compiled kernels need."""
    flags = [*COMMON, "-O2", "-march=native"]
    sources = [str(HERE / name) for name in RUNTIME]
    texts = [(HERE / name).read_text() for name in (*RUNTIME, "interface.h", "fibers.h", "runtime.h")]

    def make(target: Path) -> None:
        run(["g++", *flags, "-shared", *sources, "-o", str(target)], "the emulator's runtime")

    return library("runtime", [*flags, *texts], make)


def kernels(name: str, text: str, exported: Iterable[str], watched: bool) -> Path:
    """The library of a source. `watched`: with a call before every access to memory."""
    stem = Path(name).stem
    code = translation_unit(text, exported)
    flags = [*COMMON, *([*WATCHED, *LINES] if watched else FAST)]
    needed = runtime()

    def make(target: Path) -> None:
        say_once()
        compiled = target.with_suffix(".o")
        try:
            run(["g++", *flags, f"-I{HERE}", "-x", "c++", "-c", "-", "-o", str(compiled)], name, code)
            # Without -fsanitize: the runtime, found beside the library, stands in for what that would link.
            beside = ["-Wl,-rpath,$ORIGIN", str(needed)]
            run(["g++", "-shared", str(compiled), *beside, "-o", str(target)], name)
        finally:
            compiled.unlink(missing_ok=True)

    headers = [(HERE / file).read_text() for file in ("cuda_on_cpu.h", "interface.h")]
    return library(stem, [code, *flags, *headers, needed.name], make)


@cache
def say_once() -> None:
    print("scratchae: compiling CUDA kernels with g++, once; it takes a second or two for each source", file=sys.stderr)


def translation_unit(text: str, exported: Iterable[str]) -> str:
    """A source as g++ sees it. The lines of errors are the source's own, see #line."""
    # Dynamic shared memory has no C++ counterpart: the array becomes a pointer to it.
    extern = r"extern\s+__shared__\s+(?:__align__\(\d+\)\s+)?([\w ]+?)\s+(\w+)\s*\[\s*\]\s*;"
    code = re.sub(extern, r"\1* const \2 = (\1*)emulator_dynamic_shared();", text)
    exports = "\n".join(f"EMULATOR_EXPORT({kernel}, ({bound(text, kernel)}))" for kernel in exported)
    return f'#include "cuda_on_cpu.h"\n{code}\n#line 1 "exports"\n{exports}\n'


def bound(text: str, kernel: str) -> str:
    """How many threads __launch_bounds__ allows a block of the kernel: an expression of the source."""
    match = re.search(rf"__launch_bounds__\s*\(([^,)]+)[^)]*\)\s*{kernel}\s*\(", text)
    return match[1] if match else "1024"


def library(stem: str, ingredients: Iterable[str], make: Callable[[Path], None]) -> Path:
    """The library made of these ingredients: the one in the folder, or made now."""
    everything = "\0".join([*ingredients, compiler(), processor()])
    folder = cache_folder()
    path = folder / f"{stem}-{hashlib.sha256(everything.encode()).hexdigest()[:16]}.so"
    if path.exists():
        with suppress(OSError):
            os.utime(path)  # it is in use
    else:
        remove_old(folder)
        with tempfile.TemporaryDirectory(dir=folder) as unfinished:
            made = Path(unfinished) / path.name
            make(made)
            os.replace(made, path)
    return path


@cache
def processor() -> str:
    """What -march=native depends on, for folders that several machines share."""
    text = Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    found = re.search(r"^(flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return found[2] if found else ""


def run(command: list[str], what: str, text: str | None = None) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise CompileError(f"g++ does not accept {what}:\n{done.stderr}")
