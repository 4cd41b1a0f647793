"""A fit that is broken off and started again ends with the same bits as one that never was."""

import os
import subprocess
import sys

import numpy as np
import pytest

import scratchae
from scratchae import Input, Model, callbacks, layers, optimizers, schedules
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational
from scratchae.callbacks import BackupAndRestore, Callback, LambdaCallback
from scratchae.files import container, nested
from scratchae.files.errors import ScratchaeFormatError
from tests.test_devices import ROOT, assert_same_bits


class BrokenOffError(Exception):
    """What stands here for the end of a process. tests/kill_training.py ends real ones."""


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def x(rng):
    return rng.random((23, 6), dtype=np.float32)


def noisy():
    inputs = Input((6,))
    hidden = layers.Dropout(0.3)(layers.GaussianNoise(0.1)(inputs))
    model = Model(inputs, layers.Dense(6, "sigmoid")(layers.Dense(4, "relu", kernel_regularizer="l2")(hidden)))
    model.compile("adam", "mse", metrics=["mae"])
    return model


def recompiled(optimizer):
    def make():
        model = vanilla.autoencoder(6, [5], 2)[2]
        model.compile(optimizer(), "binary_crossentropy")
        return model

    return make


MODELS = {
    "vanilla": lambda: vanilla.autoencoder(6, [5], 2)[2],
    "sparse": lambda: sparse.autoencoder(6, [], 3, 0.01)[2],
    "convolutional": lambda: convolutional.autoencoder((12, 12, 1), [2, 2, 2], (2, 2, 2))[2],
    "variational": lambda: variational.autoencoder(6, [5], 2)[2],
    "recurrent": lambda: recurrent.autoencoder(3, 2, 4)[2],
    "noise": noisy,
    "amsgrad": recompiled(lambda: optimizers.Adam(amsgrad=True, global_clipnorm=0.1)),
    "adamw, accumulation": recompiled(lambda: optimizers.AdamW(gradient_accumulation_steps=3, clipnorm=0.1)),
    "sgd, momentum": recompiled(lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True)),
    "rmsprop, average": recompiled(
        lambda: optimizers.RMSprop(momentum=0.5, centered=True, use_ema=True, ema_overwrite_frequency=3)
    ),
    "adadelta, average, accumulation": recompiled(
        lambda: optimizers.Adadelta(use_ema=True, gradient_accumulation_steps=2)
    ),
    "schedule": recompiled(lambda: optimizers.Adam(schedules.ExponentialDecay(0.01, 2, 0.5))),
}


def program(make, x, folder, save_freq, *hooks, seed=3, monitor="val_loss", **options):
    """A program with everything in it that remembers something; returns what it ends with."""
    scratchae.set_random_seed(seed)
    model = make()
    x = np.resize(x, (len(x), *model.inputs[0].sample_shape))
    watching = [
        BackupAndRestore(folder / "backup", save_freq),
        callbacks.CSVLogger(folder / "log.csv"),
        callbacks.EarlyStopping(monitor, patience=3, restore_best_weights=True),
        *hooks,
    ]
    if not isinstance(model.optimizer._learning_rate, schedules.LearningRateSchedule):
        watching.append(callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.01))
    options = {"epochs": 3, "batch_size": 5, "verbose": 0, "validation_data": (x[:7], x[:7])} | options
    history = model.fit(x, x, callbacks=watching, **options)
    assert not (folder / "backup").exists()
    return [
        *model.get_weights(),
        *map(np.asarray, model.optimizer.get_state().values()),
        model.predict(x),
        *map(np.array, history.history.values()),
        np.array([history.epoch, list(history.history), (folder / "log.csv").read_text()], object),
        np.array([[callback.get_state()["best"], callback.get_state()["wait"]] for callback in watching[2:3]]),
    ]


def breaking(batch):
    """A callback that ends the process after so many batches."""
    left = [batch]

    def count(batch, logs):
        left[0] -= 1
        if left[0] == 0:
            raise BrokenOffError

    return LambdaCallback(on_train_batch_end=count)


def assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


def broken_off(batches, make, x, folder, save_freq, **options):
    """The program, broken off after so many batches, started again, broken off again, ..., and then let run."""
    folder.mkdir()
    for batch in batches:
        with pytest.raises(BrokenOffError):
            program(make, x, folder, save_freq, breaking(batch), **options)
    return program(make, x, folder, save_freq, breaking(-1), **options)


# ---- the same bits --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(("save_freq", "batches"), [("epoch", [11, 3]), (1, [8]), (3, [4, 2, 5])])
def test_every_model_and_optimizer_ends_with_the_same_bits(kind, save_freq, batches, x, tmp_path):
    scratchae.set_device("reference")
    whole = broken_off([], MODELS[kind], x, tmp_path / "whole", "epoch")
    assert_same(broken_off(batches, MODELS[kind], x, tmp_path / "broken", save_freq), whole)


OPTIONS = {
    "in order": {"shuffle": False},
    "passes that go on across epochs": {"steps_per_epoch": 3, "epochs": 5},
    "more steps than a pass": {"steps_per_epoch": 7},
    "whole batches": {"batch_size": 23},
    "sparse validation": {"validation_freq": 2, "validation_steps": 1, "validation_batch_size": 3, "monitor": "loss"},
    "a split": {"validation_data": None, "validation_split": 0.3},
    "a later start": {"initial_epoch": 1, "epochs": 4},
    "weights of samples": {"sample_weight": np.linspace(0.5, 2, 23)},
    "early stopping": {"epochs": 60},
    "a bar": {"verbose": 1},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("save_freq", ["epoch", 1, 4])
def test_every_way_of_fitting_ends_with_the_same_bits(name, save_freq, x, tmp_path):
    def run(batches, folder):
        return broken_off(batches, MODELS["vanilla"], x, tmp_path / folder, save_freq, **OPTIONS[name])

    scratchae.set_device("reference")
    assert_same(run([2] if name == "whole batches" else [9, 1, 2], "broken"), run([], "whole"))


@pytest.mark.parametrize("save_freq", ["epoch", 1, 2, 5])
def test_broken_off_after_any_batch(save_freq, x, tmp_path):
    scratchae.set_device("reference")
    whole = broken_off([], MODELS["variational"], x, tmp_path / "whole", "epoch", epochs=2)
    for batch in range(1, 11):
        folder = tmp_path / f"after {batch}"
        assert_same(broken_off([batch], MODELS["variational"], x, folder, save_freq, epochs=2), whole)


@pytest.mark.parametrize(
    "hook", ["on_epoch_begin", "on_epoch_end", "on_test_begin", "on_test_batch_end", "on_train_end"]
)
@pytest.mark.parametrize("save_freq", ["epoch", 1, 5])
def test_broken_off_between_epochs(hook, save_freq, x, tmp_path):
    """Rows of a CSV file are neither lost nor there twice, and nobody forgets what was best."""

    def fail(*arguments):
        if hook == "on_train_end" or arguments[0] == 1 or "test" in hook:
            raise BrokenOffError

    scratchae.set_device("reference")
    whole = broken_off([], MODELS["noise"], x, tmp_path / "whole", "epoch")
    with pytest.raises(BrokenOffError):
        program(MODELS["noise"], x, tmp_path, save_freq, LambdaCallback(**{hook: fail}))
    assert_same(program(MODELS["noise"], x, tmp_path, save_freq), whole)


def test_a_learning_rate_that_is_set_when_an_epoch_begins_is_not_set_twice(x, tmp_path):
    def hooks():
        return [callbacks.LearningRateScheduler(lambda epoch, rate: 0.9 * rate)]

    scratchae.set_device("reference")
    (tmp_path / "whole").mkdir()
    whole = program(MODELS["adamw, accumulation"], x, tmp_path / "whole", 2, *hooks())
    for batch in (3, 4, 5):
        with pytest.raises(BrokenOffError):
            program(MODELS["adamw, accumulation"], x, tmp_path, 2, *hooks(), breaking(batch))
    assert_same(program(MODELS["adamw, accumulation"], x, tmp_path, 2, *hooks()), whole)


def test_a_fit_that_was_told_to_stop_stays_so(x, tmp_path, capsys):
    """NaN is no JSON, and has to come back from the backup all the same."""

    def run(*hooks):
        scratchae.set_random_seed(3)
        auto = scratchae.Sequential([Input((6,)), layers.Dense(5), layers.Dense(6)])
        auto.compile(optimizers.SGD(1e6), "mse")
        watching = [callbacks.TerminateOnNaN(), *hooks, BackupAndRestore(tmp_path)]
        history = auto.fit(x, x, epochs=5, batch_size=5, verbose=0, callbacks=watching)
        return [*auto.get_weights(), np.array(history.history["loss"])]

    def fail(logs):
        raise BrokenOffError

    scratchae.set_device("reference")
    whole = run()
    assert np.isnan(whole[-1][-1])
    with pytest.raises(BrokenOffError):
        run(LambdaCallback(on_train_end=fail))
    steps = []
    assert_same(run(LambdaCallback(on_batch_end=lambda batch, logs: steps.append(batch))), whole)
    assert steps == []


@pytest.mark.parametrize("epoch", [0, 1])
def test_rows_that_were_appended_to_a_file_are_there_once(epoch, x, tmp_path):
    def run(name, *hooks):
        log = callbacks.CSVLogger(tmp_path / name, append=True)
        simple(x, tmp_path / "backup", log, *hooks)
        return (tmp_path / name).read_text()

    def fail(number, logs):
        if number == epoch:
            raise BrokenOffError

    for name in ("whole", "broken"):
        (tmp_path / name).write_text("epoch,loss\n0,7.0\n")
    whole = run("whole")
    scratchae.set_random_seed(7)
    with pytest.raises(BrokenOffError):
        run("broken", LambdaCallback(on_epoch_end=fail))
    assert run("broken") == whole
    assert len(whole.splitlines()) == 5


def test_a_program_without_a_seed_goes_on_with_the_noise_and_the_orders_it_had(x, tmp_path):
    scratchae.set_device("reference")
    whole = broken_off([], noisy, x, tmp_path / "whole", 2, seed=1)
    for batch in (1, 7, 12):
        with pytest.raises(BrokenOffError):
            program(noisy, x, tmp_path, 2, breaking(batch), seed=1)
        assert_same(program(noisy, x, tmp_path, 2, seed=batch), whole)


@pytest.mark.parametrize("kind", ["variational", "convolutional", "adamw, accumulation"])
def test_the_kernels_of_a_processor_go_on_too(kind, x, tmp_path):
    whole = broken_off([], MODELS[kind], x, tmp_path / "whole", "epoch")
    assert_same(broken_off([8, 3], MODELS[kind], x, tmp_path / "broken", 3), whole)


def test_recorded_steps_are_settled_before_they_are_saved(device, x, tmp_path):
    """Nobody looks at their batches, so nobody but the backup waits for the device."""

    def run(folder, save_freq, stop, **options):
        scratchae.set_device(device)
        scratchae.set_random_seed(3)
        model = variational.autoencoder(6, [5], 2)[2]
        backup = BackupAndRestore(folder, save_freq)
        fail = LambdaCallback(on_epoch_end=lambda epoch, logs: stop(epoch))
        history = model.fit(x, x, epochs=3, batch_size=4, callbacks=[fail, backup], **options).history
        return [*model.get_weights(), np.array(history["loss"])]

    def stop(epoch):
        if epoch == 1:
            raise BrokenOffError

    whole = run(tmp_path / "whole", "epoch", lambda epoch: None, verbose=0)
    assert_same_bits(run(tmp_path / "shown", 1, lambda epoch: None, verbose=1), whole)
    for save_freq in ("epoch", 1, 4):
        with pytest.raises(BrokenOffError):
            run(tmp_path / "broken", save_freq, stop, verbose=0)
        assert_same_bits(run(tmp_path / "broken", save_freq, lambda epoch: None, verbose=0), whole)


def test_on_another_device_the_same_fit_goes_on(x, tmp_path):
    def run(device, *hooks):
        scratchae.set_device(device)
        return program(MODELS["vanilla"], x, tmp_path, "epoch", *hooks)

    whole = run("reference")
    with pytest.raises(BrokenOffError):
        run("cpu", breaking(7))
    for one, other in zip(run("reference")[:8], whole[:8], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
@pytest.mark.parametrize(("name", "kills"), [("reference", 5), ("cpu", 2)])
def test_killed_at_random_moments(name, kills):
    """A few of the kills of tests/kill_training.py."""
    command = [sys.executable, "-m", "tests.kill_training", "--kills", str(kills), "--device", name, "--seed", "1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 with other bits" in run.stdout


# ---- what users do --------------------------------------------------------------------------------------------------
def simple(x, folder, *hooks, model=None, optimizer="adam", epochs=3, **options):
    """Train, broken off in the second epoch if `hooks` say so."""
    scratchae.set_device("reference")
    auto = model or vanilla.autoencoder(6, [5], 2)[2]
    if model is None:
        auto.compile(optimizer, "mse")
    backup = options.pop("backup", None) or BackupAndRestore(folder)
    target = options.pop("y", x)
    auto.fit(x, target, epochs=epochs, verbose=0, callbacks=[*hooks, backup], **{"batch_size": 5} | options)
    return auto


@pytest.fixture
def half_done(x, tmp_path):
    """A folder with the backup of a fit of five batches an epoch, broken off in its second epoch."""
    with pytest.raises(BrokenOffError):
        simple(x, tmp_path / "backup", breaking(7))
    return tmp_path / "backup"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 4}, "batch_size was 5 and is 4. Run the program as it was"),
        ({"shuffle": False}, "shuffle was True and is False"),
        ({"steps_per_epoch": 2}, "steps_per_epoch was None and is 2"),
        ({"optimizer": "sgd"}, r"optimizer.class was Adam and is SGD"),
        ({"optimizer": optimizers.Adam(beta_1=0.8)}, r"optimizer.beta_1 was 0.9 and is 0.8"),
        ({"y": np.zeros((23, 6))}, r"y was missing and is float64 \(23, 6\)"),
        ({"sample_weight": np.ones(23)}, "sample_weight was missing"),
        ({"validation_split": 0.5}, r"x was float32 \(23, 6\) \w+ and is float32 \(11, 6\)"),
    ],
)
def test_a_backup_of_another_fit_says_what_differs_and_is_kept(options, message, x, half_done):
    before = (half_done / "latest.safetensors").read_bytes()
    with pytest.raises(ValueError, match=rf"latest.safetensors is the backup of another fit: .*{message}") as error:
        simple(x, half_done, **options)
    assert f"delete {half_done} to begin anew" in str(error.value)
    assert (half_done / "latest.safetensors").read_bytes() == before


