"""Callbacks: what they do, what they print, and that their state can be taken out and put back."""

import re

import numpy as np
import pytest

from scratchae import optimizers, schedules
from scratchae.autoencoders import vanilla
from scratchae.callbacks import EarlyStopping, History, LambdaCallback, LearningRateScheduler, in_words


@pytest.fixture
def x(rng):
    return rng.random((20, 6), dtype=np.float32)


@pytest.fixture
def auto():
    return vanilla.autoencoder(6, [5], 2)[2]


class Model:
    """What a callback needs of a model."""

    def __init__(self):
        self.stop_training = False
        self.epoch = 0

    def get_weights(self):
        return [np.array(self.epoch)]

    def set_weights(self, weights):
        self.restored = int(weights[0])


def run(stopping, values, key="val_loss"):
    """Feed values to EarlyStopping until it stops; returns the epochs it ran and the model."""
    model = Model()
    stopping.set_model(model)
    stopping.on_train_begin()
    for model.epoch, value in enumerate(values):
        stopping.on_epoch_end(model.epoch, {key: value})
        if model.stop_training:
            break
    stopping.on_train_end()
    return model.epoch + 1, model


@pytest.mark.parametrize(
    ("options", "values", "epochs"),
    [
        ({}, [5, 4, 4, 3], 3),  # equal is no improvement
        ({"patience": 2}, [5, 4, 4, 4, 3], 4),
        ({"patience": 2}, [5, 4, 4, 3, 3, 3, 3], 6),
        ({"min_delta": 0.5}, [5, 4.8, 4], 2),
        ({"min_delta": -0.5}, [5, 4.4, 3.8, 3.7], 4),
        ({"mode": "max"}, [1, 2, 2], 3),
        ({"monitor": "val_accuracy"}, [1, 2, 2], 3),
        ({"baseline": 3.0, "patience": 2}, [5, 5, 5, 5], 2),
        ({"baseline": 3.0, "patience": 2}, [5, 4, 3.5, 3.5, 2], 4),  # improves, and never beats the baseline
        ({"start_from_epoch": 3}, [5, 6, 7, 8, 9], 5),
    ],
)
def test_early_stopping_stops_when_keras_does(options, values, epochs):
    stopping = EarlyStopping(**options)
    assert run(stopping, values, stopping.monitor)[0] == epochs


def test_early_stopping_restores_the_best_weights():
    epochs, model = run(EarlyStopping(patience=2, restore_best_weights=True), [5, 3, 4, 4])
    assert epochs == 4
    assert model.restored == 1
    _, model = run(EarlyStopping(patience=9, restore_best_weights=True), [5, 3, 4])
    assert model.restored == 1


def test_early_stopping_goes_on_from_its_state():
    values = [5, 4, 4.5, 4.4, 3.9, 4, 4, 4, 4]
    whole = run(EarlyStopping(patience=3), values)[0]
    first, second, model = EarlyStopping(patience=3), EarlyStopping(patience=3), Model()
    for part, callback in ((values[:4], first), (values[4:], second)):
        callback.set_model(model)
        if callback is second:
            callback.set_state(first.get_state())
        for i, value in enumerate(part):
            callback.on_epoch_end(i + (4 if callback is second else 0), {"val_loss": value})
            if model.stop_training:
                assert i + 5 == whole
                return
    pytest.fail("did not stop")


def test_early_stopping_says_what_it_can_t_watch(auto, x):
    with pytest.warns(UserWarning, match=r"monitor='val_loss' is not among loss"):
        auto.fit(x, x, verbose=0, callbacks=[EarlyStopping()])


def test_history_state_round_trip(auto, x):
    history = auto.fit(x, x, epochs=2, validation_data=(x, x), verbose=0)
    twin = History()
    twin.set_state(history.get_state())
    assert (twin.epoch, twin.history) == ([0, 1], history.history)
    twin.history["loss"].append(0.0)
    assert len(history.history["loss"]) == 2


def test_learning_rate_scheduler_sets_and_logs(auto, x):
    rates = []
    watch = LambdaCallback(on_batch_end=lambda batch, logs: rates.append(auto.optimizer.learning_rate))
    schedule = LearningRateScheduler(lambda epoch, rate: rate / 10 if epoch else 0.5)
    history = auto.fit(x, x, epochs=3, verbose=0, callbacks=[schedule, watch])
    assert rates == pytest.approx([0.5, 0.05, 0.005])
    assert history.history["learning_rate"] == pytest.approx([0.5, 0.05, 0.005])
    one_argument = LearningRateScheduler(lambda epoch: 0.25)
    assert auto.fit(x, x, verbose=0, callbacks=[one_argument]).history["learning_rate"] == [0.25]


def test_learning_rate_scheduler_refuses_nonsense(auto, x):
    with pytest.raises(TypeError, match=r"LearningRateScheduler: schedule\(epoch\)='fast' is a str"):
        auto.fit(x, x, verbose=0, callbacks=[LearningRateScheduler(lambda epoch: "fast")])


def test_a_fixed_schedule_is_not_overwritten(auto, x):
    auto.compile(optimizers.Adam(schedules.ExponentialDecay(0.1, 2, 0.5)), "mse")
    with pytest.raises(TypeError, match="the learning rate is a schedule"):
        auto.optimizer.learning_rate = 0.1


def test_lambda_callback_knows_its_hooks():
    with pytest.raises(TypeError, match=r"on_epoch is no hook; expected one of .*on_epoch_end"):
        LambdaCallback(on_epoch=print)


def test_verbose_2_prints_keras_lines(auto, x, capsys):
    auto.fit(x, x, epochs=2, batch_size=10, validation_data=(x, x), verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epoch 1/2"
    assert re.fullmatch(r"2/2 - \d+(s|ms|us) - \d+(s|ms|us)/step - loss: 0\.\d{4} - val_loss: 0\.\d{4}", lines[1])


def test_verbose_1_draws_a_bar_and_verbose_0_nothing(auto, x, capsys):
    auto.fit(x, x, verbose=1)
    assert re.search(r"Epoch 1/1: 100%.*1/1.*loss: 0\.\d{4}", capsys.readouterr().err)
    auto.fit(x, x, verbose=0)
    assert capsys.readouterr() == ("", "")


def test_numbers_are_printed_as_keras_prints_them():
    assert in_words({"loss": 0.12345, "val_loss": 0.00012345}, " - ") == "loss: 0.1235 - val_loss: 1.2345e-04"
