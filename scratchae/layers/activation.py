"""An activation as a layer of its own."""

from __future__ import annotations

from .. import checks
from .base import Layer

ACTIVATIONS = ("linear", "relu", "sigmoid", "tanh")


def activation_name(owner, activation):
    """The name of an activation; None is "linear"."""
    return checks.one_of(owner, "activation", "linear" if activation is None else activation, ACTIVATIONS)


class Activation(Layer):
    """y = activation(x), dx = dy * activation'(x), the derivative computed from y.

    Args:
        activation: "linear", "relu", "sigmoid" or "tanh".

    Input shape: any. Output shape: the same.
    """

    def __init__(self, activation, **options):
        super().__init__(**options)
        self.activation = activation_name("Activation", activation)

    def forward(self, call):
        call.ops.activation_forward(call.y, call.x, self.activation)

    def backward(self, call):
        call.ops.activation_backward(call.dx, call.dy, call.y, self.activation)