def test_a_backup_of_other_data_or_another_model(x, half_done, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("precious")
    other = vanilla.autoencoder(6, [4], 2)[2]
    other.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"layers\[2\]\.units was 5 and is 4; .*; and \d+ more"):
        simple(x, half_done, callbacks.CSVLogger(log), model=other)
    with pytest.raises(ValueError, match=r"x was float32 \(23, 6\) \w+ and is float32 \(23, 6\) \w+\. Run"):
        simple(x[::-1], half_done, callbacks.CSVLogger(log))
    assert log.read_text() == "precious"  # refused before anything has begun


def test_names_learning_rates_and_epochs_may_be_others(x, half_done):
    vanilla.autoencoder(6, [5], 2)  # so that the next layers have other names, as in a notebook
    with pytest.warns(UserWarning, match=r"the learning rate is 0.5; the backup goes on with its own, 0.001"):
        auto = simple(x, half_done, optimizer=optimizers.Adam(0.5), epochs=7)
    assert auto.optimizer.iterations == 35
    assert auto.history.epoch == list(range(7))


def test_fewer_epochs_than_are_done_train_no_more(x, tmp_path):
    for save_freq in ("epoch", 3):
        with pytest.raises(BrokenOffError):
            simple(x, tmp_path, breaking(14), backup=BackupAndRestore(tmp_path, save_freq), epochs=5)
        auto = simple(x, tmp_path, epochs=1)
        assert auto.optimizer.iterations == {"epoch": 10, 3: 12}[save_freq]


