"""The variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

from .. import checks
from ..layers import Dense, Input, Sampling
from ..model import Model


def autoencoder(
    input_dims: int,
    hidden_layers: Sequence[int],
    latent_dims: int,
    output_activation: str = "sigmoid",
    beta: float = 1.0,
) -> tuple[Model, Model, Model]:
    """A variational autoencoder of dense layers (Kingma & Welling 2014).

    The encoder gives mean and log-variance of a normal distribution for each sample, and z drawn from it. The loss is,
    averaged over the batch, the sum over features of the binary cross-entropy plus the Kullback-Leibler divergence of
    that distribution from N(0, 1) (their eq. 10), which the layer "sampling" carries.

    Args:
        input_dims: features of a sample.
        hidden_layers: units of the encoder's hidden layers, the decoder has them in reverse; may be empty.
        latent_dims: dimensions of z.
        output_activation: of the last layer; "linear" for data that is not in [0, 1], compiled anew with "mse".
        beta: weight of the divergence (Higgins et al. 2017).

    Returns:
        encoder, decoder, auto; encoder.predict(x) is (z, mean, log_var); auto is compiled with Adam. z is drawn anew in
        each predict, from the seed of `set_random_seed`; auto.get_layer("sampling").noise = array fixes it.
    """
    owner = "variational.autoencoder"
    input_dims = checks.positive_integer(owner, "input_dims", input_dims)
    hidden_layers = checks.positive_integers(owner, "hidden_layers", hidden_layers)
    latent_dims = checks.positive_integer(owner, "latent_dims", latent_dims)

    x = h = Input((input_dims,))
    for units in hidden_layers:
        h = Dense(units, activation="relu")(h)
    mean = Dense(latent_dims, name="mean")(h)
    log_var = Dense(latent_dims, name="log_var")(h)
    z = Sampling(beta=beta, name="sampling")([mean, log_var])
    encoder = Model(x, (z, mean, log_var), name="encoder")

    code = y = Input((latent_dims,))
    for units in reversed(hidden_layers):
        y = Dense(units, activation="relu")(y)
    y = Dense(input_dims, activation=output_activation)(y)
    decoder = Model(code, y, name="decoder")

    x = Input((input_dims,))
    auto = Model(x, decoder(encoder(x)[0]), name="autoencoder")
    auto.compile("adam", "summed_binary_crossentropy")
    return encoder, decoder, auto
