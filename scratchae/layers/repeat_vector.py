"""One vector as a sequence."""

from __future__ import annotations

from .. import checks
from .base import Layer


class RepeatVector(Layer):
    """y[t] = x for every step t; dx sums dy over time.

    Args:
        n: T, the number of time steps.

    Input shape: (N, D). Output shape: (N, T, D).
    """

    def __init__(self, n, **options):
        super().__init__(**options)
        self.n = checks.positive_integer("RepeatVector", "n", n)

    def check_input(self, input_shape):
        self.require_rank(input_shape, 2, "(batch, features)")

    def compute_output_shape(self, input_shape):
        N, D = input_shape
        return N, self.n, D

    def forward(self, call):
        call.ops.repeat_vector_forward(call.y, call.x)

    def backward(self, call):
        call.ops.repeat_vector_backward(call.dx, call.dy)
