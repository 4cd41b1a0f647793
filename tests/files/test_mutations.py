"""Damaged and forged files of models give one kind of error, soon, and without much memory."""

import json

import numpy as np
import pytest
from mutate import changed_bytes, run, small_model

import scratchae
from scratchae import Input, Model, ScratchaeFormatError, layers
from scratchae.files import container

INPUTS = 2000  # python -m tests.files.mutate --inputs 100000 takes minutes


def test_mutated_files_give_format_errors_only(tmp_path):
    refused, longest = run(INPUTS, tmp_path / "m.safetensors")
    assert refused > 0.8 * INPUTS
    assert longest < 5


def test_flips_and_cuts_of_a_model_file_are_found(tmp_path, rng):
    path = tmp_path / "m.safetensors"
    small_model().save(path)
    content = path.read_bytes()
    for _ in range(300):
        changed = changed_bytes(content, rng)
        path.write_bytes(changed)
        if changed != content:
            with pytest.raises(ScratchaeFormatError, match=r"m\.safetensors is damaged, or no file of scratchae"):
                scratchae.load_model(path)


# ---- what an attacker would write -----------------------------------------------------------------------------------
def described(path, change):
    """A file whose metadata was changed and whose checksum is right."""
    small_model().save(path)
    arrays, metadata = container.read(path)
    change(metadata)
    container.write(path, arrays, metadata)


def entry_of(model):
    return json.loads(json.dumps(scratchae.files.architecture.describe(model)))


def many_models(told):
    """Models of which each calls the one before twice: 2^20 layers in a few kilobytes."""
    x = Input((3,))
    model = Model(x, layers.Activation("relu")(x))
    for _ in range(18):
        x = Input((3,))
        model = Model(x, model(model(x)))
    told["model"] = entry_of(model)


def many_layers(told):
    x = y = Input((3,))
    for i in range(300):
        y = layers.Activation("relu", name=f"step_{i}")(y)
    config = entry_of(Model(x, y))["config"]
    chain = json.dumps(config["layers"][1:])
    for i in range(3):
        config["layers"] += json.loads(chain.replace('"step', f'"step_{i}'))
    told["model"]["config"] = config


def deep_models(told):
    entry = told["model"]
    for _ in range(60):
        outer = {**entry, "config": {**entry["config"], "layers": [{**entry, "name": "a", "inbound_nodes": []}]}}
        entry = outer
    told["model"] = entry


def large_layer(told):
    told["model"]["config"]["layers"][1]["config"]["layers"][1]["config"]["units"] = 10**11


def circle(told):
    node = told["model"]["config"]["layers"][1]["inbound_nodes"][0]
    node["args"][0]["config"]["keras_history"] = ["decoder", 0, 0]


def import_by_name(told):
    told["model"]["config"]["layers"][1] |= {"module": "os", "class_name": "system"}


def optimizer_by_name(told):
    told["compile"]["optimizer"]["class_name"] = "Lion"


def another_shape(told):
    told["weights"] = list(reversed(told["weights"]))


ATTACKS = {
    many_models: "more than 1000 layers",
    many_layers: "more than 1000 layers",
    deep_models: "models lie in models more than 20 deep|nested more than 200 deep",
    large_layer: "more than the file holds weights for",
    circle: "inputs of layer 'encoder' are nowhere made",
    import_by_name: "class 'system' of 'os', which is none that this library makes from a file",
    optimizer_by_name: "'Lion' .*compile=False reads the model without its optimizer and loss",
    another_shape: "its weights are .* another list",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused(attack, tmp_path):
    described(tmp_path / "m.safetensors", attack)
    with pytest.raises(ScratchaeFormatError, match=f"m.safetensors.*({ATTACKS[attack]})"):
        scratchae.load_model(tmp_path / "m.safetensors")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    small_model().save(path)
    arrays, metadata = container.read(path)
    arrays["weights/decoder/dense_1/bias"][0] = np.nan
    container.write(path, arrays, metadata)
    with pytest.raises(ScratchaeFormatError, match="its weight 'decoder/dense_1/bias' is not finite"):
        scratchae.load_model(path)


WRONG_ARRAYS = {
    "a weight of another type": lambda arrays: arrays.update({"weights/decoder/dense_1/bias": np.zeros(3)}),
    "a moment that is missing": lambda arrays: arrays.pop("optimizer/m/decoder/dense_1/bias"),
    "a moment of another shape": lambda arrays: arrays.update({"optimizer/v/decoder/dense_1/bias": np.zeros(7, "f4")}),
}


@pytest.mark.parametrize("change", WRONG_ARRAYS)
def test_arrays_that_do_not_fit_are_refused(change, tmp_path):
    path = tmp_path / "m.safetensors"
    small_model().save(path)
    arrays, metadata = container.read(path)
    WRONG_ARRAYS[change](arrays)
    container.write(path, arrays, metadata)
    with pytest.raises(ScratchaeFormatError, match=r"its array '.*/dense_1/bias' is .*; expected float32 \(3,\)"):
        scratchae.load_model(path)


def test_a_history_without_end_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    small_model().save(path)
    arrays, metadata = container.read(path)
    arrays["history/loss"] = np.zeros(2**21)
    container.write(path, arrays, metadata)
    with pytest.raises(ScratchaeFormatError, match="its history is of more than 8,388,608 bytes"):
        scratchae.load_model(path)
