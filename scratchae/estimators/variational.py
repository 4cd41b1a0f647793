"""The variational autoencoder as an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_random_state, gen_batches

from .. import checks
from ..autoencoders import variational
from .base import ROWS_AT_ONCE, AutoencoderEstimator, dense_arguments


class VariationalAutoencoder(AutoencoderEstimator):
    """The autoencoder of scratchae.autoencoders.variational: codes follow N(0, 1), so that new rows can be drawn.

        model = VariationalAutoencoder((64,), 2, random_state=0).fit(X)
        new = model.sample(10, random_state=0)

    Args:
        hidden_layers: units of the encoder's hidden layers, the decoder has them in reverse; may be empty.
        latent_dims: dimensions of the code.
        beta: weight of the divergence from N(0, 1) (Higgins et al. 2017). With 1 the loss is the variational bound for
            features that, given the code, are normal with the variance that they have in X, on average (mse), or
            Bernoulli distributed (binary_crossentropy). Smaller, codes tell more of the rows and are less like N(0, 1).

    `transform` gives the mean of each row's distribution over codes, and scores are of what the decoder makes of it:
    nothing is drawn. All others, the attributes and the methods are those of AutoencoderEstimator.
    """

    _construct = staticmethod(variational.autoencoder)

    def __init__(
        self, hidden_layers: Sequence[int] = (128, 64), latent_dims: int = 2, beta: float = 1.0, *,
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
        self.beta = beta

    def _arguments(self, X: np.ndarray) -> dict[str, Any]:
        beta = checks.number(type(self).__name__, "beta", self.beta, low=0)
        if self.loss == "mse":
            # Minus the logarithm of a normal density with variance v is the squared error / 2v, and this 2v times it.
            beta *= 2 * (mean_variance(X) or 1.0)
        beta /= X.shape[1]  # the losses are means over features, the bound has their sum
        return dense_arguments(self, X) | {"beta": beta}

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """New rows, (n_samples, n_features): what the decoder makes of codes drawn from N(0, 1)."""
        n_samples = checks.positive_integer(f"{type(self).__name__}.sample", "n_samples", n_samples)
        self._fitted()
        codes = check_random_state(random_state).standard_normal((n_samples, self._n_features_out))
        return self.inverse_transform(codes)


def mean_variance(X: np.ndarray) -> float:
    """The mean of the features' variances, without a copy of X."""
    mean = X.mean(axis=0, dtype=float)
    return float(sum(np.square(X[rows] - mean).sum() for rows in gen_batches(len(X), ROWS_AT_ONCE)) / X.size)
