"""Keras' files, written and read here."""

import io
import json
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import scratchae
from scratchae import ScratchaeFormatError, layers, load_model, optimizers
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational
from scratchae.files import hdf5, hdf5_reader, keras_archive

h5py = pytest.importorskip("h5py")
AUTOENCODERS = {
    "vanilla": lambda: vanilla.autoencoder(6, [5], 3)[2],
    "sparse": lambda: sparse.autoencoder(6, [5], 3, 0.01)[2],
    "convolutional": lambda: convolutional.autoencoder((12, 12, 1), [2, 2, 2], (2, 2, 2))[2],
    "variational": lambda: variational.autoencoder(6, [5], 2)[2],
    "recurrent": lambda: recurrent.autoencoder(4, 3, 5)[2],
}


@pytest.fixture(autouse=True)
def on_reference():
    scratchae.set_device("reference")


@pytest.fixture
def auto():
    return vanilla.autoencoder(6, [5], 3)[2]


def quiet(model, n):
    for layer in model._all_layers():
        if isinstance(layer, layers.Sampling):
            layer.noise = np.ones((n, *layer.output.sample_shape))


def train(model, steps=3):
    """Steps on the same data each time; returns the losses."""
    x = np.random.default_rng(5).random((7, *model.inputs[0].sample_shape))
    quiet(model, len(x))
    return [model.train_on_batch(x, x) for _ in range(steps)]


def assert_same_weights(model, twin):
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", AUTOENCODERS)
def test_training_goes_on_with_the_same_bits(kind, tmp_path):
    model = AUTOENCODERS[kind]()
    train(model)
    model.save(tmp_path / "m.keras")
    twin = load_model(tmp_path / "m.keras")
    assert twin.optimizer.iterations == 3
    assert [layer.name for layer in twin._all_layers()] == [layer.name for layer in model._all_layers()]
    assert_same_weights(model, twin)
    assert train(twin) == train(model)
    assert_same_weights(model, twin)


def test_every_optimizer_comes_back(auto, tmp_path):
    for optimizer in (
        optimizers.SGD(0.1), optimizers.SGD(0.1, momentum=0.5), optimizers.RMSprop(momentum=0.5, centered=True),
        optimizers.Adadelta(0.3), optimizers.AdamW(), optimizers.Adam(amsgrad=True, use_ema=True),
        optimizers.Adam(scratchae.optimizers.schedules.CosineDecay(0.1, 9), gradient_accumulation_steps=2),
    ):  # fmt: skip
        auto.compile(optimizer, "mse", metrics=["mae"])
        train(auto)
        auto.save(tmp_path / "m.keras")
        twin = load_model(tmp_path / "m.keras")
        assert train(twin) == train(auto)
        assert_same_weights(auto, twin)


