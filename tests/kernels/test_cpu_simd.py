"""The vector type: its maths against NumPy in float64, its tiles against plain indexing."""

import numpy as np
import pytest
from devices import cpu, fetch, place

from scratchae.kernels.cpu import jit, layout, simd
from scratchae.kernels.cpu.jit import floats, i64, kernel
from scratchae.kernels.cpu.simd import (
    LANES,
    any_lane,
    load,
    load_part,
    load_rows,
    load_tile,
    splat,
    store,
    store_corner,
    store_part,
    store_rows,
    store_tile,
    sum_lanes,
    sums,
    transpose,
    where,
)

SQUARE = LANES * LANES


@kernel(floats, floats, i64)
def compute(y, x, function):
    """One kernel for all functions: a kernel takes long to compile."""
    for i in range(0, x.size, LANES):
        v = load(x, i)
        if function == 0:
            v = simd.exp(v)
        elif function == 1:
            v = simd.log(v)
        elif function == 2:
            v = simd.sigmoid(v)
        elif function == 3:
            v = simd.tanh(v)
        elif function == 4:
            v = simd.relu(v)
        elif function == 5:
            v = simd.decay(v)
        store(v, y, i)


@kernel(floats, floats)
def arrange(y, x):
    """Each result at a multiple of SQUARE."""
    store_tile(transpose(load_tile(LANES, 1, x, 0, LANES, 0)), LANES, y, 0, LANES, 0)
    store_tile(sums(load_tile(1, 6, x, 0, 0, LANES)), 1, y, SQUARE, 0, LANES)
    store_part(load_part(x, 5, 3), y, 2 * SQUARE, 3)
    store(load_part(x, 7, 2), y, 3 * SQUARE)
    store_rows(load_rows(4, 3, x, 0, 10, 2), 2, y, 4 * SQUARE, 8, 3)
    store_corner(load(x, 0), 2, y, 5 * SQUARE, 4, 2, 1)
    y[6 * SQUARE] = sum_lanes(load(x, 0))
    half = splat(0.5)
    store(where(load(x, 0) < half, load(x, 0) + half, load(x, 0) * half - half), y, 7 * SQUARE)
    y[8 * SQUARE] = np.float32(1) if any_lane(load(x, 0) > half) else np.float32(0)


