"""The LSTM autoencoder: sequence to vector to sequence."""

from __future__ import annotations

from .. import checks
from ..layers import LSTM, Input, RepeatVector
from ..model import Model


def autoencoder(timesteps: int, input_dim: int, latent_dim: int) -> tuple[Model, Model, Model]:
    """A sequence-to-sequence autoencoder (Srivastava, Mansimov & Salakhutdinov 2015, the unconditioned one).

    The encoder's LSTM reads (N, timesteps, input_dim) and its last state (N, latent_dim) is the code; the decoder's
    LSTM sees the code at every step and gives the sequence. An LSTM's output lies in (-1, 1): data should, too.

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
    y = LSTM(input_dim, return_sequences=True)(RepeatVector(timesteps)(z))
    decoder = Model(z, y, name="decoder")

    x = Input((timesteps, input_dim))
    auto = Model(x, decoder(encoder(x)), name="autoencoder")
    auto.compile("adam", "mean_squared_error")
    return encoder, decoder, auto
