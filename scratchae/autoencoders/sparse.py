"""The sparse autoencoder: few units of the code are active at a time."""

from __future__ import annotations

from collections.abc import Sequence

from .. import checks
from ..model import Model
from ..regularizers import L1
from .vanilla import dense_autoencoder


def autoencoder(
    input_dims: int,
    hidden_layers: Sequence[int],
    latent_dims: int,
    lambtha: float,
    output_activation: str = "sigmoid",
) -> tuple[Model, Model, Model]:
    """The vanilla autoencoder with lambtha * sum |h| / N in the loss, h the code (Ng 2011, with an L1 penalty).

    Args:
        input_dims, hidden_layers, latent_dims, output_activation: as for the vanilla one.
        lambtha: weight of the penalty, at least 0; 1e-5 for 784 inputs is mild.

    Returns:
        encoder, decoder, auto, compiled with Adam and binary cross-entropy.
    """
    penalty = L1(checks.number("sparse.autoencoder", "lambtha", lambtha, low=0))
    return dense_autoencoder("sparse.autoencoder", input_dims, hidden_layers, latent_dims, output_activation, penalty)
