"""What moves data on CUDA machines: shapes, scales and batches."""

import numpy as np
import pytest
from cuda_arrays import assert_near, blank, fetch, place
from numeric import draw

from scratchae.datasets.rows import Scaled
from scratchae.kernels.cuda import reshape
from scratchae.kernels.cuda.data_set import Batch, DataSet, hold
from scratchae.kernels.cuda.reshape import (
    add,
    gather,
    rescale_backward,
    rescale_forward,
    reshape_backward,
    reshape_forward,
)

SHAPES = [(1, 1), (1, 5), (3, 457), (2, 5, 7, 3)]


@pytest.mark.parametrize(("before", "after"), [((1, 1), (1,)), ((3, 35), (3, 5, 7)), ((2, 5, 103), (2, 515))], ids=str)
def test_reshape(machine, before, after):
    x = draw(0, *before, dtype="float32")
    y, dx = blank(machine, after), blank(machine, before)
    reshape_forward(y, place(machine, x))
    reshape_backward(dx, y)
    np.testing.assert_array_equal(fetch(machine, y), x.reshape(after))
    np.testing.assert_array_equal(fetch(machine, dx), x)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rescale_and_add(machine, shape):
    x, before = draw(0, *shape, dtype="float32"), draw(1, *shape, dtype="float32")
    y, dx, total = blank(machine, shape), blank(machine, shape), place(machine, before)
    rescale_forward(y, place(machine, x), 1 / 127.5, -1.0)
    rescale_backward(dx, place(machine, x), 1 / 127.5)
    add(total, place(machine, x))
    x = x.astype(float)
    for actual, expected in ((y, x / 127.5 - 1), (dx, x / 127.5), (total, before + x)):
        assert_near(fetch(machine, actual), expected, 2e-7)


def test_views_that_begin_anywhere(machine):
    x, before = draw(0, 20, dtype="float32"), draw(1, 20, dtype="float32")
    for begin, end in ((1, 20), (3, 18), (4, 9)):
        total, expected = place(machine, before), before.copy()
        add(total[begin:end], place(machine, x)[begin:end])
        expected[begin:end] += x[begin:end]
        np.testing.assert_array_equal(fetch(machine, total), expected)


def test_nan_and_infinity_pass(machine):
    x = np.array([[1, np.nan, np.inf, -np.inf, 0]], "float32")
    y, total = blank(machine, x.shape), place(machine, np.ones(x.shape))
    reshape_forward(y, place(machine, x))
    np.testing.assert_array_equal(fetch(machine, y), x)
    rescale_forward(y, place(machine, x), 2.0, 1.0)
    np.testing.assert_array_equal(fetch(machine, y), 2 * x + 1)
    add(total, place(machine, x))
    np.testing.assert_array_equal(fetch(machine, total), x + 1)


# ---- gather ---------------------------------------------------------------------------------------------------------
def mapped(array, folder):
    np.save(folder / "data.npy", array)
    return np.load(folder / "data.npy", mmap_mode="r")