def test_a_fit_that_never_began_does_not_stand_in_the_way(x, tmp_path):
    broken = x.copy()
    broken[:] = np.nan
    with pytest.raises(ValueError, match="is not finite in float32; clean the data"):
        simple(broken, tmp_path / "backup")
    assert simple(x, tmp_path / "backup").optimizer.iterations == 15


def test_the_same_object_fits_again_and_goes_on_in_a_notebook(x, tmp_path):
    auto = simple(x, tmp_path / "a")
    backup = BackupAndRestore(tmp_path / "b", 2)
    with pytest.raises(BrokenOffError):
        simple(x, None, breaking(8), model=auto, backup=backup)
    simple(x, None, model=auto, backup=backup)
    twin = vanilla.autoencoder(6, [5], 2)[2]
    assert auto.optimizer.iterations == 30
    assert twin.optimizer.iterations == 0


def test_delete_checkpoint_false_keeps_the_end(x, tmp_path):
    (tmp_path / "of somebody else").write_text("")
    auto = simple(x, None, backup=BackupAndRestore(tmp_path, delete_checkpoint=False))
    again = simple(x, None, backup=BackupAndRestore(tmp_path))
    assert_same_bits(auto.get_weights(), again.get_weights())
    assert [path.name for path in tmp_path.iterdir()] == ["of somebody else"]


