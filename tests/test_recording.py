"""What is recorded and run again gives what it gives kernel by kernel, and nobody waits for it.

`device` is one where recorded steps find their batch by themselves, `recorder` also a CPU, where they are given it.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import get_ident

import numba
import numpy as np
import pytest

import scratchae
from scratchae import Sequential, backend, callbacks, optimizers, schedules, training
from scratchae.datasets.rows import Scaled
from scratchae.feed import Turn, in_groups
from scratchae.kernels.cuda.emulator import Emulator, machine
from scratchae.layers import Dense, Dropout, GaussianNoise
from tests.test_devices import AUTOENCODERS, assert_same_bits, waves

if backend.EMULATOR.unavailable():
    pytest.skip(backend.EMULATOR.unavailable(), allow_module_level=True)


@pytest.fixture(params=AUTOENCODERS)
def kind(request):
    return request.param


@pytest.fixture(params=["cpu", "cuda-emulator", pytest.param("cuda", marks=pytest.mark.gpu)])
def recorder(request):
    reason = backend.BACKENDS[request.param].unavailable()
    if reason:
        pytest.skip(reason)
    return request.param


def made(kind, device, optimizer=None, **options):
    scratchae.set_device(device)
    scratchae.set_random_seed(3)
    scratchae.clear_session()
    model = AUTOENCODERS[kind][0]()
    optimizer = optimizers.Adam() if optimizer is None else optimizer()
    model.compile(optimizer, model.loss, **options)
    return model


def state(model):
    return [*model.get_weights(), *(np.asarray(value) for value in model.optimizer.get_state().values())]


class Watched(Emulator):
    """Counts what makes the host wait, or copies between it and the device."""

    def __init__(self):
        super().__init__()
        self.downloads = self.uploads = 0

    def download(self, array):
        self.downloads += 1
        return super().download(array)

    def upload(self, array, value):
        self.uploads += isinstance(value, np.ndarray)
        super().upload(array, value)


@pytest.fixture
def watched(monkeypatch):
    machine = Watched()
    monkeypatch.setitem(backend.EMULATOR.__dict__, "machine", machine)
    return machine


# ---- the same bits --------------------------------------------------------------------------------------------------
def test_fit_recorded_and_eager(recorder, kind):
    x = waves(27, AUTOENCODERS[kind][1])
    results = []
    for options in ({}, {"run_eagerly": True}, {"jit_compile": False}):
        model = made(kind, recorder, **options)
        history = model.fit(x, x, batch_size=8, epochs=3, verbose=0)
        assert len(model._recordings) == (0 if options else 2)  # of whole batches and of the last one
        assert all(r.again for r in model._recordings.values())
        results.append([np.array(history.history["loss"]), *state(model)])
    assert_same_bits(results[0], results[1])
    assert_same_bits(results[0], results[2])


@pytest.mark.parametrize("steps_per_epoch", [None, 7])
def test_many_steps_in_one_recording(device, steps_per_epoch):
    """19 batches and a ragged one: eight, eight and three at a time, or seven of passes that end within an epoch."""
    x, results = waves(19 * 4 + 3, (37,)), []
    for options in ({}, {"jit_compile": False}):
        model = made("sparse", device, metrics=["mae"], **options)
        history = model.fit(x, x, batch_size=4, epochs=6, verbose=0, steps_per_epoch=steps_per_epoch).history
        results.append([*map(np.array, history.values()), *state(model)])
        if options == {} and steps_per_epoch is None:
            assert {key[2] for key in model._recordings} == {8, 3, 1}
    assert_same_bits(*results)


def test_what_keeps_steps_apart(device):
    x = waves(16, (37,))
    watch = callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: None)
    for optimizer, hooks in ((OPTIMIZERS["schedule"], []), (OPTIMIZERS["average"], []), (optimizers.SGD, [watch])):
        model = made("vanilla", device, optimizer)
        model.fit(x, x, batch_size=4, epochs=4, verbose=0, callbacks=hooks)
        assert {key[2] for key in model._recordings} == {1}


def test_batches_that_go_together():
    first, second = np.arange(10), np.arange(10)[::-1]
    turns = [Turn(order, batch, 3) for order in (first, second) for batch in range(4)]  # the fourth has one row
    for size, expected in ((1, [1] * 8), (2, [2, 1, 1, 2, 1, 1]), (8, [3, 1, 3, 1])):
        groups = list(in_groups(turns, size))
        assert [len(group) for group in groups] == expected
        assert [turn for group in groups for turn in group] == turns
    whole = [Turn(order, batch, 5) for order in (first, second) for batch in range(2)]
    assert [len(group) for group in in_groups(whole, 8)] == [2, 2]  # another order is elsewhere
    given = iter(turns)
    next(in_groups(given, 1))
    assert next(given) is turns[1]  # none has been drawn ahead


OPTIMIZERS = {
    "schedule": lambda: optimizers.Adam(schedules.ExponentialDecay(0.01, 2, 0.5)),
    "accumulation": lambda: optimizers.AdamW(gradient_accumulation_steps=3, clipnorm=0.1),
    "average": lambda: optimizers.RMSprop(use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9, clipvalue=0.01),
    "norm": lambda: optimizers.Adadelta(global_clipnorm=0.05),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_recorded_and_eager(recorder, name):
    x = waves(8, (37,))
    recorded, eager = (
        made("vanilla", recorder, OPTIMIZERS[name]),
        made("vanilla", recorder, OPTIMIZERS[name], jit_compile=False),
    )
    losses = [[m.train_on_batch(x, x) for _ in range(13)] for m in (recorded, eager)]
    assert losses[0] == losses[1]
    assert_same_bits(state(recorded), state(eager))
    assert any(r.again for r in recorded._recordings.values())


def test_a_learning_rate_that_is_set_between_steps(recorder):
    x = waves(8, (37,))
    models = made("vanilla", recorder), made("vanilla", recorder, jit_compile=False)
    for rate in (0.1, 0.1, 0.1, 0.001, 0.5):
        for model in models:
            model.optimizer.learning_rate = rate
            model.train_on_batch(x, x)
    assert_same_bits(*map(state, models))


def test_batches_of_other_data_and_sizes(recorder):
    models = made("vanilla", recorder), made("vanilla", recorder, jit_compile=False)
    rng = np.random.default_rng(0)
    for n, dtype in ((8, "float32"), (8, "float64"), (5, "float32"), (8, "uint8"), (8, "float32"), (5, "float32")) * 3:
        x = (2 * rng.random((n, 37))).astype(dtype)
        values = [m.train_on_batch(x, x / 2) for m in models]
        assert values[0] == values[1]
    assert_same_bits(*map(state, models))


def test_batches_that_are_on_the_device(watched):
    models = made("vanilla", "cuda-emulator"), made("vanilla", "cuda-emulator", jit_compile=False)
    batches = [watched.hold(waves(8, (37,), seed)) for seed in range(3)]
    for model in models:
        losses = [model.train_on_batch(x, x) for x in 3 * batches]
        watched.downloads = watched.uploads = 0
        losses += [model.train_on_batch(x, x) for x in batches]
        assert watched.downloads == 3 * (1 if model is models[0] else 2)  # the numbers; eagerly, also what data is not
    assert watched.uploads <= 3 * 2
    assert all(r.again for r in models[0]._recordings.values())
    assert len(models[0]._recordings) == 3
    assert_same_bits(*map(state, models))


def test_a_file_larger_than_the_device(tmp_path, monkeypatch, watched):
    x = waves(30, (37,))
    np.save(tmp_path / "images.npy", (255 * x).astype("uint8"))
    images = Scaled(np.load(tmp_path / "images.npy", mmap_mode="r"), 1 / 255)
    results, uploads = [], []
    for room in (0, 2**20):
        monkeypatch.setattr(machine, "ROOM", room)
        before = watched.uploads
        model = made("vanilla", "cuda-emulator")
        history = model.fit(images, images, batch_size=8, epochs=3, verbose=0).history["loss"]
        uploads.append(watched.uploads - before)
        results.append([*history, *state(model)])
    assert_same_bits(*results)
    assert uploads[0] == uploads[1] + 12 - (1 + 3)  # batches instead of the data and the order of each epoch


def test_predictions_and_validation_in_between(recorder, kind):
    x = waves(20, AUTOENCODERS[kind][1])
    results = []
    for options in ({}, {"jit_compile": False}):
        model = made(kind, recorder, **options)
        watch = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs, model=model: model.predict(x, verbose=0))
        history = model.fit(x, x, epochs=3, batch_size=8, verbose=0, validation_data=(x[:7], x[:7]), callbacks=[watch])
        results.append([np.array(history.history["val_loss"]), *state(model)])
    assert_same_bits(*results)


def test_a_larger_batch_moves_the_memory_of_recorded_steps(recorder):
    models = made("convolutional", recorder), made("convolutional", recorder, jit_compile=False)
    small, large = waves(3, (12, 20, 1)), waves(9, (12, 20, 1))
    for model in models:
        for x in (small, small, small, large, large, small, small, small):
            model.train_on_batch(x, x)
    assert_same_bits(*map(state, models))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_weights_of_samples_recorded_and_eager(recorder, dtype):
    x, weight = waves(27, (37,)), np.arange(27).astype(dtype)
    results = []
    for options in ({}, {"jit_compile": False}):
        model = made("sparse", recorder, metrics=["mse", "binary_accuracy"], **options)
        history = model.fit(x, x, batch_size=8, sample_weight=weight, epochs=3, verbose=0).history
        losses = [model.train_on_batch(x, x, sample_weight=weight) for _ in range(3)]
        losses += [model.evaluate(x, x, sample_weight=weight[::-1], verbose=0) for _ in range(3)]
        losses += [model.train_on_batch(x, x, sample_weight=w) for w in (None, None, weight, None, None)]
        assert any(r.again for r in model._recordings.values()) is (options == {})
        results.append([*map(np.array, history.values()), np.array(losses), *state(model)])
    assert_same_bits(*results)
    plain = made("sparse", recorder, metrics=["mse", "binary_accuracy"])
    assert plain.fit(x, x, batch_size=8, epochs=3, verbose=0).history["loss"] != history["loss"]


def test_weights_of_samples_that_are_streamed(monkeypatch, watched):
    x, weight, results = waves(30, (37,)), np.linspace(0.5, 2, 30), []
    for room in (0, 2**20):
        monkeypatch.setattr(machine, "ROOM", room)
        model = made("vanilla", "cuda-emulator")
        model.fit(x, x[::-1], batch_size=8, epochs=3, verbose=0, sample_weight=weight)
        results.append(state(model))
    assert_same_bits(*results)


def noisy():
    layers = [Dense(9, activation="relu", input_shape=(37,)), GaussianNoise(0.1), Dropout(0.3), Dense(37)]
    model = Sequential(layers)
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("kind", ["noisy", "variational", "vanilla"])
def test_noise_recorded_slab_by_slab(recorder, kind, monkeypatch):
    """Where noise is drawn each slab has a recording of its own, as it depends on the place in the batch."""
    monkeypatch.setitem(backend.CPU.__dict__, "vector_slab_size", 8)
    monkeypatch.setitem(AUTOENCODERS, "noisy", (noisy, (37,)))
    x, models = waves(30, (37,)), (made(kind, recorder), made(kind, recorder, jit_compile=False))
    losses = []
    for model in models:
        losses.append([model.train_on_batch(x, x) for _ in range(4)])
        if recorder == "cpu" and model is models[0]:  # the first slab, those that add to it, the ragged one, the update
            assert len(model._recordings) == (4 if kind == "vanilla" else 5)
            assert all(r.again for r in model._recordings.values())
        losses[-1] += [model.evaluate(x, x, batch_size=30, verbose=0) for _ in range(3)]
    assert losses[0] == losses[1]
    assert_same_bits(*map(state, models))


@pytest.mark.parametrize("kind", ["noisy", "sparse", "recurrent"])
def test_one_recording_of_a_batch_wherever_it_is(recorder, kind, monkeypatch):
    """Slabs that are alike are recorded together, with what reads their data, which may be other data every time."""
    for sizes in ("vector_slab_size", "slab_size"):
        monkeypatch.setitem(backend.CPU.__dict__, sizes, 8)
    monkeypatch.setitem(AUTOENCODERS, "noisy", (noisy, (37,)))
    x = waves(64, AUTOENCODERS[kind][1])
    locked = x[:24].copy()
    locked.flags.writeable = False
    results = []
    for options in ({}, {"jit_compile": False}):
        model, losses = made(kind, recorder, **options), []
        for source in (x[:24], x[24:48], x[40:], locked):
            losses += [model.train_on_batch(source, source), model.train_on_batch(source, x[:24])]
        if recorder == "cpu":
            assert len(model._recordings) == (0 if options else 2)
        losses += [model.train_on_batch(x[:48:2], x[:48:2]) for _ in range(3)]
        for source in (Scaled((255 * x).astype("uint8"), 1 / 255), (x > 0.5).astype("uint8"), x.astype("float64")):
            losses += model.fit(source, source, batch_size=24, epochs=3, verbose=0).history["loss"]
        results.append([np.array(losses), *state(model)])
    assert_same_bits(*results)


def test_predictions_recorded_and_eager(recorder, kind):
    x = waves(27, AUTOENCODERS[kind][1])
    models = made(kind, recorder), made(kind, recorder, jit_compile=False)
    for model in models:
        model.train_on_batch(x, x)
    for n in (1, 8, 1, 1, 27, 8, 8, 1):
        assert_same_bits(*([m.predict_on_batch(x[:n])] for m in models))
    assert_same_bits(*([m.predict(x, batch_size=5, verbose=0) for _ in range(3)] for m in models))
    assert any(r.again for r in models[0]._recordings.values())
    for layer in models[0].layers:
        layer.set_weights([w / 2 for w in layer.get_weights()])
    models[1].set_weights(models[0].get_weights())
    assert_same_bits(*([m.predict_on_batch(x[:1])] for m in models))


@pytest.mark.parametrize("kind", ["vanilla", "variational", "convolutional"])
def test_large_predictions_wherever_their_data_is(recorder, kind, monkeypatch):
    """The first of each is made kernel by kernel, the second is recorded, and further ones read and write elsewhere."""
    monkeypatch.setattr(training, "LARGE", 1)
    x, results = waves(30, AUTOENCODERS[kind][1]), []
    locked = x[:8].copy()
    locked.flags.writeable = False
    for options in ({}, {"jit_compile": False}):
        model, predictions = made(kind, recorder, **options), []
        for data in (x[:8], x[8:16], x[3:11], x[3:11].astype("float64"), x[16:24], locked, x[:16:2], x[8:16]):
            predictions.append(model.predict_on_batch(data))
            codes = model.layers[1].predict_on_batch(data)  # a variational encoder has three, of which it reads two
            predictions += codes if isinstance(codes, list) else [codes]
        predictions += [model.predict(data, batch_size=7, verbose=0) for data in (x, x[::-1], x)]
        broken = x[:8].copy()
        broken[3, 5] = np.inf
        with pytest.raises(ValueError, match=r"predict: x\[3, 5.*is inf, which is not finite"):
            model.predict_on_batch(broken)
        results.append([*predictions, model.predict_on_batch(x[:8])])
        assert any(r.again for r in model._recordings.values()) is (options == {})
    assert_same_bits(*results)


def test_weights_that_another_model_has_taken(recorder):
    """The encoder's weights move to the store of a second model that trains them, and back."""
    x, results = waves(8, (37,)), []
    for options in ({}, {"jit_compile": False}):
        auto = made("vanilla", recorder, **options)
        encoder = auto.layers[1]
        encoder.records = auto.records
        other = Sequential([encoder, Dense(37)])
        other.compile("adam", "mse", **options)
        losses = []
        for model in (auto, auto, auto, other, other, other, auto, auto, auto):
            losses.append(np.array(model.train_on_batch(x, x)))
            losses.append(encoder.predict_on_batch(x))
        results.append([*losses, *state(auto), *state(other)])
    assert_same_bits(*results)


