"""What the pictures share: a figure without a window, checked numbers, images from rows, colours by label."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOUR_MAP = "gray"  # of images and of weights
SMALL = 8  # points, for what stands beneath a picture
MOST_LABELS = 100  # more than that is no legend


# ---- figures --------------------------------------------------------------------------------------------------------
def figure(title: str, width: float, height: float) -> Figure:
    """A Figure of width x height inches that belongs to no window, so that a program without a display can draw."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plotting needs matplotlib: pip install "scratchae[plot]"') from error
    picture = Figure(layout="constrained", figsize=(width, height))
    picture.suptitle(wrapped(title, width), fontsize=11)
    return picture


def wrapped(title: str, width: float) -> str:
    """title in lines of at most `width` inches: 10.5 letters of 11 points are an inch."""
    return textwrap.fill(title, max(int(10.5 * width), 10), break_on_hyphens=False)


def show_image(axes: Axes, image: np.ndarray, **options: Any) -> None:
    """An image with values in [0, 1], (H, W) or (H, W, 3); what lies outside, as a linear decoder's may, is cut off."""
    if image.ndim == 3:
        image = image.clip(0, 1)  # for colours vmin and vmax say nothing
    axes.imshow(image, cmap=COLOUR_MAP, vmin=0, vmax=1, **options)


def image_table(
    title: str,
    rows: Sequence[np.ndarray],
    captions: Sequence[Sequence[str]],
    names: Sequence[str] = (),
) -> Figure:
    """Rows of images (count, H, W) or (count, H, W, 3), with a caption beneath each image and a name before each row.

    A row whose captions are empty has none.
    """
    count, H, W = rows[0].shape[:3]
    cell = min(max(14 / count, 0.55), 0.9)  # a caption needs half an inch
    height = cell * min(max(H / W, 0.3), 3)
    captioned = sum(map(bool, captions))
    width = max(cell * count, 3.2)
    picture = figure(title, width, len(rows) * height + 0.2 * captioned + (0.3 if width > 6 else 0.5))
    table = picture.subplots(len(rows), count, squeeze=False)
    for r, images in enumerate(rows):
        for i, image in enumerate(images):
            show_image(table[r, i], image)
            table[r, i].set(xticks=[], yticks=[])
            if captions[r]:
                table[r, i].set_xlabel(captions[r][i], fontsize=SMALL)
        if names:
            table[r, 0].set_ylabel(names[r], fontsize=SMALL)
    return picture


# ---- data -----------------------------------------------------------------------------------------------------------
def one_array(owner: str, name: str, x: Any) -> np.ndarray:
    """x as an array of at least one dimension; TypeError unless it is one, of numbers."""
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise TypeError(
            f"{owner}: {name} is a {type(x).__name__} of parts whose shapes differ; expected one array"
        ) from error
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise TypeError(f"{owner}: {name} is {array.dtype} of shape {array.shape}; expected an array of numbers")
    return array


def numbers(owner: str, name: str, x: Any, count: int | None = None) -> np.ndarray:
    """The first `count` entries of x, or all, as float64; TypeError or ValueError unless they are finite numbers."""
    x = one_array(owner, name, x)
    if x.size == 0:
        raise ValueError(f"{owner}: {name} has shape {x.shape}: it is empty; expected at least one sample")
    x = np.asarray(x if count is None else x[:count], dtype=np.float64)
    if not np.isfinite(x).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise ValueError(f"{owner}: {name}{list(where)} is {x[where]}; expected finite numbers: leave such samples out")
    return x


