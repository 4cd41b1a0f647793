"""Images beside what an autoencoder makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import checks
from .common import as_images, image_table, originals, same_shape, squared_errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reconstructions(x: Any, reconstructed: Any, count: int = 10) -> Figure:
    """Originals over their reconstructions, the mean squared error beneath each pair.

    Args:
        x, reconstructed: images: (N, H, W), (N, H, W, 1 or 3) or flat rows of square images; x in [0, 1].
        count: how many of the first images to show, at most N.

    Raises ValueError or TypeError for shapes that differ or are no images, for x outside [0, 1], for NaN, and for no
    images at all.
    """
    owner = "reconstructions"
    count = checks.positive_integer(owner, "count", count)
    images = originals(owner, "x", x, count)
    copies = as_images(owner, "reconstructed", reconstructed, count)
    same_shape(owner, x=images, reconstructed=copies)
    errors = [f"{error:.4f}" for error in squared_errors(images, copies)]
    return image_table("Originals over reconstructions, mean squared error", (images, copies), ((), errors))


def denoising(clean: Any, noisy: Any, denoised: Any, count: int = 10) -> Figure:
    """Clean images, the noisy ones a denoising autoencoder is given, and what it returns (Vincent et al. 2010).

    Beneath the noisy and the denoised images stands their mean squared error against the clean ones: what is gained is
    the difference of the two.

    Args:
        clean, noisy, denoised: images: (N, H, W), (N, H, W, 1 or 3) or flat rows of square images; clean in [0, 1].
            Noise may leave [0, 1]: the error counts all of it, the picture cuts it off.
        count: how many of the first images to show, at most N.

    Raises ValueError or TypeError for shapes that differ or are no images, for clean outside [0, 1], for NaN, and for
    no images at all.
    """
    owner = "denoising"
    count = checks.positive_integer(owner, "count", count)
    target = originals(owner, "clean", clean, count)
    rows = [target, as_images(owner, "noisy", noisy, count), as_images(owner, "denoised", denoised, count)]
    same_shape(owner, clean=rows[0], noisy=rows[1], denoised=rows[2])
    captions = [[], *([f"{error:.4f}" for error in squared_errors(target, images)] for images in rows[1:])]
    title = "Denoising, mean squared error against clean"
    return image_table(title, rows, captions, ("clean", "noisy", "denoised"))
