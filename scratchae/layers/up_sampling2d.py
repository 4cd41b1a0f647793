"""Nearest-neighbour upsampling by two."""

from __future__ import annotations

from typing import ClassVar

from .. import checks
from .base import Layer
from .conv2d import pair


class UpSampling2D(Layer):
    """y[2h + i, 2w + j] = x[h, w] for i, j in {0, 1}; dx sums dy over each block.

    Args:
        size: (2, 2) is what there is.
        interpolation: "nearest" is what there is.

    Input shape: (N, H, W, C). Output shape: (N, 2H, 2W, C).
    """

    fixed: ClassVar = {"data_format": "channels_last"}

    def __init__(self, size=(2, 2), interpolation="nearest", **options):
        super().__init__(**options)
        if pair("UpSampling2D", "size", size) != (2, 2):
            raise ValueError(f"UpSampling2D: size={size!r} is not supported; expected (2, 2)")
        self.size = (2, 2)
        self.interpolation = checks.one_of("UpSampling2D", "interpolation", interpolation, ("nearest",))

    def check_input(self, input_shape):
        self.require_rank(input_shape, 4, "(batch, height, width, channels)")

    def compute_output_shape(self, input_shape):
        N, H, W, C = input_shape
        return N, 2 * H, 2 * W, C

    def forward(self, call):
        call.ops.up_sampling2d_forward(call.y, call.x)

    def backward(self, call):
        call.ops.up_sampling2d_backward(call.dx, call.dy)
