"""Losses: one value a sample, and the gradient of their weighted sum."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import ClassVar

import numpy as np

from .backend import REFERENCE
from .configuration import Configurable
from .kernels import Array, Ops


class Loss(Configurable):
    """A loss between a prediction p and a target t of the same shape (N, ...).

    `name` is what files store and `compile(loss=...)` takes. Called with (y_true, y_pred), it returns the mean over the
    batch as a float.
    """

    name = ""
    module = "keras.losses"
    fixed: ClassVar = {"reduction": "sum_over_batch_size"}
    ignored = ("name",)

    def op(self, ops: Ops) -> Callable[..., None]:
        """The kernel."""
        raise NotImplementedError

    def scale(self, shape: tuple[int, ...]) -> float:
        """Factor before the sum of a sample's terms: their mean, unless a subclass says otherwise."""
        return 1 / prod(shape[1:])

    def compute(self, ops: Ops, loss: Array, dy: Array | None, p: Array, t: Array, weight: Array, shape: tuple) -> None:
        """loss[n] = the sample's value; dy = weight[n] times its derivative, where dy is not None."""
        self.op(ops)(loss, dy, p, t, weight, self.scale(shape))

    def __call__(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        t, p = np.asarray(y_true, float), np.asarray(y_pred, float)
        if t.shape != p.shape or p.ndim < 2 or p.size == 0:
            raise ValueError(f"{self.name}: y_true {t.shape} and y_pred {p.shape} must have one shape (samples, ...)")
        values = np.empty(len(p))
        self.compute(REFERENCE.ops, values, None, p, t, np.ones(len(p)), p.shape)
        return float(values.mean())

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class BinaryCrossentropy(Loss):
    """Mean over a sample's elements of -t log p - (1 - t) log(1 - p), with p clipped to [1e-7, 1 - 1e-7].

    For targets in [0, 1] and predictions from a sigmoid. Where p was clipped the gradient is 0, as in Keras.
    """

    name = "binary_crossentropy"
    fixed: ClassVar = {**Loss.fixed, "from_logits": False, "label_smoothing": 0.0, "axis": -1}

    def op(self, ops):
        return ops.binary_crossentropy


class SummedBinaryCrossentropy(BinaryCrossentropy):
    """The sum, not the mean, over a sample's elements: -log p(x | z) for pixels that are Bernoulli distributed.

    The reconstruction term of the variational bound (Kingma & Welling 2014, eq. 7 and appendix C.1). The other term,
    the Kullback-Leibler divergence, is carried by the Sampling layer.
    """

    name = "summed_binary_crossentropy"
    module = "scratchae.losses"
    fixed = Loss.fixed

    def scale(self, shape):
        return 1.0


class MeanSquaredError(Loss):
    """Mean over a sample's elements of (p - t)^2."""

    name = "mean_squared_error"

    def op(self, ops):
        return ops.mean_squared_error


class MeanAbsoluteError(Loss):
    """Mean over a sample's elements of |p - t|; the derivative at 0 is taken as 0."""

    name = "mean_absolute_error"

    def op(self, ops):
        return ops.mean_absolute_error


_LOSSES = (BinaryCrossentropy, SummedBinaryCrossentropy, MeanSquaredError, MeanAbsoluteError)
_BY_NAME = {cls.name: cls for cls in _LOSSES} | {"mse": MeanSquaredError, "mae": MeanAbsoluteError}


def get(identifier: Loss | str) -> Loss:
    """A loss from an instance or its name; raises ValueError with the names there are."""
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, str) and identifier in _BY_NAME:
        return _BY_NAME[identifier]()
    raise ValueError(
        f"loss={identifier!r} is unknown: use an object of scratchae.losses or one of {', '.join(_BY_NAME)}"
    )
