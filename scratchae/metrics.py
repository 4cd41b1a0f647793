"""Metrics: what is reported beside the loss. They ignore sample weights, as Keras' `metrics` do."""

from __future__ import annotations

from typing import ClassVar

from . import losses
from .configuration import Configurable
from .kernels import Array, Ops
from .losses import Loss


class Metric(Configurable):
    """One value a sample, averaged over the samples seen so far. `name` is its key in the history."""

    module = "keras.metrics"
    ignored = ("dtype",)

    def __init__(self, name: str):
        self.name = name

    def compute(self, ops: Ops, value: Array, p: Array, t: Array, weight: Array, shape: tuple) -> None:
        """value[n] = the metric of sample n; weight is there for the loss kernels and has no effect."""
        raise NotImplementedError


class LossMetric(Metric):
    """A loss, watched instead of minimized."""

    module = "scratchae.metrics"

    def __init__(self, loss: Loss, name: str):
        super().__init__(name)
        self.loss = loss

    def compute(self, ops, value, p, t, weight, shape):
        self.loss.compute(ops, value, None, p, t, weight, shape)


class MeanSquaredError(LossMetric):
    """losses.MeanSquaredError, watched."""

    module = "keras.metrics"

    def __init__(self, name: str = "mean_squared_error"):
        super().__init__(losses.MeanSquaredError(), name)


class MeanAbsoluteError(LossMetric):
    """losses.MeanAbsoluteError, watched."""

    module = "keras.metrics"

    def __init__(self, name: str = "mean_absolute_error"):
        super().__init__(losses.MeanAbsoluteError(), name)


class BinaryCrossentropy(LossMetric):
    """losses.BinaryCrossentropy, watched."""

    module = "keras.metrics"
    fixed: ClassVar = {"from_logits": False, "label_smoothing": 0}

    def __init__(self, name: str = "binary_crossentropy"):
        super().__init__(losses.BinaryCrossentropy(), name)


class BinaryAccuracy(Metric):
    """The fraction of elements for which t equals 1 where p > threshold and 0 elsewhere."""

    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5):
        super().__init__(name)
        self.threshold = float(threshold)

    def compute(self, ops, value, p, t, weight, shape):
        ops.binary_accuracy(value, p, t, self.threshold)


def get(identifier: Metric | str, loss: Loss | None = None) -> Metric:
    """A metric from an instance or a name; raises ValueError with the names there are."""
    if isinstance(identifier, Metric):
        return identifier
    if identifier in ("mae", "mean_absolute_error"):
        return MeanAbsoluteError(identifier)
    if identifier in ("mse", "mean_squared_error"):
        return MeanSquaredError(identifier)
    if identifier == "binary_crossentropy":
        return BinaryCrossentropy()
    if identifier == "binary_accuracy":
        return BinaryAccuracy()
    if identifier in ("accuracy", "acc") and isinstance(loss, losses.BinaryCrossentropy):
        return BinaryAccuracy(identifier)
    raise ValueError(
        f"metric={identifier!r} is unknown: use mae, mse, binary_crossentropy, binary_accuracy or an object of "
        "scratchae.metrics"
    )