def as_images(
    owner: str,
    name: str,
    x: Any,
    count: int | None = None,
    image_shape: Sequence[int] | None = None,
    cure: str = "use x.reshape(-1, H, W)",
) -> np.ndarray:
    """The first `count` of x as images (N, H, W) or (N, H, W, 3).

    Rows are folded to image_shape, (H, W) or (H, W, C), or without it into squares. A wrong shape raises, and tells the
    cure.
    """
    shape = one_array(owner, name, x).shape
    x = numbers(owner, name, x, count)
    if image_shape is not None:
        sizes = checks.positive_integers(owner, "image_shape", image_shape)
        if len(sizes) not in (2, 3) or x[0].size != np.prod(sizes):
            raise ValueError(
                f"{owner}: image_shape={sizes} does not fit {name}, of shape {shape}; expected (H, W) or (H, W, C) "
                f"whose product is {x[0].size}"
            )
        x = x.reshape(len(x), *sizes)
    elif x.ndim == 2 and round(x.shape[1] ** 0.5) ** 2 == x.shape[1]:
        side = round(x.shape[1] ** 0.5)
        x = x.reshape(len(x), side, side)
    if x.ndim == 4 and x.shape[3] == 1:
        return x[..., 0]
    if x.ndim == 3 or (x.ndim == 4 and x.shape[3] == 3):
        return x
    raise ValueError(
        f"{owner}: {name} has shape {shape}; expected images (N, H, W), (N, H, W, 1 or 3) or rows of a square; {cure}"
    )


def originals(owner: str, name: str, x: Any, *options: Any) -> np.ndarray:
    """as_images for what is no model's output: values outside [0, 1] raise, as bytes that were not divided do."""
    images = as_images(owner, name, x, *options)
    if images.min() < 0 or images.max() > 1:
        raise ValueError(
            f"{owner}: {name} lies in [{images.min():g}, {images.max():g}]; expected [0, 1], such as x / 255 for bytes"
        )
    return images


def same_shape(owner: str, **arrays: np.ndarray) -> None:
    """ValueError unless all have one shape."""
    if len({array.shape for array in arrays.values()}) > 1:
        shapes = " and ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"{owner}: {shapes} must have one shape")


def squared_errors(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The mean squared error of each sample, (N,)."""
    return ((x - y) ** 2).reshape(len(x), -1).mean(axis=1)


def several(codes: Any) -> bool:
    """Whether codes is a list or tuple of arrays, each of them codes."""
    return (
        isinstance(codes, (tuple, list))
        and len(codes) > 0
        and all(isinstance(part, np.ndarray) and part.ndim >= 2 for part in codes)
    )


def code_rows(owner: str, name: str, codes: Any) -> np.ndarray:
    """Codes (N, ...) as rows (N, D)."""
    if several(codes):
        raise TypeError(
            f"{owner}: {name} is a {type(codes).__name__} of {len(codes)} arrays; expected one array (N, D). Of "
            "(z, mean, log_var), as a variational encoder predicts, take the mean: [1]"
        )
    codes = numbers(owner, name, codes)
    if codes.ndim < 2:
        raise ValueError(f"{owner}: {name} has shape {codes.shape}; expected (N, D); use codes.reshape(N, -1)")
    return codes.reshape(len(codes), -1)


# ---- labels ---------------------------------------------------------------------------------------------------------
def groups(owner: str, name: str, labels: Any, N: int) -> dict[str, np.ndarray]:
    """label -> boolean mask (N,) of the samples that have it, in the labels' order."""
    labels = np.asarray(labels)
    if labels.shape != (N,):
        raise ValueError(
            f"{owner}: {name} has shape {labels.shape}; expected ({N},), one label a sample (for one-hot labels use "
            "labels.argmax(axis=1))"
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError(f"{owner}: {name} holds NaN or infinity; expected one label a sample")
    if labels.dtype.kind == "O":
        labels = labels.astype(str)  # of mixed types that have no order
    different = np.unique(labels)
    if len(different) > MOST_LABELS:
        raise ValueError(
            f"{owner}: {name} has {len(different)} different values; expected at most {MOST_LABELS}: sort numbers into "
            "bins with np.digitize"
        )
    return {str(label): labels == label for label in different}


def colours(count: int) -> list[Any]:
    """As many colours, as different from each other as can be."""
    import matplotlib

    if count <= 20:
        chosen = matplotlib.colormaps["tab10" if count <= 10 else "tab20"]
        return [chosen(i) for i in range(count)]
    return list(matplotlib.colormaps["turbo"](np.linspace(0, 1, count)))
