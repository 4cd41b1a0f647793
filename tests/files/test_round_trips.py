"""Models that come back from a file, and go on as if they had never been away."""

import numpy as np
import pytest
from test_architecture import AUTOENCODERS

import scratchae
from scratchae import Input, Model, ScratchaeFormatError, Sequential, layers, losses, metrics, optimizers
from scratchae.autoencoders import vanilla, variational
from scratchae.callbacks import LearningRateScheduler
from scratchae.initializers import Constant, Initializer
from scratchae.optimizers import schedules
from scratchae.regularizers import L1, L1L2


@pytest.fixture(autouse=True)
def on_reference():
    scratchae.set_device("reference")


def assert_same_weights(model, twin):
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def assert_goes_on(model, x, path):
    """Training that is broken off by a file is the training that was not."""
    model.fit(x, x, batch_size=4, epochs=2, verbose=0)
    model.save(path)
    twin = scratchae.load_model(path)
    assert twin.history.history == model.history.history
    assert_same_weights(model, twin)
    for one in (model, twin):
        one.fit(x, x, batch_size=4, epochs=3, initial_epoch=2, verbose=0)
    assert_same_weights(model, twin)
    assert twin.history.history == model.history.history
    for a, b in zip(np.atleast_1d(model.predict(x, verbose=0)), np.atleast_1d(twin.predict(x, verbose=0)), strict=True):
        np.testing.assert_array_equal(a, b)
    return twin


# ---- models ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("device", ["reference", "cpu"])
@pytest.mark.parametrize("kind", AUTOENCODERS)
def test_training_goes_on_with_the_same_bits(kind, device, rng, tmp_path):
    scratchae.set_device(device)
    module, arguments = AUTOENCODERS[kind]
    auto = module.autoencoder(*arguments)[2]
    assert_goes_on(auto, rng.random((10, *auto.inputs[0].sample_shape)), tmp_path / "m.safetensors")


def test_float64_stays_float64(rng, tmp_path, float64):
    auto = vanilla.autoencoder(6, [5], 2)[2]
    auto.save(tmp_path / "m.safetensors")
    scratchae.set_floatx("float32")
    twin = scratchae.load_model(tmp_path / "m.safetensors")
    assert twin.dtype == "float64"
    assert_goes_on(twin, rng.random((10, 6)), tmp_path / "m.safetensors")


def every_layer():
    x = Input((12, 12, 1))
    y = layers.Rescaling(1 / 255, 0.1)(x)
    y = layers.GaussianNoise(0.1)(y)
    y = layers.Conv2D(3, (3, 5), padding="same", activation="relu", kernel_regularizer=L1L2(0.001, 0.002))(y)
    y = layers.MaxPooling2D(padding="same")(y)
    y = layers.UpSampling2D()(y)
    y = layers.Conv2D(2, 1, use_bias=False, kernel_initializer="he_uniform", activity_regularizer=L1(0.001))(y)
    y = layers.Flatten()(y)
    y = layers.Dropout(0.2)(y)
    y = layers.Dense(6, "tanh", bias_initializer=Constant(0.5), bias_regularizer="l2", trainable=False)(y)
    y = layers.ActivityRegularization(0.01, 0.02)(y)
    y = layers.RepeatVector(4)(y)
    y = layers.LSTM(5, return_sequences=True, unit_forget_bias=False)(y)
    y = layers.TimeDistributed(layers.Dense(36, kernel_regularizer="l1", activity_regularizer="l1"))(y)
    y = layers.Reshape((12, -1, 1))(y)
    model = Model(x, layers.Activation("sigmoid")(y))
    model.compile(optimizers.Adam(0.01), "mse", ["mae", "binary_accuracy"])
    return model


def stack():
    """A Sequential in a Sequential."""
    inner = Sequential([layers.Dense(4, "relu", input_shape=(6,)), layers.Dense(3)], name="inner")
    model = Sequential([Input((6,)), inner, layers.Dropout(0.5), layers.Dense(6)])
    model.compile("sgd", "mae")
    return model


