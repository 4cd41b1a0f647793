"""Optimizers of the fast backend, step for step against the reference in float64."""

import numba
import numpy as np
import pytest
from devices import assert_near, cpu
from numeric import draw

from scratchae.kernels import reference

SIZES = (1, 15, 16, 17, 33, 4096, 4097, 9001)
CLEAR, SET = np.zeros(1, np.int32), np.ones(1, np.int32)

# op, state, whether it takes t, options
CASES = {
    "sgd": ("sgd", {"m": None}, False, (0.0, False)),
    "momentum": ("sgd", {"m": 0}, False, (0.8, False)),
    "nesterov": ("sgd", {"m": 0}, False, (0.8, True)),
    "adam": ("adam", {"m": 0, "v": 0, "v_max": None}, True, (0.9, 0.999, 1e-7)),
    "amsgrad": ("adam", {"m": 0, "v": 0, "v_max": 0}, True, (0.6, 0.3, 1e-3)),
    "rmsprop": ("rmsprop", {"v": 0, "mean": None, "m": None}, False, (0.9, 0.0, 1e-3)),
    "rmsprop momentum": ("rmsprop", {"v": 0, "mean": None, "m": 0}, False, (0.8, 0.7, 1e-3)),
    "rmsprop centered": ("rmsprop", {"v": 0, "mean": 0, "m": 0}, False, (0.8, 0.7, 1e-3)),
    "adadelta": ("adadelta", {"a": 0, "d": 0}, False, (0.95, 1e-7)),
}


