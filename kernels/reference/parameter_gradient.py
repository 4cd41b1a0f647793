"""How every op hands over the gradient of a parameter."""

from __future__ import annotations


def write_or_add(d, gradient, accumulate):
    """The first touch of a step writes, later ones add: no pass that sets gradients to zero."""
    if accumulate:
        d += gradient
    else:
        d[...] = gradient
