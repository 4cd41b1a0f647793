"""Images over what the model makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...plotting.common import as_images
from . import pixels

if TYPE_CHECKING:
    from ...model import Model

MOST = 20  # samples in a picture


class Reconstructions:
    """Some samples, drawn over their reconstructions.

    Args:
        x: samples (N, ...) as the model takes them, the first 20 of which are drawn. Bytes count as [0, 1], as
            Rescaling(1 / 255) makes them.
        image_shape: (H, W) or (H, W, C) of samples that are rows; rows of a square number are squares.
    """

    def __init__(self, x: Any, image_shape: Sequence[int] | None):
        self.x, self.image_shape = np.asarray(x)[:MOST], image_shape
        self.originals = self._as_images("reconstructions", self.x)

    def _as_images(self, name: str, x: np.ndarray) -> np.ndarray:
        images = as_images("TensorBoard", name, x, image_shape=self.image_shape, cure="give image_shape=(H, W)")
        return images / 255 if x.dtype == np.uint8 else images

    def check(self, model: Model) -> None:
        """ValueError unless the model takes and returns samples of this shape."""
        sample, takes, gives = self.x.shape[1:], model.input_shape[1:], model.output_shape[1:]
        if not sample == takes == gives:
            raise ValueError(
                f"TensorBoard: reconstructions has samples of shape {sample}, the model takes {takes} and returns "
                f"{gives}; all of them must be the same"
            )

    def picture(self, model: Model) -> np.ndarray:
        """The picture for the model as it is now."""
        copies = self._as_images("the model's reconstruction", model.predict(self.x, verbose=0))
        return pixels.over_copies(self.originals, copies)
