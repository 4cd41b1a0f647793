"""The convolutional autoencoder as an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod, sqrt
from typing import Any

import numpy as np

from .. import checks
from ..autoencoders import convolutional
from .base import AutoencoderEstimator


class ConvolutionalAutoencoder(AutoencoderEstimator):
    """The autoencoder of scratchae.autoencoders.convolutional, for rows that are images.

        codes = ConvolutionalAutoencoder((16, 8, 8), image_shape=(28, 28), random_state=0).fit_transform(X)

    The network reproduces images with sides of 2^k m - 4 pixels, k the number of filters: 4, 12, 20, 28, ... for three.
    An image of another size lies in the upper left corner of the next larger one, the rest of which is zero, and
    is cut out of what comes back. That takes a copy of X; images that fit are read where they are.

    Args:
        filters: channels of the encoder's convolutions, at least three; the last ones are the code's.
        latent_dims: (h, w, c) of the code, which follows from filters and image; None, or it is checked.
        image_shape: (H, W) or (H, W, C) of the image that a row holds, pixel by pixel, rows of the image first; None
            for the smallest square into which the features go, the pixels they leave over zero.

    All others, the attributes and the methods are those of AutoencoderEstimator.
    """

    _construct = staticmethod(convolutional.autoencoder)

    def __init__(
        self, filters: Sequence[int] = (16, 8, 8), latent_dims: Sequence[int] | None = None, *,
        image_shape: Sequence[int] | None = None,
        epochs: int = 100, batch_size: int = 32, learning_rate: float = 1e-3, loss: str = "mse",
        contamination: float = 0.1, early_stopping: bool = False, validation_fraction: float = 0.1,
        n_iter_no_change: int = 10, tol: float = 1e-4, device: str | None = None,
        random_state: int | np.random.RandomState | None = None, verbose: int = 0,
    ):  # fmt: skip
        super().__init__(
            epochs, batch_size, learning_rate, loss, contamination, early_stopping, validation_fraction,
            n_iter_no_change, tol, device, random_state, verbose,
        )  # fmt: skip
        self.filters = filters
        self.latent_dims = latent_dims
        self.image_shape = image_shape

    def _arguments(self, X: np.ndarray) -> dict[str, Any]:
        owner = type(self).__name__
        filters = checks.positive_integers(owner, "filters", self.filters)
        k = len(filters)
        if k < 3:
            raise ValueError(
                f"{owner}: filters={self.filters!r} has {k} entries; expected three or more: images of no size come "
                "back from fewer poolings as they were"
            )
        H, W, C = self._image(X.shape[1])
        H, W = reproduced_side(H, k), reproduced_side(W, k)
        code = ceil(H / 2**k), ceil(W / 2**k), filters[-1]
        latent_dims = code if self.latent_dims is None else self.latent_dims
        return {"input_dims": (H, W, C), "filters": filters, "latent_dims": latent_dims}

    def _image(self, features: int) -> tuple[int, ...]:
        """(H, W, C) of the image that a row holds."""
        if self.image_shape is None:
            side = ceil(sqrt(features))
            return side, side, 1
        owner = type(self).__name__
        shape = checks.positive_integers(owner, "image_shape", self.image_shape)
        shape = (*shape, 1) if len(shape) == 2 else shape
        if len(shape) != 3 or prod(shape) != features:
            raise ValueError(
                f"{owner}: image_shape={self.image_shape!r} does not hold the {features} features of X; expected "
                f"(H, W) or (H, W, C) whose product is {features}"
            )
        return shape

    def _to_samples(self, X: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        H, W, C = image = self._image(X.shape[1])
        images = fill_up(X, (len(X), H * W * C)).reshape(len(X), *image)
        return fill_up(images, (len(X), *shape))

    def _to_rows(self, samples: np.ndarray) -> np.ndarray:
        features = self.n_features_in_
        H, W, _ = self._image(features)
        return samples[:, :H, :W].reshape(len(samples), -1)[:, :features]


def reproduced_side(n: int, filters: int) -> int:
    """The smallest side, of at least n pixels, of an image that the network reproduces."""
    factor = 2**filters
    return ceil((n + 4) / factor) * factor - 4


def fill_up(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array with zeros behind its axes up to this shape; the array itself if there are none to add."""
    missing = [(0, size - there) for size, there in zip(shape, array.shape, strict=True)]
    return np.pad(array, missing) if any(map(any, missing)) else array
