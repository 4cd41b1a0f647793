"""The training step: a batch forward, its loss, backward, and the optimizer."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from .data import Data, load

if TYPE_CHECKING:
    from .losses import Loss
    from .model import Model


def run_batch(
    owner: str,
    model: Model,
    data: Data,
    rows: np.ndarray,
    gradients: bool,
    training: bool,
    step: int,
    fused: bool = True,
) -> list[float]:
    """The loss and the metrics of one batch; with `gradients`, also the gradients of its loss in the model's store.

    loss = 1/N sum over n of sample_weight[n] l[n] + penalties. The batch goes through in slabs, whose losses and
    gradients add up; scales are those of the whole batch.
    """
    assert model.loss is not None
    backend, dtype = model.device()
    ops, numbers, N = backend.ops, model.numbers(), len(rows)
    size = model.slab_size(N)
    backend.upload(numbers.totals, 0)
    backend.upload(numbers.step, step)
    with np.errstate(all="ignore"):  # what is not finite is found by its flag
        for start in range(0, N, size):
            part = rows[start : start + size]
            plan = model.plan(len(part), gradients, fused=fused, loss=fused_loss(model))
            load(owner, plan, data, part, numbers.invalid)
            backend.upload(plan.weight, 1 / N)
            if not plan.computes_loss:
                plan.forward(training, numbers.step, numbers.penalty, start, 1 / N)
            prediction, shape = plan.outputs[0], plan.output_slots[0].shape
            for metric, total in zip(model.metrics, numbers.metrics, strict=True):
                metric.compute(ops, plan.values, prediction, plan.target, plan.weight, shape)
                ops.weighted_sum(total, plan.values, plan.weight)
            if data.weight is not None:
                backend.upload(plan.weight, np.asarray(data.weight[part], dtype) / N)
            if plan.computes_loss:
                plan.forward(training, numbers.step, numbers.penalty, start, 1 / N)
            else:
                model.loss.compute(ops, plan.values, plan.output_gradient, prediction, plan.target, plan.weight, shape)
            ops.weighted_sum(numbers.loss, plan.values, plan.weight)
            if gradients:
                plan.backward(accumulate=start > 0)
        for p in model.regularized():
            r = p.regularizer
            assert r is not None
            ops.l1_l2_forward(numbers.penalty, p.data, r.l1, r.l2, 1.0)
            if gradients:
                ops.l1_l2_backward(p.grad, p.data, r.l1, r.l2, 1.0)
    loss, penalty, *metrics = backend.download(numbers.totals).tolist()
    return [loss + penalty, *metrics]


def fused_loss(model: Model) -> Loss | None:
    """The loss, if nothing but it reads the prediction."""
    return None if model.metrics else model.loss


def gradient_batch(owner: str, model: Model, data: Data, rows: np.ndarray, fused: bool = True) -> list[float]:
    """run_batch as the next training step will do it."""
    assert model.optimizer is not None
    model.training_store()
    step = model.optimizer.iterations
    return run_batch(owner, model, data, rows, gradients=True, training=True, step=step, fused=fused)


def train_step(owner: str, model: Model, data: Data, rows: np.ndarray) -> tuple[list[float], bool]:
    """One step: loss and metrics before it, and whether all was finite. If not, nothing was written."""
    values = gradient_batch(owner, model, data, rows)
    store, optimizer = model.training_store(), model.optimizer
    assert optimizer is not None
    flag = model.numbers().flag
    store.backend.upload(flag, not isfinite(values[0]))
    store.backend.ops.find_nonfinite(flag, store.gradients)
    with np.errstate(all="ignore"):
        return values, optimizer.apply(store, flag)


def not_finite(model: Model, data: Data, rows: np.ndarray, loss: float) -> FloatingPointError:
    """The error for a step that gave NaN or infinity; runs it again to name the layer where it began."""
    size = model.slab_size(len(rows))
    place = None
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        gradient_batch("fit", model, data, part, fused=False)  # layer by layer
        place = place or model.plan(len(part), True, fused=False, loss=fused_loss(model)).find_nonfinite()
    return FloatingPointError(
        f"the loss of this batch is {loss:g}, and {place or 'the loss'} is the first that is not finite; the weights "
        "are those before this step. A smaller learning rate, clipnorm=1.0, or data scaled to [0, 1] may help"
    )
