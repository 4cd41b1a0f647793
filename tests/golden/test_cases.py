"""Every number of a training step against Keras: predictions, losses, gradients, weights and optimizer state."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import scratchae
from scratchae import layers, optimizers, schedules
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational
from scratchae.backend import BACKENDS

HERE = Path(__file__).parent
LARGE = Path(os.environ.get("SCRATCHAE_GOLDEN", HERE.parents[1].parent / "shared" / "golden"))
CASES = json.loads((HERE / "cases.json").read_text())["cases"]
EMULATED = 100_000  # numbers of a batch and weights that the emulator gets through in seconds
SLOTS = {  # the optimizer variables' names in Keras, and ours
    "Adam": {"momentum": "m", "velocity": "v", "velocity_hat": "v_max"},
    "AdamW": {"momentum": "m", "velocity": "v"},
    "SGD": {"momentum": "m"},
    "RMSprop": {"velocity": "v", "momentum": "m", "average_grad": "mean", "average_gradient": "mean"},
    "Adadelta": {"accumulated_grad": "a", "accumulated_delta_var": "d"},
}


def single(input_dims, latent_dims, l1=None):
    penalty = None if l1 is None else scratchae.regularizers.l1(l1)
    x = layers.Input((input_dims,))
    encoder = scratchae.Model(x, layers.Dense(latent_dims, activation="relu", activity_regularizer=penalty)(x))
    z = layers.Input((latent_dims,))
    decoder = scratchae.Model(z, layers.Dense(input_dims, activation="sigmoid")(z))
    x = layers.Input((input_dims,))
    return encoder, decoder, scratchae.Model(x, decoder(encoder(x)))


KINDS = {
    "vanilla": vanilla.autoencoder,
    "sparse": sparse.autoencoder,
    "conv": convolutional.autoencoder,
    "vae": variational.autoencoder,
    "lstm": recurrent.autoencoder,
    "single": single,
    "single_sparse": single,
}


def make_optimizer(name, options):
    options = dict(options)
    if isinstance(options.get("learning_rate"), dict):
        [(schedule, arguments)] = options["learning_rate"].items()
        options["learning_rate"] = getattr(schedules, schedule)(**arguments)
    return getattr(optimizers, name)(**options)


@pytest.fixture(params=CASES, ids=lambda case: case["name"])
def case(request):
    return request.param


@pytest.fixture
def golden(case):
    for folder in (HERE, LARGE):
        if (folder / case["file"]).exists():
            with np.load(folder / case["file"]) as file:
                return dict(file)
    return pytest.skip(f"{case['file']} is not in the repository, see tests/golden/README.md")


@pytest.fixture
def build(case, golden):
    def build(floatx):
        scratchae.set_floatx(floatx)
        try:
            encoder, decoder, auto = KINDS[case["kind"]](*case["args"])
        finally:
            scratchae.set_floatx("float32")
        loss = "summed_binary_crossentropy" if case["kind"] == "vae" else case["loss"]
        auto.compile(make_optimizer(*case["optimizer"]), loss)
        auto.set_weights([golden[f"init/{i:02d}"] for i in range(len(case["weights"]))])
        if "eps" in golden:
            auto.get_layer("sampling").noise = golden["eps"]
        return encoder, decoder, auto

    return build


def stored(golden, precision, key):
    """What Keras gave, and a function that takes the same sample of ours."""
    if f"{precision}s/{key}" in golden:
        return golden[f"{precision}s/{key}"], lambda a: a.ravel()[np.linspace(0, a.size - 1, 2048).astype(np.int64)]
    return golden[f"{precision}/{key}"], np.asarray


def same_float64(golden, key, value):
    expected = golden[f"f64/{key}"]
    if expected.dtype == np.float32:  # stored rounded
        np.testing.assert_allclose(value, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max(), err_msg=key)
    else:
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12, err_msg=key)


def outputs_of(encoder, x):
    outputs = encoder.predict(x)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def test_float64_is_keras_to_rounding(case, golden, build):
    encoder, _, auto = build("float64")
    x, y, weight = golden["x"], golden["y"], golden.get("sample_weight")
    for i, output in enumerate(outputs_of(encoder, x)):
        same_float64(golden, f"enc/{i}", output)
    same_float64(golden, "out", auto.predict(x))
    loss, gradients = auto.loss_and_gradients(x, y, sample_weight=weight)
    same_float64(golden, "loss", loss)
    for i, gradient in enumerate(gradients):
        same_float64(golden, f"grad/{i:02d}", gradient)
    same_float64(golden, "evaluate_loss", auto.evaluate(x, y, sample_weight=weight, batch_size=len(x)))
    same_float64(golden, "step_losses", [auto.train_on_batch(x, y, sample_weight=weight) for _ in range(5)])
    for i, w in enumerate(auto.get_weights()):
        same_float64(golden, f"w5/{i:02d}", w)
    same_float64(golden, "loss_after", auto.test_on_batch(x, y, sample_weight=weight))


def test_optimizer_state_is_keras(case, golden, build):
    _, _, auto = build("float64")
    for _ in range(5):
        auto.train_on_batch(golden["x"], golden["y"], sample_weight=golden.get("sample_weight"))
    optimizer, store, checked = auto.optimizer, auto.training_store(), 0
    name = case["optimizer"][0]
    names = SLOTS[name] | {"average": "average", "gradient_accumulator": "accumulated"}
    for parameter, weight in zip(auto.weights, case["weights"], strict=True):
        path = weight["path"].replace("/", "_")
        part = store.slices[store.parameters.index(parameter)]
        for theirs, ours in names.items():
            key = next((k for k in golden if k.startswith("f64/optvar/") and k.endswith(f"/{path}_{theirs}")), None)
            if key is not None:
                same_float64(golden, key.removeprefix("f64/"), optimizer.state[ours][part].reshape(parameter.shape))
                checked += 1
    iteration = next(key for key in golden if key.startswith("f64/optvar/") and key.endswith("/iteration"))
    assert optimizer.iterations == golden[iteration] == 5
    stateless = name == "SGD" and "momentum" not in case["optimizer"][1]
    assert checked >= (0 if stateless else 1)


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_float32_is_keras_within_tolerance(case, golden, build, device):
    if device == "cuda-emulator" and sum(golden[key].size for key in golden if key[:4] in ("init", "x")) > EMULATED:
        pytest.skip("takes the emulator too long")
    if reason := BACKENDS[device].unavailable():
        pytest.skip(reason)
    encoder, _, auto = build("float32")
    auto.to(device)
    x, y, weight = golden["x"], golden["y"], golden.get("sample_weight")

    def close(key, value, **tolerance):
        expected, sample = stored(golden, "f32", key)
        np.testing.assert_allclose(sample(value), expected, **tolerance, err_msg=key)

    for i, output in enumerate(outputs_of(encoder, x)):
        close(f"enc/{i}", output, rtol=1e-6, atol=1e-6)
    close("out", auto.predict(x), rtol=0, atol=1e-6)
    loss, gradients = auto.loss_and_gradients(x, y, sample_weight=weight)
    close("loss", loss, rtol=5e-6)
    share = 3e-5 if case["kind"] == "lstm" and case["loss"] == "binary_crossentropy" else 1e-5
    for i, gradient in enumerate(gradients):
        close(f"grad/{i:02d}", gradient, rtol=0, atol=share * np.abs(gradient).max() + 1e-12)
    close("evaluate_loss", auto.evaluate(x, y, sample_weight=weight, batch_size=len(x)), rtol=5e-6)
    losses = [auto.train_on_batch(x, y, sample_weight=weight) for _ in range(5)]
    close("step_losses", losses, rtol=2e-5 if "scale_last" in case else 5e-6)
    rate = case["optimizer"][1].get("learning_rate", 0.001)
    rate = 0.05 if isinstance(rate, dict) else rate
    for i, w in enumerate(auto.get_weights()):
        expected, sample = stored(golden, "f32", f"w5/{i:02d}")
        difference = np.abs(sample(w) - expected)
        assert difference.max() <= 2e-5 * max(rate / 0.001, 1), f"weight {i}"
        if rate <= 0.001:
            assert np.mean(difference <= 1e-6) >= 0.99, f"weight {i}"
