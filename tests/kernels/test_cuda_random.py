"""Random numbers on CUDA machines: the reference's own."""

import numpy as np
import pytest
from cuda_arrays import blank, fetch, place
from numeric import draw, poison

from scratchae.kernels import reference
from scratchae.kernels.cuda import random as cuda

KEY, STEP = (0xDEADBEEF, 0xFFFFFFF0), np.array([(5 << 32) + 7], np.uint64)
# elements a sample: a multiple of four or not; as many as a block draws, but for a beginning within four, and more
SHAPES = [(1, 1), (15, 2), (17, 3), (2, 511), (3, 784), (17, 5, 7, 3), (40,)]


@pytest.mark.parametrize("first_sample", [0, 1, 3, 10**10 + 1])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_element_for_element(machine, shape, first_sample):
    drawn = KEY, place(machine, STEP, "uint64"), first_sample
    expected, out = poison(*shape), blank(machine, shape)
    reference.normal(expected, KEY, STEP, first_sample)
    cuda.normal(out, *drawn)
    np.testing.assert_allclose(fetch(machine, out), expected, rtol=0, atol=1e-6)

    x, y = draw(0, *shape, dtype="float32"), blank(machine, shape)
    cuda.gaussian_noise_forward(y, place(machine, x), 0.25, *drawn)
    np.testing.assert_allclose(fetch(machine, y), x + 0.25 * expected, rtol=0, atol=1e-6)

    dropped, y, dx = poison(*shape), blank(machine, shape), blank(machine, shape)
    reference.dropout_forward(dropped, x.astype(float), 0.3, KEY, STEP, first_sample)
    cuda.dropout_forward(y, place(machine, x), 0.3, *drawn)
    cuda.dropout_backward(dx, place(machine, x), 0.3, *drawn)
    for actual in (y, dx):
        np.testing.assert_allclose(fetch(machine, actual), dropped, rtol=1e-6, atol=0)


def test_nothing_is_written_beside_the_array(machine):
    memory, step = blank(machine, 40), place(machine, STEP, "uint64")
    cuda.normal(memory[7:20], KEY, step, 3)  # its first block of four begins where memory is aligned
    assert np.isfinite(fetch(machine, memory)).nonzero()[0].tolist() == list(range(7, 20))


@pytest.mark.parametrize("shape", [(2, 3), (17, 300)], ids=str)
def test_noise_passes_its_gradient_on(machine, shape):
    dy, dx = draw(0, *shape, dtype="float32"), blank(machine, shape)
    cuda.gaussian_noise_backward(dx, place(machine, dy))
    np.testing.assert_array_equal(fetch(machine, dx), dy)


def test_dropout_of_nothing_is_the_identity_and_nan_is_not_hidden(machine):
    x, y, step = np.array(draw(0, 3, 50, dtype="float32")), blank(machine, (3, 50)), place(machine, STEP, "uint64")
    cuda.dropout_forward(y, place(machine, x), 0.0, KEY, step, 0)
    np.testing.assert_array_equal(fetch(machine, y), x)
    x[1, 20:40] = np.nan
    cuda.dropout_forward(y, place(machine, x), 0.5, KEY, step, 0)
    np.testing.assert_array_equal(np.isnan(fetch(machine, y)), np.isnan(x))


def test_parts_make_up_the_whole(machine):
    whole, part, step = blank(machine, (20, 131)), blank(machine, (5, 131)), place(machine, STEP, "uint64")
    cuda.normal(whole, KEY, step, 2)
    cuda.normal(part, KEY, step, 9)
    np.testing.assert_array_equal(fetch(machine, part), fetch(machine, whole)[7:12])


def test_a_changed_step_is_read_from_the_device(machine):
    out, step, expected = blank(machine, (3, 5)), place(machine, STEP, "uint64"), poison(3, 5)
    cuda.normal(out, KEY, step, 0)
    machine.upload(step, STEP + np.uint64(1))
    cuda.normal(out, KEY, step, 0)
    reference.normal(expected, KEY, STEP + np.uint64(1), 0)
    np.testing.assert_allclose(fetch(machine, out), expected, rtol=0, atol=1e-6)
