"""scratchae, through its public interface, on its default device. Batches are NumPy arrays: reading them is timed.

With --device cuda, batches and data sets lie on the GPU before the clock starts.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np

import scratchae
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational

from .models import L1, LATENT, TIMESTEPS, initial_weights
from .serve import Contestant, Variants, Work, serve

FIT = 0.05  # seconds that a call of fit is to take on a GPU, so that what comes before the first epoch is little


class Scratchae(Contestant):
    """The autoencoders as they come: compiled with Adam and their loss."""

    def __init__(self, device: str = "", floatx: str = "float32", precision: str = "float32", samples: int = 0):
        """samples: of the data set that fit is timed on, at least."""
        self.device, self.precision, self.samples, self.gpu = device, precision, samples, None
        scratchae.set_floatx(floatx)
        if device:
            scratchae.set_device(device)
        if device.startswith("cuda"):
            from ..gpu.device import open_device

            self.gpu = open_device(device)
            scratchae.set_matmul_precision(precision)

    def settings(self) -> dict[str, str]:
        return {"device": self.device, "precision": self.precision} if self.device else {}

    def seconds(self, run: Callable[[], object]) -> float:
        return super().seconds(run) if self.gpu is None else self.gpu.seconds(run)

    def versions(self) -> dict[str, str]:
        return {"scratchae": scratchae.__version__, "python": platform.python_version(), "numpy": np.__version__}

    def training(self, model: str, batches: list[np.ndarray]) -> Variants:
        auto = build(model)
        if self.gpu is None:
            return {"": Work(lambda x: auto.train_on_batch(x, x), batches)}
        placed = [self.gpu.backend.array(x) for x in batches]
        return {
            "fit": self._epochs(model, batches),
            "train_on_batch": Work(lambda x: auto.train_on_batch(x, x), placed),
        }

    def _epochs(self, model: str, batches: list[np.ndarray]) -> Work:
        """Calls of fit, of as many epochs as make what they share small."""
        assert self.gpu is not None
        auto, batch = build(model), len(batches[0])
        repeats = ceil(self.samples / (batch * len(batches))) or 1
        data = self.gpu.backend.array(np.concatenate(batches * repeats))

        def fit(epochs: int) -> None:
            auto.fit(data, data, batch_size=batch, epochs=epochs, verbose=0)

        fit(1)
        fit(1)
        epochs = ceil(FIT / self.seconds(lambda: fit(1))) if self.samples else 1
        return Work(fit, [epochs], steps=epochs * repeats * len(batches))

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="")
    parser.add_argument("--floatx", default="float32")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--samples", type=int, default=0)
    serve(Scratchae(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
