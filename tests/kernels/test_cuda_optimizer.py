"""Optimizers on CUDA machines, step for step against the reference in float64."""

import numpy as np
import pytest
from cuda_arrays import assert_near, fetch, place
from numeric import draw

from scratchae.kernels import reference
from scratchae.kernels.cuda import optimizer as cuda
from scratchae.kernels.cuda.emulator import Emulator, unavailable

SIZES = (1, 4, 33, 1024, 2051)

# op, state, whether it takes t, options
CASES = {
    "sgd": ("sgd", {"m": None}, False, (0.0, False)),
    "momentum": ("sgd", {"m": 0}, False, (0.8, False)),
    "nesterov": ("sgd", {"m": 0}, False, (0.8, True)),
    "nesterov without velocity": ("sgd", {"m": None}, False, (0.8, True)),
    "adam": ("adam", {"m": 0, "v": 0, "v_max": None}, True, (0.9, 0.999, 1e-7)),
    "amsgrad": ("adam", {"m": 0, "v": 0, "v_max": 0}, True, (0.6, 0.3, 1e-3)),
    "rmsprop": ("rmsprop", {"v": 0, "mean": None, "m": None}, False, (0.9, 0.0, 1e-3)),
    "rmsprop momentum": ("rmsprop", {"v": 0, "mean": None, "m": 0}, False, (0.8, 0.7, 1e-3)),
    "rmsprop centered": ("rmsprop", {"v": 0, "mean": 0, "m": 0}, False, (0.8, 0.7, 1e-3)),
    "adadelta": ("adadelta", {"a": 0, "d": 0}, False, (0.95, 1e-7)),
}


def gradient(t, P):
    """The first one is the largest, so that AMSGrad's maximum matters."""
    g = draw(t, P, dtype="float32") / np.float32(t)
    g[P // 2] = 0
    return g


def path(case, P, upload, download, ops, flag=0, steps=4):
    """Parameters and state after some steps. `upload` puts an array where ops take it, `download` gives it back."""
    op, state, takes_t, options = CASES[case]
    p, lr, flag = upload(draw(0, P)), upload(np.full(1, 0.05)), upload([flag], "int32")
    arrays = [None if value is None else upload(np.full(P, value)) for value in state.values()]
    for t in range(1, steps + 1):
        extra = [upload([t], "int64")] if takes_t else []
        getattr(ops, op)(p, upload(gradient(t, P)), *arrays, *extra, lr, flag, *options)
    return [download(a) for a in (p, *arrays) if a is not None]


def path_of_reference(case, P):
    def rounded(array, dtype="float32"):
        return np.array(np.array(array, dtype), "float64" if dtype == "float32" else dtype)

    return path(case, P, rounded, np.array, reference)


def path_on(machine, case, P, **options):
    def upload(array, dtype="float32"):
        return place(machine, array, dtype)

    return path(case, P, upload, lambda array: fetch(machine, array), cuda, **options)


@pytest.mark.parametrize("P", SIZES)
@pytest.mark.parametrize("case", CASES)
def test_steps(machine, case, P):
    for actual, expected in zip(path_on(machine, case, P), path_of_reference(case, P), strict=True):
        assert_near(actual, expected, 5e-6)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.0)])
@pytest.mark.parametrize("t", [1, 2, 10, 1000, 10**6])
def test_adam_corrects_its_bias_as_float32_does(machine, t, betas):
    P, g = 17, np.array(draw(1, 17, dtype="float32"))
    g[np.abs(g) < 0.1] = 0.1  # far from epsilon
    one = np.float32(1)
    rest_1, rest_2 = (one - np.float32(np.float64(np.float32(beta)) ** t) for beta in betas)  # each rounded once
    first, second = (1 - betas[0]) * g.astype(float), (1 - betas[1]) * g.astype(float) ** 2
    expected = -1e-3 * np.sqrt(float(rest_2)) / float(rest_1) * first / (np.sqrt(second) + 1e-7)
    p, m, v = (place(machine, np.zeros(P)) for _ in range(3))
    at_t, lr, flag = place(machine, [t], "int64"), place(machine, [1e-3]), place(machine, [0], "int32")
    cuda.adam(p, place(machine, g), m, v, None, at_t, lr, flag, *betas, 1e-7)
    np.testing.assert_allclose(fetch(machine, p), expected, rtol=1e-6)


