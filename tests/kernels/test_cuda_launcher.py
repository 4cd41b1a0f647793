"""What the launcher reads from CUDA sources, and what it refuses to launch."""

import re
from math import prod
from pathlib import Path

import numpy as np
import pytest

from scratchae.kernels.cuda import launcher
from scratchae.kernels.cuda.emulator import Array
from scratchae.kernels.cuda.launcher import Parameter, Source

SOURCE = Source.of_text(
    "some",
    """
extern "C" __global__ void scale(float* y, const float* __restrict__ x,  // a comment, with a comma
                                 float factor, int n, long long first, unsigned seed, unsigned char byte) {}
extern "C" __global__ void __launch_bounds__(256) count(unsigned long long* total,
                                                        const unsigned char* winner) {}
extern "C" __global__ void __launch_bounds__(THREADS, 2)
nothing(const double* x) {}
// extern "C" __global__ void retired(float* y) {}
__global__ void inner(float* y) {}
__device__ float helper(float x) { return x; }
""",
)

SIZED = Source.of_text(
    "sized",
    """
extern "C" __global__ void __launch_bounds__(256)
product(float* __restrict__ y /*(N, O)*/, const float* x /*(N, 3, I)*/, const float* b /*(O)*/,  // (none)
        float* partial /*(>= gridDim.y, O)*/, int* flag /*(1)*/, unsigned char* any, int N, long long I, int O,
        float scale) {}
""",
)


class Recorder:
    """A machine that remembers what it was to launch."""

    def __init__(self):
        self.launched = []

    def launch(self, *arguments):
        self.launched.append(arguments)


@pytest.fixture
def recorder():
    return Recorder()


def array(recorder, shape=(6,), dtype="float32"):
    return Array.allocate(recorder, shape, dtype, marked=False)


def launch(recorder, grid=2, block=32, shared=0, **changes):
    """Launch `scale` with sound arguments but for the changes."""
    arguments = {
        "y": array(recorder),
        "x": array(recorder),
        "factor": 0.5,
        "n": 6,
        "first": 0,
        "seed": 7,
        "byte": 255,
    } | changes
    SOURCE.launch("scale", grid, block, *arguments.values(), shared=shared)


# ---- sources --------------------------------------------------------------------------------------------------------
def test_signatures():
    assert SOURCE.kernels == {
        "scale": (
            Parameter("y", np.dtype("float32"), True, False),
            Parameter("x", np.dtype("float32"), True, True),
            Parameter("factor", np.dtype("float32"), False, False),
            Parameter("n", np.dtype("int32"), False, False),
            Parameter("first", np.dtype("int64"), False, False),
            Parameter("seed", np.dtype("uint32"), False, False),
            Parameter("byte", np.dtype("uint8"), False, False),
        ),
        "count": (
            Parameter("total", np.dtype("uint64"), True, False),
            Parameter("winner", np.dtype("uint8"), True, True),
        ),
        "nothing": (Parameter("x", np.dtype("float64"), True, True),),
    }


@pytest.mark.parametrize("declaration", ["half* y", "float** y", "float", "const float& x", "Four four", "bool b"])
def test_parameters_of_other_types_are_refused(declaration):
    with pytest.raises(ValueError, match=re.escape(repr(declaration))):
        launcher.parameter(declaration, {})


def test_sizes_are_read():
    assert {p.name: p.size for p in SIZED.kernels["product"] if p.size} == {
        "y": "N, O",
        "x": "N, 3, I",
        "b": "O",
        "partial": ">= gridDim.y, O",
        "flag": "1",
    }
    assert [p.name for p in SIZED.kernels["product"]] == [*"yxb", "partial", "flag", "any", *"NIO", "scale"]


@pytest.mark.parametrize(
    "size", ["Q", "scale", "x", "N O", "N,O", "N, ", ">=N", "> N", "2.5", "gridDim", "blockDim.x", "N + 1"]
)
def test_sizes_are_products_of_integers_of_the_kernel(size):
    source = Source.of_text(
        "wrong", f'extern "C" __global__ void f(float* y /*({size})*/, int* x, int N, int O, float scale) {{}}'
    )
    with pytest.raises(ValueError, match=r"f: y /\*\(.*\)\*/: '.*' is no number, and not among N, O, gridDim.x"):
        source.launch("f", 1, 1, None, None, 1, 1, 1.0)


