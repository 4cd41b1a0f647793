"""The latent space: where the data lies in it, and what the decoder makes of any place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from .common import as_images, code_rows, colours, figure, groups, image_table, numbers, originals, show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 50
ENTRIES = 12  # of a legend's column
RESHAPE = "pass image_shape=(H, W) or (H, W, C)"


def latent_scatter(codes: Any, labels: Any = None) -> Figure:
    """The codes as points in the plane, coloured by label.

    Codes of more than two dimensions are projected onto their first two principal components (Pearson 1901), and the
    axes say what share of the variance each has. Of codes of one dimension it is a histogram, stacked by label.

    Args:
        codes: (N, D), or (N, ...) which is flattened; of a variational encoder the mean, `encoder.predict(x)[1]`.
        labels: (N,), numbers or strings, at most 100 different ones; None for one colour.

    Raises ValueError or TypeError for codes or labels of another shape, NaN, no codes, or a single one of more than two
    dimensions.
    """
    owner = "latent_scatter"
    codes = code_rows(owner, "codes", codes)
    N, D = codes.shape
    parts = {"": np.ones(N, bool)} if labels is None else groups(owner, "labels", labels, N)
    columns = -(-len(parts) // ENTRIES)
    title = f"{N} code{'s' * (N > 1)} of {D} dimension{'s' * (D > 1)}"
    names = [f"z{i + 1}" for i in range(D)]
    if D > 2:
        codes, shares = principal_components(owner, codes)
        title += ", their first two principal components"
        names = [f"principal component {i + 1} ({share:.1%} of the variance)" for i, share in enumerate(shares)]
    picture = figure(title, 6 if labels is None else 6.6 + 0.6 * columns, 5.6 if D > 1 else 4)
    axes = picture.subplots()
    size = min(max(15000 / N, 5), 36)  # of a point, in square points of print
    if D == 1:
        values = [codes[mask, 0] for mask in parts.values()]
        axes.hist(values, BINS, stacked=True, color=colours(len(parts)), label=list(parts))
        axes.set(xlabel=names[0], ylabel="codes")
    else:
        for (label, mask), colour in zip(parts.items(), colours(len(parts)), strict=True):
            axes.scatter(codes[mask, 0], codes[mask, 1], size, color=[colour], alpha=0.7, linewidths=0, label=label)
        axes.set(xlabel=names[0], ylabel=names[1])
        axes.set_aspect("equal", adjustable="datalim")  # distances mean the same in all directions
        axes.grid(alpha=0.3)
    if labels is not None:
        legend = {"title": "label", "ncols": columns, "fontsize": 9, "markerscale": (36 / size) ** 0.5}
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, **legend)
    return picture


def principal_components(owner: str, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components (N, 2) of codes (N, D), and each one's share of the variance (2,).

    With the singular values of the centred codes, codes - mean = u s v, they are u s, and s² / sum of s² the shares.
    """
    if len(codes) < 2:
        raise ValueError(f"{owner}: codes has shape {codes.shape}; principal components need at least two codes")
    u, s, v = np.linalg.svd(codes - codes.mean(axis=0), full_matrices=False)
    # The sign of a component is arbitrary: its largest weight shall be positive, so that pictures can be compared.
    largest = np.abs(v[:2]).argmax(axis=1)
    u[:, :2] *= np.sign(v[[0, 1], largest])
    total = (s**2).sum()
    return u[:, :2] * s[:2], s[:2] ** 2 / (total if total > 0 else 1)


