"""Pictures. Each function returns a matplotlib Figure and never shows it; matplotlib is imported when it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOUR_MAP = "gray"


def figure(**options: Any) -> Figure:
    """A Figure that belongs to no window, so that a program without a display can draw."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plotting needs matplotlib: pip install "scratchae[plot]"') from error
    return Figure(layout="constrained", **options)


def as_images(owner: str, name: str, x: Any) -> np.ndarray:
    """x as images (N, H, W) or (N, H, W, 3) for imshow; rows of a square number of pixels are folded into squares."""
    x = np.asarray(x)
    if x.ndim == 2 and round(x.shape[1] ** 0.5) ** 2 == x.shape[1]:
        side = round(x.shape[1] ** 0.5)
        return x.reshape(len(x), side, side)
    if x.ndim == 4 and x.shape[3] == 1:
        return x[..., 0]
    if x.ndim == 3 or (x.ndim == 4 and x.shape[3] == 3):
        return x
    raise ValueError(
        f"{owner}: {name} has shape {x.shape}; expected images (N, H, W), (N, H, W, 1 or 3) or rows of a square"
    )


def reconstructions(x: Any, reconstructed: Any, count: int = 10) -> Figure:
    """Originals over their reconstructions, the mean squared error beneath each pair.

    Args:
        x, reconstructed: images in [0, 1]: (N, H, W), (N, H, W, C) or flat rows of square images.
        count: how many of the first images to show, at most N.
    """
    count = checks.positive_integer("reconstructions", "count", count)
    originals = as_images("reconstructions", "x", x)[:count]
    copies = as_images("reconstructions", "reconstructed", reconstructed)[:count]
    if originals.shape != copies.shape:
        raise ValueError(f"reconstructions: x {originals.shape} and reconstructed {copies.shape} must have one shape")
    errors = ((originals - copies) ** 2).reshape(len(originals), -1).mean(axis=1)
    picture = figure(figsize=(max(0.9 * len(originals), 3.2), 2.5))
    picture.suptitle("Originals over reconstructions, mean squared error")
    axes = picture.subplots(2, len(originals), squeeze=False)
    for i, error in enumerate(errors):
        for row, images in enumerate((originals, copies)):
            axes[row, i].imshow(images[i], cmap=COLOUR_MAP, vmin=0, vmax=1)
            axes[row, i].set(xticks=[], yticks=[])
        axes[1, i].set_xlabel(f"{error:.4f}", fontsize=8)
    return picture


def loss_curves(history: Mapping[str, Sequence[float]], title: str = "Loss") -> Figure:
    """Loss and validation loss over the epochs.

    Args:
        history: `fit(...).history`, or any mapping with "loss" and, perhaps, "val_loss".
    """
    if not history.get("loss"):
        raise ValueError(f"loss_curves: history has the keys {list(history)}; expected 'loss' with at least one epoch")
    picture = figure(figsize=(6, 4))
    from matplotlib.ticker import MaxNLocator

    axes = picture.subplots()
    for key, label in (("loss", "training"), ("val_loss", "validation")):
        if history.get(key):
            axes.plot(range(1, len(history[key]) + 1), history[key], marker=".", label=label)
    axes.set(title=title, xlabel="epoch", ylabel="loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return picture
