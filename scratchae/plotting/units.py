"""What the units of a network have learned to see, and how often they answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from .common import COLOUR_MAP, code_rows, colours, figure, groups, numbers, several

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 60
NEAR_ZERO = 0.01  # of the largest: a measure that does not change when all activations are scaled


def filters(layer_or_weights: Any, columns: int | None = None) -> Figure:
    """The kernel of a first layer as images: what each unit looks for. Zero is mid-grey, in all of them the same.

    Args:
        layer_or_weights: a Dense kernel (I, O) whose I pixels are a square, drawn as O images; or a Conv2D kernel
            (J, K, C, O), drawn as O images J x K, or for C > 1 as a row of C images for each filter. Or a layer with
            such a kernel, or a model that begins with one.
        columns: images in a row; None for about as many as rows, and for C of a kernel with several channels.

    Raises ValueError or TypeError for weights of another shape, NaN, and layers without weights.
    """
    owner = "filters"
    name, weights = "", layer_or_weights
    if hasattr(layer_or_weights, "get_weights"):
        name, arrays = f"{layer_or_weights.name}: ", layer_or_weights.get_weights()
        if not arrays:
            raise ValueError(f"{owner}: {layer_or_weights!r} has no weights; expected a Dense or Conv2D layer, built")
        weights = arrays[0]
    elif isinstance(weights, (list, tuple)) and weights and isinstance(weights[0], np.ndarray):
        raise TypeError(
            f"{owner}: layer_or_weights is a {type(weights).__name__} of arrays; pass the kernel alone, [0]"
        )
    images, C = kernel_images(owner, numbers(owner, "layer_or_weights", weights))
    N, J, K = images.shape
    columns = (C if C > 1 else int(np.ceil(N**0.5))) if columns is None else columns
    columns = min(checks.positive_integer(owner, "columns", columns), N)
    rows = -(-N // columns)

    title = f"{name}{N // C} filter{'s' * (N > C)} of {J} x {K} weights{f' in {C} channels' * (C > 1)}"
    cell = max(min(6 / columns, 14 / rows * K / J, 1.2), 0.3)
    width, height = max(cell * columns, 2) + 1, max(cell * rows * J / K, 1)
    picture = figure(title, width, height + 0.4)
    axes = picture.subplots()
    limit = np.abs(images).max() or 1.0
    gap = 0.08 * max(J, K)
    for i, image in enumerate(images):
        left, top = (i % columns) * (K + gap), (i // columns) * (J + gap)
        drawn = axes.imshow(
            image, cmap=COLOUR_MAP, vmin=-limit, vmax=limit, extent=(left, left + K, top + J, top), zorder=2
        )  # fmt: skip
    axes.set(xlim=(-gap, columns * (K + gap)), ylim=(rows * (J + gap), -gap), xticks=[], yticks=[])
    axes.set_facecolor("lightsteelblue")  # between the images: a colour that no weight has
    axes.spines[:].set_visible(False)
    if C > 1 and columns == C:
        axes.set(xlabel="channels", ylabel="filters")
    bar = picture.colorbar(drawn, ax=axes, shrink=min(0.95, 6 / height), aspect=25)
    bar.ax.tick_params(labelsize=9)
    return picture


def kernel_images(owner: str, kernel: np.ndarray) -> tuple[np.ndarray, int]:
    """A kernel (I, O) or (J, K, C, O) as images (O * C, J, K), a filter's channels together, and C."""
    side = round(kernel.shape[0] ** 0.5) if kernel.ndim else 0
    if kernel.ndim == 2 and side**2 == kernel.shape[0]:
        return kernel.T.reshape(-1, side, side), 1
    if kernel.ndim == 4:
        J, K, C, O = kernel.shape
        return kernel.transpose(3, 2, 0, 1).reshape(O * C, J, K), C
    cure = "; for images that are no squares pass w.reshape(H, W, 1, O)" if kernel.ndim == 2 else ""
    raise ValueError(
        f"{owner}: layer_or_weights has shape {kernel.shape}; expected a Dense kernel (I, O) with I a square, or a "
        f"Conv2D kernel (J, K, C, O){cure}"
    )


def activation_histogram(codes: Any, labels_or_names: Any = None) -> Figure:
    """How activations are distributed, and what share of them is zero: what a sparsity penalty does (Ng 2011).

    The legend has the share that is exactly 0, as relu's may be, and the share within 1 % of the largest absolute
    activation, which a penalty reaches too where no unit is ever quite silent.

    Args:
        codes: activations (N, D), or (N, ...); or several to compare, as a mapping name -> codes or a list of arrays.
        labels_or_names: for one array its name, or labels (N,) to draw a distribution for each; for a list of arrays a
            list of names; for a mapping None.

    Raises ValueError or TypeError for other shapes, NaN, no activations, and names that don't fit.
    """
    owner = "activation_histogram"
    named = named_codes(owner, codes, labels_or_names)
    low, high = min(c.min() for c in named.values()), max(c.max() for c in named.values())
    edges = np.histogram_bin_edges([], BINS, (low, high))
    columns = 1 if len(named) <= 5 else 2  # of the legend
    picture = figure("Distribution of activations", 7, 4 + 0.2 * -(-len(named) // columns))
    axes = picture.subplots()
    for (name, values), colour in zip(named.items(), colours(len(named)), strict=True):
        near = (np.abs(values) <= NEAR_ZERO * np.abs(values).max()).mean()
        text = f"{name}: {(values == 0).mean():.1%} zero, {near:.1%} near zero"
        axes.stairs(np.histogram(values, edges)[0] / values.size, edges, color=colour, linewidth=1.5, label=text)
    axes.set(xlabel="activation", ylabel="share of activations", yscale="log")
    axes.grid(alpha=0.3)
    handles, texts = axes.get_legend_handles_labels()
    title = f"near zero: within {NEAR_ZERO:.0%} of the largest absolute activation"
    fonts = {"fontsize": 9, "title_fontsize": 9}
    picture.legend(handles, texts, loc="outside lower center", title=title, ncols=columns, **fonts)
    return picture


def named_codes(owner: str, codes: Any, labels_or_names: Any) -> dict[str, np.ndarray]:
    """name -> activations, from what activation_histogram takes."""
    if isinstance(codes, Mapping):
        if labels_or_names is not None:
            raise TypeError(f"{owner}: codes is a mapping and has its names; expected labels_or_names=None")
        if not codes:
            raise ValueError(f"{owner}: codes is empty; expected at least one name -> array")
        return {str(name): code_rows(owner, f"codes[{name!r}]", part) for name, part in codes.items()}
    if several(codes):
        names = labels_or_names
        if (
            isinstance(names, str)
            or names is None
            or len(names) != len(codes)
            or len(set(map(str, names))) < len(names)
        ):
            raise ValueError(
                f"{owner}: labels_or_names={names!r} with {len(codes)} arrays of codes; expected as many different "
                "names. Of (z, mean, log_var), as a variational encoder predicts, one would take codes[1]"
            )
        return named_codes(owner, dict(zip(names, codes, strict=True)), None)
    rows = code_rows(owner, "codes", codes)
    if labels_or_names is None or isinstance(labels_or_names, str):
        return {labels_or_names or "codes": rows}
    return {name: rows[mask] for name, mask in groups(owner, "labels_or_names", labels_or_names, len(rows)).items()}
