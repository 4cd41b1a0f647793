"""Callbacks: what they do, what they print, and that their state can be taken out and put back."""

import re
import sys
from types import ModuleType

import numpy as np
import pytest

from scratchae import optimizers, schedules
from scratchae.autoencoders import vanilla
from scratchae.callbacks import (
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    LivePlot,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from scratchae.callbacks.history import in_words
from scratchae.files import ScratchaeFormatError, load_model


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
    assert re.search(r"Epoch 1/1: 100%.*20/20.* samples/s, loss: 0\.\d{4}", capsys.readouterr().err)
    auto.fit(x, x, verbose=0)
    assert capsys.readouterr() == ("", "")


def test_numbers_are_printed_as_keras_prints_them():
    assert in_words({"loss": 0.12345, "val_loss": 0.00012345}, " - ") == "loss: 0.1235 - val_loss: 1.2345e-04"


class Rated:
    """What ReduceLROnPlateau needs of a model."""

    def __init__(self):
        self.optimizer = optimizers.Adam(1.0)


@pytest.mark.parametrize(
    ("options", "values", "rates"),  # the rates are Keras 3.15.1's
    [
        ({"patience": 2}, [5, 4, 4, 4, 4, 4], [1, 1, 1, 0.1, 0.1, 0.01]),
        ({"patience": 1, "factor": 0.5, "cooldown": 2}, [5, 5, 5, 5, 5, 5], [1, 0.5, 0.5, 0.25, 0.25, 0.125]),
        ({"patience": 1, "factor": 0.5, "min_lr": 0.3}, [5, 5, 5, 5], [1, 0.5, 0.3, 0.3]),
        ({"patience": 1, "factor": 0.5, "min_delta": 1.0}, [5, 4.5, 3.9, 3], [1, 0.5, 0.5, 0.25]),
        ({"patience": 1, "factor": 0.5, "mode": "max"}, [1, 2, 2, 3], [1, 1, 0.5, 0.5]),
    ],
)
def test_reduce_lr_on_plateau_reduces_when_keras_does(options, values, rates):
    callback, model, after = ReduceLROnPlateau(**options), Rated(), []
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        twin = ReduceLROnPlateau(**options)  # each epoch by another object, which gets the state of the last
        twin.set_model(model)
        twin.set_state(callback.get_state())
        logs = {"val_loss": value}
        before = model.optimizer.learning_rate
        twin.on_epoch_end(epoch, logs)
        assert logs["learning_rate"] == before
        after.append(model.optimizer.learning_rate)
        callback = twin
    assert after == pytest.approx(rates)


def test_csv_logger_writes_each_epoch_as_it_ends(auto, x, tmp_path):
    path, seen = tmp_path / "log.csv", []
    watch = LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(len(path.read_text().splitlines())))
    logger = CSVLogger(path)
    history = auto.fit(x, x, epochs=3, validation_data=(x, x), verbose=0, callbacks=[logger, watch])
    assert seen == [0, 2, 3]
    rows = [line.split(",") for line in path.read_text().splitlines()]
    assert rows[0] == ["epoch", "loss", "val_loss"]
    assert [row[0] for row in rows[1:]] == ["0", "1", "2"]
    assert [float(row[1]) for row in rows[1:]] == history.history["loss"]
    auto.fit(x, x, initial_epoch=3, epochs=4, verbose=0, callbacks=[CSVLogger(path, append=True)])
    assert path.read_text().splitlines()[-1].startswith("3,")
    assert path.read_text().splitlines()[-1].endswith(",NA")


def test_model_checkpoint_writes_what_its_name_asks_for(auto, x, tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "sub" / "{epoch:02d}-{loss:.2f}.safetensors")
    history = auto.fit(x, x, epochs=2, verbose=0, callbacks=[checkpoint])
    names = {f"{i + 1:02d}-{loss:.2f}.safetensors" for i, loss in enumerate(history.history["loss"])}
    assert {path.name for path in (tmp_path / "sub").iterdir()} == names
    twin = vanilla.autoencoder(6, [5], 2)[2]
    twin.load_weights(tmp_path / "sub" / max(names))
    np.testing.assert_array_equal(twin.get_weights()[0], auto.get_weights()[0])


def test_model_checkpoint_keeps_the_best(auto, x, tmp_path):
    values = iter([3.0, 2.0, 2.0, 1.0, 4.0])
    written = []
    checkpoint = ModelCheckpoint(tmp_path / "best.safetensors", save_best_only=True, verbose=0)
    checkpoint.set_model(type("Model", (), {"save": lambda self, path: written.append(epoch)})())
    for epoch, value in enumerate(values):
        checkpoint.on_epoch_end(epoch, {"val_loss": value})
    assert written == [0, 1, 3]


def test_model_checkpoint_every_few_batches(auto, x, tmp_path):
    saved = []
    auto.save = saved.append
    auto.fit(x, x, batch_size=4, epochs=2, verbose=0, callbacks=[ModelCheckpoint("w{epoch}.safetensors", save_freq=3)])
    assert saved == ["w1.safetensors", "w2.safetensors", "w2.safetensors"]  # after batches 3, 6, 9 of 5 + 5


@pytest.mark.parametrize("weights_only", [False, True])
def test_model_checkpoint_writes_whole_models_or_weights(weights_only, auto, x, tmp_path):
    path = tmp_path / "m.safetensors"
    auto.fit(x, x, epochs=2, verbose=0, callbacks=[ModelCheckpoint(path, save_weights_only=weights_only)])
    if weights_only:
        with pytest.raises(ScratchaeFormatError, match="expected 'scratchae model 1'"):
            load_model(path)
    else:
        twin = load_model(path)
        auto.train_on_batch(x, x)
        twin.train_on_batch(x, x)  # it has the optimizer's state too
        np.testing.assert_array_equal(twin.get_weights()[0], auto.get_weights()[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ModelCheckpoint("w.pkl"), r"path='w\.pkl' must end in \.safetensors"),
        (lambda: ModelCheckpoint("w.safetensors", save_freq=0), "save_freq=0 is too small"),
        (lambda: ReduceLROnPlateau(factor=1.0), "factor=1.0 is out of range"),
        (lambda: EarlyStopping(mode="best"), "mode='best' is unknown"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_model_checkpoint_names_the_missing_log(auto, x, tmp_path):
    with pytest.raises(ValueError, match=r"asks for 'val_loss'; there are epoch, loss"):
        auto.fit(x, x, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "{val_loss}.safetensors")])


def test_live_plot_shows_one_picture_and_updates_it(auto, x, monkeypatch):
    shown, updates = [], []

    def display(figure, display_id):
        shown.append(figure)
        return type("Handle", (), {"update": lambda self, figure: updates.append(figure)})()

    monkeypatch.setitem(sys.modules, "IPython.display", ModuleType("IPython.display"))
    sys.modules["IPython.display"].display = display
    history = auto.fit(x, x, epochs=3, verbose=0, callbacks=[LivePlot()])
    assert (len(shown), len(updates)) == (1, 2)
    assert updates[-1].axes[0].lines[0].get_ydata().tolist() == history.history["loss"]


def test_live_plot_without_ipython_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(ImportError, match="LivePlot draws in notebooks and needs IPython"):
        LivePlot()
