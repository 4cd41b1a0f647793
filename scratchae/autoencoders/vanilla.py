"""The fully connected autoencoder: with no hidden layer the plain one, with several the deep one."""

from __future__ import annotations

from collections.abc import Sequence

from .. import checks
from ..layers import Dense, Input
from ..model import Model
from ..regularizers import Regularizer


def autoencoder(
    input_dims: int, hidden_layers: Sequence[int], latent_dims: int, output_activation: str = "sigmoid"
) -> tuple[Model, Model, Model]:
    """An autoencoder of dense layers (Hinton & Salakhutdinov 2006): x (N, input_dims) -> h (N, latent_dims) -> x.

    Args:
        input_dims: features of a sample.
        hidden_layers: units of the encoder's hidden layers, the decoder has them in reverse; may be empty.
        latent_dims: units of the code.
        output_activation: of the last layer; "linear" for data that is not in [0, 1], compiled anew with "mse".

    All layers are relu, the last is sigmoid: data belongs into [0, 1].

    Returns:
        encoder, decoder, auto = decoder(encoder(x)), compiled with Adam and binary cross-entropy.
    """
    return dense_autoencoder("vanilla.autoencoder", input_dims, hidden_layers, latent_dims, output_activation, None)


def dense_autoencoder(
    owner: str,
    input_dims: int,
    hidden_layers: Sequence[int],
    latent_dims: int,
    output_activation: str,
    activity_regularizer: Regularizer | None,
) -> tuple[Model, Model, Model]:
    """What the vanilla and the sparse autoencoder share: all but the penalty on the code."""
    input_dims = checks.positive_integer(owner, "input_dims", input_dims)
    hidden_layers = checks.positive_integers(owner, "hidden_layers", hidden_layers)
    latent_dims = checks.positive_integer(owner, "latent_dims", latent_dims)

    x = h = Input((input_dims,))
    for units in hidden_layers:
        h = Dense(units, activation="relu")(h)
    h = Dense(latent_dims, activation="relu", activity_regularizer=activity_regularizer)(h)
    encoder = Model(x, h, name="encoder")

    z = y = Input((latent_dims,))
    for units in reversed(hidden_layers):
        y = Dense(units, activation="relu")(y)
    y = Dense(input_dims, activation=output_activation)(y)
    decoder = Model(z, y, name="decoder")

    x = Input((input_dims,))
    auto = Model(x, decoder(encoder(x)), name="autoencoder")
    auto.compile("adam", "binary_crossentropy")
    return encoder, decoder, auto
