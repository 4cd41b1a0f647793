"""Neighbouring layers that one kernel can do: what lies between them is then never in memory.

The layers stay as they are; a plan runs the pair. Fused and unfused compute the same numbers, to rounding.
"""

from __future__ import annotations

from typing import Any

from .layers.activity_regularization import ActivityRegularization
from .layers.base import Layer
from .layers.conv2d import Conv2D
from .layers.dense import Dense
from .layers.lstm import LSTM
from .layers.max_pooling2d import MaxPooling2D
from .layers.repeat_vector import RepeatVector
from .layers.up_sampling2d import UpSampling2D
from .losses import BinaryCrossentropy, Loss


class Pair(Layer):
    """Two layers as one."""

    def __init__(self, first: Any, second: Any):
        super().__init__(name=f"{first.name} + {second.name}", seed=first.seed)
        self.first, self.second = first, second
        self.parameters = [*first.parameters, *second.parameters]

    def compute_output_shape(self, input_shape):
        return self.second.compute_output_shape(self.first.compute_output_shape(input_shape))

    def saved(self, input_shape):
        return self.second.saved(self.first.compute_output_shape(input_shape))

    def __repr__(self) -> str:
        return f"{self.first} + {self.second}"


class Conv2DMaxPooling2D(Pair):
    """The maximum of each 2x2 window is taken where the convolution is computed."""

    def borders(self):
        return self.first.borders()[0], (0, 0)

    def forward(self, call):
        conv = self.first
        b = None if conv.b is None else conv.b.data
        call.ops.conv2d_max_pool2d_forward(call.y, call.winner, call.x, conv.w.data, b, conv.padding, conv.activation)

    def backward(self, call):
        conv = self.first
        dw, db = call.gradients(conv.w, conv.b)
        call.ops.conv2d_max_pool2d_backward(
            call.dx, dw, db, call.dy, call.y, call.winner, call.x, conv.w.data, conv.padding, conv.activation,
            call.accumulate,
        )  # fmt: skip


class UpSampling2DConv2D(Pair):
    """Each of the four pixels of an upsampled block sees the small image through a kernel of its own."""

    def borders(self):
        (rows, columns), dy = self.second.borders()
        return ((rows + 1) // 2, (columns + 1) // 2), dy

    def forward(self, call):
        conv = self.second
        b = None if conv.b is None else conv.b.data
        call.ops.up_sampling2d_conv2d_forward(call.y, call.x, conv.w.data, b, conv.padding, conv.activation)

    def backward(self, call):
        conv = self.second
        dw, db = call.gradients(conv.w, conv.b)
        call.ops.up_sampling2d_conv2d_backward(
            call.dx, dw, db, call.dy, call.y, call.x, conv.w.data, conv.padding, conv.activation, call.accumulate
        )


class RepeatVectorLSTM(Pair):
    """The same input at every step is multiplied with its weights once."""

    def forward(self, call):
        self.second.forward_with(call.ops.repeat_vector_lstm_forward, call)

    def backward(self, call):
        self.second.backward_with(call.ops.repeat_vector_lstm_backward, call)


class Penalized(Pair):
    """A layer and the penalty on its output, which is then not copied from the one to the other."""

    def saved(self, input_shape):
        return self.first.saved(input_shape)

    def borders(self):
        return self.first.borders()

    def forward(self, call):
        self.first.forward(call)
        self.second.add_penalty(call, call.y)

    def backward(self, call):
        self.second.add_gradient(call, call.dy, call.y)
        self.first.backward(call)


class DenseBinaryCrossentropy(Layer):
    """A last layer with a sigmoid, and the loss: it has the logits, so neither logarithm nor division is needed twice.

    `call` also has what a loss is given, and forward leaves the gradient with respect to the logits in dy.
    """

    def __init__(self, dense: Dense, loss: Loss):
        super().__init__(name=f"{dense.name} + {loss.name}", seed=dense.seed)
        self.dense, self.loss = dense, loss
        self.parameters = dense.parameters

    def forward(self, call):
        dense = self.dense
        b = None if dense.b is None else dense.b.data
        dz = call.y if call.dy is None else call.dy
        call.ops.dense_binary_crossentropy(
            call.total, call.values, dz, call.x, dense.w.data, b, call.target, call.weight, self.loss.scale(call.shape)
        )

    def backward(self, call):
        dw, db = call.gradients(self.dense.w, self.dense.b)
        call.ops.dense_backward(call.dx, dw, db, call.dy, None, call.x, self.dense.w.data, "linear", call.accumulate)


PAIRS: dict[tuple[type, type], type[Pair]] = {
    (Conv2D, MaxPooling2D): Conv2DMaxPooling2D,
    (UpSampling2D, Conv2D): UpSampling2DConv2D,
    (RepeatVector, LSTM): RepeatVectorLSTM,
    (Dense, ActivityRegularization): Penalized,
    (Conv2D, ActivityRegularization): Penalized,
}


def pair(first: Layer, second: Layer) -> Pair | None:
    """The two as one layer, if there are kernels for that."""
    kind = PAIRS.get((type(first), type(second)))
    return None if kind is None else kind(first, second)


def with_loss(last: Layer, output_shape: tuple[int, ...], loss: Loss | None) -> Layer | None:
    """The last layer and the loss as one, if there is a kernel for that."""
    if type(last) is not Dense or last.activation != "sigmoid" or len(output_shape) != 2:
        return None
    return DenseBinaryCrossentropy(last, loss) if isinstance(loss, BinaryCrossentropy) else None
