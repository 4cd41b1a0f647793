"""Metrics: what is reported beside the loss. They ignore sample weights, as Keras' `metrics` do."""

from __future__ import annotations

from .kernels import Array, Ops
from .losses import BinaryCrossentropy, Loss, MeanAbsoluteError, MeanSquaredError


class Metric:
    """One value a sample, averaged over the samples seen so far. `name` is its key in the history."""

    def __init__(self, name: str):
        self.name = name

    def compute(self, ops: Ops, value: Array, p: Array, t: Array, weight: Array, shape: tuple) -> None:
        """value[n] = the metric of sample n; weight is there for the loss kernels and has no effect."""
        raise NotImplementedError


class LossMetric(Metric):
    """A loss, watched instead of minimized."""

    def __init__(self, loss: Loss, name: str):
        super().__init__(name)
        self.loss = loss

    def compute(self, ops, value, p, t, weight, shape):
        self.loss.compute(ops, value, None, p, t, weight, shape)


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
        return LossMetric(MeanAbsoluteError(), identifier)
    if identifier in ("mse", "mean_squared_error"):
        return LossMetric(MeanSquaredError(), identifier)
    if identifier == "binary_crossentropy":
        return LossMetric(BinaryCrossentropy(), identifier)
    if identifier == "binary_accuracy":
        return BinaryAccuracy()
    if identifier in ("accuracy", "acc") and isinstance(loss, BinaryCrossentropy):
        return BinaryAccuracy(identifier)
    raise ValueError(
        f"metric={identifier!r} is unknown: use mae, mse, binary_crossentropy, binary_accuracy or an object of "
        "scratchae.metrics"
    )
