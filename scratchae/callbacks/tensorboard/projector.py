"""Codes for TensorBoard's embedding projector."""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...plotting.common import as_images
from . import pixels

if TYPE_CHECKING:
    from ...model import Model

LARGEST = 8192  # pixels: the side of the largest sprite that TensorBoard takes
FOLDER = "embedding"


class Projector:
    """What the encoder makes of some samples, as points that TensorBoard turns and colours by label.

    Args:
        encoder: a model; of a variational one the means are taken.
        x: samples (N, ...) as the encoder takes them. Where they are images, each point shows its own.
        labels: (N,), or None.
        image_shape: (H, W) or (H, W, C) of samples that are rows; rows of a square number are squares.

    Files: embedding/codes-00004.tsv of epoch 4, and beside it metadata.tsv with the labels and sprite.png with all
    images; projector_config.pbtxt tells TensorBoard of them.
    """

    def __init__(self, encoder: Model, x: Any, labels: Any, image_shape: Sequence[int] | None):
        self.encoder, self.x = encoder, x
        self.labels = None if labels is None else np.asarray(labels)
        takes = encoder.inputs[0].sample_shape
        if np.shape(x)[1:] != takes:
            raise ValueError(f"TensorBoard: embeddings has shape {np.shape(x)}; the encoder takes samples of {takes}")
        if self.labels is not None and self.labels.shape != (len(x),):
            raise ValueError(
                f"TensorBoard: labels has shape {self.labels.shape}; expected ({len(x)},), one label for each sample "
                "of embeddings"
            )
        self.sprite: tuple[bytes, int, int] | None = None  # the file, height and width of an image in it
        if image_shape is not None or are_images(takes):
            images = as_images("TensorBoard", "embeddings", x, image_shape=image_shape)
            picture, height, width = thumbnails(images)
            self.sprite = pixels.png(picture), height, width

    def write(self, log_dir: Path, epoch: int) -> None:
        """Write the codes of this epoch, each file whole or not at all."""
        from ...files import write_atomically

        folder = log_dir / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        codes = self.encoder.predict(self.x, verbose=0)
        codes = codes[1] if isinstance(codes, (tuple, list)) else codes  # variational: z, mean, log_var
        write_atomically(folder / f"codes-{epoch:05d}.tsv", table(codes.reshape(len(codes), -1)))
        shared = ""
        if self.labels is not None:
            lines = (" ".join(str(label).split()) for label in self.labels)
            write_atomically(folder / "metadata.tsv", "".join(f"{line}\n" for line in lines).encode())
            shared += f'  metadata_path: "{FOLDER}/metadata.tsv"\n'
        if self.sprite is not None:
            content, height, width = self.sprite
            write_atomically(folder / "sprite.png", content)
            size = f"single_image_dim: {width} single_image_dim: {height}"
            shared += f'  sprite {{ image_path: "{FOLDER}/sprite.png" {size} }}\n'
        config = ""
        for file in sorted(folder.glob("codes-*.tsv"), reverse=True):  # the first is the one that is shown first
            names = f'  tensor_name: "{file.stem}"\n  tensor_path: "{FOLDER}/{file.name}"\n'
            config += f"embeddings {{\n{names}{shared}}}\n"
        write_atomically(log_dir / "projector_config.pbtxt", config.encode())


def are_images(sample: Sequence[int]) -> bool:
    """Whether samples of that shape are images (H, W), (H, W, 1 or 3) or rows of a square number."""
    if len(sample) == 1:
        return isqrt(sample[0]) ** 2 == sample[0]
    return len(sample) == 2 or (len(sample) == 3 and sample[2] in (1, 3))


def table(codes: np.ndarray) -> bytes:
    """Codes (N, D) as text, a row a line: nine digits give each float32 back."""
    text = io.StringIO()
    np.savetxt(text, codes, fmt="%.9g", delimiter="\t")
    return text.getvalue().encode()


def thumbnails(images: np.ndarray) -> tuple[np.ndarray, int, int]:
    """All images as one, as many rows as columns, and the height and width of one of them."""
    columns = isqrt(len(images) - 1) + 1
    step = -(-columns * max(images.shape[1:3]) // LARGEST)  # fewer pixels of each, if they are too many
    images = images[:, ::step, ::step]
    square = np.full((columns**2, *images.shape[1:]), pixels.WHITE, np.uint8)
    square[: len(images)] = pixels.as_bytes(images, min(0, images.min()), max(1, images.max()))
    return pixels.tiles(square, columns, gap=0), *images.shape[1:3]