def apply(function, x):
    padded = np.resize(np.asarray(x, "float32"), -(-len(x) // LANES) * LANES)
    y = np.empty_like(padded)
    compute(y, padded, function)
    return y[: len(x)]


MATHS = {
    "exp": (0, np.exp, (-87, 88.5), 2e-7),
    "log": (1, np.log, (1e-37, 1e4), 2e-7),
    "sigmoid": (2, lambda x: 1 / (1 + np.exp(-x)), (-79, 79), 3e-7),
    "tanh": (3, np.tanh, (-12, 12), 3e-7),
    "decay": (5, lambda x: np.exp(-abs(x)), (-86, 86), 3e-7),
}


@pytest.mark.parametrize("name", MATHS)
def test_functions_are_right_to_rounding(name):
    function, expected, (low, high), tolerance = MATHS[name]
    if "fma" not in simd.FEATURES and "neon" not in simd.FEATURES:
        tolerance *= 30  # two roundings where others have one
    near_zero = np.geomspace(1e-30, 1, 5000) if low > 0 else np.concatenate([-np.geomspace(1e-30, 1, 5000), [0.0]])
    x = np.concatenate([np.linspace(low, high, 100_000), near_zero]).astype("float32")
    y = expected(x.astype(float))
    scale = np.maximum(np.abs(y), 1e-30) if name != "log" else np.maximum(np.abs(y), 0.1)
    assert np.max(np.abs(apply(function, x) - y) / scale) < tolerance


def test_what_is_not_finite():
    x = [np.nan, np.inf, -np.inf, 1000, -1000]
    np.testing.assert_array_equal(apply(0, x), [np.nan, np.inf, 0, np.inf, 0])
    np.testing.assert_array_equal(apply(4, x), [np.nan, np.inf, 0, 1000, 0])
    np.testing.assert_array_equal(apply(3, x), [np.nan, 1, -1, 1, -1])
    np.testing.assert_allclose(apply(2, x), [np.nan, 1, 0, 1, 0], atol=1e-30)
    np.testing.assert_array_equal(apply(1, x)[:2], [np.nan, np.inf])


def test_tiles():
    x = np.random.default_rng(0).random(SQUARE + 6 * LANES).astype("float32")
    y = np.full(9 * SQUARE, np.nan, "float32")
    arrange(y, x)
    block = y.reshape(9, SQUARE)
    np.testing.assert_array_equal(block[0].reshape(LANES, LANES), x[:SQUARE].reshape(LANES, LANES).T)
    np.testing.assert_allclose(block[1, :6], x[: 6 * LANES].reshape(6, LANES).sum(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(block[2, :3], x[5:8])
    assert np.isnan(block[2, 3:]).all()  # nothing behind a part is written
    np.testing.assert_array_equal(block[3, :LANES], [*x[7:9], *[0] * (LANES - 2)])
    np.testing.assert_array_equal(block[4, [0, 1, 2, 8, 9, 10]], [x[0], x[1], 0, x[10], x[11], 0])
    assert np.isnan(block[4, [3, 7, *range(11, SQUARE)]]).all()
    np.testing.assert_array_equal(block[5, [0, 4]], x[[0, 2]])
    assert np.isnan(block[5, [1, 5, 8]]).all()
    np.testing.assert_allclose(block[6, 0], x[:LANES].sum(), rtol=1e-6)
    np.testing.assert_array_equal(
        block[7, :LANES], [v + np.float32(0.5) if v < 0.5 else v * np.float32(0.5) - np.float32(0.5) for v in x[:LANES]]
    )
    assert block[8, 0] == float((x[:LANES] > 0.5).any())


# ---- layout ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "shape", [(1, 3), (17, 5), (5, 4, 3), (33, 3, 5, 2), (LANES, 1, 1, 1), (2, 2, 3, 2, 2)], ids=str
)
def test_read_gives_what_was_placed(shape):
    x = np.random.default_rng(0).random(shape).astype("float32")
    out = np.full(shape, np.nan, "float32")
    layout.read(out, place(x, (1, 2)))
    np.testing.assert_array_equal(out, x)
    np.testing.assert_array_equal(fetch(place(x, (2, 1))), x)


def test_borders_are_cleared_and_nothing_else():
    x = np.random.default_rng(0).random((3, 4, 5, 2)).astype("float32")
    placed = place(x, (1, 2))
    placed.whole[...] += 7
    layout.clear_border(placed)
    np.testing.assert_array_equal(fetch(placed), (x + 7).astype("float32"))
    inside = placed.data.copy()
    placed.data[...] = 0
    assert not placed.whole.any()
    assert inside.all()


def test_activations_are_aligned_and_apart():
    memory = np.zeros(10**6, np.uint8)
    start = -memory.ctypes.data % 64
    shape, float32 = (17, 5, 7, 3), np.dtype("float32")
    size = layout.activation_bytes(shape, float32, (1, 1))
    a = layout.activation(memory[start:], shape, float32, (1, 1))
    b = layout.activation(memory[start + size :], shape, float32, (1, 1))
    assert size % (4 * LANES) == a.whole.ctypes.data % 64 == a.data.ctypes.data % (4 * LANES) == 0  # whole vectors
    assert not np.shares_memory(a.whole, b.whole)


# ---- compilation ----------------------------------------------------------------------------------------------------
def test_a_kernel_has_one_signature_and_is_kept_on_disk():
    compute.compile()
    assert len(compute.run.signatures) == 1
    assert compute.on_disk()
    with pytest.raises(TypeError):
        compute(np.zeros(LANES), np.zeros(LANES), 0)  # float64


def test_scratch_grows_is_kept_and_is_aligned():
    small = jit.scratch(10)
    assert jit.scratch(5) is small or jit.scratch(5).size >= 10
    large = jit.scratch(small.size + 1)
    assert large.size > small.size
    assert large.ctypes.data % 64 == 0
    assert not np.shares_memory(large, jit.scratch(10, 1))


def test_machine_code_of_old_sources_is_removed(tmp_path, monkeypatch):
    folders = [tmp_path / name for name in ("0123456789ab", "ba9876543210", "notes")]
    for folder in folders:
        folder.mkdir()
        (folder / "kernel.nbc").write_text("machine code")
    monkeypatch.setattr(jit, "KEPT", -1)
    jit.remove_old(folders[1])
    assert [folder.exists() for folder in folders] == [False, True, True]


def test_the_description_says_what_it_runs_on():
    text = cpu.machine.describe()
    assert f"vectors of {LANES}" in text
    assert str(jit.CACHE) in text