def shared():
    """A layer that is called twice, of which the second call comes before other layers, and a model called twice."""
    x = Input((6,))
    same = layers.Dense(6, "tanh")
    block = Model(x, same(layers.Dense(6)(same(x))), name="block")
    y = Input((6,))
    model = Model(y, same(block(block(y))))
    model.compile("rmsprop", "mse")
    return model


def two_models_with_the_same_layers():
    """What Keras' introductions do: encoder, decoder and auto from one chain of layers, none in the other."""
    x = Input((6,))
    z = layers.Dense(3, "relu", name="code")(x)
    y = layers.Dense(6, "sigmoid")(z)
    model = Model(x, [z, y])
    return model


@pytest.mark.parametrize("make", [every_layer, stack, shared])
def test_models_come_back_and_go_on(make, rng, tmp_path):
    model = make()
    twin = assert_goes_on(model, rng.random((10, *model.inputs[0].sample_shape)), tmp_path / "m.safetensors")
    assert twin.get_config() == model.get_config()
    assert [p.name for p in twin.trainable_weights] == [p.name for p in model.trainable_weights]


def test_shared_layers_are_shared_again(tmp_path, rng):
    model = shared()
    model.save(tmp_path / "m.safetensors")
    twin = scratchae.load_model(tmp_path / "m.safetensors")
    assert len(twin.weights) == len(model.weights) == 4
    assert twin.layers[-1] is twin.get_layer("block").layers[1]


def test_several_outputs_come_back_in_their_container(tmp_path):
    model = two_models_with_the_same_layers()
    model.save(tmp_path / "m.safetensors")
    twin = scratchae.load_model(tmp_path / "m.safetensors")
    assert [a.shape for a in twin.predict(np.ones((2, 6)), verbose=0)] == [(2, 3), (2, 6)]
    assert twin.optimizer is None
    encoder, _, _ = variational.autoencoder(6, [], 2)
    encoder.save(tmp_path / "m.safetensors")
    assert type(scratchae.load_model(tmp_path / "m.safetensors").predict(np.ones((2, 6)), verbose=0)) is tuple


def test_layers_that_wait_for_data_still_wait(tmp_path):
    Sequential([layers.Dense(3)], name="waiting").save(tmp_path / "m.safetensors")
    twin = scratchae.load_model(tmp_path / "m.safetensors")
    twin.build((None, 5))
    assert twin.name == "waiting"
    assert np.any(twin.get_weights()[0])  # drawn, not the zeros that a file's weights are read into


# ---- the three models -----------------------------------------------------------------------------------------------
def test_load_gives_all_three_with_shared_layers(tmp_path, rng):
    encoder, decoder, auto = vanilla.autoencoder(6, [5], 2)
    x = rng.random((10, 6))
    auto.fit(x, x, epochs=1, verbose=0)
    auto.save(tmp_path / "m.safetensors")
    encoder2, decoder2, auto2 = scratchae.load(tmp_path / "m.safetensors")
    assert encoder2 is auto2.get_layer("encoder")
    auto2.fit(x, x, epochs=1, verbose=0)
    codes = encoder2.predict(x, verbose=0)
    np.testing.assert_allclose(decoder2.predict(codes, verbose=0), auto2.predict(x, verbose=0), rtol=1e-6)
    assert (auto2.optimizer.iterations, auto.optimizer.iterations) == (2, 1)


def test_models_of_ones_own_need_no_special_names(tmp_path):
    down = Sequential([Input((6,)), layers.Dense(2)])
    up = Sequential([Input((2,)), layers.Dense(6)])
    x = Input((6,))
    Model(x, up(down(layers.Dropout(0.1)(x)))).save(tmp_path / "m.safetensors")
    encoder, decoder, _ = scratchae.load(tmp_path / "m.safetensors")
    assert (encoder.name, decoder.name) == (down.name, up.name)


def test_a_file_of_one_model_names_load_model(tmp_path):
    x = Input((6,))
    Model(x, layers.Dense(6)(x), name="lonely").save(tmp_path / "m.safetensors")
    with pytest.raises(ScratchaeFormatError, match=r"holds one model, Model\('lonely'\), .* read it with load_model"):
        scratchae.load(tmp_path / "m.safetensors")


