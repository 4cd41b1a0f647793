"""fit, evaluate, predict: order, reproducibility, interruption, what is not finite, memory."""

import signal
import tracemalloc
import warnings

import numpy as np
import pytest

import scratchae
from scratchae import Input, Model, datasets, layers, step, training
from scratchae.autoencoders import recurrent, sparse, vanilla, variational
from scratchae.callbacks import Callback, LambdaCallback, TerminateOnNaN
from scratchae.optimizers import SGD, Adam


def small():
    return vanilla.autoencoder(6, [5], 2)[2]


@pytest.fixture
def x(rng):
    return rng.random((23, 6), dtype=np.float32)


def test_the_same_seed_gives_the_same_bits(x):
    def run(seed):
        scratchae.set_random_seed(seed)
        auto = variational.autoencoder(6, [5], 2)[2]
        losses = auto.fit(x, x, epochs=3, batch_size=5, verbose=0).history["loss"]
        return losses, auto.get_weights(), auto.predict(x)

    first, again, other = run(3), run(3), run(4)
    assert first[0] == again[0] != other[0]
    for a, b in zip(first[1], again[1], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first[2], again[2])


def test_numpy_s_global_generator_is_left_alone(x):
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    small().fit(x, x, epochs=2, verbose=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_fit_is_train_on_batch_repeated(x):
    a, b = small(), small()
    b.set_weights(a.get_weights())
    history = a.fit(x, x, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"]
    for epoch in range(2):
        losses = [(b.train_on_batch(x[i : i + 8], x[i : i + 8]), len(x[i : i + 8])) for i in (0, 8, 16)]
        assert history[epoch] == pytest.approx(sum(loss * n for loss, n in losses) / 23, rel=1e-12)
    for u, v in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(u, v)


def test_every_epoch_sees_each_sample_once_in_a_new_order(x):
    auto = small()
    rounds = training.Epochs(auto, 23, 5, True, None)
    orders = [np.concatenate([turn.rows for turn in rounds]) for _ in range(3)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(23))
    assert not np.array_equal(orders[0], orders[1])
    drawn_again = [training.permutation(auto._shuffle_seed, i, 23) for i in (2, 0, 1)]
    np.testing.assert_array_equal(drawn_again[1], orders[0])
    np.testing.assert_array_equal(drawn_again[0], orders[2])


def test_steps_per_epoch_goes_on_through_the_data():
    rounds = training.Epochs(small(), 10, 4, False, 2)
    seen = [[turn.rows.tolist() for turn in rounds] for _ in range(3)]
    assert seen == [[[0, 1, 2, 3], [4, 5, 6, 7]], [[8, 9], [0, 1, 2, 3]], [[4, 5, 6, 7], [8, 9]]]


def test_validation_split_takes_the_end_before_shuffling(x, monkeypatch):
    seen = []
    original = step.run_batch
    for module in (step, training):
        monkeypatch.setattr(
            module, "run_batch", lambda *a, **k: seen.append((k["gradients"], a[2].n)) or original(*a, **k)
        )
    auto = small()
    history = auto.fit(x[:7], x[:7], validation_split=0.3, batch_size=4, verbose=0)
    assert seen == [(True, 4), (False, 3)]
    assert history.history["val_loss"] == [pytest.approx(auto.evaluate(x[4:7], x[4:7]))]


def test_validation_freq(x):
    keys = []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: keys.append("val_loss" in logs))
    small().fit(x, x, epochs=4, validation_data=(x, x), validation_freq=2, verbose=0, callbacks=[watch])
    small().fit(x, x, epochs=4, validation_data=(x, x), validation_freq=[1, 4], verbose=0, callbacks=[watch])
    assert keys == [False, True, False, True, True, False, False, True]


def test_epochs_is_an_end_index(x):
    assert small().fit(x, x, initial_epoch=2, epochs=5, verbose=0).epoch == [2, 3, 4]
    assert small().fit(x, x, epochs=0, verbose=0).epoch == []


def test_hooks_come_in_keras_order(x):
    calls = []

    class Watch(Callback):
        def __getattribute__(self, name):
            if name.startswith("on_"):
                calls.append(name)
            return super().__getattribute__(name)

    small().fit(x, x, batch_size=16, validation_data=(x, x), verbose=0, callbacks=[Watch()])
    batch = ["on_train_batch_begin", "on_batch_begin", "on_train_batch_end", "on_batch_end"]
    test_batch = ["on_test_batch_begin", "on_test_batch_end"]
    assert calls == [
        "on_train_begin", "on_epoch_begin", *batch, *batch, "on_test_begin", *test_batch, *test_batch, "on_test_end",
        "on_epoch_end", "on_train_end",
    ]  # fmt: skip


def test_denoising_learns_more_than_the_identity(rng):
    (images, _), (test, _) = datasets.digits.load_data()
    clean = images[:400].reshape(400, 784).astype("float32") / 255
    noisy = datasets.corrupt(clean, "masking", 0.5, seed=0)
    auto = vanilla.autoencoder(784, [64], 16)[2]
    auto.fit(noisy, clean, epochs=15, batch_size=20, verbose=0)
    clean = test[:100].reshape(100, 784) / 255
    noisy = datasets.corrupt(clean, "masking", 0.5, seed=1)
    assert np.mean((auto.predict(noisy) - clean) ** 2) < 0.5 * np.mean((noisy - clean) ** 2)


def test_a_sparse_code_is_sparser(rng):
    x = rng.random((64, 12))
    codes = []
    for penalty in (0.0, 0.1):
        scratchae.set_random_seed(1)
        encoder, _, auto = sparse.autoencoder(12, [], 8, penalty)
        auto.fit(x, x, epochs=30, verbose=0)
        codes.append(np.abs(encoder.predict(x)).mean())
    assert codes[1] < 0.5 * codes[0]


class TestInterruption:
    def test_ctrl_c_keeps_the_last_completed_step(self, x):
        """Interrupted at its third step, fit leaves what two steps give."""
        a, b = small(), small()
        b.set_weights(a.get_weights())

        def interrupt(batch, logs):
            if batch == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            a.fit(
                x, x, batch_size=8, shuffle=False, verbose=0, callbacks=[LambdaCallback(on_train_batch_begin=interrupt)]
            )
        for rows in (slice(0, 8), slice(8, 16)):
            b.train_on_batch(x[rows], x[rows])
        assert a.optimizer.iterations == 2
        for u, v in zip(a.get_weights(), b.get_weights(), strict=True):
            np.testing.assert_array_equal(u, v)

    def test_a_signal_before_the_update_ends_the_step(self, x, monkeypatch):
        """Above all in the first step, whose kernels may have to be compiled."""
        a, b = small(), small()
        b.set_weights(a.get_weights())

        def interrupted(*arguments):
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the step went on")

        monkeypatch.setattr(step, "run_slab", interrupted)
        with pytest.raises(KeyboardInterrupt):
            a.train_on_batch(x, x)
        monkeypatch.undo()
        for _ in range(3):
            assert a.train_on_batch(x, x) == b.train_on_batch(x, x)
        assert a.optimizer.iterations == 3
        for u, v in zip(a.get_weights(), b.get_weights(), strict=True):
            np.testing.assert_array_equal(u, v)

    def test_a_signal_within_the_update_waits_for_its_end(self, x, monkeypatch):
        a, b = small(), small()
        b.set_weights(a.get_weights())
        update = Adam.update

        def interrupted(self, *arguments):
            signal.raise_signal(signal.SIGINT)
            update(self, *arguments)

        monkeypatch.setattr(Adam, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            a.train_on_batch(x, x)
        monkeypatch.undo()
        b.train_on_batch(x, x)
        assert a.optimizer.iterations == 1
        for u, v in zip(a.get_weights(), b.get_weights(), strict=True):
            np.testing.assert_array_equal(u, v)


class TestNotFinite:
    @pytest.mark.filterwarnings("ignore:fit. targets reach")
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
    def test_data_is_named_before_anything_changes(self, x, bad):
        x = x.astype(float)
        x[17, 3] = bad
        auto = small()
        before = auto.get_weights()
        for verb in (auto.train_on_batch, auto.evaluate, auto.fit, auto.loss_and_gradients):
            with pytest.raises(ValueError, match=r"x\[17, 3\] is .* not finite in float32; clean the data"):
                verb(x, x)
        with pytest.raises(ValueError, match=r"y\[17, 3\]"):
            auto.evaluate(np.zeros((23, 6)), x)
        with pytest.raises(ValueError, match=r"predict: x\[17, 3\]"):
            auto.predict(x)
        assert auto.optimizer.iterations == 0
        for a, b in zip(auto.get_weights(), before, strict=True):
            np.testing.assert_array_equal(a, b)

    def exploding(self):
        inputs = Input((6,))
        model = Model(inputs, layers.Dense(6, name="out")(layers.Dense(5, name="hidden")(inputs)))
        model.compile(SGD(1e6), "mse")
        return model

    def test_a_loss_that_explodes_raises_and_names_the_layer(self, x):
        model = self.exploding()
        with pytest.raises(
            FloatingPointError, match=r"the output of Dense\('\w+'\).*weights are those before this step"
        ):
            model.fit(x, x, epochs=9, verbose=0)
        assert all(np.isfinite(w).all() for w in model.get_weights())
        assert np.isfinite(model.optimizer.iterations)

    def test_a_gradient_that_explodes_raises_and_names_the_layer(self, x):
        model = self.exploding()
        model.get_layer("hidden").set_weights([np.full((6, 5), 1e25), np.zeros(5)])
        model.get_layer("out").set_weights([np.full((5, 6), 1e-10), np.zeros(6)])  # loss 1e30, gradient 1e40
        with pytest.raises(FloatingPointError, match=r"the gradient of Dense\('out'\)'s weights"):
            model.train_on_batch(x, x)

    def test_terminate_on_nan_stops_as_keras_does(self, x, capsys):
        model = self.exploding()
        hooks = []
        watch = LambdaCallback(
            on_epoch_end=lambda epoch, logs: hooks.append(("epoch", logs["loss"])),
            on_train_end=lambda logs: hooks.append("end"),
        )
        history = model.fit(x, x, epochs=9, batch_size=5, verbose=0, callbacks=[TerminateOnNaN(), watch])
        assert len(history.epoch) < 9
        assert np.isnan(hooks[-2][1])
        assert hooks[-1] == "end"
        assert "training ends" in capsys.readouterr().out
        assert all(np.isfinite(w).all() for w in model.get_weights())


class TestMemory:
    def test_a_fit_holds_no_second_copy_of_the_data(self):
        data = np.zeros((60_000, 784), np.uint8)
        data[::7, ::5] = 1
        auto = vanilla.autoencoder(784, [], 4)[2]
        tracemalloc.start()
        try:
            auto.fit(
                data, data, batch_size=256, steps_per_epoch=20, validation_split=0.1, validation_steps=3, verbose=0
            )
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < data.nbytes / 3  # 47 MB as bytes, 188 MB as float32

    def test_nothing_grows_with_the_number_of_steps(self, x):
        auto = small()
        auto.fit(x, x, batch_size=4, epochs=3, verbose=0)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            auto.fit(x, x, batch_size=4, epochs=100, verbose=0)
            after = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert after - before < 30_000  # the history of 100 epochs, and no more

    def test_memory_mapped_data_trains(self, tmp_path, rng):
        np.save(tmp_path / "x.npy", rng.random((50, 6)))
        data = np.load(tmp_path / "x.npy", mmap_mode="r")
        history = small().fit(data, data, epochs=2, verbose=0)
        assert history.history["loss"][1] < history.history["loss"][0]


def test_predict_does_not_depend_on_the_batch_size(x):
    encoder = variational.autoencoder(6, [5], 2)[0]
    for layer in encoder._all_layers():
        layer.seed = np.random.SeedSequence(1)
    twin = variational.autoencoder(6, [5], 2)[0]
    twin.set_weights(encoder.get_weights())
    for layer in twin._all_layers():
        layer.seed = np.random.SeedSequence(1)
    for a, b in zip(encoder.predict(x, batch_size=4), twin.predict(x, batch_size=23), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_each_predict_draws_z_anew(x):
    encoder = variational.autoencoder(6, [5], 2)[0]
    assert not np.array_equal(encoder.predict(x)[0], encoder.predict(x)[0])


def test_a_callback_that_predicts_leaves_the_noise_alone(x):
    encoder = variational.autoencoder(6, [5], 2)[0]

    class Predicting(Callback):
        def on_predict_batch_end(self, batch, logs=None):
            encoder.predict(x[:3])

    before = encoder._predictions
    expected = encoder.predict(x, batch_size=4)
    encoder._predictions = before
    for a, b in zip(encoder.predict(x, batch_size=4, callbacks=[Predicting()]), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_loss_and_gradients_changes_nothing(x):
    auto = variational.autoencoder(6, [5], 2)[2]
    auto.train_on_batch(x, x)
    before, state, predictions = auto.get_weights(), auto.optimizer.get_state(), auto._predictions
    first, second = auto.loss_and_gradients(x, x), auto.loss_and_gradients(x, x)
    assert first[0] == second[0]
    for a, b in zip(auto.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    for name, value in auto.optimizer.get_state().items():
        np.testing.assert_array_equal(value, state[name])
    assert auto._predictions == predictions
    assert auto.train_on_batch(x, x) == first[0]  # it used the noise of the step to come


def test_images_may_lack_their_channel_axis(rng):
    from scratchae.autoencoders import convolutional

    images = rng.random((5, 12, 12))
    auto = convolutional.autoencoder((12, 12, 1), [2, 2, 2], (2, 2, 2))[2]
    auto.fit(images, images, verbose=0)
    np.testing.assert_array_equal(auto.predict(images), auto.predict(images[..., None]))


def test_class_weight_is_refused(x):
    with pytest.raises(ValueError, match=r"class_weight .* use sample_weight"):
        small().fit(x, x, class_weight={0: 1.0})


def test_bytes_under_crossentropy_are_warned_of(x):
    data = (x * 255).astype(np.uint8)
    with pytest.warns(UserWarning, match=r"targets reach from \d to 2\d\d.* x / 255"):
        small().fit(x, data, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small().fit(data / 255, data / 255, verbose=0)
        small().fit(x, np.full(x.shape, 1 + 1e-15), verbose=0)  # what a scaler to [0, 1] may give


BAD = {
    "no samples": (lambda m, x: m.fit(x[:0], x[:0]), ValueError, "no samples"),
    "rank": (lambda m, x: m.fit(x[:, :, None], x), ValueError, r"x has shape \(23, 6, 1\); expected \(samples, 6\)"),
    "features": (lambda m, x: m.predict(x[:, :5]), ValueError, r"x has shape \(23, 5\); expected \(samples, 6\)"),
    "one sample": (lambda m, x: m.predict(x[0]), ValueError, r"x has shape \(6,\); expected \(samples, 6\)"),
    "a cure": (lambda m, x: m.predict(x.reshape(23, 2, 3)), ValueError, r"x\.reshape\(\(-1, 6\)\) makes it fit"),
    "strings": (lambda m, x: m.fit(np.full((3, 6), "a"), x), TypeError, "expected an array of real numbers"),
    "complex": (lambda m, x: m.fit(x * 1j, x), TypeError, "complex64; expected an array of real numbers"),
    "None": (lambda m, x: m.fit(None, None), TypeError, "x is NoneType"),
    "a generator": (lambda m, x: m.fit(i for i in range(3)), TypeError, "x is generator"),
    "no target": (lambda m, x: m.fit(x), ValueError, r"y is missing; .* fit\(x, x\)"),
    "other length": (lambda m, x: m.fit(x, x[:5]), ValueError, "y has 5 samples and x has 23"),
    "target shape": (lambda m, x: m.fit(x, x[:, :4]), ValueError, r"y has shape \(23, 4\); expected \(samples, 6\)"),
    "batch size 0": (lambda m, x: m.fit(x, x, batch_size=0), ValueError, "batch_size=0 is too small"),
    "batch size 1.5": (lambda m, x: m.predict(x, batch_size=1.5), TypeError, "batch_size=1.5 is a float"),
    "epochs": (lambda m, x: m.fit(x, x, epochs=-1), ValueError, "epochs=-1 must be an integer of at least 0"),
    "split": (lambda m, x: m.fit(x, x, validation_split=1.0), ValueError, r"validation_split=1.0 is out of range"),
    "split to none": (lambda m, x: m.fit(x[:1], x[:1], validation_split=0.5), ValueError, "leaves none to train on"),
    "validation": (lambda m, x: m.fit(x, x, validation_data=x), TypeError, r"must be a tuple \(x, y\)"),
    "validation y": (
        lambda m, x: m.fit(x, x, validation_data=(x, x[:, :2])),
        ValueError,
        "validation_data: y has shape",
    ),
    "weights": (lambda m, x: m.fit(x, x, sample_weight=np.ones(4)), ValueError, "4 entries for 23 samples"),
    "NaN weights": (lambda m, x: m.fit(x, x, sample_weight=np.full(23, np.nan)), ValueError, "holds NaN or infinity"),
    "callbacks": (lambda m, x: m.fit(x, x, callbacks=[print]), TypeError, "expected scratchae.callbacks.Callback"),
    "validation_freq": (lambda m, x: m.fit(x, x, validation_freq=0), ValueError, "validation_freq=0 is too small"),
    "verbose": (lambda m, x: m.fit(x, x, verbose="loud"), ValueError, "verbose='loud' is unknown; expected 'auto', 0"),
    "initial_epoch": (lambda m, x: m.fit(x, x, initial_epoch=-1), ValueError, "initial_epoch=-1 must be an integer"),
    "check size": (lambda m, x: m.fit(x, x, validation_batch_size=0), ValueError, "validation_batch_size=0 is too"),
    "steps of predict": (lambda m, x: m.predict(x, steps=-1), ValueError, "predict: steps=-1 is too small"),
    "steps of evaluate": (lambda m, x: m.evaluate(x, x, steps=0), ValueError, "evaluate: steps=0 is too small"),
    "steps": (lambda m, x: m.fit(x, x, steps_per_epoch=0), ValueError, "steps_per_epoch=0 is too small"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused_and_change_nothing(case, x):
    call, error, message = BAD[case]
    auto = small()
    before = auto.get_weights()
    with pytest.raises(error, match=message):
        call(auto, x)
    assert auto.optimizer.iterations == 0
    for a, b in zip(auto.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_uncompiled_model_says_what_to_do(x):
    encoder = vanilla.autoencoder(6, [5], 2)[0]
    for verb in (encoder.fit, encoder.evaluate, encoder.train_on_batch):
        with pytest.raises(RuntimeError, match=r"call compile\(optimizer, loss\) first"):
            verb(x, x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": None}, "loss=None; expected a loss such as"),
        ({"loss": "crossentropy"}, "loss='crossentropy' is unknown: use .*binary_crossentropy"),
        ({"optimizer": "adamm", "loss": "mse"}, "optimizer='adamm' is unknown: use .*adam"),
        ({"loss": "mse", "metrics": ["f1"]}, "metric='f1' is unknown: use mae"),
    ],
)
def test_compile_names_what_it_does_not_know(arguments, message):
    auto = small()
    before = auto.optimizer
    with pytest.raises(ValueError, match=message):
        auto.compile(**arguments)
    assert auto.optimizer is before


def test_a_model_of_several_outputs_can_t_be_compiled():
    with pytest.raises(ValueError, match="3 outputs; a model that is trained must have one"):
        variational.autoencoder(6, [5], 2)[0].compile("adam", "mse")


def test_sequences_train(rng):
    t = np.linspace(0, 6, 8)
    x = np.sin(t[None, :, None] * rng.uniform(0.2, 1, (40, 1, 1)) + np.array([0.0, 1.0])) * 0.8
    auto = recurrent.autoencoder(8, 2, 6)[2]
    auto.compile(Adam(0.03), "mse")
    history = auto.fit(x, x, epochs=40, batch_size=10, verbose=0).history["loss"]
    assert history[-1] < 0.25 * history[0]


# ---- predictions in place -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_predictions_of_arrays_of_every_kind_are_the_same(device, rng, monkeypatch):
    monkeypatch.setattr(training, "LARGE", 6 * 17)  # numbers of the second of the batch sizes below
    scratchae.set_device(device)
    encoder, _, auto = variational.autoencoder(6, [5], 3)
    encoder.get_layer("sampling").noise = np.zeros((40, 3))
    x = rng.random((40, 6)).astype("float32")
    read_only = x.copy()
    read_only.flags.writeable = False
    bytes_before = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = bytes_before[1:].view("float32").reshape(x.shape)
    unaligned[...] = x
    expected = auto.predict(x), *encoder.predict(x)
    for same in (read_only, np.asfortranarray(x), x.astype("float64"), unaligned, np.repeat(x, 2, axis=0)[::2]):
        for batch_size in (40, 17, 1):
            results = auto.predict(same, batch_size=batch_size), *encoder.predict(same, batch_size=batch_size)
            for result, other in zip(results, expected, strict=True):
                np.testing.assert_allclose(result, other, rtol=1e-5, atol=1e-6)
                assert result.flags.c_contiguous
                assert result.flags.writeable


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_predictions_are_copies_and_leave_the_input_alone(device, rng, monkeypatch):
    monkeypatch.setattr(training, "LARGE", 1)
    scratchae.set_device(device)
    auto = small()
    x = rng.random((7, 6)).astype("float32")
    before, first = x.copy(), auto.predict_on_batch(x)
    kept = first.copy()
    first[...] = -1
    np.testing.assert_array_equal(auto.predict_on_batch(x), kept)
    auto.evaluate(x[:3], x[:3])
    auto.predict_on_batch(x[3:])
    assert (first == -1).all()
    np.testing.assert_array_equal(x, before)
    x[2, 1] = np.inf
    for n in (7, 3):
        with pytest.raises(ValueError, match=r"predict: x\[2, 1\] is inf"):
            auto.predict_on_batch(x[:n])
    np.testing.assert_array_equal(auto.predict_on_batch(before), kept)


def test_a_model_that_passes_its_input_on_predicts_it(rng, monkeypatch):
    monkeypatch.setattr(training, "LARGE", 1)
    x = Input((6,))
    hidden = layers.Dense(4)(x)
    model = Model(x, [x, hidden, hidden, layers.Dense(2)(hidden)])
    data = rng.random((5, 6)).astype("float32")
    same, first, second, _ = model.predict(data)
    np.testing.assert_array_equal(same, data)
    np.testing.assert_array_equal(first, second)
    assert not np.shares_memory(same, data)


def test_a_callback_may_train_another_batch_without_a_change_of_the_epoch_s_means(x):
    def fitted(*callbacks):
        scratchae.set_random_seed(1)
        auto = vanilla.autoencoder(6, [5], 2)[2]
        auto.compile(SGD(0.0), "mse")  # so that the weights stay what they are
        return auto, auto.fit(x, x, batch_size=5, verbose=0, callbacks=[c(auto) for c in callbacks]).history["loss"]

    _, alone = fitted()
    auto, disturbed = fitted(
        lambda auto: LambdaCallback(on_train_batch_end=lambda batch, logs: auto.train_on_batch(10 * x, x))
    )
    assert disturbed == alone
    assert auto.optimizer.iterations == 10
