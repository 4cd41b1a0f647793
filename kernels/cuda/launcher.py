"""From a call in Python to a kernel on a machine: sources, what their kernels take, and the check of every launch.

    dense = Source("dense")                                        # dense.cu, beside this file
    dense.launch("dense_forward", grid, block, y, x, w, b, N, I, O)

The machine is the one that the arrays belong to: a GPU through CuPy, or the emulator. Neither checks what a kernel is
given, so this does: an array of another type or one that is not contiguous, a number that does not fit, an argument
too few, raise a TypeError that names it, and an array of another size a ValueError.

The sizes stand in the source, in a comment behind the name of each pointer:

    float* y /*(N, O)*/, const float* x /*(N, I)*/, float* partial /*(>= gridDim.x, O)*/, int N, int I, int O

A factor is an integer parameter of the kernel, gridDim.x, .y or .z, or a number. Their product has to be the number of
elements, or after >= at most that: to a kernel (N, T, 4U) and (N, T, 4, U) are the same.

A kernel that does several things of one kind takes what each of them needs in a struct, whose members are declared as
parameters are: `const __grid_constant__ Many<Link> links` (many.cuh) is given as a list of dictionaries with their
names, at most MANY. The sizes of its arrays are those of its own integers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from importlib import resources
from math import prod
from typing import Any, NamedTuple, Protocol

import numpy as np

from .. import Array, RecordingMachine

Size = int | tuple[int, ...]

TYPES: dict[str, np.dtype] = {  # of parameters, and of what pointers point to
    "float": np.dtype("float32"),
    "double": np.dtype("float64"),
    "int": np.dtype("int32"),
    "unsigned": np.dtype("uint32"),
    "long long": np.dtype("int64"),
    "unsigned long long": np.dtype("uint64"),
    "unsigned char": np.dtype("uint8"),
}
LIMITS = {dtype: (np.iinfo(dtype).min, np.iinfo(dtype).max) for dtype in TYPES.values() if dtype.kind in "iu"}
GRID = ("gridDim.x", "gridDim.y", "gridDim.z")
LARGEST_GRID = (2**31 - 1, 65535, 65535)
LARGEST_BLOCK = 1024  # threads
SHARED = 48 * 1024  # bytes of shared memory that every GPU gives without being asked twice
MANY = 16  # many.cuh's


class Parameter(NamedTuple):
    """One parameter of a kernel: a number, a pointer to an array of them, or a Many."""

    name: str
    dtype: np.dtype
    pointer: bool
    const: bool
    size: str = ""  # of a pointer's array, as it is written in the source: "N, O"
    members: tuple[Parameter, ...] = ()  # of each struct of a Many


class Extent(NamedTuple):
    """A parameter's size, as it is computed: from numbers that are a launch's arguments and, behind them, its grid."""

    array: int  # its place among the arguments
    factors: tuple[int, ...]  # places of numbers
    constant: int  # the other factors
    at_least: bool


class CudaMachine(RecordingMachine, Protocol):
    """What runs CUDA kernels: CuPy's GPU, or the emulator."""

    def launch(
        self, source: Source, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], values: list, shared: int
    ) -> None:
        """Run a kernel on arrays of this machine and NumPy scalars of the right types; None is a null pointer, and a
        list of tuples of these a Many, see `packed`."""

    def scratch(self, size: int, which: int = 0) -> Array:
        """float32 memory (size,) for partial sums: what it held may be gone at the next op. `which` tells apart those
        that an op needs at the same time."""


_machines: dict[type, CudaMachine] = {}  # type of array -> the machine that has them


def register(array_type: type, machine: CudaMachine) -> None:
    """Let kernels that are given such arrays run on this machine."""
    _machines[array_type] = machine


def machine_of(array: Array) -> CudaMachine:
    """The machine an array belongs to; TypeError for an array of the host."""
    machine = getattr(array, "machine", None) or _machines.get(type(array))
    if machine is None:
        raise TypeError(f"a CUDA kernel was given a {type(array).__module__}.{type(array).__name__}; expected an array")
    return machine


