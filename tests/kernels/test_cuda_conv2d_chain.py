"""Chains of convolutions on CUDA machines, against the reference in float64."""

import numpy as np
import pytest
from cuda_arrays import assert_near, blank, emulator, fetch, place
from numeric import draw

from scratchae.kernels import Link, reference
from scratchae.kernels.cuda import conv2d, conv2d_chain

# neighbour, channels out, J, K, padding, activation
MIXED = (
    ("max_pool2d", 5, 3, 3, "same", "relu"),
    ("max_pool2d", 9, 1, 3, "valid", "tanh"),
    (None, 4, 3, 3, "same", "linear"),
    ("up_sampling2d", 12, 3, 3, "same", "relu"),
    (None, 2, 5, 3, "same", "tanh"),
    ("up_sampling2d", 3, 3, 3, "valid", "sigmoid"),
)
USUAL = (
    ("max_pool2d", 16, 3, 3, "same", "relu"),
    ("max_pool2d", 8, 3, 3, "same", "relu"),
    (None, 8, 3, 3, "same", "relu"),
    ("up_sampling2d", 16, 3, 3, "valid", "relu"),
    ("up_sampling2d", 1, 3, 3, "same", "sigmoid"),
)
WIDE = (
    (None, 35, 3, 3, "same", "relu"),
    ("max_pool2d", 34, 3, 3, "same", "tanh"),
    ("up_sampling2d", 33, 1, 1, "same", "relu"),
)
KERNELS = "forward", "input_gradients", "weight_gradients", "add_partials"


