"""Penalties on weights and activations: l1 sum |x| + l2 sum x^2."""

from __future__ import annotations

from . import checks
from .configuration import Configurable


class Regularizer(Configurable):
    """l1 * sum |x| + l2 * sum x^2, added to the loss.

    On a kernel or bias it is added once a step; on an activation it is divided by the number of samples in the batch,
    as Keras does. Factors must be finite and at least 0.
    """

    module = "scratchae.regularizers"

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        self.l1 = checks.number(type(self).__name__, "l1", l1, low=0)
        self.l2 = checks.number(type(self).__name__, "l2", l2, low=0)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(l1={self.l1:g}, l2={self.l2:g})"


class L1(Regularizer):
    """l1 * sum |x|: pushes weights or activations to exactly zero."""

    module = "keras.regularizers"

    def __init__(self, l1: float = 0.01):
        super().__init__(l1=l1)


class L2(Regularizer):
    """l2 * sum x^2: weight decay in the loss."""

    module = "keras.regularizers"

    def __init__(self, l2: float = 0.01):
        super().__init__(l2=l2)


class L1L2(Regularizer):
    """Both at once."""

    module = "keras.regularizers"


l1, l2, l1_l2 = L1, L2, L1L2


def get(identifier: Regularizer | str | None) -> Regularizer | None:
    """A regularizer from None, an instance, or "l1", "l2", "l1_l2" with their default factors."""
    if identifier is None or isinstance(identifier, Regularizer):
        return identifier
    if identifier == "l1":
        return L1()
    if identifier == "l2":
        return L2()
    if identifier == "l1_l2":
        return L1L2(l1=0.01, l2=0.01)
    raise ValueError(f"regularizer={identifier!r} is unknown: use regularizers.L1, L2, L1L2, or 'l1', 'l2', 'l1_l2'")