class Source:
    """The kernels of one .cu file."""

    def __init__(self, name: str):
        self.name = f"{name}.cu"

    @classmethod
    def of_text(cls, name: str, text: str) -> Source:
        """A source that is no file beside this one."""
        source = cls(name)
        source.text = f'#line 1 "{source.name}"\n{text}'
        return source

    @cached_property
    def text(self) -> str:
        """The file with what it includes in its place, so that one text is all that a compiler and a cache see."""
        return expand(self.name)

    @cached_property
    def kernels(self) -> dict[str, tuple[Parameter, ...]]:
        """What each kernel takes, read from the source."""
        return signatures(self.text)

    def launch(self, kernel: str, grid: Size, block: Size, *arguments: Any, shared: int = 0) -> None:
        """Run a kernel over `grid` blocks of `block` threads, with `shared` bytes of dynamic shared memory."""
        grid, block = (size if isinstance(size, tuple) else (size,) for size in (grid, block))
        if prod(grid) == 0:
            return
        if any(not 0 < size <= limit for size, limit in zip(grid, LARGEST_GRID, strict=False)):
            raise ValueError(f"{kernel}: a grid of {grid} blocks; at most {LARGEST_GRID} can be launched")
        if not 0 < prod(block) <= LARGEST_BLOCK or shared > SHARED:
            raise ValueError(f"{kernel}: {block} threads and {shared} bytes of shared memory are too much for a block")
        values = checked(kernel, self.kernels[kernel], arguments, grid)
        first = next(array for _, array in pointers(self.kernels[kernel], values) if array is not None)
        machine_of(first).launch(self, kernel, grid, block, values, shared)


def sources() -> list[Source]:
    """All sources of the package."""
    names = sorted(file.name for file in resources.files(__package__).iterdir() if file.name.endswith(".cu"))
    return [Source(name.removesuffix(".cu")) for name in names]


def expand(name: str, included: set[str] | None = None) -> str:
    """A source with every `#include "file"` of ours replaced by the file, once; errors keep their lines."""
    included = set() if included is None else included

    def include(match: re.Match) -> str:
        if match[1] in included:
            return ""
        included.add(match[1])
        line = text.count("\n", 0, match.start()) + 2
        return f'{expand(match[1], included)}\n#line {line} "{name}"'

    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return f'#line 1 "{name}"\n' + re.sub(r'^#include "(\w+\.cuh)"$', include, text, flags=re.MULTILINE)


def signatures(text: str) -> dict[str, tuple[Parameter, ...]]:
    """The parameters of each `extern "C" __global__` function of a source."""
    text = re.sub(r"//[^\n]*", "", text)
    structs = {m[1]: m[2] for m in re.finditer(r"^struct (\w+) \{$(.*?)^\};$", text, re.MULTILINE | re.DOTALL)}
    name = r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)'
    kernels = re.finditer(name + r"\s*\(((?:/\*.*?\*/|[^)/])*)\)", text, re.DOTALL)
    return {m[1]: tuple(parameter(declaration, structs) for declaration in split(m[2])) for m in kernels}


def split(declarations: str) -> list[str]:
    """At commas, but for those in comments."""
    return re.findall(r"(?:/\*.*?\*/|[^,/])+", declarations, re.DOTALL)


def parameter(declaration: str, structs: dict[str, str]) -> Parameter:
    """`const float* __restrict__ x /*(N, I)*/` as a Parameter. `structs` are the source's, by their names."""
    several = re.fullmatch(r"\s*const\s+__grid_constant__\s+Many<(\w+)>\s+(\w+)\s*", declaration)
    if several is not None and several[1] in structs:
        members = tuple(members_of(structs[several[1]]))
        struct = np.dtype([(m.name, "u8" if m.pointer else m.dtype) for m in members], align=True)
        many = np.dtype([("at", struct, MANY), ("count", "i4")], align=True)
        return Parameter(several[2], many, pointer=False, const=True, members=members)
    pattern = r"\s*(const\s+)?([a-z ]+?)\s*(\*)?\s*(?:__restrict__)?\s*(\w+)\s*(?:/\*\(([^)]+)\)\*/\s*)?"
    match = re.fullmatch(pattern, declaration)
    if match is None or match[2] not in TYPES or (match[5] and not match[3]):
        raise ValueError(
            f"the parameter {declaration.strip()!r} is not understood: expected one of the types {', '.join(TYPES)}, "
            "and behind a pointer's name nothing or a size such as /*(N, 3)*/ or /*(>= N)*/"
        )
    return Parameter(match[4], TYPES[match[2]], bool(match[3]), bool(match[1]), match[5] or "")


def members_of(struct: str) -> Iterator[Parameter]:
    """`const float* x /*(N, I)*/; int N, I;` as Parameters."""
    for declaration in struct.split(";")[:-1]:
        first, *others = split(declaration)
        if others and "*" in first:
            raise ValueError(f"{declaration.strip()!r}: expected each pointer in a declaration of its own")
        kind = " ".join(first.split()[:-1])
        yield from (parameter(each, {}) for each in (first, *(f"{kind} {name}" for name in others)))


