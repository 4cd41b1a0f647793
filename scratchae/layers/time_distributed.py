"""A dense layer at every time step."""

from __future__ import annotations

from .base import Layer
from .dense import Dense


class TimeDistributed(Layer):
    """The same Dense layer applied to each step of a sequence: y[t] = dense(x[t]).

    Dense works along the last axis, whatever stands before it, so this hands the sequence on as it is.

    Args:
        layer: the Dense layer.

    Input shape: (N, T, I). Output shape: (N, T, O).
    """

    def __init__(self, layer, **options):
        if not isinstance(layer, Dense):
            raise TypeError(f"TimeDistributed: layer={layer!r} is not supported; expected a Dense layer")
        super().__init__(**{"activity_regularizer": layer.activity_regularizer, **options})
        self.layer = layer

    def get_config(self):
        config = super().get_config()
        if self.activity_regularizer is self.layer.activity_regularizer:
            config.pop("activity_regularizer", None)  # the inner layer has it
        return config

    def check_input(self, input_shape):
        self.require_rank(input_shape, 3, "(batch, time steps, features)")

    def build(self, input_shape):
        self.layer.build_once(input_shape)
        self.parameters = self.layer.parameters

    @property
    def trainable_weights(self):
        return self.layer.trainable_weights if self.trainable else []

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def forward(self, call):
        self.layer.forward(call)

    def backward(self, call):
        self.layer.backward(call)
