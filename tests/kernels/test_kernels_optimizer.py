"""Each optimizer against its paper's algorithm, transcribed for one parameter in Python's floats."""

import math

import numpy as np
import pytest
from numeric import DTYPES, assert_close, draw, run

from scratchae.kernels import reference as ops

P, STEPS, LR = 13, 6, 0.05
CLEAR, SET = np.zeros(1, np.int32), np.ones(1, np.int32)
CLEAR.flags.writeable = SET.flags.writeable = False


def sgd(p, gradients, momentum, nesterov):
    """Sutskever et al. 2013, eq. 1 to 4; nesterov in terms of the point looked ahead to, as Keras stores it."""
    velocity, path = 0.0, []
    for g in gradients:
        velocity = momentum * velocity - LR * g
        p = p - LR * g + momentum * velocity if nesterov else p + velocity
        path.append(p)
    return path


def adam(p, gradients, beta_1, beta_2, epsilon, amsgrad):
    """Kingma & Ba 2015, algorithm 1 with the efficient order of section 2; Reddi, Kale & Kumar 2018, algorithm 2."""
    m = v = v_max = 0.0
    path = []
    for t, g in enumerate(gradients, start=1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        v_max = max(v_max, v)
        alpha_t = LR * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        p -= alpha_t * m / (math.sqrt(v_max if amsgrad else v) + epsilon)
        path.append(p)
    return path


def rmsprop(p, gradients, rho, momentum, epsilon, centered):
    """Hinton's lecture 6e; Graves 2013, eq. 38 to 45, with plain momentum."""
    n = mean = delta = 0.0
    path = []
    for g in gradients:
        n = rho * n + (1 - rho) * g**2
        mean = rho * mean + (1 - rho) * g
        step = LR * g / math.sqrt(n - (mean**2 if centered else 0) + epsilon)
        delta = momentum * delta + step
        p -= delta
        path.append(p)
    return path


def adadelta(p, gradients, rho, epsilon):
    """Zeiler 2012, algorithm 1, the step times a learning rate."""
    squares = updates = 0.0
    path = []
    for g in gradients:
        squares = rho * squares + (1 - rho) * g**2
        delta = -math.sqrt(updates + epsilon) / math.sqrt(squares + epsilon) * g
        updates = rho * updates + (1 - rho) * delta**2
        p += LR * delta
        path.append(p)
    return path


def run_sgd(p, g, state, t, lr, flag, momentum, nesterov):
    run(ops.sgd, p, g, state("m") if momentum else None, lr, flag, momentum, nesterov)


def run_adam(p, g, state, t, lr, flag, beta_1, beta_2, epsilon, amsgrad):
    run(
        ops.adam,
        p,
        g,
        state("m"),
        state("v"),
        state("v_max") if amsgrad else None,
        t,
        lr,
        flag,
        beta_1,
        beta_2,
        epsilon,
    )


def run_rmsprop(p, g, state, t, lr, flag, rho, momentum, epsilon, centered):
    mean, m = state("mean") if centered else None, state("m") if momentum else None
    run(ops.rmsprop, p, g, state("v"), mean, m, lr, flag, rho, momentum, epsilon)


def run_adadelta(p, g, state, t, lr, flag, rho, epsilon):
    run(ops.adadelta, p, g, state("a"), state("d"), lr, flag, rho, epsilon)


CASES = [
    (sgd, run_sgd, (0.0, False)),
    (sgd, run_sgd, (0.8, False)),
    (sgd, run_sgd, (0.8, True)),
    (adam, run_adam, (0.9, 0.999, 1e-7, False)),
    (adam, run_adam, (0.6, 0.7, 1e-2, False)),
    (adam, run_adam, (0.6, 0.3, 1e-7, True)),
    (rmsprop, run_rmsprop, (0.9, 0.0, 1e-7, False)),
    (rmsprop, run_rmsprop, (0.8, 0.7, 1e-3, False)),
    (rmsprop, run_rmsprop, (0.8, 0.0, 1e-3, True)),
    (rmsprop, run_rmsprop, (0.8, 0.7, 1e-3, True)),
    (adadelta, run_adadelta, (0.95, 1e-7)),
    (adadelta, run_adadelta, (0.6, 1e-3)),
]


class State:
    """Arrays by name, zero at first."""

    def __init__(self, dtype):
        self.arrays, self.dtype = {}, dtype

    def __call__(self, name):
        return self.arrays.setdefault(name, np.zeros(P, self.dtype))


def shrinking_gradients(dtype):
    """The first is the largest, so that AMSGrad's maximum matters; one entry is always zero."""
    gradients = np.array(draw(1, STEPS, P)) / np.arange(1, STEPS + 1)[:, None]
    gradients[:, 5] = 0
    gradients.flags.writeable = False
    return gradients.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("paper", "step", "options"), CASES)