def test_rounding_makes_no_variance_negative(machine):
    g = place(machine, 1000 * draw(0, 40))
    p, v, mean = (place(machine, np.zeros(40)) for _ in range(3))
    lr, flag = place(machine, [0.1]), place(machine, [0], "int32")
    for _ in range(30):  # after them v is g^2 and mean is g, to rounding
        cuda.rmsprop(p, g, v, mean, None, lr, flag, 0.5, 0.0, 1e-7)
    assert np.isfinite(fetch(machine, p)).all()


@pytest.mark.parametrize("flag", [1, -1])
@pytest.mark.parametrize("case", CASES)
def test_nothing_changes_where_the_flag_is_set(machine, case, flag):
    p, *state = path_on(machine, case, 20, flag=flag)
    np.testing.assert_array_equal(p, draw(0, 20).astype("float32"))
    assert not any(a.any() for a in state)


@pytest.mark.parametrize("case", CASES)
def test_nan_and_infinity_are_not_hidden(machine, case):
    op, state, takes_t, options = CASES[case]
    for bad in (np.nan, np.inf):
        g = np.ones(20)
        g[[3, 17]] = bad
        p, lr, flag = place(machine, np.zeros(20)), place(machine, [0.1]), place(machine, [0], "int32")
        arrays = [None if value is None else place(machine, np.zeros(20)) for value in state.values()]
        extra = [place(machine, [1], "int64")] if takes_t else []
        getattr(cuda, op)(p, place(machine, g), *arrays, *extra, lr, flag, *options)
        assert np.argwhere(~np.isfinite(fetch(machine, p))).ravel().tolist() == [3, 17]


SIMPLE = {
    "weight_decay": lambda ops, a, b, lr, flag: ops.weight_decay(a, lr, flag, 0.4),
    "accumulate_gradient": lambda ops, a, b, lr, flag: ops.accumulate_gradient(a, b, flag),
    "mean_gradient": lambda ops, a, b, lr, flag: ops.mean_gradient(a, b, flag, 3),
    "exponential_average": lambda ops, a, b, lr, flag: ops.exponential_average(a, b, flag, 0.9),
    "copy": lambda ops, a, b, lr, flag: ops.exponential_average(a, b, flag, 0.0),
    "clip_by_value": lambda ops, a, b, lr, flag: ops.clip_by_value(a, 0.5),
    "clip_by_norm": lambda ops, a, b, lr, flag: ops.clip_by_norm(a, 0.5),
    "clip_by_large_norm": lambda ops, a, b, lr, flag: ops.clip_by_norm(a, 1e4),
}
HEED_THE_FLAG = list(SIMPLE)[:5]


def operands(shape):
    return [draw(i, *np.atleast_1d(shape), dtype="float32") for i in range(2)]


@pytest.mark.parametrize("shape", [*SIZES, 4096, 4097, 9001, (7, 5), (3, 3, 2, 4)], ids=str)
@pytest.mark.parametrize("name", SIMPLE)
def test_what_goes_with_a_step(machine, name, shape):
    expected = [a.astype(float) for a in operands(shape)]
    actual = [place(machine, a) for a in operands(shape)]
    SIMPLE[name](reference, *expected, np.full(1, 0.25), np.zeros(1, np.int32))
    SIMPLE[name](cuda, *actual, place(machine, [0.25]), place(machine, [0], "int32"))
    for a, e in zip(actual, expected, strict=True):
        assert_near(fetch(machine, a), e, 5e-7)


