"""A dense layer with a sigmoid and the binary cross-entropy of its output in one op: one after the other."""

from __future__ import annotations

import numpy as np

from .activation import through_activation
from .dense import dense_forward
from .loss import binary_crossentropy, weighted_sum


def dense_binary_crossentropy(total, loss, dz, x, w, b, t, weight, scale):
    p = np.empty_like(dz)
    dense_forward(p, x, w, b, "sigmoid")
    binary_crossentropy(loss, dz, p, t, weight, scale)
    weighted_sum(total, loss, weight)
    dz[...] = through_activation(dz, p, "sigmoid")