def test_steps_follow_the_paper(paper, step, options, dtype):
    start, gradients, state = draw(0, P, dtype=dtype), shrinking_gradients(dtype), State(dtype)
    paths = [paper(float(start[i]), [float(g) for g in gradients[:, i]], *options) for i in range(P)]
    p, lr = np.array(start), np.full(1, LR, dtype)
    for t in range(STEPS):
        g = np.array(gradients[t])
        g.flags.writeable = False
        step(p, g, state, np.array([t + 1], np.int64), lr, CLEAR, *options)
        tolerance = {"rtol": 1e-12, "atol": 1e-13} if dtype == "float64" else {"rtol": 0, "atol": 5e-5}
        assert_close(p, [path[t] for path in paths], **tolerance)
    assert p.dtype == dtype


def test_centered_rmsprop_of_a_steady_gradient_stays_finite():
    # its variance is zero, and what rounding leaves of it in float32 may be negative
    g = np.linspace(0.5, 1.5, 500, dtype="float32")
    p, v, mean, lr = np.zeros_like(g), np.zeros_like(g), np.zeros_like(g), np.full(1, 1e-3, "float32")
    with np.errstate(invalid="ignore"):
        for _ in range(300):
            run(ops.rmsprop, p, g, v, mean, None, lr, CLEAR, 0.9, 0.0, 1e-7)
    assert np.isfinite(p).all()


@pytest.mark.parametrize(("paper", "step", "options"), CASES)
def test_nothing_changes_where_the_flag_is_set(paper, step, options):
    state, lr, t = State("float64"), np.full(1, LR), np.array([2], np.int64)
    p = np.array(draw(0, P))
    step(p, draw(1, P), state, t, lr, CLEAR, *options)
    before = np.array(p), {name: np.array(array) for name, array in state.arrays.items()}
    for array in (p, t, lr, *state.arrays.values()):
        array.flags.writeable = False
    g = np.array(draw(2, P))
    g[3] = np.nan
    step(p, g, state, t, lr, SET, *options)
    assert_close(p, before[0], rtol=0, atol=0)
    for name, array in before[1].items():
        assert_close(state.arrays[name], array, rtol=0, atol=0)


