"""Random numbers of the fast backend: the reference's own, in either layout."""

import numba
import numpy as np
import pytest
from devices import assert_border, cpu, empty, fetch, place
from numeric import draw, poison

from scratchae.kernels import reference

KEY, STEP = (0xDEADBEEF, 0xFFFFFFF0), np.array([(5 << 32) + 7], np.uint64)
# elements a sample: a multiple of four or not, in rows of a multiple of four or not
SHAPES = [
    (1, 1), (15, 2), (17, 3), (33, 130), (16, 784), (1, 5, 3), (15, 4, 3), (17, 5, 7, 3), (33, 2, 14, 1), (16, 4, 6, 1),
    (2, 3, 300, 5), (40,),
]  # fmt: skip


@pytest.mark.parametrize("first_sample", [0, 1, 3, 10**10 + 1])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_element_for_element(shape, first_sample):
    expected, out = poison(*shape), empty(shape, (1, 2))
    reference.normal(expected, KEY, STEP, first_sample)
    cpu.normal(out, KEY, STEP, first_sample)
    np.testing.assert_allclose(fetch(out), expected, rtol=0, atol=1e-6)
    assert_border(out)

    x = draw(0, *shape, dtype="float32")
    cpu.gaussian_noise_forward(out, place(x, (2, 1)), 0.25, KEY, STEP, first_sample)
    np.testing.assert_allclose(fetch(out), x + 0.25 * expected, rtol=0, atol=1e-6)

    dropped, dx = poison(*shape, dtype="float32"), empty(shape, (1, 2))
    reference.dropout_forward(dropped, x, 0.3, KEY, STEP, first_sample)
    cpu.dropout_forward(out, place(x, (2, 1)), 0.3, KEY, STEP, first_sample)
    cpu.dropout_backward(dx, place(x), 0.3, KEY, STEP, first_sample)
    for actual in (out, dx):
        np.testing.assert_allclose(fetch(actual), dropped, rtol=1e-6, atol=0)
        assert_border(actual)


@pytest.mark.parametrize("shape", [(17, 300), (17, 5, 7, 3)], ids=str)
def test_noise_passes_its_gradient_on(shape):
    dy, dx = draw(0, *shape, dtype="float32"), empty(shape, (1, 2))
    cpu.gaussian_noise_backward(dx, place(dy, (2, 1)))
    np.testing.assert_array_equal(fetch(dx), dy)
    assert_border(dx)


def test_dropout_of_nothing_is_the_identity_and_nan_is_not_hidden():
    x, y = np.array(draw(0, 3, 50, dtype="float32")), poison(3, 50, dtype="float32")
    cpu.dropout_forward(y, x, 0.0, KEY, STEP, 0)
    np.testing.assert_array_equal(y, x)
    x[1, 20:40] = np.nan
    cpu.dropout_forward(y, x, 0.5, KEY, STEP, 0)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))


def test_the_extremes_of_a_uniform_number_give_finite_normals():
    out = poison(1000, 1000, dtype="float32")
    cpu.normal(out, KEY, STEP, 0)
    assert np.isfinite(out).all()
    assert abs(out.mean()) < 0.005
    assert abs(out.var() - 1) < 0.01


def test_bits_do_not_depend_on_threads_or_slabs():
    whole = poison(40, 1001, dtype="float32")
    cpu.normal(whole, KEY, STEP, 2)
    numba.set_num_threads(1)
    part = poison(13, 1001, dtype="float32")
    cpu.normal(part, KEY, STEP, 9)
    np.testing.assert_array_equal(part, whole[7:20])