@pytest.mark.parametrize("declaration", ["float* y /* of x */", "float* y /*N*/", "float* y /*()*/", "int n /*(1)*/"])
def test_other_comments_are_refused(declaration):
    with pytest.raises(ValueError, match=re.escape(repr(declaration))):
        launcher.parameter(declaration, {})


def test_expand_puts_what_is_included_in_its_place_and_keeps_lines(tmp_path, monkeypatch):
    (tmp_path / "top.cu").write_text('// top\n#include "middle.cuh"\nint after;\n#include "low.cuh"\nint last;\n')
    (tmp_path / "middle.cuh").write_text('#include "low.cuh"\nint middle;\n')
    (tmp_path / "low.cuh").write_text("int low;\n")
    monkeypatch.setattr(launcher.resources, "files", lambda package: tmp_path)
    lines = Source("top").text.split("\n")
    file, number, places = None, None, {}
    for line in lines:
        if match := re.fullmatch(r'#line (\d+) "(\S+)"', line):
            number, file = int(match[1]), match[2]
        else:
            places.setdefault(line, (file, number))
            number += 1
    assert "#include" not in Source("top").text
    expected = {"// top": ("top.cu", 1), "int low;": ("low.cuh", 1), "int middle;": ("middle.cuh", 2)}
    expected |= {"int after;": ("top.cu", 3), "int last;": ("top.cu", 5)}
    assert {line: places[line] for line in expected} == expected


def test_all_sources_of_the_package_can_be_read():
    folder = Path(launcher.__file__).parent
    sources = launcher.sources()
    assert [source.name for source in sources] == sorted(file.name for file in folder.glob("*.cu"))
    for source in sources:
        assert source.kernels
        assert len(source.kernels) == len(re.findall(r'extern "C" __global__', re.sub(r"//[^\n]*", "", source.text)))


def test_kernels_of_different_sources_have_different_names():
    # So that a message that names a kernel names one.
    names = [name for source in launcher.sources() for name in source.kernels]
    assert len(names) == len({*names})


# ---- launches -------------------------------------------------------------------------------------------------------
def test_what_a_machine_is_given(recorder):
    y, x = array(recorder), array(recorder)
    launch(recorder, grid=(2, 3), block=64, shared=128, y=y, x=x, n=np.int64(5), first=2**40)
    ((source, kernel, grid, block, values, shared),) = recorder.launched
    assert (source, kernel, grid, block, shared) == (SOURCE, "scale", (2, 3), (64,), 128)
    assert values[0] is y
    assert values[1] is x
    assert [type(value) for value in values[2:]] == [np.float32, np.int32, np.int64, np.uint32, np.uint8]
    assert [float(value) for value in values[2:]] == [0.5, 5, 2**40, 7, 255]


def test_none_is_a_null_pointer_and_the_machine_is_that_of_the_first_array(recorder):
    launch(recorder, y=None)
    assert recorder.launched[0][4][0] is None


def test_nothing_is_launched_over_no_blocks(recorder):
    launch(recorder, grid=0)
    launch(recorder, grid=(4, 0))
    assert recorder.launched == []


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        (
            "y",
            lambda r: array(r, dtype="float64"),
            "y is float64, of shape (6,); expected a contiguous array of float32",
        ),
        ("x", lambda r: array(r, (6, 2))[:, 0], "x is float32, of shape (6,); expected a contiguous array of float32"),
        ("x", lambda r: array(r, dtype="int32"), "x is int32, of shape (6,); expected a contiguous array of float32"),
        ("x", lambda r: 3.0, "x is float, of shape ?; expected a contiguous array of float32"),
        ("n", lambda r: 2**31, "n is 2147483648; expected an integer that fits into int32"),
        ("n", lambda r: 1.5, "n is 1.5; expected an integer that fits into int32"),
        ("seed", lambda r: -1, "seed is -1; expected an integer that fits into uint32"),
        ("byte", lambda r: 256, "byte is 256; expected an integer that fits into uint8"),
        ("first", lambda r: 2**63, f"first is {2**63}; expected an integer that fits into int64"),
    ],
)
def test_wrong_arguments_are_refused(recorder, name, make, said):
    with pytest.raises(TypeError, match=re.escape(f"scale: {said}")):
        launch(recorder, **{name: make(recorder)})
    assert recorder.launched == []