def test_a_state_that_is_set_between_steps(recorder):
    """The arrays that a recorded update refers to are then others."""
    x = waves(8, (37,))
    models = made("vanilla", recorder), made("vanilla", recorder, jit_compile=False)
    for model in models:
        for _ in range(3):
            model.train_on_batch(x, x)
        model.optimizer.set_state(model.optimizer.get_state())
        for _ in range(3):
            model.train_on_batch(x, x)
    assert_same_bits(*map(state, models))


def test_settings_that_change_between_steps(recorder):
    x = waves(8, (37,))
    models = made("variational", recorder), made("variational", recorder, jit_compile=False)
    losses = []
    for model in models:
        kept = [model.train_on_batch(x, x) for _ in range(3)]
        for beta in (0.0, 0.0, 0.0, 5.0):  # the divergence is warmed up
            model.get_layer("sampling").beta = beta
            kept.append(model.train_on_batch(x, x))
        model.optimizer.beta_1 = 0.5
        losses.append(kept + [model.train_on_batch(x, x) for _ in range(2)])
    assert losses[0] == losses[1]
    assert_same_bits(*map(state, models))


class Halving(Dense):
    """Does something that is not an op."""

    def forward(self, call):
        super().forward(call)
        call.y[...] = call.y / 2


class Counted(optimizers.SGD):
    calls = 0

    def update(self, ops, p, g, t, lr, flag):
        super().update(ops, p, g, t, lr, flag)
        self.calls += 1