@pytest.mark.parametrize("name", HEED_THE_FLAG)
def test_what_goes_with_a_step_heeds_the_flag(machine, name):
    before = operands(20)
    arrays = [place(machine, a) for a in before]
    SIMPLE[name](cuda, *arrays, place(machine, [0.25]), place(machine, [1], "int32"))
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(fetch(machine, a), b)


@pytest.mark.parametrize("name", SIMPLE)
@pytest.mark.parametrize(("first", "last"), [(16, 35), (3, 22), (2, 5)])
def test_a_part_of_the_gradient_is_changed_and_nothing_beside_it(machine, name, first, last):
    whole = operands(64)
    expected, arrays = [a.astype(float) for a in whole], [place(machine, a) for a in whole]
    SIMPLE[name](reference, *(a[first:last] for a in expected), np.full(1, 0.25), np.zeros(1, np.int32))
    SIMPLE[name](cuda, *(a[first:last] for a in arrays), place(machine, [0.25]), place(machine, [0], "int32"))
    for a, e in zip(arrays, expected, strict=True):
        assert_near(fetch(machine, a), e, 5e-7)


def test_the_norm_is_that_of_many_parts(machine):
    g, parts = place(machine, np.ones(3)), place(machine, np.arange(1000))
    cuda.source.launch("shrink", 1, cuda.THREADS, g, parts, 1000, 3, 1.0)
    assert_near(fetch(machine, g), np.full(3, np.sum(np.arange(1000.0)) ** -0.5))


def test_clipping_does_not_hide_nan(machine):
    values = np.full(5000, 2.0)
    values[20] = np.nan
    g = place(machine, values)
    cuda.clip_by_value(g, 1.0)
    clipped = fetch(machine, g)
    assert np.isnan(clipped).nonzero()[0].tolist() == [20]
    assert np.nanmax(clipped) == 1
    for size in (40, 5000):
        g = place(machine, values[:size])
        cuda.clip_by_norm(g, 1.0)
        assert np.isnan(fetch(machine, g)).all()


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("bad", [None, np.nan, np.inf, -np.inf])
def test_find_nonfinite_only_ever_sets(machine, bad, before):
    for size in (1, 33, 1027):
        for at in {0, size // 2, size - 1}:
            x, flag = np.full((size, 1), 3e38), place(machine, [before], "int32")
            if bad is not None:
                x[at] = bad
            cuda.find_nonfinite(flag, place(machine, x), place(machine, [1, 2]))
            assert fetch(machine, flag)[0] == (1 if bad is not None else before)
    flag, values = place(machine, [before], "int32"), place(machine, [0] * 300 + [3e38 if bad is None else bad])
    cuda.find_nonfinite(flag, place(machine, np.ones(1027)), values)
    assert fetch(machine, flag)[0] == (1 if bad is not None else before)


def test_find_nonfinite_where_everything_is_nan(machine):
    flag = place(machine, [0], "int32")
    cuda.find_nonfinite(flag, place(machine, np.full(2051, np.nan)), place(machine, [np.nan]))
    assert fetch(machine, flag).tolist() == [1]


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_the_same_bits_in_any_order_of_threads():
    def clipped(order):
        machine = Emulator(order=order)
        g = place(machine, draw(0, 9001))
        cuda.clip_by_norm(g, 1.0)
        return fetch(machine, g).tolist()

    assert clipped("forward") == clipped("reverse") == clipped("random")


def test_what_a_step_leaves_behind(machine):
    counters, sums = place(machine, [3, 0], "int64"), place(machine, [0.5, 1e9], "float64")
    totals = place(machine, [0.25, 1.5])
    for flag, times in ((0, 1), (1, 1), (0, 2)):
        cuda.end_step(counters, sums, totals, place(machine, [flag], "int32"), 7)
        np.testing.assert_array_equal(machine.download(counters), [3 + times, times])
        np.testing.assert_array_equal(machine.download(sums), [0.5 + 1.75 * times, 1e9 + 10.5 * times])
