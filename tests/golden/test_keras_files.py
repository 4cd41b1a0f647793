"""Files that Keras wrote: their weights, what the models predict with them, and the state of their optimizers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import scratchae
from scratchae import ScratchaeFormatError, layers, load_model
from scratchae.autoencoders import recurrent, vanilla, variational
from scratchae.files import optimizer_variables

FILES = Path(__file__).parent / "files"
MANIFEST = json.loads((FILES / "manifest.json").read_text())["files"]
READABLE = [entry for entry in MANIFEST if "expected" in entry]
REASONS = {
    "must_refuse_lambda.keras": "has a Lambda layer, which is Python code",
    "must_refuse_external.weights.h5": "has an external link, to another file in 'layers/dense/vars'",
    "must_refuse_softlink.weights.h5": "has a soft link, '0' in 'layers/dense/vars'",
}
WEIGHTS_OF = {
    "vanilla_nested_untrained_weights": lambda: vanilla.autoencoder(10, [7, 5], 3)[2],
    "lstm_nested_weights": lambda: recurrent.autoencoder(5, 3, 4)[2],
    "vae_encoder_layer_weights": lambda: variational.autoencoder(9, [6], 2)[0],
    "vae_encoder_ops_weights": lambda: variational.autoencoder(9, [6], 2)[0],
}


@pytest.fixture(autouse=True)
def on_reference():
    scratchae.set_device("reference")


def expected(entry):
    """Arrays in the order of their names."""
    with np.load(FILES / entry["expected"]) as found:
        arrays = {name: found[name] for name in sorted(found.files)}
    return {kind: [a for name, a in arrays.items() if name.startswith(kind)] for kind in ("w", "x", "y", "opt")}


def outputs(model, inputs):
    got = model.predict(inputs, verbose=0)
    return got if isinstance(got, (list, tuple)) else [got]


def assert_same(arrays, wanted):
    for a, b in zip(arrays, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("entry", [e for e in READABLE if e["file"].endswith(".keras")], ids=lambda e: e["file"])
def test_a_model_of_keras_is_the_same_here_and_trains_on(entry):
    model, wanted = load_model(FILES / entry["file"]), expected(entry)
    assert_same(model.get_weights(), wanted["w"])
    assert model.count_params() == entry["count_params"]
    for got, y in zip(outputs(model, wanted["x"][0]), wanted["y"], strict=True):
        np.testing.assert_allclose(got, y, rtol=0, atol=1e-6)
    assert (model.optimizer is not None) == bool(wanted["opt"])
    if model.optimizer is not None:
        assert_same(optimizer_variables.values(model), wanted["opt"])
        x = np.random.default_rng(0).random((4, *model.inputs[0].sample_shape))
        first = model.train_on_batch(x, x)
        for _ in range(5):
            model.train_on_batch(x, x)
        assert model.test_on_batch(x, x) < first
        assert model.optimizer.iterations == wanted["opt"][0] + 6


@pytest.mark.parametrize("entry", [e for e in READABLE if e["file"].endswith(".h5")], ids=lambda e: e["file"])
def test_weights_of_keras_belong_into_the_same_layers(entry):
    name, wanted = entry["file"].removesuffix(".weights.h5"), expected(entry)
    model = WEIGHTS_OF[name]()
    model.load_weights(FILES / entry["file"])
    if name == "vae_encoder_ops_weights":  # with the log-variance before the mean: names tell which is which
        w, b, log_var, log_var_bias, *mean = wanted["w"]
        wanted["w"] = [w, b, *mean, log_var, log_var_bias]
    assert_same(model.get_weights(), wanted["w"])
    if name.startswith("vae"):
        model.get_layer("sampling").noise = wanted["x"][1]
    for a, y in zip(outputs(model, wanted["x"][0]), wanted["y"], strict=True):
        np.testing.assert_allclose(a, y, rtol=0, atol=1e-6)


def test_layers_in_the_places_of_others_keep_their_order_without_names_of_their_own():
    x = layers.Input((9,))
    h = layers.Dense(6, "relu")(x)
    encoder = scratchae.Model(x, [layers.Dense(2)(h), layers.Dense(2)(h)])
    encoder.load_weights(FILES / "vae_encoder_ops_weights.weights.h5")
    assert_same(encoder.get_weights(), expected({"expected": "vae_encoder_ops_weights.npz"})["w"])


@pytest.mark.parametrize("entry", [e for e in MANIFEST if "expected" not in e], ids=lambda e: e["file"])
def test_files_that_reach_out_are_refused(entry, tmp_path):
    path = Path(shutil.copy(FILES / entry["file"], tmp_path))
    load = load_model if path.suffix == ".keras" else vanilla.autoencoder(4, [], 2)[2].load_weights
    with pytest.raises(ScratchaeFormatError, match=REASONS[entry["file"]]):
        load(path)
