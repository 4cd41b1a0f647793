"""What moves data, on the fast backend: shapes, scales and batches in either layout."""

import itertools

import numpy as np
import pytest
from devices import assert_border, cpu, empty, fetch, place
from numeric import draw, poison

from scratchae.datasets.rows import Scaled

SAME = [(7,), (7, 1), (1, 7), (7, 1, 1), (1, 7, 1), (1, 1, 7)], [(5, 7, 6), (210,), (6, 35), (3, 2, 35), (2, 5, 3, 7)]
LAYOUTS = [(1, 1), (15, 7), (17, 300), (2, 9001), (16, 5, 3), (17, 5, 7, 3), (33, 2, 150, 1)]


@pytest.mark.parametrize("N", [1, 15, 16, 17, 33])
@pytest.mark.parametrize("samples", SAME, ids=str)
def test_reshape(samples, N):
    for before, after in itertools.product(samples, samples):
        x, y = draw(0, N, *before, dtype="float32"), empty((N, *after), (1, 2))
        cpu.reshape_forward(y, place(x, (2, 1)))
        np.testing.assert_array_equal(fetch(y), x.reshape(N, *after))
        assert_border(y)
        dx = empty((N, *before), (1, 2))
        cpu.reshape_backward(dx, y)
        np.testing.assert_array_equal(fetch(dx), x)
        assert_border(dx)


@pytest.mark.parametrize("shape", LAYOUTS, ids=str)
def test_rescale_and_add(shape):
    x, before = draw(0, *shape, dtype="float32"), draw(1, *shape, dtype="float32")
    y, dx, total = empty(shape, (1, 2)), empty(shape, (1, 2)), place(before, (1, 2))
    cpu.rescale_forward(y, place(x, (2, 1)), 1 / 127.5, -1.0)
    cpu.rescale_backward(dx, place(x), 1 / 127.5)
    cpu.add(total, place(x, (2, 1)))
    for actual, expected in ((y, x / 127.5 - 1), (dx, x / 127.5), (total, before + x)):
        np.testing.assert_allclose(fetch(actual), expected, rtol=0, atol=3e-7)
        assert_border(actual)


# ---- gather ---------------------------------------------------------------------------------------------------------
def integers(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape,))


SOURCES = {
    "float32": lambda a, folder: a.astype("float32"),
    "float64": lambda a, folder: a / 7,
    "uint8": lambda a, folder: a.astype("uint8"),
    "float16": lambda a, folder: a.astype("float16"),
    "int64": lambda a, folder: a,
    "bool": lambda a, folder: a > 100,
    "big-endian": lambda a, folder: a.astype(">f4"),
    "strided": lambda a, folder: np.repeat(a.astype("float32"), 2, axis=0)[::2],
    "transposed": lambda a, folder: np.asfortranarray(a.astype("float32")),
    "unaligned": lambda a, folder: unaligned(a.astype("float32")),
    "memmap": lambda a, folder: mapped(a.astype("uint8"), folder),
    "scaled bytes": lambda a, folder: Scaled(mapped(a.astype("uint8"), folder), 1 / 255),
    "scaled float32": lambda a, folder: Scaled(a.astype("float32"), 1 / 255),
    "scaled float64": lambda a, folder: Scaled(a / 7, 1 / 255),
    "scaled int16": lambda a, folder: Scaled(a.astype("int16"), 1 / 255),
    "scaled to float64": lambda a, folder: Scaled(a.astype("uint8"), 1 / 255, "float64"),
}


def unaligned(array):
    memory = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    memory[...] = array
    return memory


def mapped(array, folder):
    np.save(folder / "data.npy", array)
    return np.load(folder / "data.npy", mmap_mode="r")


@pytest.mark.parametrize("sample", [(1,), (37,), (5, 3), (5, 7, 3), (2, 17, 1)], ids=str)
@pytest.mark.parametrize("kind", SOURCES)
def test_gather(kind, sample, tmp_path):
    data = SOURCES[kind](integers(40, *sample), tmp_path)
    if isinstance(data, np.ndarray):
        data.flags.writeable = False
    for N in (1, 15, 16, 17, 33):
        rows = np.random.default_rng(N).integers(0, 40, N)
        x, flag = empty((N, *sample), (1, 2)), np.array([5], np.int32)
        cpu.gather(x, data, rows, flag)
        np.testing.assert_array_equal(fetch(x), np.asarray(data[rows], "float32"))
        assert flag[0] == 5
        assert_border(x)
        if len(sample) > 1:
            assert not x.data[-1, ..., (N - 1) % cpu.layout.LANES + 1 :].any()


@pytest.mark.parametrize("sample", [(37,), (5, 3), (5, 7, 3)], ids=str)
@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "scaled"])
def test_gather_finds_what_is_not_finite(kind, sample):
    too_large = {"float64": [1e300], "scaled": [3e38]}.get(kind, [])  # in float32, and times 10
    for value in (np.nan, np.inf, -np.inf, *too_large):
        data = np.ones((40, *sample))
        data[20].flat[-1] = value
        data = Scaled(data.astype("float32"), 10.0) if kind == "scaled" else data.astype(kind)
        for rows, expected in ((np.array([*range(17), 20, 3]), 1), (np.arange(17), 0)):
            x, flag = empty((len(rows), *sample)), np.array([0], np.int32)
            with np.errstate(over="ignore"):
                cpu.gather(x, data, rows, flag)
                np.testing.assert_array_equal(fetch(x), np.asarray(data[rows], "float32"))
            assert flag[0] == expected


def test_large_numbers_are_finite():
    x, flag = empty((17, 5, 3)), np.array([0], np.int32)
    cpu.gather(x, np.full((17, 5, 3), 3e38, "float32"), np.arange(17), flag)
    assert flag[0] == 0
    assert (fetch(x) == np.float32(3e38)).all()


def test_rows_may_be_a_view():
    data, x = np.arange(40, dtype="float32").reshape(20, 2), poison(5, 2, dtype="float32")
    cpu.gather(x, data, np.arange(20)[::4], np.array([0], np.int32))
    assert x[:, 0].tolist() == [0, 8, 16, 24, 32]