# ---- compile settings, optimizers, history --------------------------------------------------------------------------
OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: optimizers.Adam(0.01, 0.8, 0.99, 1e-6, amsgrad=True, clipnorm=0.5),
    "adamw": lambda: optimizers.AdamW(0.01, weight_decay=0.1, global_clipnorm=0.5),
    "rmsprop": lambda: optimizers.RMSprop(0.01, momentum=0.5, centered=True, clipvalue=0.01),
    "adadelta": lambda: optimizers.Adadelta(1.0),
    "average": lambda: optimizers.Adam(use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=4),
    "accumulation": lambda: optimizers.Adam(gradient_accumulation_steps=4),  # 6 steps: the file is amid four
    "exponential": lambda: optimizers.Adam(schedules.ExponentialDecay(0.01, 3, 0.5, staircase=True)),
    "inverse time": lambda: optimizers.Adam(schedules.InverseTimeDecay(0.01, 3, 0.5)),
    "polynomial": lambda: optimizers.Adam(schedules.PolynomialDecay(0.01, 4, 0.001, 2.0, cycle=True)),
    "cosine": lambda: optimizers.Adam(schedules.CosineDecay(0.0, 5, 0.1, 0.01, 3)),
    "piecewise": lambda: optimizers.Adam(schedules.PiecewiseConstantDecay([2, 7], [0.1, 0.01, 0.001])),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_come_back_with_their_state(name, rng, tmp_path):
    auto = vanilla.autoencoder(6, [5], 2)[2]
    auto.compile(OPTIMIZERS[name](), "mse")
    twin = assert_goes_on(auto, rng.random((10, 6)), tmp_path / "m.safetensors")
    assert twin.optimizer.get_config() == auto.optimizer.get_config()
    assert twin.optimizer.learning_rate == auto.optimizer.learning_rate


def test_a_learning_rate_that_was_changed_stays_changed(tmp_path, rng):
    auto = vanilla.autoencoder(6, [5], 2)[2]
    x = rng.random((10, 6))
    auto.fit(x, x, epochs=1, verbose=0, callbacks=[LearningRateScheduler(lambda epoch, rate: rate / 3)])
    auto.save(tmp_path / "m.safetensors")
    assert scratchae.load_model(tmp_path / "m.safetensors").optimizer.learning_rate == 0.001 / 3


def test_a_layer_that_was_frozen_after_training_keeps_no_model_from_being_saved(tmp_path, rng):
    encoder, _, auto = vanilla.autoencoder(6, [5], 2)
    x = rng.random((10, 6))
    auto.fit(x, x, epochs=1, verbose=0)
    encoder.trainable = False
    auto.save(tmp_path / "m.safetensors")
    twin = scratchae.load_model(tmp_path / "m.safetensors")
    assert_same_weights(auto, twin)
    assert len(twin.trainable_weights) == 4
    twin.fit(x, x, epochs=1, verbose=0)
    assert twin.optimizer.iterations == 1


def test_losses_and_metrics_come_back(tmp_path, rng):
    auto = vanilla.autoencoder(6, [5], 2)[2]
    watched = metrics.LossMetric(losses.SummedBinaryCrossentropy(), "summed")
    auto.compile("adam", losses.MeanAbsoluteError(), [watched, metrics.BinaryAccuracy("b", 0.3)])
    auto.save(tmp_path / "m.safetensors")
    twin = scratchae.load_model(tmp_path / "m.safetensors")
    x = rng.random((10, 6)).round()
    assert twin.evaluate(x, x, verbose=0, return_dict=True) == auto.evaluate(x, x, verbose=0, return_dict=True)
    untouched = scratchae.load_model(tmp_path / "m.safetensors", compile=False)
    assert untouched.optimizer is None
    assert_same_weights(untouched, auto)


def test_a_history_with_nan_comes_back(tmp_path):
    auto = vanilla.autoencoder(6, [5], 2)[2]
    x = np.full((4, 6), 0.5)
    auto.fit(x, x, epochs=2, verbose=0)
    auto.history.history["val_loss"] = [float("nan")]
    auto.save(tmp_path / "m.safetensors")
    history = scratchae.load_model(tmp_path / "m.safetensors").history
    assert np.isnan(history.history["val_loss"][0])
    assert history.epoch == [0, 1]


