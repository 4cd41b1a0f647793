"""Convolutions on CUDA machines, alone and with their neighbours, against the reference in float64."""

import numpy as np
import pytest
from cuda_arrays import assert_near, blank, emulator, fetch, place
from numeric import draw, scratch

from scratchae.kernels import reference
from scratchae.kernels.cuda import conv2d, conv2d_max_pool2d, up_sampling2d_conv2d

OPS = {"alone": conv2d, "pooled": conv2d_max_pool2d, "upsampled": up_sampling2d_conv2d}
NAMES = {pair: module.__name__.rpartition(".")[2] for pair, module in OPS.items()}
ACTIVATIONS = ("relu", "tanh", "sigmoid", "linear")


class Case:
    """A convolution's tensors, and its op pair in float64 on the reference and on a CUDA machine."""

    def __init__(self, pair, shape, padding, activation):
        N, H, W, C, O, J, K = shape
        self.pair, self.options = pair, (padding, activation)
        self.x, self.b = draw(0, N, H, W, C, dtype="float32"), draw(2, O, dtype="float32")
        self.w = (draw(1, J, K, C, O) / np.sqrt(J * K * C)).astype("float32")
        if pair == "upsampled":
            H, W = 2 * H, 2 * W
        if padding == "valid":
            H, W = H - J + 1, W - K + 1
        if pair == "pooled":
            H, W = -(-H // 2), -(-W // 2)
        self.y_shape = N, H, W, O
        self.dy = draw(3, *self.y_shape, dtype="float32")
        self.known = draw(4, *self.w.shape, dtype="float32"), draw(5, O, dtype="float32")

    def expected(self, accumulate=False, bias=True):
        """y, and its gradients dx, dw and db."""
        x, w, b, dy = (a.astype(float) for a in (self.x, self.w, self.b, self.dy))
        y, dx = np.empty(self.y_shape), np.empty_like(x)
        dw, db = (scratch(a.astype(float)) for a in self.known)
        winner = [np.empty(self.y_shape, np.uint8)] if self.pair == "pooled" else []
        op = f"{NAMES[self.pair]}_forward", f"{NAMES[self.pair]}_backward"
        getattr(reference, op[0])(y, *winner, x, w, b if bias else None, *self.options)
        getattr(reference, op[1])(dx, dw, db, dy, y, *winner, x, w, *self.options, accumulate)
        return y, dx, dw, db

    def computed(self, machine, accumulate=False, bias=True, left_out=()):
        x, w, b, dy = (place(machine, a) for a in (self.x, self.w, self.b, self.dy))
        y, dx = blank(machine, self.y_shape), blank(machine, self.x.shape)
        dw, db = (place(machine, a) if accumulate else blank(machine, a.shape) for a in self.known)
        winner = [blank(machine, self.y_shape, "uint8")] if self.pair == "pooled" else []
        op = f"{NAMES[self.pair]}_forward", f"{NAMES[self.pair]}_backward"
        getattr(OPS[self.pair], op[0])(y, *winner, x, w, b if bias else None, *self.options)
        given = [None if name in left_out else array for name, array in (("dx", dx), ("dw", dw), ("db", db))]
        kept = None if self.options[1] == "linear" else y
        getattr(OPS[self.pair], op[1])(*given, dy, kept, *winner, x, w, *self.options, accumulate)
        return [fetch(machine, array) for array in (y, dx, dw, db)]


# N, H, W, C, O, J, K: odd and distinct; channels by fours and not, more than a block has; images smaller than the
# kernel, several in a block, larger than a tile; one tap, and kernels that are not square
SHAPES = [
    (3, 5, 7, 3, 2, 3, 3),
    (5, 6, 4, 8, 12, 3, 3),
    (2, 1, 1, 3, 4, 3, 3),
    (19, 9, 3, 1, 17, 1, 1),
    (2, 4, 9, 17, 1, 5, 3),
    (1, 7, 8, 12, 9, 1, 3),
    (2, 3, 4, 40, 34, 3, 1),
    (2, 8, 9, 4, 5, 7, 5),
    (1, 6, 7, 8, 9, 5, 5),
    (1, 65, 37, 1, 3, 3, 3),
]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("pair", OPS)
def test_values_and_gradients(machine, pair, shape, padding):
    size = 2 if pair == "upsampled" else 1
    if padding == "valid" and (size * shape[1] < shape[5] or size * shape[2] < shape[6]):
        pytest.skip("the image is smaller than the kernel")
    index = SHAPES.index(shape) + (padding == "valid")
    case = Case(pair, shape, padding, ACTIVATIONS[index % 2])  # saturated sigmoids in float32 pool other pixels
    accumulate = index % 4 < 2
    for actual, expected in zip(case.computed(machine, accumulate), case.expected(accumulate), strict=True):
        assert_near(actual, expected)


@pytest.fixture
def few_blocks(monkeypatch):
    """Blocks have several images each, and several tiles, as if there were many more."""
    plans = conv2d.plan_cells, conv2d.plan_sums
    monkeypatch.setattr(conv2d, "MULTIPROCESSORS", 1)
    for plan in plans:
        plan.cache_clear()
    yield
    for plan in plans:
        plan.cache_clear()


# channels come at once or in turn, dz has more of them or x
@pytest.mark.parametrize("shape", [(40, 9, 8, 4, 12, 3, 3), (40, 7, 9, 17, 1, 3, 3)], ids=str)
@pytest.mark.parametrize("pair", OPS)
def test_blocks_go_from_tile_to_tile(machine, few_blocks, pair, shape):
    case = Case(pair, shape, "same", "relu")
    for actual, expected in zip(case.computed(machine), case.expected(), strict=True):
        assert_near(actual, expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pair", OPS)
def test_activations(machine, pair, activation):
    case = Case(pair, (2, 4, 5, 3, 6, 3, 3), "same", activation)
    for actual, expected in zip(case.computed(machine), case.expected(), strict=True):
        assert_near(actual, expected)


@pytest.mark.parametrize("pair", OPS)
@pytest.mark.parametrize("left_out", [("dx",), ("dw",), ("db",), ("dw", "db")], ids="".join)
def test_what_nobody_asks_for_is_left_out(machine, pair, left_out):
    case = Case(pair, (2, 3, 4, 2, 5, 3, 3), "same", "relu")
    computed = case.computed(machine, left_out=left_out)
    for name, actual, expected in zip(("y", "dx", "dw", "db"), computed, case.expected(), strict=True):
        if name in left_out:
            assert np.isnan(actual).all()
        else:
            assert_near(actual, expected)


@pytest.mark.parametrize("pair", OPS)
def test_without_bias(machine, pair):
    case = Case(pair, (2, 3, 4, 2, 5, 3, 3), "same", "relu")
    for actual, expected in zip(case.computed(machine, bias=False), case.expected(bias=False), strict=True):
        assert_near(actual, expected)


@pytest.mark.parametrize("kind", ["read", "written"])
@pytest.mark.parametrize("pair", OPS)
def test_arrays_that_begin_at_no_multiple_of_16_bytes(machine, pair, kind, monkeypatch):
    def shifted(machine, array, dtype="float32"):
        array = np.asarray(array, dtype)
        memory = machine.empty((array.size + 1,), array.dtype)
        placed = memory[1:].reshape(array.shape)
        machine.upload(placed, array)
        return placed

    def ones(machine, shape, dtype="float32"):
        return shifted(machine, np.ones(shape), dtype)

    monkeypatch.setitem(globals(), *{"read": ("place", shifted), "written": ("blank", ones)}[kind])
    case = Case(pair, (2, 4, 5, 4, 8, 3, 3), "same", "relu")
    for actual, expected in zip(case.computed(machine), case.expected(), strict=True):
        assert_near(actual, expected)


@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 1, 3, 4), (3, 4, 4, 5)], ids=str)
def test_the_first_of_equal_pixels_wins_and_nan_does(machine, shape):
    """With one weight a channel the convolution of x is x."""
    N, H, W, C = shape
    x = np.random.default_rng(0).integers(0, 2, shape).astype("float32")
    x[0, 0, :3] = np.nan
    pooled = N, -(-H // 2), -(-W // 2), C
    expected, expected_winner = np.empty(pooled, "float32"), np.empty(pooled, "uint8")
    reference.max_pool2d_forward(expected, expected_winner, x)
    y, winner = blank(machine, pooled), blank(machine, pooled, "uint8")
    x, w = place(machine, x), place(machine, np.eye(C)[None, None])
    conv2d_max_pool2d.conv2d_max_pool2d_forward(y, winner, x, w, None, "same", "linear")
    np.testing.assert_array_equal(machine.download(winner), expected_winner)
    np.testing.assert_array_equal(machine.download(y), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("pair", OPS)
def test_what_is_not_finite_is_seen(machine, pair, value):
    case = Case(pair, (2, 4, 4, 1, 3, 3, 3), "same", "relu")
    case.x = np.array(case.x)
    case.x[1, 2, 1, 0] = value
    y, dx, dw, db = case.computed(machine)
    assert np.isfinite(y[0]).all()
    assert not np.isfinite(y[1]).all()
    assert not np.isfinite(dw).all()


@pytest.mark.parametrize("pair", OPS)
def test_bits_do_not_depend_on_the_order_of_threads(machine, pair):
    """Several blocks, each with several warps for each sum. A GPU has an order of its own in every run."""
    case = Case(pair, (12, 5, 6, 3, 4, 3, 3), "same", "relu")
    other = emulator("random") if machine in (emulator("forward"), emulator("reverse")) else machine
    for actual, expected in zip(case.computed(machine), case.computed(other), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_every_plan_fits_into_a_block():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        N, H, W, C, O = (int(2 ** rng.uniform(0, most)) for most in (13, 9, 9, 9, 9))
        J, K, top, left = (int(n) for n in (*rng.choice([1, 3, 5, 7, 11], 2), *rng.integers(0, 2, 2)))
        for window, taps, options in (
            ((J, K), J * K, {}),
            ((J + 1, K + 1), (J + 1) * (K + 1), {"stride": 2}),
            (((J + 1) // 2 + top, (K + 1) // 2 + left), (J + 1) * (K + 1), {"phases": 4}),
        ):
            plan = conv2d.plan_cells(N, H, W, C, O, window, taps, **options)
            images, rows, columns, chunk, groups, width = plan.work
            assert images * rows * columns * groups * options.get("phases", 1) <= plan.block <= 256
            assert 0 < chunk <= 32
            assert 0 < plan.shared <= 48 * 1024
            assert min(plan.grid) > 0
        for stride in (1, 2):
            plan = conv2d.plan_sums(N, H, W, C, O, (J, K), O, stride)
            images, rows, columns, pitch, block_rows, row_groups, column_groups = plan.share
            assert row_groups * 9 >= block_rows
            assert pitch >= columns
            assert row_groups * column_groups <= 8
            assert 0 < plan.shared <= 48 * 1024
            assert min(plan.grid) > 0


def test_a_kernel_that_is_too_large_is_refused():
    with pytest.raises(ValueError, match="a kernel of 201 x 201 needs more shared memory"):
        conv2d.plan_cells(1, 100, 100, 1, 1, (201, 201), 201 * 201)
