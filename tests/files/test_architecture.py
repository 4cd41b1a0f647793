"""The architecture of models as plain values: there and back."""

import json

import numpy as np
import pytest

import scratchae
from scratchae import ScratchaeFormatError, layers
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational
from scratchae.files import architecture, compiling

AUTOENCODERS = {
    "vanilla": (vanilla, (7, [5], 3)),
    "sparse": (sparse, (7, [5], 3, 0.01)),
    "convolutional": (convolutional, ((12, 12, 1), [2, 2, 2], (2, 2, 2))),
    "variational": (variational, (7, [5], 2)),
    "recurrent": (recurrent, (4, 3, 5)),
}


def as_json(value):
    return json.loads(json.dumps(value))


def weight_bytes(model):
    return sum(w.nbytes for w in model.get_weights())


def made_again(model):
    twin = architecture.make(as_json(architecture.describe(model)), weight_bytes(model))
    twin.set_weights(model.get_weights())
    return twin


def assert_same_outputs(model, twin, rng):
    x = rng.random((3, *model.inputs[0].sample_shape))
    for a, b in zip(np.atleast_1d(model.predict_on_batch(x)), np.atleast_1d(twin.predict_on_batch(x)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(autouse=True)
def on_reference():
    scratchae.set_device("reference")


@pytest.mark.parametrize("kind", AUTOENCODERS)
def test_autoencoders_come_back(kind, rng):
    module, arguments = AUTOENCODERS[kind]
    encoder, _, auto = module.autoencoder(*arguments)
    twin = made_again(auto)
    assert architecture.describe(twin) == architecture.describe(auto)
    assert [p.name for p in twin.weights] == [p.name for p in auto.weights]
    if kind == "variational":
        for model in (auto, twin):
            model.get_layer("sampling").noise = np.ones((3, 2))
        assert type(twin.get_layer("encoder").predict_on_batch(np.ones((3, 7)))) is tuple
    assert_same_outputs(auto, twin, rng)
    assert_same_outputs(encoder, twin.get_layer("encoder"), rng) if kind != "variational" else None
    settings = as_json(compiling.describe(auto))
    compiling.compile(twin, settings)
    assert as_json(compiling.describe(twin)) == settings


def test_no_memory_is_taken_beyond_the_weights_that_are_there():
    auto = vanilla.autoencoder(7, [5], 3)[2]
    entry = architecture.describe(auto)
    with pytest.raises(ScratchaeFormatError, match="more than the file holds weights for"):
        architecture.make(entry, weight_bytes(auto) - 1)
    entry["config"]["layers"][1]["config"]["layers"][1]["config"]["units"] = 10**12
    with pytest.raises(ScratchaeFormatError, match=r"dense/kernel has the shape \(7, 1000000000000\)"):
        architecture.make(entry, weight_bytes(auto))


def test_a_class_that_is_not_ours_is_refused_by_name():
    x = scratchae.Input((3,))
    entry = architecture.describe(scratchae.Model(x, layers.Dense(2)(x)))
    entry["config"]["layers"][1]["class_name"] = "Embedding"
    with pytest.raises(ScratchaeFormatError, match=r"class 'Embedding' of 'keras\.layers', which is none that"):
        architecture.make(entry, 10**6)
