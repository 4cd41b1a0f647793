"""The same numbers in another shape."""

from __future__ import annotations

from math import prod
from typing import ClassVar

import numpy as np

from .. import checks
from .base import Layer


class Reshape(Layer):
    """The elements of each sample, in row-major order, in another shape.

    Args:
        target_shape: the shape of one sample; one entry may be -1 and is worked out.

    Input shape: any. Output shape: (N, *target_shape).
    """

    def __init__(self, target_shape, **options):
        super().__init__(**options)
        known = [1 if size == -1 else size for size in target_shape] if np.iterable(target_shape) else target_shape
        checks.positive_integers("Reshape", "target_shape", known)
        self.target_shape = tuple(target_shape)
        if self.target_shape.count(-1) > 1:
            raise ValueError(f"Reshape: target_shape={target_shape!r} has several -1; expected at most one")

    def compute_output_shape(self, input_shape):
        size = prod(input_shape[1:])
        known = prod(s for s in self.target_shape if s != -1)
        shape = tuple(size // known if s == -1 else s for s in self.target_shape)
        if prod(shape) != size:
            raise ValueError(
                f"{self}: {size} elements of an input of shape {input_shape[1:]} can't take the shape {shape}"
            )
        return (input_shape[0], *shape)

    def forward(self, call):
        call.ops.reshape_forward(call.y, call.x)

    def backward(self, call):
        call.ops.reshape_backward(call.dx, call.dy)


class Flatten(Reshape):
    """The elements of each sample as one vector.

    Input shape: (N, ...). Output shape: (N, D).
    """

    unsaved = (*Reshape.unsaved, "target_shape")
    fixed: ClassVar = {"data_format": "channels_last"}

    def __init__(self, **options):
        super().__init__((-1,), **options)
