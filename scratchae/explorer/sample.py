"""What a decoded sample is to be seen as: an image, a sequence, or a row of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt, prod
from typing import Any

import numpy as np

from .. import checks
from ..model import Model

FEW_FEATURES = 8  # rank 2 with more of them is an image, not a sequence
DECODED = 256  # codes, for the range of what the decoder makes of them


def describe(
    decoder: Model,
    codes: np.ndarray | None,
    sample_shape: Sequence[int] | None,
    value_range: tuple[float, float] | None,
) -> dict[str, Any]:
    """Kind, shape and range of values; the arguments are those of `explore`, codes as rows."""
    output = decoder.outputs[0].sample_shape
    kind, shape = kind_and_shape(output, sample_shape)
    if value_range is not None:
        if not isinstance(value_range, (tuple, list)) or len(value_range) != 2:
            raise TypeError(f"explore: value_range={value_range!r} must be two numbers, such as (0, 255), or None")
        low = checks.number("explore", "value_range[0]", value_range[0])
        high = checks.number("explore", "value_range[1]", value_range[1], low=low, low_open=True)
    elif kind == "image":
        low, high = 0.0, 1.0
    else:
        latent_shape = decoder.inputs[0].sample_shape
        if codes is None:
            codes = np.random.default_rng(0).standard_normal((DECODED, prod(latent_shape)))
        decoded = decoder.predict(codes[:DECODED].reshape(-1, *latent_shape), verbose=0)
        low, high = float(decoded.min()), float(decoded.max())
        if low == high:
            low, high = low - 1, high + 1
    return {"kind": kind, "shape": shape, "range": (low, high)}


def kind_and_shape(output: tuple[int, ...], sample_shape: Sequence[int] | None) -> tuple[str, tuple[int, ...]]:
    """("image", (H, W, C)), ("sequence", (T, D)) or ("row", (D, 1)): the last is drawn as the second is."""
    shape = output
    if sample_shape is not None:
        shape = checks.positive_integers("explore", "sample_shape", sample_shape)
    if prod(shape) != prod(output):
        raise ValueError(
            f"explore: sample_shape={shape} has {prod(shape)} numbers; the decoder makes {output}, which has "
            f"{prod(output)}"
        )
    if len(shape) == 3 and shape[2] in (1, 3):
        return "image", shape
    if len(shape) == 2:
        return ("sequence", shape) if shape[1] <= FEW_FEATURES else ("image", (*shape, 1))
    if len(shape) == 1:
        side = isqrt(shape[0])
        square = sample_shape is None and side * side == shape[0] > 1
        return ("image", (side, side, 1)) if square else ("row", (shape[0], 1))
    raise ValueError(
        f"explore: samples of shape {shape} can't be drawn; expected (H, W), (H, W, 1 or 3), (T, D) or (D,): pass "
        "sample_shape"
    )