@cache
def extents(kernel: str, parameters: tuple[Parameter, ...]) -> list[Extent]:
    """The sizes that the parameters' comments give them."""
    names = [*(p.name if p.dtype in LIMITS and not p.pointer else "" for p in parameters), *GRID]
    found = []
    for array, p in enumerate(parameters):
        if not p.size:
            continue
        constant, factors = 1, []
        for factor in p.size.removeprefix(">= ").split(", "):
            if factor.isdecimal():
                constant *= int(factor)
            elif factor and factor in names:
                factors.append(names.index(factor))
            else:
                known = ", ".join(filter(None, names))
                raise ValueError(f"{kernel}: {p.name} /*({p.size})*/: {factor!r} is no number, and not among {known}")
        found.append(Extent(array, tuple(factors), constant, p.size.startswith(">= ")))
    return found


def checked(
    kernel: str, parameters: tuple[Parameter, ...], arguments: Sequence[Any], grid: tuple[int, ...]
) -> list[Any]:
    """The arguments as the kernel takes them: arrays, None, NumPy scalars, and for a Many a list of tuples of these."""
    if len(arguments) != len(parameters):
        raise TypeError(f"{kernel} was given {len(arguments)} arguments; it takes {len(parameters)}")
    values = [
        checked_many(kernel, p, value, grid) if p.members else checked_one(kernel, p, value)
        for p, value in zip(parameters, arguments, strict=True)
    ]
    check_sizes(kernel, parameters, arguments, grid)
    return values


def checked_one(kernel: str, parameter: Parameter, value: Any) -> Any:
    """An array, None, or a NumPy scalar."""
    name, dtype, pointer, *_ = parameter
    if pointer:
        if value is not None and (getattr(value, "dtype", None) != dtype or not is_contiguous(value)):
            kind = f"{getattr(value, 'dtype', type(value).__name__)}, of shape {getattr(value, 'shape', '?')}"
            raise TypeError(f"{kernel}: {name} is {kind}; expected a contiguous array of {dtype}")
        return value
    if dtype.kind == "f":
        return dtype.type(value)
    lowest, highest = LIMITS[dtype]
    if int(value) != value or not lowest <= value <= highest:
        raise TypeError(f"{kernel}: {name} is {value!r}; expected an integer that fits into {dtype}")
    return dtype.type(value)


def checked_many(kernel: str, parameter: Parameter, structs: list[dict[str, Any]], grid: tuple[int, ...]) -> list:
    """A tuple for each struct, in the order of its members."""
    if not 0 < len(structs) <= MANY:
        raise TypeError(f"{kernel}: {parameter.name} has {len(structs)} entries; expected 1 to {MANY}")
    names = [member.name for member in parameter.members]
    values = []
    for i, struct in enumerate(structs):
        place = f"{kernel}: {parameter.name}[{i}]"
        if struct.keys() != set(names):
            raise TypeError(f"{place} has {', '.join(struct)}; expected {', '.join(names)}")
        values.append(tuple(checked(place, parameter.members, [struct[name] for name in names], grid)))
    return values


def pointers(parameters: tuple[Parameter, ...], values: Sequence[Any]) -> Iterator[tuple[Parameter, Array | None]]:
    """All arrays of a launch, those within a Many too."""
    for parameter, value in zip(parameters, values, strict=True):
        if parameter.pointer:
            yield parameter, value
        elif parameter.members:
            for struct in value:
                yield from pointers(parameter.members, struct)


def packed(parameter: Parameter, structs: list[tuple], address: Callable[[Array], int]) -> np.ndarray:
    """A Many's bytes, as an array of one element, for a machine that knows where its arrays are."""
    many = np.zeros((), parameter.dtype)
    many["count"] = len(structs)
    for i, struct in enumerate(structs):
        for member, value in zip(parameter.members, struct, strict=True):
            if value is not None:  # which 0 stands for
                many["at"][i][member.name] = address(value) if member.pointer else value
    return many


def check_sizes(
    kernel: str, parameters: tuple[Parameter, ...], arguments: Sequence[Any], grid: tuple[int, ...]
) -> None:
    """ValueError if an array has not as many elements as its parameter's comment says."""
    numbers = *arguments, *grid, 1, 1
    for array, factors, size, at_least in extents(kernel, parameters):
        if numbers[array] is None:
            continue
        for factor in factors:
            size *= numbers[factor]
        if numbers[array].size != size and (not at_least or numbers[array].size < size):
            name, said = parameters[array].name, parameters[array].size.removeprefix(">= ")
            values = dict(zip([*(p.name for p in parameters), *GRID], numbers, strict=False))
            raise ValueError(
                f"{kernel}: {name} is of shape {numbers[array].shape}, {numbers[array].size} elements; expected "
                f"{'at least ' if at_least else ''}({said}) = "
                f"({', '.join(str(values.get(factor, factor)) for factor in said.split(', '))}), {size} elements"
            )


def is_contiguous(array: Array) -> bool:
    return bool(array.flags.c_contiguous)


def blocks(n: int, size: int) -> int:
    """How many blocks of `size` cover n."""
    return -(-n // size)
