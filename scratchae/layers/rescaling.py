"""Data brought to another range."""

from __future__ import annotations

from .. import checks
from .base import Layer


class Rescaling(Layer):
    """y = scale x + offset, dx = scale dy. Rescaling(1 / 255) brings the bytes of an image into [0, 1].

    Input shape: any. Output shape: the same.
    """

    def __init__(self, scale, offset=0.0, **options):
        super().__init__(**options)
        self.scale = checks.number("Rescaling", "scale", scale)
        self.offset = checks.number("Rescaling", "offset", offset)

    def forward(self, call):
        call.ops.rescale_forward(call.y, call.x, self.scale, self.offset)

    def backward(self, call):
        call.ops.rescale_backward(call.dx, call.dy, self.scale)
