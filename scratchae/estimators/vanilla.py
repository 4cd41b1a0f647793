"""The fully connected autoencoder as an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autoencoders import vanilla
from .base import AutoencoderEstimator, dense_arguments


class VanillaAutoencoder(AutoencoderEstimator):
    """The autoencoder of scratchae.autoencoders.vanilla: dense layers of relu down to the code and back.

        codes = VanillaAutoencoder((64,), 8, random_state=0).fit_transform(X)

    Args:
        hidden_layers: units of the encoder's hidden layers, the decoder has them in reverse; may be empty.
        latent_dims: units of the code.

    All others, the attributes and the methods are those of AutoencoderEstimator.
    """

    _construct = staticmethod(vanilla.autoencoder)

    def __init__(
        self, hidden_layers: Sequence[int] = (128, 64), latent_dims: int = 8, *,
        epochs: int = 100, batch_size: int = 32, learning_rate: float = 1e-3, loss: str = "mse",
        contamination: float = 0.1, early_stopping: bool = False, validation_fraction: float = 0.1,
        n_iter_no_change: int = 10, tol: float = 1e-4, device: str | None = None,
        random_state: int | np.random.RandomState | None = None, verbose: int = 0,
    ):  # fmt: skip
        super().__init__(
            epochs, batch_size, learning_rate, loss, contamination, early_stopping, validation_fraction,
            n_iter_no_change, tol, device, random_state, verbose,
        )  # fmt: skip
        self.hidden_layers = hidden_layers
        self.latent_dims = latent_dims

    def _arguments(self, X: np.ndarray) -> dict[str, Any]:
        return dense_arguments(self, X)