def tensors(image, convolutions):
    """The arrays of a chain: those that are given hold numbers, and those to be written their shape."""
    x, found = draw(0, *image, dtype="float32"), []
    N, H, W, C = image
    for i, (neighbour, O, J, K, padding, activation) in enumerate(convolutions):
        if neighbour == "up_sampling2d":
            H, W = 2 * H, 2 * W
        if padding == "valid":
            H, W = H - J + 1, W - K + 1
        if neighbour == "max_pool2d":
            H, W = -(-H // 2), -(-W // 2)
        w, b = draw(3 * i + 1, J, K, C, O) / np.sqrt(J * K * C), draw(3 * i + 2, O)
        known = draw(3 * i + 90, J, K, C, O), draw(3 * i + 91, O)
        found.append((neighbour, (N, H, W, O), w.astype("float32"), b.astype("float32"), known, padding, activation))
        C = O
    return x, draw(99, *found[-1][1], dtype="float32"), found


def links(image, convolutions, put, empty, accumulate=False, bias=True, left_out=()):
    """A chain, with memory from `put` and `empty`. Of the convolutions in `left_out` no gradient of the weights is
    asked for; nor is the first one's dx, if -1 is there."""
    x, dy, found = tensors(image, convolutions)
    chain, x = [], put(x)
    dx = None if -1 in left_out else empty(image)
    for i, (neighbour, shape, w, b, known, padding, activation) in enumerate(found):
        saved = (empty(shape, "uint8"),) if neighbour == "max_pool2d" else ()
        given = put(dy) if i == len(found) - 1 else empty(shape)
        dw, db = (None if i in left_out else put(a) if accumulate else empty(a.shape) for a in known)
        y, w, b = empty(shape), put(w), put(b) if bias else None
        chain.append(Link(neighbour, dx, dw, db, given, y, saved, x, w, b, padding, activation, accumulate))
        x, dx = y, given
    return chain


def expected(image, convolutions, **options):
    def empty(shape, dtype="float64"):
        return np.full(shape, 255 if dtype == "uint8" else np.nan, dtype)

    chain = links(image, convolutions, lambda array: array.astype("float64"), empty, **options)
    with np.errstate(invalid="ignore"):  # what nobody asks for stays NaN
        reference.conv2d_chain_forward(chain)
        reference.conv2d_chain_backward(chain)
    return results(chain, np.array)


def computed(machine, image, convolutions, **options):
    chain = links(image, convolutions, lambda a: place(machine, a), lambda *what: blank(machine, *what), **options)
    conv2d_chain.conv2d_chain_forward(chain)
    conv2d_chain.conv2d_chain_backward(chain)
    return results(chain, lambda array: fetch(machine, array))


def results(chain, read):
    """y, dx, dw and db of all links."""
    return [None if a is None else read(a) for link in chain for a in (link.y, link.dx, link.dw, link.db)]


def assert_all_near(actual, wanted):
    for a, b in zip(actual, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert_near(a, b, 1e-5)  # behind several convolutions, of sums that may be small


@pytest.fixture
def launched(monkeypatch):
    """The kernels that have been launched, by the ends of their names."""
    names, launch = [], conv2d_chain.source.launch

    def watching(kernel, *arguments, **options):
        names.append(kernel.removeprefix("conv2d_chain_"))
        launch(kernel, *arguments, **options)

    monkeypatch.setattr(conv2d_chain.source, "launch", watching)
    return names


@pytest.fixture
def few_multiprocessors(monkeypatch):
    """Blocks have several images each, one pair after the other, as if there were many more."""
    plans = conv2d.plan_cells, conv2d.plan_sums
    monkeypatch.setattr(conv2d, "MULTIPROCESSORS", 2)
    for plan in plans:
        plan.cache_clear()
    yield
    for plan in plans:
        plan.cache_clear()


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("N", [1, 15, 16, 17, 33])
def test_values_and_gradients(machine, launched, N, accumulate):
    image = N, 7, 11, 2
    assert_all_near(
        computed(machine, image, MIXED, accumulate=accumulate), expected(image, MIXED, accumulate=accumulate)
    )
    assert launched == list(KERNELS)


@pytest.mark.parametrize("N", [7, 9, 20])
def test_blocks_go_from_image_to_image(machine, few_multiprocessors, launched, N):
    image = N, 12, 13, 1
    assert_all_near(computed(machine, image, USUAL), expected(image, USUAL))
    assert launched == list(KERNELS)


def test_many_channels_come_in_parts_and_many_parts_in_several_launches(machine, few_multiprocessors, launched):
    image, chain = (3, 3, 5, 2), WIDE * 3
    assert_all_near(computed(machine, image, chain), expected(image, chain))
    assert launched == ["forward"] * 2 + ["input_gradients"] * 2 + ["weight_gradients", "add_partials"]


def test_large_images_go_from_op_to_op_unless_there_are_many(machine, few_multiprocessors, launched):
    for N, kernels in ((1, ()), (2, KERNELS)):
        image = N, 98, 41, 1
        launched.clear()
        assert_all_near(computed(machine, image, USUAL), expected(image, USUAL))
        assert launched == list(kernels)


@pytest.mark.parametrize("left_out", [(-1,), (2,), (-1, 0), tuple(range(len(MIXED)))], ids=str)
def test_what_nobody_asks_for_is_left_out(machine, left_out):
    image = 3, 6, 7, 2
    assert_all_near(computed(machine, image, MIXED, left_out=left_out), expected(image, MIXED, left_out=left_out))


def test_a_single_link_without_dx(machine, launched):
    image, chain = (3, 6, 7, 2), MIXED[:1]
    assert_all_near(computed(machine, image, chain, left_out=(-1,)), expected(image, chain, left_out=(-1,)))
    assert launched == ["forward", "weight_gradients", "add_partials"]


def test_without_bias(machine):
    image = 2, 6, 7, 2
    assert_all_near(computed(machine, image, MIXED, bias=False), expected(image, MIXED, bias=False))


def test_the_bits_are_those_of_the_ops_alone(machine, monkeypatch):
    """All but those of the weights' gradients, which other blocks sum."""
    image = 5, 9, 8, 3
    together = computed(machine, image, USUAL)
    monkeypatch.setattr(conv2d_chain, "suits", lambda *_: False)
    for i, (a, b) in enumerate(zip(together, computed(machine, image, USUAL), strict=True)):
        if i % 4 < 2:
            np.testing.assert_array_equal(a, b)
        else:
            assert_near(a, b, 1e-5)


def test_bits_do_not_depend_on_the_order_of_threads(machine):
    other = emulator("random") if machine in (emulator("forward"), emulator("reverse")) else machine
    image = 12, 7, 6, 2
    for a, b in zip(computed(machine, image, MIXED), computed(other, image, MIXED), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_not_finite_stays_in_its_image(machine):
    image = 3, 6, 7, 2
    x, *_ = tensors(image, MIXED)
    x = np.array(x)
    x[1, 2, 3, 1] = np.nan
    chain = links(image, MIXED, lambda a: place(machine, a), lambda *what: blank(machine, *what))
    machine.upload(chain[0].x, x)
    conv2d_chain.conv2d_chain_forward(chain)
    conv2d_chain.conv2d_chain_backward(chain)
    y = fetch(machine, chain[-1].y)
    assert [bool(np.isfinite(image).all()) for image in y] == [True, False, True]
    assert not np.isfinite(fetch(machine, chain[0].dw)).all()
