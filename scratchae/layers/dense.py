"""The fully connected layer."""

from __future__ import annotations

from .. import checks, initializers, regularizers
from ..parameters import Parameter
from .activation import activation_name
from .base import Layer


class Dense(Layer):
    """y = activation(x w + b).

    dw = x^T dz, db = sum of dz over the batch, dx = dz w^T, where dz = dy * activation'(z).

    Args:
        units: O, the size of the output.
        activation: "linear" (or None), "relu", "sigmoid" or "tanh".
        use_bias: whether there is a b.
        kernel_initializer, bias_initializer: how w and b begin.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties on w, b and y.

    Input shape: (N, ..., I). Output shape: (N, ..., O); the layer works along the last axis.
    """

    w: Parameter  # (I, O)
    b: Parameter | None = None  # (O,)

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        **options,
    ):
        super().__init__(**options)
        self.units = checks.positive_integer("Dense", "units", units)
        self.activation = activation_name("Dense", activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)

    def check_input(self, input_shape):
        if len(input_shape) < 2:
            raise ValueError(f"{self}: the input has shape {input_shape}; expected at least (batch, features)")

    def build(self, input_shape):
        shape = input_shape[-1], self.units
        self.w = self.add_parameter("kernel", shape, self.kernel_initializer, self.kernel_regularizer)
        if self.use_bias:
            self.b = self.add_parameter("bias", (self.units,), self.bias_initializer, self.bias_regularizer)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def forward(self, call):
        b = None if self.b is None else self.b.data
        call.ops.dense_forward(call.y, call.x, self.w.data, b, self.activation)

    def backward(self, call):
        dw, db = call.gradients(self.w, self.b)
        call.ops.dense_backward(call.dx, dw, db, call.dy, call.y, call.x, self.w.data, self.activation, call.accumulate)
