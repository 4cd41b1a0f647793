"""The values of an event, as lists of tensorboardX's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..base import Logs
from . import pixels

if TYPE_CHECKING:
    from ...model import Model

BINS = 30  # of a histogram, as many as Keras' have


def scalars(tag: str, logs: Logs) -> list[Any]:
    """Numbers; the tag has {} in the place of the name."""
    from tensorboardX import summary

    return [value for name, number in logs.items() for value in summary.scalar(tag.format(name), number).value]


def histogram(tag: str, x: np.ndarray) -> list[Any]:
    """How often which numbers occur; NaN and infinity are left out."""
    from tensorboardX import summary

    x = x[np.isfinite(x)]
    return list(summary.histogram(tag, x, bins=BINS).value) if x.size else []


def image(tag: str, picture: np.ndarray) -> list[Any]:
    """A picture of bytes, (H, W) or (H, W, 3)."""
    from tensorboardX import summary

    return list(summary.image(tag, picture, dataformats="HWC"[: picture.ndim]).value)


def weights(model: Model, images: bool) -> list[Any]:
    """A histogram of each weight and of its gradient in the last step; with `images` the weight as an image, too."""
    values = []
    for parameter in model.weights:
        w = parameter.numpy()
        values += histogram(f"{parameter.name}/histogram", w)
        if parameter.grad is not None:
            values += histogram(f"{parameter.name}/gradient", parameter.backend.download(parameter.grad))
        if images:
            values += image(f"{parameter.name}/image", pixels.weights(w))
    return values