def test_what_can_not_be_recorded_runs_eagerly(recorder):
    x = waves(8, (37,))
    given = made("variational", recorder)
    given.fit(x, x, epochs=3, verbose=0)
    given.get_layer("sampling").noise = np.ones((8, 3))
    given._recordings.clear()
    given.fit(x, x, epochs=3, verbose=0)
    assert given._recordings == {}
    own = made("vanilla", recorder, Counted)
    own.fit(x, x, epochs=3, verbose=0)
    assert own._recordings == {}
    assert own.optimizer.calls == 3


def test_a_layer_of_ones_own_runs_eagerly():
    x = waves(8, (37,))
    model = Sequential([Dense(5, input_shape=(37,)), Halving(37)])
    model.compile("sgd", "mse")
    once, *again = (model.predict_on_batch(x[:1]) for _ in range(4))
    assert_same_bits([once] * 3, again)
    assert model._recordings == {}
    half = once
    model.layers[-1].forward = super(Halving, model.layers[-1]).forward
    np.testing.assert_array_equal(model.predict_on_batch(x[:1]), 2 * half)


def test_a_recording_belongs_to_its_thread():
    """Each has memory for partial sums of its own, to which recordings refer."""
    x = waves(8, (12, 20, 1))
    models = made("convolutional", "cpu"), made("convolutional", "cpu")
    expected, losses = ([m.train_on_batch(x, x) for _ in range(3)] for m in models)
    expected += [models[0].train_on_batch(x, x) for _ in range(3)]
    with ThreadPoolExecutor(1) as pool:
        losses += [pool.submit(models[1].train_on_batch, x, x).result() for _ in range(3)]
    assert losses == expected
    threads = [thread for thread, *_ in models[1]._recordings]
    assert threads.count(get_ident()) == len(threads) - threads.count(get_ident()) == 1