SOURCES = {
    "float32": lambda a, folder: a.astype("float32"),
    "float64": lambda a, folder: a / 7,
    "uint8": lambda a, folder: a.astype("uint8"),
    "int64": lambda a, folder: a,
    "bool": lambda a, folder: a > 100,
    "big-endian": lambda a, folder: a.astype(">f4"),
    "transposed": lambda a, folder: np.asfortranarray(a.astype("float32")),
    "memmap": lambda a, folder: mapped(a.astype("uint8"), folder),
    "scaled bytes": lambda a, folder: Scaled(mapped(a.astype("uint8"), folder), 1 / 255),
    "scaled float64": lambda a, folder: Scaled(a / 7, 1 / 255),
    "scaled to float64": lambda a, folder: Scaled(a.astype("uint8"), 1 / 255, "float64"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_gather_from_the_host(machine, kind, tmp_path):
    for N, sample in ((1, (1,)), (17, (5, 7, 3)), (9, (37,))):
        data = SOURCES[kind](np.random.default_rng(0).integers(0, 256, (40, *sample)), tmp_path)
        rows = np.random.default_rng(N).integers(0, 40, N)
        x, flag = blank(machine, (N, *sample)), place(machine, [5], "int32")
        gather(x, data, rows, flag)
        np.testing.assert_array_equal(machine.download(x), np.asarray(data[rows], "float32"))
        assert fetch(machine, flag) == [5]


@pytest.mark.parametrize("kind", SOURCES)
def test_gather_from_the_device(machine, kind, tmp_path):
    for N, sample in ((1, (1,)), (17, (5, 7, 3)), (9, (37,))):
        data = SOURCES[kind](np.random.default_rng(0).integers(0, 256, (40, *sample)), tmp_path)
        rows = np.random.default_rng(N).integers(0, 40, 2 * N)[::2]
        x, flag = blank(machine, (N, *sample)), place(machine, [5], "int32")
        held = machine.hold(data)
        gather(x, held, rows, flag)
        np.testing.assert_array_equal(machine.download(x), np.asarray(data[rows], "float32"))
        assert fetch(machine, flag) == [5]
        assert held.array.dtype == ("uint8" if kind in ("uint8", "memmap", "scaled bytes") else "float32")


def test_a_data_set_on_the_device_reads_like_an_array(machine):
    data = np.random.default_rng(0).integers(0, 256, (9, 4, 2)).astype("uint8")
    for scale in (1.0, 0.25):
        held = machine.hold(Scaled(data, scale) if scale != 1 else data)
        expected = data * np.float32(scale) if scale != 1 else data
        assert (held.shape, held.ndim, held.size, len(held), held.dtype) == (
            expected.shape, 3, 72, 9, expected.dtype,
        )  # fmt: skip
        for part, same in (
            (held, expected), (held[2:5], expected[2:5]), (held.reshape(9, 8), expected.reshape(9, 8)),
            (held[[3, 1]], expected[[3, 1]]), (held[4], expected[4]),
        ):  # fmt: skip
            np.testing.assert_array_equal(np.asarray(part), same)
        assert machine.hold(held) is held


def test_a_data_set_that_is_too_large_stays_where_it_is(machine):
    data = np.zeros((5, 3))
    assert hold(machine, data, 59) is data
    assert isinstance(hold(machine, data, 60), DataSet)


@pytest.mark.parametrize("kind", ["float32", "float64", "scaled", "device"])
def test_gather_finds_what_is_not_finite(machine, kind):
    too_large = {"float64": [1e300], "scaled": [3e38]}.get(kind, [])  # in float32, and times 10
    for value in (np.nan, np.inf, -np.inf, *too_large):
        data = np.ones((40, 5, 3))
        data[20].flat[-1] = value
        data = data if kind == "float64" else data.astype("float32")
        data = Scaled(data, 10.0) if kind == "scaled" else data
        for rows, expected in ((np.array([*range(17), 20, 3]), 1), (np.arange(17), 0)):
            x, flag = blank(machine, (len(rows), 5, 3)), place(machine, [0], "int32")
            with np.errstate(over="ignore"):
                gather(x, machine.hold(data) if kind == "device" else data, rows, flag)
                np.testing.assert_array_equal(machine.download(x), np.asarray(data[rows], "float32"))
            assert fetch(machine, flag) == [expected]


def test_batches_that_are_counted_on_the_device(machine):
    data, order = draw(0, 10, 3, dtype="float32"), np.random.default_rng(1).permutation(10)
    held, on_device, index = machine.hold(data), place(machine, order, "int64"), place(machine, [2], "int64")
    for expected in (order[8:12], order[8:9]):
        x, flag = blank(machine, (len(expected), 3)), place(machine, [0], "int32")
        gather(x, held, Batch(len(expected), 4, on_device, index), flag)
        np.testing.assert_array_equal(machine.download(x), data[expected])
    x, flag = blank(machine, (4, 3)), place(machine, [0], "int32")
    gather(x, held, Batch(4, 4), flag)
    np.testing.assert_array_equal(machine.download(x), data[:4])
    with pytest.raises(ValueError, match="goes through in one"):
        Batch(4, 4)[2:4]


def test_rows_of_more_chunks_than_a_grid_has(machine, monkeypatch):
    monkeypatch.setattr(reshape, "CHUNKS", 2)
    data, x, flag = draw(0, 3, 150, dtype="float32"), blank(machine, (2, 150)), place(machine, [0], "int32")
    gather(x, data, np.array([2, 1]), flag)
    np.testing.assert_array_equal(machine.download(x), data[[2, 1]])


def test_memory_of_the_host_is_kept_between_batches(machine):
    data = draw(0, 40, 7, dtype="float32")
    for N in (3, 20, 2):
        x, flag = blank(machine, (N, 7)), place(machine, [0], "int32")
        gather(x, data, np.arange(N), flag)
        np.testing.assert_array_equal(machine.download(x), data[:N])
