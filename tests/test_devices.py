"""The device "cpu" beside "reference": the same numbers to rounding, and the same bits whatever the threads do."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import scratchae
from scratchae import Input, Sequential
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational
from scratchae.kernels.cpu.jit import KERNELS
from scratchae.layers import Conv2D, MaxPooling2D, UpSampling2D
from tests.kernels.devices import assert_near

ROOT = Path(__file__).parents[1]

AUTOENCODERS = {
    "vanilla": (lambda: vanilla.autoencoder(37, [23, 11], 5)[2], (37,)),
    "sparse": (lambda: sparse.autoencoder(37, [23], 5, 0.01)[2], (37,)),
    "convolutional": (lambda: convolutional.autoencoder((12, 20, 1), [5, 3, 2], (2, 3, 2))[2], (12, 20, 1)),
    "variational": (lambda: variational.autoencoder(37, [23], 3)[2], (37,)),
    "recurrent": (lambda: recurrent.autoencoder(9, 5, 7)[2], (9, 5)),
}


@pytest.fixture(params=AUTOENCODERS)
def kind(request):
    return request.param


def make(kind, device="cpu", floatx="float32"):
    """An autoencoder whose weights and noise are those of every other one of its kind."""
    scratchae.set_floatx(floatx)
    scratchae.set_device(device)
    scratchae.set_random_seed(3)
    scratchae.clear_session()
    return AUTOENCODERS[kind][0]()


def slab(kind):
    """How many samples go through the layers at once."""
    return make(kind).slab_size(10**6)


def waves(n, shape, seed=0):
    """Samples (n, *shape) in [0, 0.8] that one can learn something of; noise keeps neighbours from being near-equal."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, (n, *[1] * len(shape)))
    for axis, size in enumerate(shape):
        slope = rng.uniform(2, 8, (n, *[1] * len(shape)))
        phase = phase + slope * np.linspace(0, 1, size).reshape(-1, *[1] * (len(shape) - axis - 1))
    return (0.3 * (1 + np.sin(phase)) + 0.2 * rng.random((n, *shape))).astype("float32")


def in_float64(kind):
    """The model of `make` with its weights, computed in float64."""
    model = make(kind, "reference", "float64")
    model.set_weights(make(kind, "reference").get_weights())
    return model


def assert_same_bits(a, b):
    for x, y in zip(a, b, strict=True):
        assert np.array_equal(x, y)
        assert np.isfinite(x).all()


# ---- to rounding ----------------------------------------------------------------------------------------------------
# Losses of 30 steps differed by up to 3e-7 of their value, over ten seeds of each kind. Adam at a higher learning rate,
# or images without noise, let one in ten differ by 1e-5 to 1e-3: there rounding has decided which pixel is a maximum or
# whether a relu lets a gradient pass.
LOSS_TOLERANCE = 2e-6


def test_thirty_steps_on_both_devices(kind):
    """Batches of two slabs, the last of them ragged."""
    x = waves(slab(kind) + 22, AUTOENCODERS[kind][1])
    models = make(kind, "cpu"), make(kind, "reference")
    fast, slow = ([model.train_on_batch(x, x) for _ in range(30)] for model in models)
    assert [model.device()[0].name for model in models] == ["cpu", "reference"]
    assert slow[0] - slow[-1] > 500 * LOSS_TOLERANCE * slow[0]
    np.testing.assert_allclose(fast, slow, rtol=LOSS_TOLERANCE)


@pytest.mark.parametrize(("slabs", "more"), [(0, 1), (0, 17), (1, 0), (1, 22), (2, 1)])
def test_gradients_of_any_batch(kind, slabs, more, rng):
    """Against float64: float32 on either device differs by up to 1e-6 of an array's largest number."""
    n = slabs * slab(kind) + more
    x, weight = waves(n, AUTOENCODERS[kind][1]), rng.random(n)
    loss, gradients = make(kind, "cpu").loss_and_gradients(x, x, weight)
    expected_loss, expected = in_float64(kind).loss_and_gradients(x, x, weight)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    for gradient, other in zip(gradients, expected, strict=True):
        assert_near(gradient, other, 4e-6)


@pytest.mark.parametrize(("slabs", "more"), [(0, 1), (0, 17), (1, 22)])
def test_predictions_of_any_number(kind, slabs, more):
    n = slabs * slab(kind) + more
    x = waves(n, AUTOENCODERS[kind][1])
    assert_near(make(kind, "cpu").predict(x, batch_size=n), in_float64(kind).predict(x, batch_size=n), 2e-6)


SIZES = [(1, 1), (1, 2), (2, 1), (1, 7), (7, 1), (2, 2), (3, 3), (4, 5), (15, 16), (17, 2), (33, 7)]


def fusable(C):
    return [
        Conv2D(5, 3, padding="same", activation="relu"),
        MaxPooling2D((2, 2), padding="same"),
        UpSampling2D((2, 2)),
        Conv2D(C, 3, padding="same", activation="sigmoid"),
    ]


def apart(C):
    return [
        MaxPooling2D((2, 2), padding="same"),
        Conv2D(17, (1, 5), padding="same", activation="tanh"),
        Conv2D(3, 3, padding="same"),
        UpSampling2D((2, 2)),
        MaxPooling2D((2, 2), padding="same"),
        Conv2D(C, (5, 1), padding="same", activation="sigmoid"),
        UpSampling2D((2, 2)),
    ]