# ---- several structs ------------------------------------------------------------------------------------------------
SEVERAL = Source.of_text(
    "several",
    """
struct Thing {
  float* y /*(n, gridDim.x)*/;  // a comment; with a semicolon
  const unsigned char* x /*(m)*/;
  int n, m;
};
struct Other {
  float inside[3];
};
struct Numbers {
  unsigned char low, high;
  double scale;
};
extern "C" __global__ void numbers(const __grid_constant__ Many<Numbers> numbers, int* y /*(1)*/) {}
extern "C" __global__ void all(const __grid_constant__ Many<Thing> things, float factor) {}
""",
)


def thing(recorder, n=2, m=5, **changes):
    """For a grid of 3 blocks."""
    return {"n": n, "m": m, "x": array(recorder, (m,), "uint8"), "y": array(recorder, (3 * n,))} | changes


def test_structs_are_read_and_given_as_they_lie_in_memory(recorder):
    several, factor = SEVERAL.kernels["all"]
    assert several.members == (
        Parameter("y", np.dtype("float32"), True, False, "n, gridDim.x"),
        Parameter("x", np.dtype("uint8"), True, True, "m"),
        Parameter("n", np.dtype("int32"), False, False),
        Parameter("m", np.dtype("int32"), False, False),
    )
    assert factor == Parameter("factor", np.dtype("float32"), False, False)
    things = [thing(recorder), thing(recorder, n=4, x=None)]
    SEVERAL.launch("all", 3, 32, things, 2.0)
    values = recorder.launched[0][4]
    assert values[0] == [tuple(t[name] for name in ("y", "x", "n", "m")) for t in things]
    memory = launcher.packed(several, values[0], lambda a: 1000 + a.size)
    assert memory.nbytes == several.dtype.itemsize == launcher.MANY * 24 + 8
    struct = memory["at"]
    assert memory["count"] == 2
    assert [struct[name][:3].tolist() for name in "yxnm"] == [[1006, 1012, 0], [1005, 0, 0], [2, 4, 0], [5, 5, 0]]


def test_members_of_one_declaration_are_of_one_type():
    numbers, _ = SEVERAL.kernels["numbers"]
    assert [(p.name, p.dtype.name) for p in numbers.members] == [
        ("low", "uint8"),
        ("high", "uint8"),
        ("scale", "float64"),
    ]
    assert numbers.dtype["at"].base.fields["scale"][1] == 8
    with pytest.raises(ValueError, match=re.escape("'float* y, z': expected each pointer")):
        list(launcher.members_of("float* y, z;"))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda r, t: t | {"n": 3}, ValueError, "things[1]: y is of shape (6,), 6 elements; expected (n, gridDim.x)"),
        (lambda r, t: t | {"m": 4}, ValueError, "things[1]: x is of shape (5,), 5 elements; expected (m) = (4)"),
        (lambda r, t: t | {"y": array(r, dtype="int32")}, TypeError, "things[1]: y is int32, of shape (6,); expected"),
        (lambda r, t: t | {"n": 0.5}, TypeError, "things[1]: n is 0.5; expected an integer"),
        (lambda r, t: t | {"z": 1}, TypeError, "things[1] has n, m, x, y, z; expected y, x, n, m"),
        (lambda r, t: {"n": 1}, TypeError, "things[1] has n; expected y, x, n, m"),
    ],
)
def test_wrong_structs_are_refused(recorder, change, error, said):
    with pytest.raises(error, match=re.escape(f"all: {said}")):
        SEVERAL.launch("all", 3, 32, [thing(recorder), change(recorder, thing(recorder))], 2.0)
    assert recorder.launched == []