def latent_grid(decoder: Any, size: int = 15, limit: float = 2.0, image_shape: Sequence[int] | None = None) -> Figure:
    """Decoded images all over a latent plane, each in the place of its code (Kingma & Welling 2014, figure 4).

    The codes are a linear grid from -limit to limit in both dimensions, z1 to the right and z2 upwards, so that the
    axes are in latent units. (In the paper they are quantiles of the normal distribution.)

    Args:
        decoder: a model from (None, 2) to images, (None, H, W), (None, H, W, 1 or 3) or flat rows.
        size: images in a row and in a column.
        limit: the outermost code; 2 holds 95 % of N(0, 1) in a dimension.
        image_shape: (H, W) or (H, W, C) of flat rows; None for squares.

    Raises ValueError or TypeError for a decoder of another input, and for an output that is no image.
    """
    owner = "latent_grid"
    size = checks.positive_integer(owner, "size", size)
    limit = checks.number(owner, "limit", limit, low=0, low_open=True)
    shape = takes(owner, "decoder", decoder)
    if shape != (None, 2):
        raise ValueError(
            f"{owner}: decoder takes inputs of shape {shape}; expected (None, 2), a plane. Train an autoencoder with "
            "latent_dims=2, or look at this one's codes with latent_scatter and interpolation"
        )
    places = np.linspace(-limit, limit, size) if size > 1 else np.zeros(1)
    z1, z2 = np.meshgrid(places, places[::-1])  # rows of an image go down, z2 goes up
    decoded = decoder.predict(np.stack([z1.ravel(), z2.ravel()], axis=1), verbose=0)
    images = as_images(owner, "the decoder's output", decoded, image_shape=image_shape, cure=RESHAPE)
    N, H, W, *C = images.shape
    mosaic = images.reshape(size, size, H, W, *C).swapaxes(1, 2).reshape(size * H, size * W, *C)

    edge = limit + limit / (size - 1) if size > 1 else limit  # half an image beyond the outermost code
    title = f"Decoded linear grid of {size} x {size} codes from {-limit:g} to {limit:g}"
    if size == 1:
        title = "The decoded code z1 = z2 = 0"
    ratio = min(max(H / W, 0.25), 2.5)
    picture = figure(title, *((6.2, 5.5 * ratio + 0.9) if ratio <= 1 else (5.5 / ratio + 0.9, 6.6)))
    axes = picture.subplots()
    show_image(axes, mosaic, extent=(-edge, edge, -edge, edge), aspect=H / W)
    axes.set(xlabel="z1", ylabel="z2")
    if size == 1:
        axes.set(xticks=[0], yticks=[0])
    return picture


def interpolation(
    encoder: Any, decoder: Any, a: Any, b: Any, steps: int = 8, image_shape: Sequence[int] | None = None
) -> Figure:
    """Two images, and between them the decoded codes on the straight line from one's code to the other's.

    Beneath each stands t of its code (1 - t) z(a) + t z(b): t = 0 and t = 1 are the reconstructions of a and b.

    Args:
        encoder: a model from images to codes; of one that predicts (z, mean, log_var) the mean is taken, which is the
            same each time.
        decoder: a model from codes to images.
        a, b: a sample each, of the encoder's input shape without the batch; in [0, 1].
        steps: how many decoded images, at least 2.
        image_shape: (H, W) or (H, W, C) of flat rows; None for squares.

    Raises ValueError or TypeError for samples that don't fit the encoder, codes that don't fit the decoder, samples
    outside [0, 1] and NaN.
    """
    owner = "interpolation"
    steps = checks.positive_integer(owner, "steps", steps)
    if steps < 2:
        raise ValueError(f"{owner}: steps={steps} is too small; expected at least 2: the codes of a and of b")
    sample = takes(owner, "encoder", encoder)[1:]
    ends = np.stack([one_sample(owner, name, x, sample) for name, x in (("a", a), ("b", b))])
    codes = encoder.predict(ends, verbose=0)
    codes = np.asarray(codes[1] if isinstance(codes, (tuple, list)) else codes)
    wanted = takes(owner, "decoder", decoder)
    if wanted[1:] != codes.shape[1:]:
        raise ValueError(
            f"{owner}: the encoder's codes have shape {(None, *codes.shape[1:])}, the decoder takes {wanted}; pass "
            "encoder and decoder of one autoencoder"
        )
    t = np.linspace(0, 1, steps)
    line = np.tensordot(np.stack([1 - t, t], axis=1), codes, 1)  # (steps, ...)
    decoded = as_images(owner, "the decoder's output", decoder.predict(line, verbose=0), None, image_shape, RESHAPE)
    ends = originals(owner, "[a, b]", ends, None, image_shape, RESHAPE)
    if ends.shape[1:] != decoded.shape[1:]:
        raise ValueError(f"{owner}: a and b are images {ends.shape[1:]}, the decoder gives {decoded.shape[1:]}")
    images = np.concatenate([ends[:1], decoded, ends[1:]])
    title = "Originals a and b, decoded codes (1-t) z(a) + t z(b)"
    return image_table(title, [images], [["a", *(f"t={value:.2f}" for value in t), "b"]])


def takes(owner: str, name: str, model: Any) -> tuple[int | None, ...]:
    """The input shape of a model, (None, ...)."""
    if not callable(getattr(model, "predict", None)) or not hasattr(model, "input_shape"):
        raise TypeError(f"{owner}: {name}={model!r} is a {type(model).__name__}; expected a model")
    return tuple(model.input_shape)


def one_sample(owner: str, name: str, x: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """x, of that shape, or of (1, *shape), as an array of that shape."""
    x = numbers(owner, name, x)
    if x.shape not in (shape, (1, *shape)):
        raise ValueError(f"{owner}: {name} has shape {x.shape}; expected one sample of the encoder, {shape}: x[0]")
    return x.reshape(shape)
