"""The convolutional autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

from .. import checks
from ..layers import Conv2D, Input, MaxPooling2D, UpSampling2D
from ..model import Model


def autoencoder(
    input_dims: Sequence[int], filters: Sequence[int], latent_dims: Sequence[int], output_activation: str = "sigmoid"
) -> tuple[Model, Model, Model]:
    """Convolutions and pooling down to the code, convolutions and upsampling back (Masci et al. 2011).

    The encoder has a 3x3 convolution and a 2x2 maximum for each of k filters. The decoder has, for each filter from the
    last to the first, a 3x3 convolution and an upsampling, then a convolution to the image's channels. The convolution
    before its last upsampling is "valid", so that 28x28 comes back from 4x4: a side of n pixels becomes
    l = ceil(n / 2^k) and returns as 2^k l - 4. That is n again for k >= 3 and n = 2^k m - 4: 12, 20, 28, 36, ... for
    three filters.

    Args:
        input_dims: (H, W, C) of an image.
        filters: channels of the encoder's convolutions.
        latent_dims: (h, w, c) of the code: (ceil(H / 2^k), ceil(W / 2^k), filters[-1]).
        output_activation: of the last layer; "linear" for data that is not in [0, 1], compiled anew with "mse".

    All layers are relu, the last is sigmoid: pixels belong into [0, 1].

    Returns:
        encoder, decoder, auto, compiled with Adam and binary cross-entropy.
    """
    owner = "convolutional.autoencoder"
    input_dims = checks.positive_integers(owner, "input_dims", input_dims, length=3)
    filters = checks.positive_integers(owner, "filters", filters)
    latent_dims = checks.positive_integers(owner, "latent_dims", latent_dims, length=3)
    if not filters:
        raise ValueError(f"{owner}: filters is empty; expected at least one number of channels")
    H, W, C = input_dims
    factor = 2 ** len(filters)
    code = -(-H // factor), -(-W // factor), filters[-1]
    if latent_dims != code:
        raise ValueError(
            f"{owner}: latent_dims={latent_dims} is not what {len(filters)} poolings make of {input_dims}; use {code}"
        )
    if min(code[:2]) * factor <= 4:
        advice = nearest_size(H, W, len(filters))
        raise ValueError(f"{owner}: input_dims={input_dims} is too small for {len(filters)} filters; {advice}")

    x = h = Input(input_dims)
    for channels in filters:
        h = Conv2D(channels, (3, 3), padding="same", activation="relu")(h)
        h = MaxPooling2D((2, 2), padding="same")(h)
    encoder = Model(x, h, name="encoder")

    z = y = Input(latent_dims)
    for i, channels in enumerate(reversed(filters)):
        padding = "valid" if i == len(filters) - 1 else "same"
        y = Conv2D(channels, (3, 3), padding=padding, activation="relu")(y)
        y = UpSampling2D((2, 2))(y)
    y = Conv2D(C, (3, 3), padding="same", activation=output_activation)(y)
    decoder = Model(z, y, name="decoder")

    x = Input(input_dims)
    auto = Model(x, decoder(encoder(x)), name="autoencoder")
    auto.target_hint = f": this autoencoder does not reproduce {H}x{W}; {nearest_size(H, W, len(filters))}"
    auto.compile("adam", "binary_crossentropy")
    return encoder, decoder, auto


def nearest_size(height: int, width: int, filters: int) -> str:
    """Which image sizes the geometry reproduces, in words."""
    if filters < 3:
        return f"with {filters} filter{'s' * (filters > 1)} no size is reproduced, use three or more"
    factor = 2**filters

    def nearest(n: int) -> int:
        return max(round((n + 4) / factor), 5 // factor + 1 + (factor <= 4)) * factor - 4

    examples = ", ".join(str(factor * m - 4) for m in range(1, 5) if factor * m > 4)
    return (
        f"with {filters} filters sides of {examples}, ... are; the nearest to {height}x{width} is "
        f"{nearest(height)}x{nearest(width)}"
    )