def path(ops, dtype, case, P, flag=CLEAR, steps=5):
    """Parameters and state after some steps; the first gradient is the largest, so that AMSGrad's maximum matters."""
    op, state, takes_t, options = CASES[case]
    p, lr = np.array(draw(0, P, dtype=dtype)), np.full(1, 0.05, dtype)
    arrays = {name: None if value is None else np.full(P, value, dtype) for name, value in state.items()}
    for t in range(1, steps + 1):
        g = draw(t, P, dtype="float32").astype(dtype) / t
        g[P // 2] = 0
        extra = [np.array([t], np.int64)] if takes_t else []
        getattr(ops, op)(p, g, *arrays.values(), *extra, lr, flag, *options)
    return [p, *(a for a in arrays.values() if a is not None)]


@pytest.mark.parametrize("P", SIZES)
@pytest.mark.parametrize("case", CASES)
def test_steps(case, P):
    for actual, expected in zip(path(cpu, "float32", case, P), path(reference, "float64", case, P), strict=True):
        assert_near(actual, expected, 5e-6)


@pytest.mark.parametrize("t", [1, 2, 10, 1000, 10**6])
def test_adam_corrects_its_bias_as_the_reference_does_in_float32(t):
    results = []
    for ops in (reference, cpu):
        p, m, v = (np.zeros(40, "float32") for _ in range(3))
        g = np.array(draw(1, 40, dtype="float32"))
        ops.adam(p, g, m, v, None, np.array([t]), np.full(1, 1e-3, "float32"), CLEAR, 0.9, 0.999, 1e-7)
        results.append(p)
    np.testing.assert_allclose(*results, rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_nothing_changes_where_the_flag_is_set(case):
    start, _, *_ = [draw(0, 20, dtype="float32"), *CASES[case][1]]
    p, *state = path(cpu, "float32", case, 20, flag=SET)
    np.testing.assert_array_equal(p, start)
    assert not any(a.any() for a in state)


@pytest.mark.parametrize("case", CASES)
def test_nan_and_infinity_are_not_hidden(case):
    op, state, takes_t, options = CASES[case]
    for bad in (np.nan, np.inf):
        p, g = np.zeros(20, "float32"), np.ones(20, "float32")
        g[[3, 17]] = bad
        arrays = [None if value is None else np.zeros(20, "float32") for value in state.values()]
        extra = [np.array([1])] if takes_t else []
        getattr(cpu, op)(p, g, *arrays, *extra, np.full(1, 0.1, "float32"), CLEAR, *options)
        assert np.argwhere(~np.isfinite(p)).ravel().tolist() == [3, 17]


SIMPLE = {
    "weight_decay": lambda ops, a, b, flag: ops.weight_decay(a, np.full(1, 0.25, a.dtype), flag, 0.4),
    "accumulate_gradient": lambda ops, a, b, flag: ops.accumulate_gradient(a, b, flag),
    "mean_gradient": lambda ops, a, b, flag: ops.mean_gradient(a, b, flag, 3),
    "exponential_average": lambda ops, a, b, flag: ops.exponential_average(a, b, flag, 0.9),
    "copy": lambda ops, a, b, flag: ops.exponential_average(a, b, flag, 0.0),
    "clip_by_value": lambda ops, a, b, flag: ops.clip_by_value(a, 0.5),
    "clip_by_norm": lambda ops, a, b, flag: ops.clip_by_norm(a, 0.5),
    "clip_by_large_norm": lambda ops, a, b, flag: ops.clip_by_norm(a, 1e4),
}


@pytest.mark.parametrize("P", [*SIZES, (7, 5), (3, 3, 2, 4)], ids=str)
@pytest.mark.parametrize("name", SIMPLE)
def test_what_goes_with_a_step(name, P):
    results = []
    for ops, dtype in ((reference, "float64"), (cpu, "float32")):
        a, b = (np.array(draw(i, *np.atleast_1d(P), dtype="float32"), dtype) for i in range(2))
        SIMPLE[name](ops, a, b, CLEAR)
        results.append((a, b))
    for expected, actual in zip(*results, strict=True):
        assert_near(actual, expected, 5e-7)


@pytest.mark.parametrize("name", list(SIMPLE)[:5])
def test_what_goes_with_a_step_heeds_the_flag(name):
    a, b = np.array(draw(0, 20, dtype="float32")), np.array(draw(1, 20, dtype="float32"))
    SIMPLE[name](cpu, a, b, SET)
    np.testing.assert_array_equal(a, draw(0, 20, dtype="float32"))
    np.testing.assert_array_equal(b, draw(1, 20, dtype="float32"))


def test_clipping_does_not_hide_nan():
    g = np.full(40, 2, "float32")
    g[20] = np.nan
    cpu.clip_by_value(g, 1.0)
    assert np.isnan(g).nonzero()[0].tolist() == [20]
    assert np.nanmax(g) == 1
    cpu.clip_by_norm(g, 1.0)
    assert np.isnan(g).all()


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("bad", [None, np.nan, np.inf, -np.inf])
def test_find_nonfinite_only_ever_sets(bad, before):
    for size in SIZES:
        for place in {0, size // 2, size - 1}:
            x, flag = np.full((size, 1), 3e38, "float32"), np.array([before], np.int32)
            if bad is not None:
                x[place] = bad
            cpu.find_nonfinite(flag, x, np.ones(2, "float32"))
            assert flag[0] == (1 if bad is not None else before)
    flag, values = np.array([before], np.int32), np.array([0, 3e38 if bad is None else bad], "float32")
    cpu.find_nonfinite(flag, np.ones(5, "float32"), values)
    assert flag[0] == (1 if bad is not None else before)


def test_bits_do_not_depend_on_threads():
    results = []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        g = np.array(draw(0, 50_001, dtype="float32"))
        cpu.clip_by_norm(g, 1.0)
        results.append([g, *path(cpu, "float32", "adam", 9001)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_a_step_leaves_behind():
    counters, sums, totals = np.array([3, 0]), np.array([0.5, 1e9]), np.array([0.25, 1.5], np.float32)
    for flag, times in ((CLEAR, 1), (SET, 1), (CLEAR, 2)):
        cpu.end_step(counters, sums, totals, flag, 7)
        np.testing.assert_array_equal(counters, [3 + times, times])
        np.testing.assert_array_equal(sums, [0.5 + 1.75 * times, 1e9 + 10.5 * times])
