"""Keras 3 on JAX: whole calls of `fit`. The models with a sigmoid are those of keras_losses.py."""

from __future__ import annotations

import os
import platform
from typing import Any
from unittest import mock

os.environ["KERAS_BACKEND"] = "jax"  # read when keras is imported

import jax
import keras
import numpy as np
from keras import layers

from ..keras_losses import keras_convolutional, keras_dense, keras_variational
from .models import L1, LATENT, TIMESTEPS, initial_weights
from .serve import Contestant, Variants, Work, serve

SAMPLES = 8192  # of a fit that stands for training steps: what a call costs is spread over many,
SLOW_SAMPLES = 2048  # and it takes no longer than a round should


def recurrent() -> Any:
    encoder = [layers.Input((TIMESTEPS, 28)), layers.LSTM(LATENT)]
    auto = keras.Sequential([*encoder, layers.RepeatVector(TIMESTEPS), layers.LSTM(28, return_sequences=True)])
    auto.compile("adam", "mean_squared_error")
    return auto


def build(model: str) -> Any:
    """The compiled model with the initial weights; "adam" is Adam(1e-3) with epsilon 1e-7."""
    keras.utils.set_random_seed(0)
    if model == "convolutional":
        auto = keras_convolutional()
    elif model == "variational":
        auto = keras_variational()
    elif model == "recurrent":
        auto = recurrent()
    else:
        penalty = keras.regularizers.L1(L1) if model == "sparse" else None
        auto = keras_dense(() if model == "dense" else (128, 64), penalty)
    auto.set_weights(initial_weights(model))
    return auto


class Keras(Contestant):
    def versions(self) -> dict[str, str]:
        return {"keras": keras.__version__, "jax": jax.__version__, "python": platform.python_version()}

    def training(self, model: str, batches: list[np.ndarray]) -> Variants:
        batch_size = len(batches[0])
        samples = SLOW_SAMPLES if model == "convolutional" else SAMPLES
        repeats = max(1, samples // (batch_size * len(batches)))
        (work,) = self.fit(model, np.concatenate(batches * repeats), batch_size).values()
        return {"": Work(work.run, work.inputs, steps=repeats * len(batches))}

    def fit(self, model: str, x: np.ndarray, batch_size: int) -> Variants:
        auto = build(model)
        return {"": Work(lambda x: auto.fit(x, x, batch_size=batch_size, verbose=0), [x])}

    def check(self, model: str, x: np.ndarray, noise: np.ndarray, steps: int) -> dict[str, Any]:
        auto = build(model)

        def loss() -> float:
            with mock.patch("keras.random.normal", return_value=noise):
                return auto.evaluate(x, x, batch_size=len(x), verbose=0)

        before = loss()
        for _ in range(steps):
            auto.train_on_batch(x, x)
        return {"parameters": auto.count_params(), "loss": before, "later_loss": loss()}


if __name__ == "__main__":
    serve(Keras())
