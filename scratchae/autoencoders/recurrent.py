"""The LSTM autoencoder: sequence to vector to sequence."""

from __future__ import annotations

from .. import checks
from ..layers import LSTM, Dense, Input, RepeatVector
from ..model import Model


def autoencoder(
    timesteps: int, input_dim: int, latent_dim: int, output_activation: str | None = None
) -> tuple[Model, Model, Model]:
    """A sequence-to-sequence autoencoder (Srivastava, Mansimov & Salakhutdinov 2015, the unconditioned one).

    The encoder's LSTM reads (N, timesteps, input_dim) and its last state (N, latent_dim) is the code; the decoder's
    LSTM sees the code at every step and gives the sequence. An LSTM's output lies in (-1, 1): data should, too. With an
    output_activation, "linear" for any data or "sigmoid" for [0, 1], the decoder's LSTM has latent_dim units, and a
    dense layer makes the sequence of its states.

    Returns:
        encoder, decoder, auto, compiled with Adam and the mean squared error.
    """
    owner = "recurrent.autoencoder"
    timesteps = checks.positive_integer(owner, "timesteps", timesteps)
    input_dim = checks.positive_integer(owner, "input_dim", input_dim)
    latent_dim = checks.positive_integer(owner, "latent_dim", latent_dim)

    x = Input((timesteps, input_dim))
    encoder = Model(x, LSTM(latent_dim)(x), name="encoder")

    z = Input((latent_dim,))
    y = RepeatVector(timesteps)(z)
    if output_activation is None:
        y = LSTM(input_dim, return_sequences=True)(y)
    else:
        y = Dense(input_dim, activation=output_activation)(LSTM(latent_dim, return_sequences=True)(y))
    decoder = Model(z, y, name="decoder")

    x = Input((timesteps, input_dim))
    auto = Model(x, decoder(encoder(x)), name="autoencoder")
    auto.compile("adam", "mean_squared_error")
    return encoder, decoder, auto
