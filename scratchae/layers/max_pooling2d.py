"""Maximum over 2x2 windows."""

from __future__ import annotations

from typing import ClassVar

from .. import checks
from .base import Layer
from .conv2d import pair


class MaxPooling2D(Layer):
    """y[p, q] = max of x over rows 2p, 2p+1 and columns 2q, 2q+1; dy goes to the first maximum of each window.

    Args:
        pool_size, strides: (2, 2) is what there is.
        padding: "valid" drops an odd last row or column; "same" pools what is there of it.

    Input shape: (N, H, W, C). Output shape: (N, H/2, W/2, C), rounded down for "valid", up for "same".
    """

    fixed: ClassVar = {"data_format": "channels_last"}

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", **options):
        super().__init__(**options)
        for name, value in (("pool_size", pool_size), ("strides", pool_size if strides is None else strides)):
            if pair("MaxPooling2D", name, value) != (2, 2):
                raise ValueError(f"MaxPooling2D: {name}={value!r} is not supported; expected (2, 2)")
        self.pool_size = self.strides = (2, 2)
        self.padding = checks.one_of("MaxPooling2D", "padding", padding, ("valid", "same"))

    def check_input(self, input_shape):
        self.require_rank(input_shape, 4, "(batch, height, width, channels)")

    def compute_output_shape(self, input_shape):
        N, H, W, C = input_shape
        extra = 1 if self.padding == "same" else 0
        H, W = (H + extra) // 2, (W + extra) // 2
        if H < 1 or W < 1:
            raise ValueError(f"{self}: an image of shape {input_shape[1:]} is too small to pool; use padding='same'")
        return N, H, W, C

    def saved(self, input_shape):
        return {"winner": (self.compute_output_shape(input_shape), "uint8")}

    def forward(self, call):
        call.ops.max_pool2d_forward(call.y, call.winner, call.x)

    def backward(self, call):
        call.ops.max_pool2d_backward(call.dx, call.dy, call.winner)
