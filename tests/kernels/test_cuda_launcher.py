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
        launcher.parameter(declaration)


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
        launcher.parameter(declaration)


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


@pytest.mark.parametrize(("source", "kernel"), KERNELS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_array_of_every_kernel_has_a_size_which_is_checked(recorder, source, kernel):
    parameters = source.kernels[kernel]
    assert [p.name for p in parameters if p.pointer and not p.size] == []  # a size stands behind its name in the .cu
    grid = 2, 3, 5
    numbers = [None if p.pointer else i + 3 for i, p in enumerate(parameters)]
    known = dict(zip([p.name for p in parameters], numbers, strict=True)) | dict(zip(launcher.GRID, grid, strict=True))

    def sound(p):
        return prod(int(known.get(factor, factor)) for factor in p.size.removeprefix(">= ").split(", "))

    arguments = [
        array(recorder, (sound(p),), p.dtype) if p.pointer else n for p, n in zip(parameters, numbers, strict=True)
    ]
    source.launch(kernel, grid, 32, *arguments)
    for i, p in enumerate(parameters):
        for size in (sound(p) - 1, sound(p) + 1) if p.pointer else ():
            changed = [*arguments[:i], array(recorder, (size,), p.dtype), *arguments[i + 1 :]]
            if size > sound(p) and p.size.startswith(">= "):
                source.launch(kernel, grid, 32, *changed)
            else:
                with pytest.raises(ValueError, match=rf"{kernel}: {p.name} is of shape \({size},\)"):
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
