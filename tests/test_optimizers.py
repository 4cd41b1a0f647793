"""Optimizers beyond their golden cases: state, errors, and that they learn."""

import numpy as np
import pytest

from scratchae import optimizers, schedules
from scratchae.autoencoders import vanilla

ALL = {
    "adam": lambda: optimizers.Adam(0.01),
    "amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: optimizers.AdamW(0.01),
    "sgd": lambda: optimizers.SGD(1.0),
    "nesterov": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda: optimizers.RMSprop(0.003, momentum=0.5, centered=True),
    "adadelta": lambda: optimizers.Adadelta(1.0),
    "ema": lambda: optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3),
    "accumulating": lambda: optimizers.Adam(0.01, gradient_accumulation_steps=3),
    "scheduled": lambda: optimizers.Adam(schedules.CosineDecay(0.02, 50)),
}


@pytest.fixture
def x(rng):
    return np.outer(rng.random(24), [0.1, 0.9, 0.2, 0.8, 0.1, 0.9]).astype("float32")  # one number describes a sample


def model(name):
    auto = vanilla.autoencoder(6, [5], 3)[2]
    auto.compile(ALL[name](), "mse")
    return auto


@pytest.mark.parametrize("name", ALL)
def test_the_loss_goes_down(name, x):
    history = model(name).fit(x, x, epochs=40, batch_size=8, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]


@pytest.mark.parametrize("name", ALL)
def test_state_taken_out_and_put_into_another_continues_with_the_same_bits(name, x):
    whole, resumed = model(name), model(name)
    for _ in range(4):
        whole.train_on_batch(x, x)
    resumed.set_weights(whole.get_weights())
    resumed.optimizer.set_state(whole.optimizer.get_state())
    for _ in range(5):
        assert whole.train_on_batch(x, x) == resumed.train_on_batch(x, x)
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_end_of_fit_takes_the_moving_average(x):
    auto = vanilla.autoencoder(6, [5], 3)[2]
    auto.compile(optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9), "mse")
    auto.fit(x, x, epochs=3, verbose=0)
    np.testing.assert_array_equal(auto.training_store().trained_values, auto.optimizer.state["average"])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: optimizers.Adam("fast"), TypeError, "Adam: learning_rate='fast' is a str"),
        (lambda: optimizers.Adam(-0.1), ValueError, "Adam: learning_rate=-0.1 is out of range"),
        (lambda: optimizers.Adam(float("inf")), ValueError, "learning_rate=inf is out of range"),
        (lambda: optimizers.Adam(beta_1=1.0), ValueError, r"beta_1=1.0 is out of range; .* \[0, 1\)"),
        (lambda: optimizers.Adam(clipnorm=1, clipvalue=1), ValueError, "clipnorm and clipvalue are both given"),
        (lambda: optimizers.Adam(clipnorm=0), ValueError, r"clipnorm=0 is out of range; .* \(0, inf\)"),
        (lambda: optimizers.SGD(momentum=2), ValueError, "SGD: momentum=2 is out of range"),
        (lambda: optimizers.AdamW(weight_decay=-1), ValueError, "AdamW: weight_decay=-1 is out of range"),
        (lambda: optimizers.Adam(gradient_accumulation_steps=0), ValueError, "gradient_accumulation_steps=0"),
        (lambda: schedules.PiecewiseConstantDecay([1], [0.1]), ValueError, "values has 1 entries; expected 2"),
        (lambda: schedules.CosineDecay(0.1, 0), ValueError, "CosineDecay: decay_steps=0 is out of range"),
        (lambda: schedules.ExponentialDecay(-1, 5, 0.5), ValueError, "initial_learning_rate=-1 is out of range"),
        (lambda: optimizers.get(3), ValueError, "optimizer=3 is unknown"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_schedules_against_their_formulas():
    steps = [0, 1, 4, 7, 10, 25]
    exponential = [schedules.ExponentialDecay(0.1, 5, 0.5)(s) for s in steps]
    np.testing.assert_allclose(exponential, [0.1 * 0.5 ** (s / 5) for s in steps])
    stairs = [schedules.ExponentialDecay(0.1, 5, 0.5, staircase=True)(s) for s in steps]
    np.testing.assert_allclose(stairs, [0.1, 0.1, 0.1, 0.05, 0.025, 0.1 / 32])
    inverse = [schedules.InverseTimeDecay(0.1, 5, 2.0, staircase=True)(s) for s in steps]
    np.testing.assert_allclose(inverse, [0.1, 0.1, 0.1, 0.1 / 3, 0.02, 0.1 / 11])
    cycle = schedules.PolynomialDecay(1.0, 10, 0.0, cycle=True)
    np.testing.assert_allclose([cycle(s) for s in (0, 5, 10, 11, 20)], [1, 0.5, 0, 1 - 11 / 20, 0])
    warm = schedules.CosineDecay(0.0, 10, warmup_target=1.0, warmup_steps=4)
    np.testing.assert_allclose([warm(s) for s in (0, 2, 4, 9, 14, 99)], [0, 0.5, 1, 0.5, 0, 0], atol=1e-12)
    piecewise = schedules.PiecewiseConstantDecay([2, 5], [0.3, 0.2, 0.1])
    assert [piecewise(s) for s in (0, 2, 3, 5, 6)] == [0.3, 0.3, 0.2, 0.2, 0.1]