@pytest.mark.parametrize("count", [0, launcher.MANY + 1])
def test_as_many_structs_as_there_is_room_for(recorder, count):
    with pytest.raises(TypeError, match=f"all: things has {count} entries; expected 1 to {launcher.MANY}"):
        SEVERAL.launch("all", 3, 32, [thing(recorder)] * count, 2.0)
    SEVERAL.launch("all", 3, 32, [thing(recorder)] * launcher.MANY, 2.0)
    assert f"constexpr int MANY = {launcher.MANY};" in launcher.expand("many.cuh")


@pytest.mark.parametrize(
    "declaration",
    ["Many<Thing> t", "const Many<Thing> t", "const __grid_constant__ Many<None> t", "const __grid_constant__ Other o"],
)
def test_other_structs_are_refused(declaration):
    with pytest.raises(ValueError, match=re.escape(repr(declaration))):
        launcher.parameter(declaration, {"Thing": "int n;", "Other": "int n;"})


# ---- sizes ----------------------------------------------------------------------------------------------------------
def launch_product(recorder, **changes):
    """Launch `product` over 2 x 5 blocks with N = 2, I = 4, O = 7, and arrays of these shapes but for the changes."""
    shapes = {"y": (2, 7), "x": (2, 3, 4), "b": (7,), "partial": (5, 7), "flag": (1,), "any": (9,)} | changes
    dtypes = {"flag": "int32", "any": "uint8"}
    arrays = [shape and array(recorder, shape, dtypes.get(name, "float32")) for name, shape in shapes.items()]
    SIZED.launch("product", (2, 5), 32, *arrays, 2, np.int64(4), 7, 1.0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"y": (14,), "x": (8, 3), "b": (1, 7, 1)},
        {"partial": (36,)},
        {"partial": (100, 100)},
        {"any": (1000,)},
        dict.fromkeys(("x", "b", "partial", "flag")),
    ],
)
def test_right_sizes_are_taken(recorder, changes):
    launch_product(recorder, **changes)
    assert len(recorder.launched) == 1


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("y", (7, 3), "y is of shape (7, 3), 21 elements; expected (N, O) = (2, 7), 14 elements"),
        ("y", (0,), "y is of shape (0,), 0 elements; expected (N, O) = (2, 7), 14 elements"),
        ("x", (2, 4), "x is of shape (2, 4), 8 elements; expected (N, 3, I) = (2, 3, 4), 24 elements"),
        ("b", (8,), "b is of shape (8,), 8 elements; expected (O) = (7), 7 elements"),
        ("flag", (2,), "flag is of shape (2,), 2 elements; expected (1) = (1), 1 elements"),
        (
            "partial",
            (2, 17),
            "partial is of shape (2, 17), 34 elements; expected at least (gridDim.y, O) = (5, 7), 35 elements",
        ),
    ],
)
def test_wrong_sizes_are_refused(recorder, name, shape, said):
    with pytest.raises(ValueError, match=re.escape(f"product: {said}")):
        launch_product(recorder, **{name: shape})
    with pytest.raises(ValueError, match=re.escape(f"product: {said}")):
        launch_product(recorder, **dict.fromkeys(("x", "b")) | {name: shape})
    assert recorder.launched == []


def test_the_grid_is_one_high_and_deep_if_nothing_else_is_said(recorder):
    source = Source.of_text(
        "blocks", 'extern "C" __global__ void f(int* y /*(gridDim.x, gridDim.y, gridDim.z)*/, int n) {}'
    )
    for grid, count in ((3, 3), ((3,), 3), ((3, 2), 6), ((3, 2, 5), 30)):
        source.launch("f", grid, 1, array(recorder, (count,), "int32"), 1)
        with pytest.raises(ValueError, match=f"f: y is of shape .* = .*, {count} elements"):
            source.launch("f", grid, 1, array(recorder, (count + 1,), "int32"), 1)
    assert len(recorder.launched) == 4


KERNELS = [(source, kernel) for source in launcher.sources() for kernel in source.kernels]


