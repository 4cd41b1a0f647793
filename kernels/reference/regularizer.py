"""l1 sum |x| + l2 sum x^2, for parameters and for activations."""

from __future__ import annotations

import numpy as np


def l1_l2_forward(value, x, l1, l2, scale):
    value[0] += scale * (l1 * np.sum(np.abs(x)) + l2 * np.sum(x * x))


def l1_l2_backward(dx, x, l1, l2, scale):
    dx += scale * (l1 * np.sign(x) + 2 * l2 * x)
