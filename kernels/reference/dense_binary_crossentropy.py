"""A dense layer with a sigmoid and the binary cross-entropy of its output in one op: the composition of the two."""

from __future__ import annotations

import numpy as np

from .activation import through_activation
from .dense import dense_forward
from .loss import binary_crossentropy


def dense_binary_crossentropy(loss, dz, x, w, b, t, weight, scale):
    p = np.empty_like(dz)
    dense_forward(p, x, w, b, "sigmoid")
    binary_crossentropy(loss, dz, p, t, weight, scale)
    dz[...] = through_activation(dz, p, "sigmoid")
