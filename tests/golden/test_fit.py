"""fit and evaluate against Keras: histories, logs of each batch, final weights."""

import json
from pathlib import Path

import numpy as np
import pytest

import scratchae
from scratchae import training
from scratchae.autoencoders import sparse
from scratchae.callbacks import LambdaCallback
from scratchae.optimizers import Adam

HERE = Path(__file__).parent
FILES = {name: json.loads((HERE / f"fit_{name}.json").read_text()) for name in ("float32", "float64")}
FITS = [(name, run) for name, file in FILES.items() for run, result in file["results"].items() if "kwargs" in result]
TOLERANCE = {"float32": {"rtol": 5e-6}, "float64": {"rtol": 1e-9, "atol": 1e-12}}


def make(file):
    p = file["params"]
    scratchae.set_floatx(file["floatx"])
    try:
        _, _, auto = sparse.autoencoder(p["d"], [p["h"]], p["l"], p["lam"])
    finally:
        scratchae.set_floatx("float32")
    auto.compile(Adam(learning_rate=0.02), "binary_crossentropy", metrics=["mse", "mae"])
    auto.set_weights([np.array(w) for w in file["init"]])
    return auto, np.array(file["x"]), np.array(file["sample_weight"])


@pytest.mark.parametrize(("floatx", "run"), FITS, ids=lambda value: value)
def test_fit_is_keras(floatx, run, monkeypatch):
    file = FILES[floatx]
    expected = file["results"][run]
    auto, x, sample_weight = make(file)
    arguments = dict(expected["kwargs"])
    if "sample_weight" in arguments:
        arguments["sample_weight"] = sample_weight
    orders = iter(expected.get("permutations_discard_first", [])[1:])  # Keras draws one before the first epoch
    if arguments.get("shuffle"):
        monkeypatch.setattr(training, "permutation", lambda seed, index, n: np.array(next(orders)))
    logs = []
    watch = LambdaCallback(on_train_batch_end=lambda i, log: logs.append([i, dict(log)]))
    history = auto.fit(x, x, verbose=0, callbacks=[watch], **arguments)
    close = TOLERANCE[floatx]
    assert history.epoch == expected["epoch"]
    assert history.params == expected["params"]
    assert list(history.history) == list(expected["history"])
    for key, values in expected["history"].items():
        np.testing.assert_allclose(history.history[key], values, **close, err_msg=key)
        assert all(type(value) is float for value in history.history[key])
    for (i, ours), (j, theirs) in zip(logs, expected["train_batch_end_logs"], strict=True):
        assert i == j
        assert list(ours) == list(theirs)
        np.testing.assert_allclose(list(ours.values()), list(theirs.values()), **close)
    for w, theirs in zip(auto.get_weights(), expected["final_weights"], strict=True):
        np.testing.assert_allclose(w, np.array(theirs), **(close if floatx == "float64" else {"rtol": 0, "atol": 2e-5}))


@pytest.mark.parametrize("floatx", FILES)
def test_evaluate_and_single_batches_are_keras(floatx):
    file = FILES[floatx]
    expected, close = file["results"]["evaluate"], TOLERANCE[floatx]
    auto, x, sample_weight = make(file)
    size = expected["bs"]
    np.testing.assert_allclose(auto.evaluate(x, x, batch_size=size), expected["result"], **close)
    result = auto.evaluate(x, x, batch_size=size, return_dict=True)
    assert list(result) == list(expected["result_dict"])
    np.testing.assert_allclose(list(result.values()), list(expected["result_dict"].values()), **close)
    weighted = auto.evaluate(x, x, batch_size=size, sample_weight=sample_weight)
    np.testing.assert_allclose(weighted, expected["weighted"], **close)
    np.testing.assert_allclose(
        auto.predict(x), expected["predict"], rtol=close["rtol"], atol=1e-6 * (floatx == "float32")
    )
    np.testing.assert_allclose(auto.test_on_batch(x, x), expected["test_on_batch"], **close)
    np.testing.assert_allclose(auto.train_on_batch(x, x), expected["train_on_batch"], **close)
