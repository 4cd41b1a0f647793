"""Pictures as arrays of bytes, (H, W) or (H, W, 3), a pixel for each number: for programs that take images."""

from __future__ import annotations

import io

import numpy as np

WHITE = 255


def as_bytes(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Numbers as bytes, 0 for low and less, 255 for high and more."""
    return np.rint(255 * ((x - low) / (high - low)).clip(0, 1)).astype(np.uint8)


def tiles(images: np.ndarray, columns: int, gap: int) -> np.ndarray:
    """Images (N, H, W) or (N, H, W, 3) of bytes as one, from left to right and then down; white where there is none."""
    N, H, W, *colours = images.shape
    rows, columns = -(-N // columns), min(N, columns)
    shape = rows * (H + gap) - gap, columns * (W + gap) - gap, *colours
    picture = np.full(shape, WHITE, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (H + gap), i % columns * (W + gap)
        picture[top : top + H, left : left + W] = image
    return picture


def over_copies(images: np.ndarray, copies: np.ndarray, columns: int = 10) -> np.ndarray:
    """Images over their reconstructions, a line between. Black is 0 and white is 1, or the least and the greatest
    number of the images where they go beyond."""
    low, high = min(0, images.min()), max(1, images.max())
    images, copies = as_bytes(images, low, high), as_bytes(copies, low, high)
    line = np.full_like(images[:, :1], WHITE)
    return tiles(np.concatenate([images, line, copies], axis=1), columns, gap=6)


def weights(w: np.ndarray) -> np.ndarray:
    """A parameter as an image, its least number black and its greatest white.

    A matrix lies on its longer side. Of a convolution (3, 3, C, K) each kernel is a square: C rows of K.
    """
    low, high = w.min(), w.max()
    w = as_bytes(w, low, high if high > low else low + 1)
    if w.ndim == 4:
        return tiles(w.transpose(2, 3, 0, 1).reshape(-1, *w.shape[:2]), w.shape[3], gap=1)
    w = np.atleast_2d(w)
    return w.T if w.shape[0] > w.shape[1] else w


def png(picture: np.ndarray) -> bytes:
    """The picture as a PNG file."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()
