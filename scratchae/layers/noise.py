"""Noise that is there in training only."""

from __future__ import annotations

from .. import checks
from .base import Layer


class GaussianNoise(Layer):
    """y = x + stddev * noise in training, y = x otherwise; dx = dy. Denoising: Vincent et al. 2010, section 3.3.

    Args:
        stddev: standard deviation, in the units of x.

    Input shape: any. Output shape: the same.
    """

    draws = True

    def __init__(self, stddev, **options):
        super().__init__(**options)
        self.stddev = checks.number("GaussianNoise", "stddev", stddev, low=0)

    def forward(self, call):
        if call.training:
            call.ops.gaussian_noise_forward(call.y, call.x, self.stddev, call.key, call.step, call.first_sample)
        else:
            call.ops.reshape_forward(call.y, call.x)

    def backward(self, call):
        call.ops.gaussian_noise_backward(call.dx, call.dy)


class Dropout(Layer):
    """In training each element is 0 with probability `rate` and x / (1 - rate) otherwise: Srivastava et al. 2014.

    Backward draws the same numbers again. Outside training y = x.

    Args:
        rate: the probability, in [0, 1).

    Input shape: any. Output shape: the same.
    """

    draws = True

    def __init__(self, rate, **options):
        super().__init__(**options)
        self.rate = checks.number("Dropout", "rate", rate, low=0, high=1, high_open=True)

    def forward(self, call):
        if call.training:
            call.ops.dropout_forward(call.y, call.x, self.rate, call.key, call.step, call.first_sample)
        else:
            call.ops.reshape_forward(call.y, call.x)

    def backward(self, call):
        call.ops.dropout_backward(call.dx, call.dy, self.rate, call.key, call.step, call.first_sample)
