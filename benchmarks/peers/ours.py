"""scratchae, through its public interface, on its default device. Batches are NumPy arrays: reading them is timed."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

import scratchae
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational

from .models import L1, LATENT, TIMESTEPS, initial_weights
from .serve import Contestant, Variants, Work, serve


class Scratchae(Contestant):
    """The autoencoders as they come: compiled with Adam and their loss."""

    def versions(self) -> dict[str, str]:
        return {"scratchae": scratchae.__version__, "python": platform.python_version(), "numpy": np.__version__}

    def training(self, model: str, batches: list[np.ndarray]) -> Variants:
        auto = build(model)
        return {"": Work(lambda x: auto.train_on_batch(x, x), batches)}

    def fit(self, model: str, x: np.ndarray, batch_size: int) -> Variants:
        """Whole fit calls, and the steps alone: what fit adds are the permutation, the gather and the means."""
        auto, other = build(model), build(model)
        batches = [x[i : i + batch_size] for i in range(0, len(x), batch_size)]

        def steps(batches: list[np.ndarray]) -> None:
            for batch in batches:
                other.train_on_batch(batch, batch)

        return {
            "fit": Work(lambda x: auto.fit(x, x, batch_size=batch_size, verbose=0), [x]),
            "train_on_batch": Work(steps, [batches]),
        }

    def inference(self, model: str, batches: list[np.ndarray]) -> Variants:
        return {"": Work(build(model).predict_on_batch, batches)}

    def check(self, model: str, x: np.ndarray, noise: np.ndarray, steps: int) -> dict[str, Any]:
        auto, trained = build(model), build(model)
        for _ in range(steps):
            trained.train_on_batch(x, x)
        if model == "variational":
            for each in (auto, trained):
                each.get_layer("sampling").noise = noise
        return {
            "parameters": auto.count_params(),
            "loss": auto.test_on_batch(x, x),
            "later_loss": trained.test_on_batch(x, x),
            "output": auto.predict_on_batch(x),
        }


def build(model: str) -> Any:
    """The compiled autoencoder with the initial weights."""
    scratchae.set_random_seed(0)
    if model == "dense":
        _, _, auto = vanilla.autoencoder(784, [], 32)
    elif model == "deep":
        _, _, auto = vanilla.autoencoder(784, [128, 64], 32)
    elif model == "sparse":
        _, _, auto = sparse.autoencoder(784, [128, 64], 32, L1)
    elif model == "convolutional":
        _, _, auto = convolutional.autoencoder((28, 28, 1), [16, 8, 8], (4, 4, 8))
    elif model == "variational":
        _, _, auto = variational.autoencoder(784, [512], 2)
    else:
        _, _, auto = recurrent.autoencoder(TIMESTEPS, 28, LATENT)
    auto.set_weights(initial_weights(model))
    return auto


if __name__ == "__main__":
    serve(Scratchae())
