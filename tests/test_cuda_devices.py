"""Whole models on "cuda-emulator", every access of its kernels checked, and the same on a GPU where there is one."""

import numpy as np
import pytest

import scratchae
from scratchae import backend, layers
from scratchae.kernels.cuda.emulator import Emulator
from scratchae.layers import Conv2D, Input, MaxPooling2D, UpSampling2D
from tests.kernels.cuda_arrays import assert_near
from tests.test_devices import AUTOENCODERS, assert_same_bits, fusable, in_float64, make, waves

if backend.EMULATOR.unavailable():
    pytest.skip(backend.EMULATOR.unavailable(), allow_module_level=True)


@pytest.fixture(params=AUTOENCODERS)
def kind(request):
    return request.param


def flat(model):
    return np.concatenate([w.astype(float).ravel() for w in model.get_weights()])


# ---- the same numbers -----------------------------------------------------------------------------------------------
def test_twenty_steps(device, kind):
    x = waves(19, AUTOENCODERS[kind][1])
    there, here = make(kind, device), make(kind, "reference")
    losses = [[model.train_on_batch(x, x) for _ in range(20)] for model in (there, here)]
    np.testing.assert_allclose(*losses, rtol=2e-6)
    moved = np.linalg.norm(flat(here) - flat(make(kind, "reference"))) / np.linalg.norm(flat(here))
    assert moved > 1e-3
    assert np.linalg.norm(flat(there) - flat(here)) < 2e-6 * np.linalg.norm(flat(here))


@pytest.mark.parametrize("n", [1, 33])
def test_gradients_and_predictions(device, kind, n, rng):
    x, weight = waves(n, AUTOENCODERS[kind][1]), rng.random(n)
    model = make(kind, device)
    loss, gradients = model.loss_and_gradients(x, x, weight)
    expected_loss, expected = in_float64(kind).loss_and_gradients(x, x, weight)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    for gradient, other in zip(gradients, expected, strict=True):
        assert_near(gradient, other, 4e-6)
    assert_near(make(kind, device).predict(x), in_float64(kind).predict(x), 2e-6)


@pytest.mark.parametrize(("H", "W", "C"), [(1, 1, 1), (7, 1, 3), (4, 5, 17), (17, 2, 1)])
def test_images_of_any_size(device, H, W, C, rng):
    def model(name, floatx):
        scratchae.set_floatx(floatx)
        scratchae.set_device(name)
        made = scratchae.Sequential([Input((H, W, C)), *fusable(C), Conv2D(C, (1, 5), padding="same"), MaxPooling2D(
            (2, 2), padding="same"), UpSampling2D((2, 2))])  # fmt: skip
        made.compile("adam", "mse")
        return made

    there, here = model(device, "float32"), model("reference", "float64")
    here.set_weights(there.get_weights())
    x, y = rng.random((3, H, W, C)), rng.random((3, *there.output_shape[1:]))
    assert_near(there.predict(x), here.predict(x))
    gradients = (m.loss_and_gradients(x, y)[1] for m in (there, here))
    for gradient, expected in zip(*gradients, strict=True):
        assert_near(gradient, expected, 4e-6)


def test_noise_dropout_and_their_like(device, rng):
    def model(name):
        scratchae.set_random_seed(5)
        scratchae.set_device(name)
        made = scratchae.Sequential(
            [
                Input((6, 5)),
                layers.Rescaling(2.0, -0.5),
                layers.GaussianNoise(0.1),
                layers.Dense(7, activation="tanh", kernel_regularizer="l2"),
                layers.Dropout(0.3),
                layers.Flatten(),
                layers.Dense(4, activity_regularizer="l1"),
                layers.RepeatVector(3),
                layers.LSTM(5, return_sequences=True),
                layers.LSTM(6),
                layers.Activation("sigmoid"),
                layers.Reshape((2, 3)),
            ]
        )
        made.compile(scratchae.optimizers.AdamW(clipnorm=0.5, use_ema=True), "mae", ["mse", "binary_accuracy"])
        return made

    x, y = rng.random((9, 6, 5)), (rng.random((9, 2, 3)) > 0.5).astype("float32")
    there, here = (model(name) for name in (device, "reference"))
    histories = [m.fit(x, y, epochs=3, batch_size=4, verbose=0, validation_split=0.3).history for m in (there, here)]
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=1e-5, atol=1e-6, err_msg=name)
    assert_near(flat(there), flat(here), 1e-5)