def sound_arguments(recorder, parameters, grid):
    """Numbers, and arrays of the sizes that these make them; of a Many two structs."""
    names = [p.name for p in parameters]
    numbers = {name: i + 3 for i, name in enumerate(names)} | dict(zip(launcher.GRID, grid, strict=True))
    found = []
    for p in parameters:
        if p.members:
            member_names = [member.name for member in p.members]
            found.append([dict(zip(member_names, sound_arguments(recorder, p.members, grid), strict=True))] * 2)
        elif p.pointer:
            size = prod(int(numbers.get(factor, factor)) for factor in p.size.removeprefix(">= ").split(", "))
            found.append(array(recorder, (size,), p.dtype))
        else:
            found.append(numbers[p.name])
    return found


def with_other_sizes(recorder, parameters, arguments):
    """Each array with an element less, and more: its parameter, -1 or 1, and the arguments."""
    for i, (p, value) in enumerate(zip(parameters, arguments, strict=True)):
        if p.members:
            for member, more, changed in with_other_sizes(recorder, p.members, list(value[1].values())):
                struct = dict(zip(value[1], changed, strict=True))
                yield member, more, [*arguments[:i], [value[0], struct], *arguments[i + 1 :]]
        for more in (-1, 1) if p.pointer else ():
            other = array(recorder, (value.size + more,), p.dtype)
            yield p, more, [*arguments[:i], other, *arguments[i + 1 :]]


@pytest.mark.parametrize(("source", "kernel"), KERNELS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_array_of_every_kernel_has_a_size_which_is_checked(recorder, source, kernel):
    parameters, grid = source.kernels[kernel], (2, 3, 5)
    every = [q for p in parameters for q in (p, *p.members)]
    assert [p.name for p in every if p.pointer and not p.size] == []  # a size stands behind its name in the .cu
    arguments = sound_arguments(recorder, parameters, grid)
    source.launch(kernel, grid, 32, *arguments)
    for p, more, changed in with_other_sizes(recorder, parameters, arguments):
        if more > 0 and p.size.startswith(">= "):
            source.launch(kernel, grid, 32, *changed)
        else:
            with pytest.raises(ValueError, match=rf"{kernel}: ([a-z]+\[1\]: )?{p.name} is of shape "):
                source.launch(kernel, grid, 32, *changed)


def test_arrays_of_the_host_are_refused(recorder):
    with pytest.raises(TypeError, match=r"a CUDA kernel was given a numpy.ndarray"):
        launch(recorder, y=np.zeros(6, "float32"))


def test_wrong_counts_and_names_are_refused(recorder):
    with pytest.raises(TypeError, match="count was given 1 arguments; it takes 2"):
        SOURCE.launch("count", 1, 1, array(recorder, dtype="uint64"))
    with pytest.raises(KeyError, match="unknown"):
        SOURCE.launch("unknown", 1, 1, array(recorder))


@pytest.mark.parametrize(
    ("grid", "block", "shared", "said"),
    [
        (2**31, 32, 0, "a grid of"),
        ((1, 65536), 32, 0, "a grid of"),
        ((1, 1, 65536), 32, 0, "a grid of"),
        (-1, 32, 0, "a grid of"),
        (1, 0, 0, "too much for a block"),
        (1, 1025, 0, "too much for a block"),
        (1, (32, 33), 0, "too much for a block"),
        (1, 32, 48 * 1024 + 1, "too much for a block"),
    ],
)
def test_what_is_larger_than_any_gpu_takes_is_refused(recorder, grid, block, shared, said):
    with pytest.raises(ValueError, match=said):
        launch(recorder, grid, block, shared)
    assert recorder.launched == []


def test_the_largest_is_taken(recorder):
    launch(recorder, (2**31 - 1, 65535, 65535), (32, 32), 48 * 1024)
    assert len(recorder.launched) == 1


def test_a_registered_type_of_array_belongs_to_its_machine(recorder, monkeypatch):
    class Foreign:
        dtype, shape, flags = np.dtype("float32"), (6,), np.zeros(6).flags

    monkeypatch.setattr(launcher, "_machines", {})
    with pytest.raises(TypeError, match=r"was given a .*Foreign"):
        launch(recorder, y=Foreign())
    launcher.register(Foreign, recorder)
    launch(recorder, y=Foreign())
    assert launcher.machine_of(Foreign()) is recorder
    assert len(recorder.launched) == 1