@pytest.mark.parametrize(
    "spend",
    [
        lambda a, b, flag: ops.weight_decay(a, np.full(1, LR), flag, 0.3),
        lambda a, b, flag: ops.accumulate_gradient(a, b, flag),
        lambda a, b, flag: ops.mean_gradient(a, b, flag, 3),
        lambda a, b, flag: ops.exponential_average(a, b, flag, 0.9),
    ],
    ids=["weight_decay", "accumulate_gradient", "mean_gradient", "exponential_average"],
)
def test_what_goes_with_a_step_heeds_the_flag(spend):
    a, b = np.array(draw(0, P)), np.array(draw(1, P))
    spend(a, b, SET)
    assert_close(a, draw(0, P), rtol=0, atol=0)
    assert_close(b, draw(1, P), rtol=0, atol=0)
    spend(a, b, CLEAR)
    assert (a != draw(0, P)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [None, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("before", [0, 1])
def test_find_nonfinite_only_ever_sets(bad, before, dtype):
    x, flag = np.array(draw(0, 2, 5, dtype=dtype)), np.array([before], np.int32)
    if bad is not None:
        x[1, 4] = bad
    x.flags.writeable = False
    run(ops.find_nonfinite, flag, x, np.ones(2, dtype))
    assert flag[0] == (1 if bad is not None else before)
    flag, values = np.array([before], np.int32), np.array([1, 0 if bad is None else bad], dtype)
    run(ops.find_nonfinite, flag, np.ones(5, dtype), values)
    assert flag[0] == (1 if bad is not None else before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weight_decay(dtype):
    p = np.array(draw(0, P, dtype=dtype))
    run(ops.weight_decay, p, np.full(1, 0.25, dtype), CLEAR, 0.4)
    assert_close(p, [float(v) * 0.9 for v in draw(0, P, dtype=dtype)], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_clip_by_value(dtype):
    g = np.array(draw(0, P, dtype=dtype))
    run(ops.clip_by_value, g, 0.5)
    assert 0 < np.count_nonzero(np.abs(draw(0, P)) > 0.5) < P
    assert_close(g, [min(max(float(v), -0.5), 0.5) for v in draw(0, P, dtype=dtype)], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(P,), (2, 5), (3, 3, 2, 4)], ids=str)
@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clip_by_norm(limit, shape, dtype):
    before = draw(0, *shape, dtype=dtype)
    norm = math.sqrt(sum(float(v) ** 2 for v in before.flat))
    assert 0.5 < norm < 100
    g = np.array(before)
    run(ops.clip_by_norm, g, limit)
    assert_close(g, before * min(1.0, limit / norm), dtype)
    assert g.dtype == dtype


def test_clip_by_norm_leaves_zero():
    g = np.zeros(P)
    run(ops.clip_by_norm, g, 1e-3)
    assert g.tolist() == [0] * P


@pytest.mark.parametrize("dtype", DTYPES)
def test_three_batches_make_one_mean_gradient(dtype):
    gradients, total = draw(0, 3, P, dtype=dtype), np.zeros(P, dtype)
    for round_ in range(2):  # again: the end of an accumulation begins the next one
        run(ops.accumulate_gradient, total, gradients[0], CLEAR)
        run(ops.accumulate_gradient, total, gradients[1], CLEAR)
        g = np.array(gradients[2]) * (round_ + 1)
        run(ops.mean_gradient, g, total, CLEAR, 3)
        a, b, c = gradients.astype(float)
        assert_close(g, (a + b + c * (round_ + 1)) / 3, dtype)
        assert total.tolist() == [0] * P


@pytest.mark.parametrize("dtype", DTYPES)
def test_exponential_average(dtype):
    average, p = np.array(draw(0, P, dtype=dtype)), draw(1, P, dtype=dtype)
    run(ops.exponential_average, average, p, CLEAR, 0.9)
    assert_close(average, 0.9 * draw(0, P, dtype=dtype).astype(float) + 0.1 * p.astype(float), dtype)
    run(ops.exponential_average, average, p, CLEAR, 0.0)
    assert_close(average, p, rtol=0, atol=0)


def test_what_a_step_leaves_behind():
    counters, sums, totals = np.array([3, 0]), np.array([0.5, 1e9]), np.array([0.25, 1.5], np.float32)
    for flag, times in ((0, 1), (1, 1), (0, 2)):
        run(ops.end_step, counters, sums, totals, np.array([flag], np.int32), 7)
        np.testing.assert_array_equal(counters, [3 + times, times])
        np.testing.assert_array_equal(sums, [0.5 + 1.75 * times, 1e9 + 10.5 * times])
