"""The training step: a batch forward, its loss, backward, and the optimizer."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from .data import Data, load

if TYPE_CHECKING:
    from .model import Model


def run_batch(
    owner: str, model: Model, data: Data, rows: np.ndarray, gradients: bool, training: bool, step: int
) -> list[float]:
    """The loss and the metrics of one batch; with `gradients`, also the gradients of its loss in the model's store.

    loss = 1/N sum over n of sample_weight[n] l[n] + penalties. The batch goes through in slabs, whose losses and
    gradients add up; scales are those of the whole batch.
    """
    assert model.loss is not None
    backend, dtype = model.device()
    N = len(rows)
    size = min(N, backend.slab_size or N)
    totals = backend.zeros((2 + len(model.metrics),), dtype)  # loss, penalties, metrics
    counter = backend.zeros((1,), np.dtype("uint64"))
    counter[0] = step
    regularized = [p for p in model.trainable_weights if p.regularizer is not None]
    with np.errstate(all="ignore"):  # what is not finite is found by its flag
        for start in range(0, N, size):
            part = rows[start : start + size]
            plan = model.plan(len(part), gradients)
            ops = backend.ops
            load(owner, plan, data, part)
            plan.penalty[0] = 0
            plan.forward(training, counter, start, 1 / N)
            prediction, shape = plan.outputs[0], plan.output_slots[0].shape
            plan.weight[...] = 1 / N
            for metric, total in zip(model.metrics, totals[2:, None], strict=True):
                metric.compute(ops, plan.values, prediction, plan.target, plan.weight, shape)
                ops.weighted_sum(total, plan.values, plan.weight)
            if data.weight is not None:
                plan.weight[...] = np.asarray(data.weight[part], dtype) / N
            model.loss.compute(ops, plan.values, plan.output_gradient, prediction, plan.target, plan.weight, shape)
            ops.weighted_sum(totals[:1], plan.values, plan.weight)
            totals[1] += plan.penalty[0]
            if gradients:
                plan.backward(accumulate=start > 0)
        for p in regularized:
            r = p.regularizer
            assert r is not None
            backend.ops.l1_l2_forward(totals[1:2], p.data, r.l1, r.l2, 1.0)
            if gradients:
                backend.ops.l1_l2_backward(p.grad, p.data, r.l1, r.l2, 1.0)
    values = totals.tolist()
    return [values[0] + values[1], *values[2:]]


def gradient_batch(owner: str, model: Model, data: Data, rows: np.ndarray) -> list[float]:
    """run_batch as the next training step will do it."""
    assert model.optimizer is not None
    model.training_store()
    return run_batch(owner, model, data, rows, gradients=True, training=True, step=model.optimizer.iterations)


def train_step(owner: str, model: Model, data: Data, rows: np.ndarray) -> tuple[list[float], bool]:
    """One step: loss and metrics before it, and whether all was finite. If not, nothing was written."""
    values = gradient_batch(owner, model, data, rows)
    store, optimizer = model.training_store(), model.optimizer
    assert optimizer is not None
    flag = store.backend.zeros((1,), np.dtype("int32"))
    flag[0] = not isfinite(values[0])
    store.backend.ops.find_nonfinite(flag, store.gradients)
    with np.errstate(all="ignore"):
        optimizer.apply(store, flag)
    return values, not flag[0]


def not_finite(model: Model, data: Data, rows: np.ndarray, loss: float) -> FloatingPointError:
    """The error for a step that gave NaN or infinity; runs it again to name the layer where it began."""
    backend, _ = model.device()
    size = backend.slab_size or len(rows)
    place = None
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        gradient_batch("fit", model, data, part)
        place = place or model.plan(len(part), True).find_nonfinite()
    return FloatingPointError(
        f"the loss of this batch is {loss:g}, and {place or 'the loss'} is the first that is not finite; the weights "
        "are those before this step. A smaller learning rate, clipnorm=1.0, or data scaled to [0, 1] may help"
    )
