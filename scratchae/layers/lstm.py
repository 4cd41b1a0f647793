"""Long short-term memory."""

from __future__ import annotations

from typing import ClassVar

from .. import checks, initializers, regularizers
from ..parameters import Parameter
from .base import Layer


class LSTM(Layer):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; with a forget gate: Gers et al. 2000).

        z_t = x_t wx + h_(t-1) wh + b
        i, f, o = sigmoid, g = tanh of the quarters of z_t, in the order i, f, g, o
        c_t = f c_(t-1) + i g
        h_t = o tanh(c_t)

    starting from zeros; the backward pass runs through time (kernels/reference/lstm.py).

    Args:
        units: U, the size of the state.
        return_sequences: False gives the last h, True gives all of them.
        use_bias, unit_forget_bias: whether there is a b, and whether the forget gate's part begins at 1.
        kernel_initializer, recurrent_initializer, bias_initializer: how wx, wh and b begin.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer: penalties on them and on y.

    Input shape: (N, T, I). Output shape: (N, U) or (N, T, U).
    """

    fixed: ClassVar = {
        "return_state": False,
        "go_backwards": False,
        "stateful": False,
        "dropout": 0.0,
        "recurrent_dropout": 0.0,
    }
    ignored = ("seed", "unroll", "zero_output_for_mask")

    wx: Parameter  # (I, 4U)
    wh: Parameter  # (U, 4U)
    b: Parameter | None = None  # (4U,)

    def __init__(
        self,
        units,
        return_sequences=False,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        unit_forget_bias=True,
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        activation="tanh",
        recurrent_activation="sigmoid",
        **options,
    ):
        super().__init__(**options)
        self.units = checks.positive_integer("LSTM", "units", units)
        self.return_sequences = return_sequences
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.unit_forget_bias = unit_forget_bias
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activation = checks.one_of("LSTM", "activation", activation, ("tanh",))
        self.recurrent_activation = checks.one_of("LSTM", "recurrent_activation", recurrent_activation, ("sigmoid",))

    def check_input(self, input_shape):
        self.require_rank(input_shape, 3, "(batch, time steps, features)")

    def build(self, input_shape):
        U = self.units
        self.wx = self.add_parameter(
            "kernel", (input_shape[2], 4 * U), self.kernel_initializer, self.kernel_regularizer
        )
        self.wh = self.add_parameter(
            "recurrent_kernel", (U, 4 * U), self.recurrent_initializer, self.recurrent_regularizer
        )
        if self.use_bias:
            self.b = self.add_parameter("bias", (4 * U,), self.bias_initializer, self.bias_regularizer)
            if self.unit_forget_bias:
                self.b.backend.upload(
                    self.b.data[U : 2 * U], 1
                )  # remember at first: Jozefowicz, Zaremba & Sutskever 2015

    def compute_output_shape(self, input_shape):
        N, T, _ = input_shape
        return (N, T, self.units) if self.return_sequences else (N, self.units)

    def saved(self, input_shape):
        N, T, _ = input_shape
        states = {"c": ((N, T, self.units), None), "gates": ((N, T, 4 * self.units), None)}
        if not self.return_sequences:  # h is then not the output itself
            states |= {"h": ((N, T, self.units), None), "dh": ((N, T, self.units), None)}
        return states

    def forward(self, call):
        self.forward_with(call.ops.lstm_forward, call)

    def backward(self, call):
        self.backward_with(call.ops.lstm_backward, call)

    def forward_with(self, lstm_forward, call):
        """forward, by a kernel for the input as it is or for one that is the same at every step."""
        h = call.y if self.return_sequences else call.h
        b = None if self.b is None else self.b.data
        lstm_forward(h, call.c, call.gates, call.x, self.wx.data, self.wh.data, b)
        if not self.return_sequences:
            call.ops.last_step_forward(call.y, h)

    def backward_with(self, lstm_backward, call):
        h, dh = (call.y, call.dy) if self.return_sequences else (call.h, call.dh)
        if not self.return_sequences:
            call.ops.last_step_backward(dh, call.dy)
        dwx, dwh, db = call.gradients(self.wx, self.wh, self.b)
        lstm_backward(
            call.dx, dwx, dwh, db, dh, h, call.c, call.gates, call.x, self.wx.data, self.wh.data, call.accumulate
        )
