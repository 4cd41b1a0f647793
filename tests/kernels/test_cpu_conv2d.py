"""Convolutions of the fast backend, alone and with their neighbours, against the reference in float64."""

import numba
import numpy as np
import pytest
from devices import assert_near, cpu, empty, fetch, place

from scratchae.kernels import reference

# N, H, W, C, O, J, K: odd and distinct; every width of register tile; batches around a block; one tap, and 5 x 3
SHAPES = [
    (3, 5, 7, 3, 2, 3, 3),
    (17, 6, 5, 2, 9, 3, 3),
    (33, 4, 9, 17, 1, 5, 3),
    (2, 1, 1, 3, 4, 3, 3),
    (1, 9, 3, 1, 5, 1, 1),
    (16, 7, 8, 4, 17, 3, 1),
    (15, 3, 10, 5, 3, 1, 5),
    (1, 257, 64, 1, 3, 3, 3),
]
ACTIVATIONS = ("relu", "tanh", "sigmoid", "linear")
PAIRS = ("alone", "pooled", "upsampled")


class Case:
    """A convolution's tensors in float64, and the ops of a pair on the reference and on the fast backend."""

    def __init__(self, pair, shape, padding, activation, seed=0):
        N, H, W, C, O, J, K = shape
        rng = np.random.default_rng(seed)
        self.pair, self.padding, self.activation = pair, padding, activation
        self.x = rng.standard_normal((N, H, W, C)).astype("float32").astype(float)
        self.w = rng.standard_normal((J, K, C, O)).astype("float32").astype(float) / np.sqrt(J * K * C)
        self.w = self.w.astype("float32").astype(float)
        self.b = rng.standard_normal(O).astype("float32").astype(float)
        size = 2 if pair == "upsampled" else 1
        H, W = (size * H, size * W) if padding == "same" else (size * H - J + 1, size * W - K + 1)
        if pair == "pooled":
            H, W = -(-H // 2), -(-W // 2)
        self.y_shape = N, H, W, O
        self.dy = rng.standard_normal(self.y_shape).astype("float32").astype(float)
        around = J // 2, K // 2
        self.x_border = (around if padding == "same" else (0, 0)) if size == 1 else self.half(around)
        self.dy_border = (0, 0) if pair == "pooled" else around if padding == "same" else (J - 1, K - 1)
        self.op = {"alone": "conv2d", "pooled": "conv2d_max_pool2d", "upsampled": "up_sampling2d_conv2d"}[pair]
        self.winner = [np.empty(self.y_shape, np.uint8)] if pair == "pooled" else []

    def half(self, around):
        return ((around[0] + 1) // 2, (around[1] + 1) // 2) if self.padding == "same" else (0, 0)

    def expected(self, dw=None, db=None):
        """y, and the gradients, added to what is given."""
        y, dx = np.empty(self.y_shape), np.empty_like(self.x)
        add = dw is not None
        dw, db = (np.array(dw), np.array(db)) if add else (np.empty_like(self.w), np.empty_like(self.b))
        options = self.padding, self.activation
        getattr(reference, f"{self.op}_forward")(y, *self.winner, self.x, self.w, self.b, *options)
        backward = getattr(reference, f"{self.op}_backward")
        backward(dx, dw, db, np.array(self.dy), y, *self.winner, self.x, self.w, *options, add)
        return y, dx, dw, db

    def computed(self, dw=None, db=None, left_out=()):
        add = dw is not None
        w, b = self.w.astype("float32"), self.b.astype("float32")
        dw = np.full(w.shape, np.nan, "float32") if dw is None else dw.astype("float32")
        db = np.full(b.shape, np.nan, "float32") if db is None else db.astype("float32")
        x, y, dx = place(self.x, self.x_border), empty(self.y_shape, (1, 2)), empty(self.x.shape, (2, 1))
        winner = [empty(self.y_shape, dtype="uint8") for _ in self.winner]
        options = self.padding, self.activation
        getattr(cpu, f"{self.op}_forward")(y, *winner, x, w, b, *options)
        given = [None if name in left_out else array for name, array in (("dx", dx), ("dw", dw), ("db", db))]
        dy = place(self.dy, self.dy_border)
        getattr(cpu, f"{self.op}_backward")(*given, dy, y, *winner, x, w, *options, add)
        for written in (y, dx):  # never the border
            inside = written.data.copy()
            written.data[...] = 0
            assert not written.whole.any()
            written.data[...] = inside
        return fetch(y), fetch(dx), dw, db


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(pair, padding, shape):
    if padding == "valid" and (shape[1] < shape[5] or shape[2] < shape[6]):
        pytest.skip("the image is smaller than the kernel")
    activation = ACTIVATIONS[SHAPES.index(shape) % 2]  # of saturated sigmoids float32 and float64 pool other pixels
    case = Case(pair, shape, padding, activation)
    tolerance = 2e-6 if shape[1] < 100 else 1e-5  # float32 sums over all pixels
    for actual, expected in zip(case.computed(), case.expected(), strict=True):
        assert_near(actual, expected, tolerance)
    rng = np.random.default_rng(1)
    known = rng.standard_normal(case.w.shape), rng.standard_normal(case.b.shape)
    for actual, expected in zip(case.computed(*known), case.expected(*known), strict=True):
        assert_near(actual, expected, tolerance)
    for given in ((), known):  # a first layer
        _, _, *gradients = case.computed(*given, left_out=("dx",))
        for actual, expected in zip(gradients, case.expected(*given)[2:], strict=True):
            assert_near(actual, expected, tolerance)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pair", PAIRS)
def test_activations(pair, activation):
    case = Case(pair, (5, 6, 7, 3, 6, 3, 3), "same", activation)
    for actual, expected in zip(case.computed(), case.expected(), strict=True):
        assert_near(actual, expected)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("names", [("dx",), ("dw",), ("db",), ("dw", "db")], ids=",".join)
def test_what_nobody_asks_for_is_left_out(pair, names):
    case = Case(pair, (18, 4, 5, 3, 6, 3, 3), "same", "relu")
    expected = case.expected()[1:]
    computed = case.computed(left_out=names)[1:]
    for key, actual, wanted in zip(("dx", "dw", "db"), computed, expected, strict=True):
        if key in names:
            assert np.isnan(actual).all()
        else:
            assert_near(actual, wanted)


def test_without_bias():
    case = Case("alone", (3, 4, 5, 2, 3, 3, 3), "same", "linear")
    y = empty(case.y_shape)
    cpu.conv2d_forward(y, place(case.x, (1, 1)), case.w.astype("float32"), None, "same", "linear")
    assert_near(fetch(y), case.expected()[0] - case.b)


@pytest.mark.parametrize("pair", PAIRS)
def test_bits_do_not_depend_on_threads(pair):
    results, case = [], Case(pair, (70, 6, 5, 3, 9, 3, 3), "same", "relu")
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS), 1):
        numba.set_num_threads(threads)
        results.append([*case.computed(), *case.computed(left_out=("dx",))[2:]])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_seen(value):
    for pair in PAIRS:
        case = Case(pair, (2, 4, 4, 1, 3, 3, 3), "same", "relu")
        case.x[1, 2, 1, 0] = value
        y, _, dw, _ = case.computed()
        assert np.isfinite(y[0]).all()
        assert not np.isfinite(y[1]).all()
        assert not np.isfinite(dw).all()


def test_garbage_behind_the_last_sample_reaches_no_gradient():
    """A block's unused lanes hold finite numbers; the gradient there is zero."""
    for pair in PAIRS:
        case = Case(pair, (3, 4, 5, 2, 3, 3, 3), "same", "relu")
        expected = case.expected()
        w, b = case.w.astype("float32"), case.b.astype("float32")
        x, y, dy = place(case.x, case.x_border), empty(case.y_shape), place(case.dy, case.dy_border)
        x.data[..., 3:] = 1e6
        winner = [empty(case.y_shape, dtype="uint8") for _ in case.winner]
        dw, db = np.empty_like(w), np.empty_like(b)
        getattr(cpu, f"{case.op}_forward")(y, *winner, x, w, b, "same", "relu")
        getattr(cpu, f"{case.op}_backward")(None, dw, db, dy, y, *winner, x, w, "same", "relu", False)
        assert_near(fetch(y), expected[0])
        assert_near(dw, expected[2])
        assert_near(db, expected[3])
