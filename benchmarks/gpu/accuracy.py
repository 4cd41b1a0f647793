"""How far a result is from what it should be, computed in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

OF_OPS = 1e-5  # a limit: sums of some thousand products in float32 differ from float64's by some 1e-6
OF_CHOICES = 1e-3  # the part of a pooling's winners that rounding may decide otherwise


def in_float64(value: Any) -> Any:
    """A copy, in float64 if it is of floating-point numbers."""
    if not isinstance(value, np.ndarray):
        return value
    return value.astype(np.float64 if value.dtype.kind == "f" else value.dtype)


def difference(got: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """An output's error, and what it may be."""
    if wanted.dtype.kind != "f":
        return float(np.mean(got != wanted)), OF_CHOICES if wanted.dtype == np.uint8 else 0.0
    if not np.isfinite(got).all():
        return np.inf, OF_OPS
    largest = max(np.abs(wanted).max(initial=0), 1e-30)
    return float(np.abs(got - wanted).max(initial=0) / largest), OF_OPS
