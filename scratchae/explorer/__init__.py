"""A page in which to look around in a latent space: `explore` writes it, any browser opens it.

    from scratchae.explorer import explore
    explore(decoder, "latent.html", encoder.predict(x_test), y_test)

In Python, `architecture` describes the decoder for the page, `axes` the latent space, `sample` what is decoded, and
`html` puts all of it into one file. In JavaScript, decoder.js has the forward pass of every layer and latent.js the
codes; canvas.js, plane.js and sample.js draw; page.js holds the state and shows it; ring.js, way.js and choices.js
change it as a person asks; start.js begins.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..files.atomic import write_atomically
from ..model import Model
from ..plotting.common import code_rows, groups
from . import architecture, axes, html, sample
from .architecture import Arrays

__all__ = ["explore"]


def explore(
    decoder: Model,
    path: str | os.PathLike[str],
    codes: Any = None,
    labels: Any = None,
    *,
    sample_shape: Sequence[int] | None = None,
    value_range: tuple[float, float] | None = None,
    title: str = "Latent space",
) -> int:
    """Write an HTML file that decodes any place of the latent space, and shows the codes in it.

    The file needs no server, no network and no other file; the decoder runs in it as JavaScript, in float64. Its size
    is about 5.4 bytes for each weight and each number of the codes, and 40 kB for the page.

    Args:
        decoder: a model from codes to samples, of one input and one output.
        path: where the file goes; it ends in .html or .htm.
        codes: (N, ...), as the encoder gives them; of a variational one the mean, `encoder.predict(x)[1]`. They decide
            which part of the space is shown. None: -3 to 3 in each dimension, and no points.
        labels: (N,), numbers or strings, at most 100 different ones; None for one colour.
        sample_shape: what a decoded sample is to be seen as; None for the decoder's output, of which rows with a square
            number of entries are square images. (H, W, 1) and (H, W, 3) are images, and so is (H, W) with W > 8; (T, D)
            up to D = 8 is a sequence of T steps of D features, drawn as lines; (D,) is a row, drawn as one line.
        value_range: the values drawn as black and white, or as the ends of a plot's axis; None for (0, 1) of images,
            and else for the range of the decoded codes.
        title: of the page.

    Returns:
        The size of the file in bytes.

    Raises TypeError or ValueError for a decoder with a layer that the page can't run, for codes, labels and shapes that
    don't fit, and NaN; FileNotFoundError for a folder that isn't there. There is no file then, or the old one.
    """
    if not isinstance(decoder, Model):
        raise TypeError(f"explore: decoder={decoder!r} is a {type(decoder).__name__}; expected a model")
    if len(decoder.inputs) != 1 or len(decoder.outputs) != 1:
        raise ValueError(
            f"explore: {decoder} has {len(decoder.inputs)} inputs and {len(decoder.outputs)} outputs; expected a "
            "decoder with one of each"
        )
    if not str(path).endswith((".html", ".htm")):
        raise ValueError(f"explore: path={str(path)!r} must end in .html")
    if not isinstance(title, str):
        raise TypeError(f"explore: title={title!r} is a {type(title).__name__}; expected a string")
    arrays = Arrays()
    latent_shape = decoder.inputs[0].sample_shape
    rows = None if codes is None else rows_of(codes, latent_shape)
    data: dict[str, Any] = {
        "title": title,
        "decoder": architecture.describe(decoder, arrays),
        "sample": sample.describe(decoder, rows, sample_shape, value_range),
        "systems": axes.systems(rows, latent_shape, arrays),
        "codes": None if rows is None else arrays.add(rows),
        "labels": None if labels is None else numbered(labels, rows),
    }
    content = html.page({**data, "arrays": arrays.describe()}).encode()
    write_atomically(path, content)
    return len(content)


def rows_of(codes: Any, latent_shape: tuple[int, ...]) -> np.ndarray:
    """Codes (N, ...) as rows (N, D); ValueError unless the decoder takes such codes."""
    rows = code_rows("explore", "codes", codes)
    shape = np.shape(codes)[1:]
    if shape not in (latent_shape, (prod(latent_shape),)):
        raise ValueError(f"explore: codes has shape {np.shape(codes)}; the decoder takes {(None, *latent_shape)}")
    return rows


def numbered(labels: Any, rows: np.ndarray | None) -> dict[str, Any]:
    """The different labels as strings, and for each code the number of its label."""
    if rows is None:
        raise ValueError("explore: labels without codes; pass the codes that they belong to")
    masks = groups("explore", "labels", labels, len(rows))
    numbers = np.argmax(list(masks.values()), axis=0)
    return {"names": list(masks), "numbers": numbers.tolist()}