def test_another_number_of_threads(kind):
    x, results = waves(40, AUTOENCODERS[kind][1]), []
    for threads in ((2, 2), (2, 1), (1, 2)):
        model = made(kind, "cpu")
        for count in threads:
            numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
            for _ in range(4):
                model.train_on_batch(x, x)
        results.append(state(model))
    assert_same_bits(results[0], results[1])
    assert_same_bits(results[0], results[2])


# ---- nobody waits, and nothing is lost ------------------------------------------------------------------------------
def test_an_epoch_asks_the_device_once(watched):
    x = waves(40, (37,))
    model = made("vanilla", "cuda-emulator")
    model.fit(x, x, batch_size=8, epochs=3, verbose=0)
    watched.downloads = watched.uploads = 0
    model.fit(x, x, batch_size=8, epochs=4, verbose=0)
    assert watched.downloads == 4
    assert watched.uploads == 1 + 4 + 4  # the data, the order of each epoch, and its place in it, which begins anew


def test_tensorboard_asks_the_device_once_an_epoch_too(watched, tmp_path):
    pytest.importorskip("tensorboardX")
    x, model = waves(40, (37,)), made("vanilla", "cuda-emulator")
    model.fit(x, x, batch_size=8, epochs=3, verbose=0)
    for frequency, downloads in (("epoch", 4), (1, 4 * 5)):
        watched.downloads = 0
        board = callbacks.TensorBoard(tmp_path, write_steps_per_second=True, update_freq=frequency)
        model.fit(x, x, batch_size=8, epochs=4, verbose=0, callbacks=[board])
        assert watched.downloads == downloads