# ---- the same bits, and what surrounds a step -----------------------------------------------------------------------
def test_runs_are_the_same_to_the_bit(device, kind):
    x = waves(21, AUTOENCODERS[kind][1])

    def fitted(data):
        model = make(kind, device)
        history = model.fit(data, data, batch_size=8, epochs=2, verbose=0)
        return [np.array(history.history["loss"]), *model.get_weights(), model.predict(x)]

    assert_same_bits(fitted(x), fitted(x))
    held = scratchae.backend.get_backend(device).machine.hold(x)
    assert_same_bits(fitted(x), fitted(held))


@pytest.mark.parametrize("order", ["reverse", "random"])
def test_bits_do_not_depend_on_the_order_of_threads(kind, order, monkeypatch):
    x = waves(33, AUTOENCODERS[kind][1])
    results = []
    for machine in (backend.EMULATOR.machine, Emulator(order=order, seed=3)):
        monkeypatch.setitem(backend.EMULATOR.__dict__, "machine", machine)
        model = make(kind, "cuda-emulator")
        results.append([np.array([model.train_on_batch(x, x) for _ in range(2)]), *model.get_weights()])
    assert_same_bits(*results)


def test_a_model_moves_with_its_optimizer(device, kind):
    x = waves(9, AUTOENCODERS[kind][1])
    moving, staying = make(kind, "cpu"), make(kind, "reference")
    for name in ("cpu", device, "reference", device):
        moving.to(name)
        for model in (moving, staying):
            for _ in range(2):
                model.train_on_batch(x, x)
        assert moving.device()[0].name == name
        assert moving.optimizer.iterations == staying.optimizer.iterations
    assert np.linalg.norm(flat(moving) - flat(staying)) < 2e-6 * np.linalg.norm(flat(staying))
    kept = moving.optimizer.get_state()
    assert all(isinstance(array, np.ndarray) for name, array in kept.items() if name != "iterations")
    moving.set_weights([w * 0 for w in moving.get_weights()])
    assert not flat(moving).any()


def test_what_is_not_finite_is_found_and_nothing_is_written(device):
    model = make("vanilla", device)
    x = waves(5, (37,))
    broken = x.copy()
    broken[3, 7] = np.nan
    for data in (broken, backend.get_backend(device).machine.hold(broken)):
        with pytest.raises(ValueError, match=r"x\[3, 7\] is nan, which is not finite in float32"):
            model.fit(data, data, verbose=0)
    model.set_weights([w if i else w + 1e38 for i, w in enumerate(model.get_weights())])
    before = flat(model)
    with pytest.raises(FloatingPointError, match="the output of Dense"):
        model.train_on_batch(x, x)
    np.testing.assert_array_equal(flat(model), before)


def test_float64_is_refused(device, float64):
    scratchae.set_device(device)
    with pytest.raises(ValueError, match=f"device='{device}' computes in float32, not in float64"):
        layers.Dense(3)(Input((4,)))
    scratchae.set_device("reference")
    model = make("vanilla", "reference", "float64")
    with pytest.raises(ValueError, match="call set_floatx"):
        model.to(device)
    assert model.device()[0].name == "reference"


def test_without_a_gpu_the_reason_is_given(monkeypatch, capsys):
    monkeypatch.setitem(backend.CUDA.__dict__, "unavailable", lambda: "there is no NVIDIA driver")
    for attempt in (scratchae.set_device, make("vanilla").to):
        with pytest.raises(ValueError, match="device='cuda' can't be used: there is no NVIDIA driver"):
            attempt("cuda")
    scratchae.set_device("auto")
    assert capsys.readouterr().err == "scratchae: device 'cpu' (there is no NVIDIA driver)\n"
    assert make("vanilla", "auto").device()[0].name == "cpu"


def test_data_of_a_gpu_is_not_copied_behind_ones_back():
    class OnGpu:
        __cuda_array_interface__: dict = {}

    with pytest.raises(
        TypeError, match=r"predict: x lies on a GPU and the model runs on 'cpu'; call model.to\('cuda'\)"
    ):
        make("vanilla").predict(OnGpu())
