"""A penalty on activations."""

from __future__ import annotations

from ..regularizers import Regularizer
from .base import Layer


class ActivityRegularization(Layer):
    """y = x, and (l1 sum |x| + l2 sum x^2) / N is added to the loss; dx = dy + (l1 sign(x) + 2 l2 x) / N.

    What `activity_regularizer=` of a layer stands for: a plan puts this layer behind it.

    Input shape: any. Output shape: the same.
    """

    def __init__(self, l1=0.0, l2=0.0, **options):
        super().__init__(**options)
        self.regularizer = Regularizer(l1, l2)
        self.l1, self.l2 = self.regularizer.l1, self.regularizer.l2

    def forward(self, call):
        call.ops.reshape_forward(call.y, call.x)
        self.add_penalty(call, call.x)

    def backward(self, call):
        call.ops.reshape_backward(call.dx, call.dy)
        self.add_gradient(call, call.dx, call.x)

    def add_penalty(self, call, x):
        r = self.regularizer
        call.ops.l1_l2_forward(call.penalty, x, r.l1, r.l2, call.sample_scale)

    def add_gradient(self, call, dx, x):
        r = self.regularizer
        call.ops.l1_l2_backward(dx, x, r.l1, r.l2, call.sample_scale)