def test_callbacks_that_look_at_batches_see_them_all(watched):
    x, seen = waves(20, (37,)), []
    watch = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["loss"]))
    recorded = made("vanilla", "cuda-emulator")
    history = recorded.fit(x, x, batch_size=8, epochs=2, verbose=0, callbacks=[watch])
    assert len(seen) == 6
    assert [seen[2], seen[5]] == history.history["loss"]


@pytest.mark.parametrize("batch", [0, 3])
def test_nan_in_the_data_names_its_place_and_undoes_nothing_else(recorder, batch):
    x = waves(40, (37,))
    model, twin = made("vanilla", recorder), made("vanilla", recorder)
    for m in (model, twin):
        m.fit(x, x, batch_size=8, epochs=2, verbose=0, shuffle=False)
    broken = x.copy()
    broken[8 * batch + 3, 5] = np.nan
    with pytest.raises(ValueError, match=rf"fit: x\[{8 * batch + 3}, 5\] is nan, which is not finite"):
        model.fit(broken, broken, batch_size=8, verbose=0, shuffle=False)
    for i in range(batch):  # what came before it has been learned
        twin.train_on_batch(x[8 * i : 8 * i + 8], x[8 * i : 8 * i + 8])
    assert_same_bits(state(model), state(twin))
    for m in (model, twin):
        m.fit(x, x, batch_size=8, verbose=0, shuffle=False)
    assert_same_bits(state(model), state(twin))


