"""The convolution of images."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

from .. import checks, initializers, regularizers
from ..parameters import Parameter
from .activation import activation_name
from .base import Layer


def pair(owner, name, value):
    """(a, b) from one integer or two."""
    return checks.positive_integers(owner, name, (value, value) if isinstance(value, Integral) else value, length=2)


class Conv2D(Layer):
    """y[h, w, o] = activation(sum_jkc x[h + j, w + k, c] w[j, k, c, o] + b[o]), stride 1.

    dw correlates x with dz, dx correlates dz with w turned by 180 degrees: see kernels/reference/conv2d.py.

    Args:
        filters: O, the number of channels of the output.
        kernel_size: (J, K), odd, or one integer for both.
        padding: "valid" (y is smaller by J-1 and K-1) or "same" (y is as large as x: zeros around the image).
        activation, use_bias, initializers, regularizers: as for Dense.

    Input shape: (N, H, W, C). Output shape: (N, H, W, O) or (N, H-J+1, W-K+1, O).
    """

    fixed: ClassVar = {"strides": [1, 1], "data_format": "channels_last", "dilation_rate": [1, 1], "groups": 1}

    w: Parameter  # (J, K, C, O)
    b: Parameter | None = None  # (O,)

    def __init__(
        self,
        filters,
        kernel_size,
        padding="valid",
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        **options,
    ):
        super().__init__(**options)
        self.filters = checks.positive_integer("Conv2D", "filters", filters)
        self.kernel_size = pair("Conv2D", "kernel_size", kernel_size)
        if any(size % 2 == 0 for size in self.kernel_size):
            raise ValueError(
                f"Conv2D: kernel_size={self.kernel_size} has an even entry; expected odd sizes such as 3 or 5"
            )
        self.padding = checks.one_of("Conv2D", "padding", padding, ("valid", "same"))
        self.activation = activation_name("Conv2D", activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)

    def check_input(self, input_shape):
        self.require_rank(input_shape, 4, "(batch, height, width, channels)")
        self.compute_output_shape(input_shape)  # raises for an image that is too small, before there are weights

    def build(self, input_shape):
        shape = (*self.kernel_size, input_shape[3], self.filters)
        self.w = self.add_parameter("kernel", shape, self.kernel_initializer, self.kernel_regularizer)
        if self.use_bias:
            self.b = self.add_parameter("bias", (self.filters,), self.bias_initializer, self.bias_regularizer)

    def compute_output_shape(self, input_shape):
        N, H, W, _ = input_shape
        if self.padding == "valid":
            H, W = H - self.kernel_size[0] + 1, W - self.kernel_size[1] + 1
            if H < 1 or W < 1:
                raise ValueError(
                    f"{self}: an image of shape {input_shape[1:]} is smaller than kernel_size={self.kernel_size}"
                )
        return N, H, W, self.filters

    def borders(self):
        J, K = self.kernel_size
        around = J // 2, K // 2
        return (around, around) if self.padding == "same" else ((0, 0), (J - 1, K - 1))

    def forward(self, call):
        b = None if self.b is None else self.b.data
        call.ops.conv2d_forward(call.y, call.x, self.w.data, b, self.padding, self.activation)

    def backward(self, call):
        dw, db = call.gradients(self.w, self.b)
        call.ops.conv2d_backward(
            call.dx, dw, db, call.dy, call.y, call.x, self.w.data, self.padding, self.activation, call.accumulate
        )
