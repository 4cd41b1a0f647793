"""What is written here trains on in Keras, and what Keras then writes trains on here.

Needs Keras 3 with one of its backends: in this interpreter, or in the one that SCRATCHAE_KERAS_PYTHON names.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scratchae
from scratchae import layers, losses, optimizers, schedules
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational
from scratchae.files import keras

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "keras.md"
STEPS = 3
SHAPE = (6, 5)


def everything():
    """All the layers that the autoencoders have not, one of them frozen, and penalties: to try an optimizer on."""
    x = layers.Input(SHAPE)
    h = layers.TimeDistributed(layers.Dense(4, "tanh"))(x)
    h = layers.Dropout(0.0)(layers.GaussianNoise(0.0)(layers.Rescaling(0.5, 0.1)(h)))
    h = layers.ActivityRegularization(0.001)(layers.Reshape((2, 3, 4))(h))
    inner = scratchae.Sequential(
        [layers.Input((24,)), layers.Dense(7, kernel_regularizer="l2"), layers.Activation("relu")]
    )
    h = layers.Dense(24, trainable=False)(layers.Flatten()(h))
    h = layers.Dense(30, "sigmoid", use_bias=False)(inner(h))
    return scratchae.Model(x, layers.Reshape(SHAPE)(h))


OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.1, momentum=0.8, nesterov=True, clipnorm=0.5),
    "sgd_plain": lambda: optimizers.SGD(schedules.CosineDecay(0.1, 10)),
    "rmsprop": lambda: optimizers.RMSprop(0.002, momentum=0.5, centered=True),
    "adadelta": lambda: optimizers.Adadelta(0.5),
    "adamw": lambda: optimizers.AdamW(schedules.ExponentialDecay(0.01, 2, 0.9), global_clipnorm=1.0),
    "amsgrad_average": lambda: optimizers.Adam(0.01, amsgrad=True, use_ema=True, ema_overwrite_frequency=2),
    "accumulated": lambda: optimizers.Adam(0.01, gradient_accumulation_steps=2, use_ema=True),
}


def compiled(optimizer):
    model = everything()
    model.compile(optimizer, losses.MeanSquaredError(), metrics=["mae", "binary_accuracy"])
    return model


MODELS = {
    "vanilla": lambda: vanilla.autoencoder(9, [7, 5], 3)[2],
    "sparse": lambda: sparse.autoencoder(9, [7], 3, 0.01)[2],
    "convolutional": lambda: convolutional.autoencoder((12, 12, 2), [4, 3, 2], (2, 2, 2))[2],
    "variational": lambda: variational.autoencoder(9, [7], 2)[2],
    "recurrent": lambda: recurrent.autoencoder(5, 3, 4)[2],
    **{name: lambda make=make: compiled(make()) for name, make in OPTIMIZERS.items()},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All models after three steps here, and what Keras made of their files."""
    program = os.environ.get("SCRATCHAE_KERAS_PYTHON")
    if not program and importlib.util.find_spec("keras") is None:
        pytest.skip("Keras is not installed, and SCRATCHAE_KERAS_PYTHON names no interpreter that has it")
    scratchae.set_device("reference")
    folder = tmp_path_factory.mktemp("keras")
    for name, make in MODELS.items():
        model = make()
        x = np.random.default_rng(3).random((8, *model.inputs[0].sample_shape), np.float32)
        quiet(model, x)
        for _ in range(STEPS):
            model.train_on_batch(x, x)
        keras.save(model, folder / f"{name}.keras")
        np.save(folder / f"{name}.npy", x)
    command = [program or sys.executable, HERE / "with_keras.py", folder, DOCUMENT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


def quiet(model, x):
    """Take the noise out of a variational model, for numbers that can be compared."""
    for layer in model._all_layers():
        if isinstance(layer, layers.Sampling):
            layer.noise = np.zeros((len(x), *layer.output.sample_shape))


def weights(found, when):
    return [found[name] for name in sorted(found.files) if name.startswith(f"{when}/")]


def assert_close(model, expected):
    for a, b in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_keras_goes_on_and_we_go_on_after_keras(folder, name):
    x, found = np.load(folder / f"{name}.npy"), np.load(folder / f"{name}.npz")
    assert found["warnings"].tolist() == []
    model = keras.load(folder / f"{name}.keras")
    quiet(model, x)
    for a, b in zip(model.get_weights(), weights(found, "loaded"), strict=True):
        np.testing.assert_array_equal(a, b)
    ours = [model.train_on_batch(x, x) for _ in range(STEPS)]
    assert_close(model, weights(found, "later"))

    back = keras.load(folder / f"{name}.back.keras")
    quiet(back, x)
    for a, b in zip(back.get_weights(), weights(found, "later"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert back.optimizer.iterations == 2 * STEPS
    ours += [back.train_on_batch(x, x) for _ in range(STEPS)]
    assert_close(back, weights(found, "last"))
    np.testing.assert_allclose(ours, found["losses"], rtol=1e-4)