def test_a_history_with_words_does_not_keep_a_model_from_being_saved(tmp_path):
    auto = vanilla.autoencoder(6, [5], 2)[2]
    x = np.full((4, 6), 0.5)
    auto.fit(x, x, epochs=1, verbose=0)
    auto.history.history["mood"] = ["fine"]
    auto.save(tmp_path / "m.safetensors")
    assert list(scratchae.load_model(tmp_path / "m.safetensors").history.history) == ["loss"]


class Ramp(Initializer):
    """An initializer that this library does not have."""

    def __init__(self, step=1.0):
        self.step = step

    def __call__(self, shape, rng):
        return self.step * np.arange(np.prod(shape)).reshape(shape)


def test_classes_of_ones_own_are_given_when_loading(tmp_path):
    x = Input((3,))
    Model(x, layers.Dense(2, kernel_initializer=Ramp(0.5))(x)).save(tmp_path / "m.safetensors")
    with pytest.raises(ScratchaeFormatError, match=r"m\.safetensors: .*'Ramp'.* custom_objects=\{'Ramp': class\}"):
        scratchae.load_model(tmp_path / "m.safetensors")
    twin = scratchae.load_model(tmp_path / "m.safetensors", custom_objects={"Ramp": Ramp})
    assert twin.layers[1].kernel_initializer.step == 0.5


# ---- saving again, and weights --------------------------------------------------------------------------------------
def test_a_loaded_model_is_saved_as_the_same_bytes(tmp_path, rng):
    auto = vanilla.autoencoder(6, [5], 2)[2]
    x = rng.random((10, 6))
    auto.fit(x, x, epochs=1, verbose=0)
    auto.save(tmp_path / "a.safetensors")
    scratchae.load_model(tmp_path / "a.safetensors").save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_saving_changes_nothing(tmp_path, rng):
    x = rng.random((10, 6))
    weights = []
    for saves in (True, False):
        scratchae.set_random_seed(3)
        auto = vanilla.autoencoder(6, [5], 2)[2]
        for _ in range(3):
            auto.fit(x, x, epochs=1, verbose=0)
            if saves:
                auto.save(tmp_path / "m.safetensors")
        weights.append(auto.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_are_read_from_a_whole_model_too(tmp_path):
    auto = vanilla.autoencoder(6, [5], 2)[2]
    auto.save(tmp_path / "m.safetensors")
    twin = vanilla.autoencoder(6, [5], 2)[2]
    twin.load_weights(tmp_path / "m.safetensors")
    assert_same_weights(auto, twin)
    twin.save_weights(tmp_path / "w.safetensors")
    with pytest.raises(ScratchaeFormatError, match=r"is 'scratchae weights 1'.*load_weights"):
        scratchae.load_model(tmp_path / "w.safetensors")


def test_the_names_of_keras(tmp_path):
    auto = vanilla.autoencoder(6, [5], 2)[2]
    scratchae.models.save_model(auto, tmp_path / "m.safetensors")
    assert_same_weights(scratchae.models.load_model(tmp_path / "m.safetensors", safe_mode=False), auto)
    with pytest.raises(FileExistsError, match="is there already; overwrite=True replaces it"):
        auto.save(tmp_path / "m.safetensors", overwrite=False)
    with pytest.raises(ValueError, match=r"save: path='m\.pkl' must end in"):
        auto.save("m.pkl")
    with pytest.raises(ValueError, match=r"load_model: path='m\.pkl' must end in"):
        scratchae.load_model("m.pkl")


def test_a_model_of_a_class_of_ones_own_is_refused_when_it_is_saved(tmp_path):
    class Mine(Model):
        pass

    x = Input((3,))
    with pytest.raises(ValueError, match=r"Mine\('mine'\) is of a class of its own"):
        Mine(x, layers.Dense(2)(x)).save(tmp_path / "m.safetensors")