@pytest.mark.parametrize("layers", [fusable, apart])
@pytest.mark.parametrize("C", [1, 3, 17])
def test_images_of_any_size(C, layers, rng):
    def model(device, floatx):
        scratchae.set_floatx(floatx)
        scratchae.set_device(device)
        made = Sequential([Input((H, W, C)), *layers(C)])
        made.compile("adam", "binary_crossentropy")
        return made

    for H, W in SIZES:
        fast, slow = model("cpu", "float32"), model("reference", "float64")
        slow.set_weights(fast.get_weights())
        n = int(rng.integers(1, 40))
        x, y = rng.random((n, H, W, C)), rng.random((n, *fast.output_shape[1:])) / 10  # the terms of db add up
        assert_near(fast.predict(x), slow.predict(x))
        gradients = (m.loss_and_gradients(x, y)[1] for m in (fast, slow))
        for gradient, expected in zip(*gradients, strict=True):
            assert np.any(expected)
            assert_near(gradient, expected, 4e-6)


# ---- the same bits --------------------------------------------------------------------------------------------------
def fitted(kind):
    """Losses and weights of a short training: two slabs in a batch, and a last batch of 20."""
    scratchae.set_random_seed(5)
    n = slab(kind) + 22
    model, x = make(kind), waves(n + 20, AUTOENCODERS[kind][1])
    history = model.fit(x, x, batch_size=n, epochs=3, verbose=0)
    return [np.array(history.history["loss"]), *model.get_weights(), model.predict(x)]


def digests():
    """What `fitted` gives for each kind, as text."""
    return " ".join(hashlib.sha256(b"".join(a.tobytes() for a in fitted(kind))).hexdigest() for kind in AUTOENCODERS)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="has one thread only")
def test_bits_do_not_depend_on_threads(kind):
    found = []
    for threads in (1, 2, 2):
        numba.set_num_threads(threads)
        found.append(fitted(kind))
    assert_same_bits(found[0], found[1])
    assert_same_bits(found[1], found[2])


def test_bits_of_another_process_with_other_threads():
    environment = os.environ | {"NUMBA_NUM_THREADS": "5"}
    code = "from tests.test_devices import digests; import numba; print(numba.get_num_threads(), digests())"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.stdout == f"5 {digests()}\n", result.stderr


def test_nan_of_earlier_batches_reaches_nobody(kind, rng):
    """Broken weights fill the memory of a larger batch, forward and backward; a small one then does not see it."""
    model, twin = make(kind), make(kind)
    large, small = (rng.random((n, *AUTOENCODERS[kind][1])) for n in (32, 17))
    for _ in range(3):  # from the second time on no plan is new
        good = model.get_weights()
        for parameter in model.weights:
            parameter.data.flat[0] = np.nan
        assert np.isnan(model.predict(large)).any()
        with pytest.raises(FloatingPointError):
            model.train_on_batch(large, large)
        model.set_weights(good)
        assert model.train_on_batch(small, small) == twin.train_on_batch(small, small)
    assert_same_bits(model.get_weights(), twin.get_weights())


# ---- from device to device ------------------------------------------------------------------------------------------
def test_moving_there_and_back_changes_nothing(kind):
    x = waves(40, AUTOENCODERS[kind][1])
    model, twin = make(kind), make(kind)
    for m in (model, twin):
        m.fit(x, x, epochs=2, verbose=0)
    weights, state = model.get_weights(), model.optimizer.get_state()
    for device in ("reference", "cpu"):
        model.to(device)
        assert model.device()[0].name == device
        assert_same_bits(model.get_weights(), weights)
        moved = model.optimizer.get_state()
        assert moved.keys() == state.keys()
        assert_same_bits(moved.values(), state.values())
    assert model.train_on_batch(x, x) == twin.train_on_batch(x, x)
    assert_same_bits(model.get_weights(), twin.get_weights())


def test_training_goes_on_where_it_moved(kind):
    x = waves(40, AUTOENCODERS[kind][1])
    model, twin = make(kind), make(kind)
    for m in (model, twin):
        m.fit(x, x, epochs=2, verbose=0)
    model.to("reference")
    for _ in range(5):
        assert model.train_on_batch(x, x) == pytest.approx(twin.train_on_batch(x, x), rel=LOSS_TOLERANCE)


# ---- one compilation ------------------------------------------------------------------------------------------------
def test_another_batch_size_compiles_nothing(kind):
    """A kernel has one signature, and none is chosen by the number of samples."""
    n = slab(kind)
    model, x = make(kind), waves(2 * n, AUTOENCODERS[kind][1])
    model.train_on_batch(x[: n + 22], x[: n + 22])
    model.predict(x[: n + 22])
    compiled = {k.name for k in KERNELS if k.compiled}
    for size in (1, 2, 15, 16, 17, n, n + 1, 2 * n):
        model.train_on_batch(x[:size], x[:size])
        model.predict(x[:size], batch_size=size)
    assert {k.name for k in KERNELS if k.compiled} == compiled
    assert all(len(k.run.signatures) == 1 for k in KERNELS if k.compiled)
