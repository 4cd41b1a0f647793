"""Neighbouring layers that one kernel can do: what lies between them is then never in memory.

The layers stay as they are; a plan runs the pair. Fused and unfused compute the same numbers, to rounding.

Layers of a kind that follow one another, alone or in pairs, are a chain: each keeps its tensors, but one op does them
all.
"""

from __future__ import annotations

from typing import Any

from .kernels import LONGEST_CHAIN, WIDEST_CHAIN, Link
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


# ---- several layers in one op ---------------------------------------------------------------------------------------
class Chain:
    """Layers one after another, each with tensors of its own, that one op does together; this one is of a single layer.

    `steps` are in the order of the pass, forward or backward.
    """

    def __init__(self) -> None:
        self.steps: list[Any] = []

    def takes(self, before: Any, after: Any) -> bool:
        """Whether two steps, one of which is the chain's last, may follow each other in it."""
        return False

    def forward(self) -> None:
        for step in self.steps:
            step.layer.forward(step.call)

    def backward(self) -> None:
        for step in self.steps:
            step.layer.backward(step.call)


class ConvolutionChain(Chain):
    """Convolutions, alone or with their neighbours."""

    def takes(self, before, after):
        return chain_of(before.layer) is chain_of(after.layer)

    def forward(self):
        if len(self.steps) == 1:
            super().forward()
        else:
            self.steps[0].call.ops.conv2d_chain_forward([link(step) for step in self.steps])

    def backward(self):
        if len(self.steps) == 1:
            super().backward()
        else:
            self.steps[0].call.ops.conv2d_chain_backward([link(step) for step in reversed(self.steps)])


def link(step: Any) -> Link:
    """A layer of a chain of convolutions, as their op takes it."""
    layer, call = step.layer, step.call
    conv, neighbour = layer, None
    if isinstance(layer, Conv2DMaxPooling2D):
        conv, neighbour = layer.first, "max_pool2d"
    elif isinstance(layer, UpSampling2DConv2D):
        conv, neighbour = layer.second, "up_sampling2d"
    saved = (call.winner,) if neighbour == "max_pool2d" else ()
    dw, db = call.gradients(conv.w, conv.b)
    b = None if conv.b is None else conv.b.data
    return Link(
        neighbour, call.dx, dw, db, call.dy, call.y, saved, call.x, conv.w.data, b, conv.padding, conv.activation,
        call.accumulate,
    )  # fmt: skip


class DenseChain(Chain):
    """Narrow dense layers: the middle of a deep autoencoder. The output of the last may have a penalty."""

    def takes(self, before, after):
        return (
            len(self.steps) < LONGEST_CHAIN
            and type(before.layer) is Dense
            and chain_of(after.layer) is DenseChain
            and max(before.layer.units, dense_of(after.layer).units) <= WIDEST_CHAIN
            and before.first_touch == after.first_touch  # their gradients are all written or all added
        )

    def forward(self):
        if len(self.steps) == 1:
            return super().forward()
        first, last = self.steps[0].call, self.steps[-1]
        layers = [dense_of(step.layer) for step in self.steps]
        bs = [None if layer.b is None else layer.b.data for layer in layers]
        ys, ws = [step.call.y for step in self.steps], [layer.w.data for layer in layers]
        first.ops.dense_chain_forward(ys, first.x, ws, bs, [layer.activation for layer in layers])
        if isinstance(last.layer, Penalized):
            last.layer.second.add_penalty(last.call, last.call.y)

    def backward(self):
        if len(self.steps) == 1:
            return super().backward()
        *_, first = self.steps
        last, calls = self.steps[0], [step.call for step in reversed(self.steps)]
        if isinstance(last.layer, Penalized):
            last.layer.second.add_gradient(last.call, last.call.dy, last.call.y)
        layers = [dense_of(step.layer) for step in reversed(self.steps)]
        dws = first.call.gradients(*(layer.w for layer in layers))
        dbs = first.call.gradients(*(layer.b for layer in layers))
        dys, ys = [call.dy for call in calls], [call.y for call in calls]
        ws, activations = [layer.w.data for layer in layers], [layer.activation for layer in layers]
        first.call.ops.dense_chain_backward(
            first.call.dx, dws, dbs, dys, ys, first.call.x, ws, activations, first.call.accumulate
        )


def dense_of(layer: Any) -> Dense:
    """A dense layer without its penalty."""
    return layer.first if isinstance(layer, Penalized) else layer


def chain_of(layer: Layer) -> type[Chain]:
    """The kind of chain that a layer may be a part of."""
    if type(layer) in (Conv2D, Conv2DMaxPooling2D, UpSampling2DConv2D):
        return ConvolutionChain
    if type(layer) is Dense or (type(layer) is Penalized and type(layer.first) is Dense):
        return DenseChain
    return Chain