# ---- damaged backups ------------------------------------------------------------------------------------------------
def test_a_damaged_backup_names_its_file_and_the_cure(x, half_done):
    path = half_done / "latest.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)
    with pytest.raises(
        ScratchaeFormatError, match=r"latest\.safetensors is damaged.* or delete .*backup to begin anew"
    ):
        simple(x, half_done)
    assert path.read_bytes() == content


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_the_backup_before_the_last_goes_on_where_that_is_damaged(damage, x, tmp_path):
    whole = simple(x, tmp_path / "whole").get_weights()
    scratchae.set_random_seed(7)
    double = BackupAndRestore(tmp_path, double_checkpoint=True)
    with pytest.raises(BrokenOffError):
        simple(x, None, breaking(12), backup=double)
    content = double.latest.read_bytes()
    double.latest.write_bytes({"flip": content[:-1] + b"?", "cut": content[:100], "gone": b""}[damage])
    if damage == "gone":
        double.latest.unlink()
        again = simple(x, None, backup=double)
    else:
        with pytest.warns(UserWarning, match=r"latest.safetensors is damaged.*going on with .*previous.safetensors"):
            again = simple(x, None, backup=double)
    assert_same_bits(again.get_weights(), whole)
    assert not tmp_path.exists()


def test_a_save_that_fails_leaves_the_backup_before_it(x, half_done, monkeypatch):
    before = (half_done / "latest.safetensors").read_bytes()

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        simple(x, half_done)
    assert [path.read_bytes() for path in half_done.iterdir()] == [before]


def test_what_a_killed_save_left_is_removed(x, half_done):
    folder = half_done / ".latest.safetensors.abc"
    folder.mkdir()
    for name in ("latest.safetensors", ".tmpyzBenm"):
        (folder / name).write_bytes(b"half")
    simple(x, half_done)
    assert not half_done.exists()