def test_a_learning_rate_that_was_changed_comes_back_and_one_that_was_not_keeps_its_digits(auto, tmp_path):
    auto.compile(optimizers.Adam(0.1), "mse")
    auto.save(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras").optimizer.learning_rate == 0.1
    twin = load_model(tmp_path / "m.keras", compile=False)
    assert twin.optimizer is None
    twin.compile(optimizers.Adam(0.5), "mse")
    auto.save_weights(tmp_path / "m.weights.h5")
    twin.load_weights(tmp_path / "m.weights.h5")
    assert twin.optimizer.learning_rate == float(np.float32(0.1))


def test_models_without_optimizer_and_of_double_precision_come_back(tmp_path, float64):
    encoder, _, _ = vanilla.autoencoder(6, [5], 3)
    encoder.save(tmp_path / "m.keras")
    twin = load_model(tmp_path / "m.keras")
    assert twin.optimizer is None
    assert twin.get_weights()[0].dtype == np.float64
    assert_same_weights(encoder, twin)


def test_a_layer_that_is_there_twice_has_its_weights_once(tmp_path):
    x = layers.Input((4,))
    shared = layers.Dense(4)
    model = scratchae.Model(x, scratchae.Sequential([layers.Input((4,)), shared, layers.Dense(4)])(shared(x)))
    stored = hdf5_reader.read(hdf5.encode("test", model))
    assert sorted(stored.arrays) == [
        "layers/dense/vars/0", "layers/dense/vars/1",
        "layers/sequential/layers/dense_1/vars/0", "layers/sequential/layers/dense_1/vars/1",
    ]  # fmt: skip
    model.save(tmp_path / "m.keras")
    assert_same_weights(model, load_model(tmp_path / "m.keras"))

    x = layers.Input((4,))  # first in a nested model, which other layers of its class come before
    model = scratchae.Model(x, shared(scratchae.Sequential([layers.Input((4,)), shared])(layers.Dense(4)(x))))
    assert sorted(hdf5_reader.read(hdf5.encode("test", model)).arrays) == [
        "layers/dense/vars/0", "layers/dense/vars/1",
        "layers/sequential/layers/dense/vars/0", "layers/sequential/layers/dense/vars/1",
    ]  # fmt: skip


def names_in(stack, stored):
    """The names of the layers that get the weights of a file's groups, which are called so."""
    return [layer.name for layer in hdf5.in_order_of_names(stack, stored, "dense")]


def test_names_decide_where_both_sides_have_them():
    stack = [layers.Dense(2, name=name) for name in ("dense_7", "mean", "log_var", "dense_9")]
    assert names_in(stack, ["dense_3", "z_log_var", "dense_4", "z_mean"]) == ["dense_7", "log_var", "dense_9", "mean"]
    in_order = [layer.name for layer in stack]
    assert names_in(stack, ["dense", "log_var", "other", "dense_1"]) == in_order
    assert names_in(stack, ["", "", "", ""]) == in_order
    twice = [layers.Dense(2, name=name) for name in ("mean", "z_mean")]
    assert names_in(twice, ["mean", "dense_5"]) == names_in(twice, ["mean", "z_mean"]) == ["mean", "z_mean"]


def test_the_reader_sees_what_h5py_sees(auto):
    train(auto)
    content = hdf5.encode("test", auto)
    stored, found = hdf5_reader.read(content), {}
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(lambda name, thing: found.update({name: thing[()]} if isinstance(thing, h5py.Dataset) else {}))
    assert stored.arrays.keys() == found.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(stored.arrays[name], array)
        assert stored.arrays[name].dtype == array.dtype
    assert stored.names["layers/functional/layers/dense/vars"] == "dense"


def test_many_layers_and_long_names(tmp_path):
    """More members than a node of a group's tree has places, and names that a heap has to grow for."""
    stack = [layers.Dense(1, name="x" * 50 + str(i)) for i in range(300)]
    model = scratchae.Sequential([layers.Input((1,)), *stack])
    model.save_weights(tmp_path / "m.weights.h5")
    twin = scratchae.Sequential([layers.Input((1,)), *[layers.Dense(1) for _ in stack]])
    twin.load_weights(tmp_path / "m.weights.h5")
    assert_same_weights(model, twin)


def test_weights_of_another_model_change_nothing(auto, tmp_path):
    path = tmp_path / "m.weights.h5"
    auto.save_weights(path)
    for make, match in (
        (lambda: vanilla.autoencoder(6, [4], 3)[2], r"shape \(6, 5\) and type float32; expected \(6, 4\) and floats"),
        (lambda: vanilla.autoencoder(6, [5, 5], 3)[2], r"has shape \(5, 3\)"),
        (lambda: vanilla.autoencoder(6, [5], 3)[0], r"'layers/dense/vars/0', for 'dense_\d+/kernel', is missing"),
        (lambda: scratchae.Sequential([layers.Input((2,)), layers.Flatten()]), "there is no place for 'layers/"),
    ):
        other = make()
        before = other.get_weights()
        with pytest.raises(ScratchaeFormatError, match=match):
            other.load_weights(path)
        for a, b in zip(other.get_weights(), before, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_state_of_another_optimizer_is_left_out(auto, tmp_path):
    train(auto)
    auto.save_weights(tmp_path / "m.weights.h5")
    _, _, twin = vanilla.autoencoder(6, [5], 3)
    twin.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="the state of another optimizer; this SGD keeps its own") as caught:
        twin.load_weights(tmp_path / "m.weights.h5")
    assert caught[0].filename == __file__
    assert_same_weights(auto, twin)
    assert twin.optimizer.iterations == 0


def test_an_optimizer_that_keras_has_not_used_yet_begins_anew(auto, tmp_path):
    auto.save_weights(tmp_path / "m.weights.h5")
    before = auto.get_weights()
    fresh = train(auto)
    with h5py.File(tmp_path / "m.weights.h5", "a") as file:
        for i in range(2, len(file["optimizer/vars"])):
            del file[f"optimizer/vars/{i}"]
    auto.load_weights(tmp_path / "m.weights.h5")
    assert auto.optimizer.iterations == 0
    for a, b in zip(auto.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert train(auto) == fresh


def test_the_archive_is_as_keras_makes_it(auto, tmp_path):
    auto.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5"]
        assert set(json.loads(archive.read("metadata.json"))) >= {"keras_version", "date_saved"}
        config = json.loads(archive.read("config.json"))
    assert (config["module"], config["class_name"]) == ("keras.src.models.functional", "Functional")
    assert config["compile_config"]["optimizer"]["class_name"] == "Adam"


def test_without_h5py_files_are_read_and_an_error_names_the_extra(auto, tmp_path, monkeypatch):
    auto.save(tmp_path / "m.keras")
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert_same_weights(auto, load_model(tmp_path / "m.keras"))
    with pytest.raises(ImportError, match=r"pip install 'scratchae\[keras\]'"):
        auto.save(tmp_path / "n.keras")
    assert [file.name for file in tmp_path.iterdir()] == ["m.keras"]


def test_optimizers_of_keras_on_pytorch_are_the_same(auto, tmp_path):
    for name in ("SGD", "RMSprop", "Adadelta", "Adam", "AdamW"):
        auto.compile(name, "mse")
        auto.save(tmp_path / "m.keras")
        config, weights = keras_archive.read(tmp_path / "m.keras")
        module = f"keras.src.backend.torch.optimizers.torch_{name.lower()}"
        config["compile_config"]["optimizer"] |= {"module": module, "registered_name": name}
        (tmp_path / "m.keras").write_bytes(keras_archive.write(config, weights))
        assert type(load_model(tmp_path / "m.keras").optimizer) is getattr(optimizers, name)


def test_a_sampling_layer_of_another_program_becomes_ours(tmp_path):
    encoder, _, _ = variational.autoencoder(6, [5], 2)
    encoder.save(tmp_path / "m.keras")
    config, weights = keras_archive.read(tmp_path / "m.keras")
    entry = config["config"]["layers"][-1]
    entry |= {"module": "__main__", "registered_name": "Sampling"}
    del entry["config"]["beta"]
    (tmp_path / "m.keras").write_bytes(keras_archive.write(config, weights))
    with pytest.raises(ScratchaeFormatError, match=r"custom_objects=\{'Sampling': class\}"):
        load_model(tmp_path / "m.keras")
    twin = load_model(tmp_path / "m.keras", custom_objects={"Sampling": layers.Sampling})
    assert type(twin.layers[-1]) is layers.Sampling
    assert_same_weights(encoder, twin)


def test_the_code_of_the_document_runs(auto, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = Path(__file__).parents[2] / "docs" / "keras.md"
    [code] = [
        code for code in re.findall(r"```python\n(.*?)```", document.read_text(), re.S) if "import keras" not in code
    ]
    names = {"auto": auto, "scratchae": scratchae}
    exec(code, names)
    assert_same_weights(names["auto"], auto)
