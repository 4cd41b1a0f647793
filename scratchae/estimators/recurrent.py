"""The LSTM autoencoder as an estimator."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks
from ..autoencoders import recurrent
from .base import AutoencoderEstimator


class RecurrentAutoencoder(AutoencoderEstimator):
    """The autoencoder of scratchae.autoencoders.recurrent: an LSTM reads a sequence to a code, another one unrolls it,
    and a dense layer makes each step of its states.

        X = sequences.reshape(len(sequences), -1)  # from (n, 24, features)
        codes = RecurrentAutoencoder(16, timesteps=24, random_state=0).fit_transform(X)

    Args:
        latent_dims: units of both LSTMs, the size of the code.
        timesteps: steps of the sequence that a row holds one after the other, n_features / timesteps values each;
            None for one value a step.

    All others, the attributes and the methods are those of AutoencoderEstimator.
    """

    _construct = staticmethod(recurrent.autoencoder)

    def __init__(
        self, latent_dims: int = 32, *, timesteps: int | None = None,
        epochs: int = 100, batch_size: int = 32, learning_rate: float = 1e-3, loss: str = "mse",
        contamination: float = 0.1, early_stopping: bool = False, validation_fraction: float = 0.1,
        n_iter_no_change: int = 10, tol: float = 1e-4, device: str | None = None,
        random_state: int | np.random.RandomState | None = None, verbose: int = 0,
    ):  # fmt: skip
        super().__init__(
            epochs, batch_size, learning_rate, loss, contamination, early_stopping, validation_fraction,
            n_iter_no_change, tol, device, random_state, verbose,
        )  # fmt: skip
        self.latent_dims = latent_dims
        self.timesteps = timesteps

    def _arguments(self, X: np.ndarray) -> dict[str, Any]:
        owner = type(self).__name__
        features = X.shape[1]
        latent_dims = checks.positive_integer(owner, "latent_dims", self.latent_dims)
        steps = features if self.timesteps is None else checks.positive_integer(owner, "timesteps", self.timesteps)
        if features % steps:
            raise ValueError(
                f"{owner}: timesteps={steps} does not divide the {features} features of X; expected rows of timesteps "
                "times the values of a step"
            )
        return {"timesteps": steps, "input_dim": features // steps, "latent_dim": latent_dims}