# ---- callbacks of users ---------------------------------------------------------------------------------------------
class Seen(Callback):
    """Remembers what every epoch's loss was."""

    def __init__(self, remembers):
        self.losses, self.get = {"of": ()}, remembers

    def on_epoch_end(self, epoch, logs=None):
        self.losses = {"of": (*self.losses["of"], logs["loss"])}


class Remembering(Seen):
    def get_state(self):
        return self.losses | self.get

    def set_state(self, state):
        self.losses = {"of": state["of"]}


def test_a_callback_with_state_goes_on(x, tmp_path):
    with pytest.raises(BrokenOffError):
        simple(x, tmp_path, breaking(7), Remembering({"more": [np.float32(0.1), np.arange(3), None, float("nan")]}))
    seen = Remembering({})
    auto = simple(x, tmp_path, seen)
    assert list(seen.losses["of"]) == auto.history.history["loss"]
    assert len(seen.losses["of"]) == 3


def test_a_callback_without_state_is_warned_of(x, tmp_path):
    with pytest.warns(UserWarning, match=r"Seen has attributes \(losses, get\) and no get_state"):
        simple(x, tmp_path, Seen({}))


def test_a_state_that_can_t_be_saved_is_refused_before_training(x, tmp_path):
    steps = []
    watch = LambdaCallback(on_batch_end=lambda batch, logs: steps.append(batch))
    with pytest.raises(TypeError, match=r"state/callbacks/0 Remembering/bad, \{1, 2\}, a set; expected None, numbers"):
        simple(x, tmp_path, Remembering({"bad": {1, 2}}), watch)
    assert steps == []


def test_callbacks_that_are_new_or_gone_keep_to_themselves(x, tmp_path):
    with pytest.raises(BrokenOffError):
        simple(x, tmp_path, breaking(12), callbacks.EarlyStopping("loss", patience=9))
    stopping = callbacks.EarlyStopping("loss", patience=9)
    simple(x, tmp_path, callbacks.ReduceLROnPlateau("loss"), stopping)
    assert stopping.best_epoch == 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: BackupAndRestore(""), ValueError, "backup_dir='' is empty; expected a folder"),
        (
            lambda: BackupAndRestore("b", "batch"),
            ValueError,
            "save_freq='batch' is unknown; expected 'epoch' or a number",
        ),
        (lambda: BackupAndRestore("b", 0), ValueError, "save_freq=0 is too small"),
        (lambda: BackupAndRestore("b", False), TypeError, "save_freq=False is a bool"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_two_backups_are_one_too_many(x, tmp_path):
    with pytest.raises(ValueError, match="callbacks holds 2 BackupAndRestore; expected one at most"):
        simple(x, tmp_path / "a", BackupAndRestore(tmp_path / "b"))


# ---- the file -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "value",
    [
        None, True, -3, 2**100, 0.1, float("inf"), float("nan"), "text", "long text " * 1000, [], [0.1, float("nan")],
        [1, 0.5], ("a", (1, [2])), {"a": {"array": 1}}, np.float32(0.1), np.int64(3), np.float64("nan"),
        np.zeros((2, 0), "f4"), np.array(1.5), np.arange(12.0).reshape(3, 4).T,
    ],
)  # fmt: skip
def test_states_come_back_with_their_bits_and_types(value, tmp_path):
    nested.write_state(tmp_path / "state.safetensors", {"value": value})
    back = nested.read_state(tmp_path / "state.safetensors")["value"]
    assert type(back) is type(value)
    np.testing.assert_equal(back, value)
    assert getattr(back, "dtype", None) == getattr(value, "dtype", None)


def test_model_files_are_no_states(x, tmp_path):
    container.write(tmp_path / "m.safetensors", {}, {"format": "scratchae model 1"})
    with pytest.raises(ScratchaeFormatError, match=r"is no state of scratchae; its format is 'scratchae model 1'"):
        nested.read_state(tmp_path / "m.safetensors")