def test_a_loss_that_is_not_finite_keeps_the_weights_of_the_step_before(recorder):
    x = waves(24, (37,))

    def model():
        made_here = made("vanilla", recorder)
        made_here.compile(optimizers.SGD(1e30), "mse")
        return made_here

    failing, stopped = model(), model()
    with pytest.raises(FloatingPointError, match="the loss of this batch is"):
        failing.fit(x, x, batch_size=8, epochs=2, verbose=0)
    history = stopped.fit(x, x, batch_size=8, epochs=2, verbose=0, callbacks=[callbacks.TerminateOnNaN()])
    assert np.isnan(history.history["loss"][0])
    assert_same_bits(state(failing), state(stopped))
    assert 1 <= failing.optimizer.iterations < 6


def test_the_emulator_refuses_what_a_graph_can_not_hold():
    machine = Emulator()
    array = machine.empty((3,), np.float32)
    for work, reason in (
        (lambda: machine.empty((3,), np.float32), "memory is allocated"),
        (lambda: machine.scratch(10), "memory is allocated"),
        (lambda: machine.upload(array, np.ones(3)), "an ndarray is uploaded"),
        (lambda: machine.download(array), "an array is downloaded"),
        (lambda: machine.record(lambda: None), "being recorded already"),
    ):
        with pytest.raises(RuntimeError, match=reason):
            machine.record(work)
    again = machine.record(lambda: machine.upload(array, 2.0))
    machine.upload(array, 1.0)
    assert machine.download(array).tolist() == [1, 1, 1]
    again()
    assert machine.download(array).tolist() == [2, 2, 2]


LAUNCHES = {"vanilla": 11, "sparse": 15, "convolutional": 11, "variational": 18, "recurrent": 20}


def test_launches_of_a_step(kind):
    model = made(kind, "cuda-emulator")
    x = waves(16, AUTOENCODERS[kind][1])
    model.fit(x, x, batch_size=16, epochs=2, verbose=0)
    [recording] = model._recordings.values()
    launches = backend.EMULATOR.machine.launches
    backend.EMULATOR.upload(model.numbers().batch, 0)
    before = launches.total()
    recording.again()
    assert launches.total() - before == LAUNCHES[kind]
