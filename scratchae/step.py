"""The training step: a batch forward, its loss, backward, and the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from . import recording
from .data import Data, invalid_data, load, load_finite
from .distributed import ALONE, Group
from .interrupts import UNINTERRUPTED
from .kernels import Array

if TYPE_CHECKING:
    from .losses import Loss
    from .model import Model
    from .plan import Plan

MOST = 64  # slabs in a recording


def run_batch(
    owner: str,
    model: Model,
    data: Data,
    rows: Any,
    gradients: bool,
    training: bool,
    step: Array,
    fused: bool = True,
    group: Group = ALONE,
    recorded: bool = False,
) -> None:
    """Put the loss, the penalties and the metrics of one batch into the model's totals; with `gradients`, also the
    gradients of its loss into the model's store.

    loss = 1/N sum over n of sample_weight[n] l[n] + penalties. The batch goes through in slabs, whose losses and
    gradients add up; scales are those of the whole batch. Of several processes each takes a share of the samples, and
    ends up with the sums of all. Where the batch is `recorded` as a whole, what is not finite in its data sets the
    step's flag; else it is a ValueError, and each slab is recorded.
    """
    backend, _ = model.device()
    numbers, N = model.numbers(), len(rows)
    size, (first, end) = model.slab_size(N), group.share(N)
    backend.upload(numbers.totals, 0)
    for start in range(first, end, size):
        part = rows[start : min(start + size, end)]
        plan = model.plan(len(part), gradients, fused=fused, loss=fused_loss(model))
        plan.take_means_over(N)
        place, adds = plan.place_of(start), start > first
        slab = partial(run_slab, model, plan, gradients, training, step, place, N, adds)
        if recorded:
            load(plan, data, part, numbers.flag, 1 / N)
            slab()
        else:
            load_finite(owner, plan, data, part, numbers, 1 / N)
            kept = plan, numbers, step, plan.target, plan.weight
            recording.run(model, ("slab", id(plan), id(step), training, place, N, adds), kept, slab)
    group.add_up(model, N, gradients)
    if model.regularized():
        recording.quietly(partial(add_penalties, model, gradients))


def add_penalties(model: Model, gradients: bool) -> None:
    """Those of parameters, to the batch's total and to their gradients."""
    ops, numbers = model.device()[0].ops, model.numbers()
    for p in model.regularized():
        r = p.regularizer
        assert r is not None
        ops.l1_l2_forward(numbers.penalty, p.data, r.l1, r.l2, 1.0)
        if gradients:
            ops.l1_l2_backward(p.grad, p.data, r.l1, r.l2, 1.0)


def run_slab(
    model: Model, plan: Plan, gradients: bool, training: bool, step: Array, place: int, N: int, adds: bool
) -> None:
    """The part of a batch of N that the plan has been loaded with, samples `place` and on: `adds` is whether gradients
    of others are there."""
    ops, numbers, loss = plan.backend.ops, model.numbers(), model.loss
    assert loss is not None
    prediction, shape = plan.outputs[0], plan.output_slots[0].shape
    plan.forward(training, step, numbers.penalty, place, 1 / N, numbers.loss)
    for metric, total in zip(model.metrics, numbers.metrics, strict=True):
        metric.compute(ops, plan.values, prediction, plan.target, plan.mean_weight, shape)
        ops.weighted_sum(total, plan.values, plan.mean_weight)
    if not plan.computes_loss:
        loss.compute(ops, plan.values, plan.output_gradient, prediction, plan.target, plan.weight, shape)
        ops.weighted_sum(numbers.loss, plan.values, plan.weight)
    if gradients:
        plan.backward(accumulate=adds)


def fused_loss(model: Model) -> Loss | None:
    """The loss, if nothing but it reads the prediction."""
    return None if model.metrics else model.loss


def batch_totals(model: Model) -> list[float]:
    """The loss, the penalties and the metrics of the batch that went through last."""
    return model.numbers().read()[2]


def merged(totals: list[float]) -> list[float]:
    """The loss with its penalties, and the metrics."""
    return [totals[0] + totals[1], *totals[2:]]


def gradient_batch(owner: str, model: Model, data: Data, rows: np.ndarray, fused: bool = True) -> list[float]:
    """The values of a batch and, in the store, the gradients that the next training step will have."""
    assert model.optimizer is not None
    store, draw = model.training_store(), model.numbers().draw
    store.backend.upload(draw, model.optimizer.iterations)
    run_batch(owner, model, data, rows, gradients=True, training=True, step=draw, fused=fused)
    return merged(batch_totals(model))


def train_step(
    owner: str, model: Model, data: Data, rows: Any, index: int = 0, group: Group = ALONE, steps: int = 1
) -> None:
    """A step with some rows, the batch number `index` of its order, and where they are on the device perhaps further
    steps with the batches behind it; `settle` tells what came of them.

    Where something is not finite a flag is set on the device, and neither this step nor a later one changes anything.
    """
    store, optimizer, numbers, N = model.training_store(), model.optimizer, model.numbers(), len(rows)
    assert optimizer is not None
    ops, kind, on_host = store.backend.ops, optimizer.kind(), isinstance(rows, np.ndarray)
    updates = kind[0]
    numbers.set(optimizer.learning_rate, optimizer.updates + 1, optimizer.iterations, None if on_host else index)
    whole = not on_host or (group.size == 1 and is_one_recording(model, data, N))

    def forward_and_back(data: Data, rows: Any) -> None:
        run_batch(
            owner, model, data, rows, gradients=True, training=True, step=numbers.step, group=group, recorded=whole
        )

    def update() -> None:
        ops.find_nonfinite(numbers.flag, store.gradients, numbers.totals)
        optimizer.apply(store, numbers.updates, numbers.learning_rate, numbers.flag)
        counters = numbers.counters if updates else numbers.counters[1:]
        ops.end_step(counters, numbers.sums, numbers.totals, numbers.flag, N)

    def all_steps(memory: Sequence[np.ndarray] = (), orders: Sequence[np.ndarray] = ()) -> None:
        batch = (data.moved_to(memory), orders[0]) if orders else (data, rows)
        for _ in range(steps):
            forward_and_back(*batch)
            update()

    kept = store, numbers, *optimizer.state.values()
    again = recorded_steps(model, data, rows, steps, kind, kept, all_steps) if whole else None
    if again is not None:
        with UNINTERRUPTED:
            again()
            optimizer.iterations += steps
            numbers.counted(steps, steps * updates)
        data.release_pages()
        return
    for _ in range(steps):  # kernels may have to be compiled: Ctrl-C is held back for the updates only
        recording.first(model, forward_and_back, data, rows)
        with UNINTERRUPTED:
            if whole:
                recording.first(model, update)
            else:
                recording.run(model, ("update", kind, N), kept, update)
            optimizer.iterations += 1
            numbers.counted(1, updates)


def is_one_recording(model: Model, data: Data, n: int) -> bool:
    """Whether a step with n rows of the host is recorded as a whole: its slabs are alike, and kernels read its data."""
    if not recording.possible(model):
        return False
    size = model.slab_size(n)
    return n % size == 0 and n <= MOST * size and all(map(model.device()[0].recorder.reads, data.arrays()))


def recorded_steps(
    model: Model, data: Data, rows: Any, steps: int, kind: tuple, kept: tuple, work: Callable[..., None]
) -> Callable[[], None] | None:
    """What makes steps with such rows, which are recorded when they come for the second time; None at the first. Those
    of the host, and their data, may lie elsewhere every time."""
    N, (memory, form) = len(rows), data.memory_and_form()
    plan = model.plan(model.slab_size(N), True, loss=fused_loss(model))
    plan.take_means_over(N)
    key = N, steps, kind, form
    if not isinstance(rows, np.ndarray):
        return recording.find(model, (*key, rows.size, *map(id, memory)), (plan, *kept, rows.order, *memory), work)
    arrays = memory, [np.ascontiguousarray(rows, np.int64)]
    again = recording.find(model, key, (plan, *kept), work, arrays)
    return None if again is None else partial(again, *arrays)


def settle(model: Model) -> tuple[list[float], list[float], bool]:
    """Loss, penalties and metrics, of the last batch and added up over samples since `Numbers.begin`, and whether all
    was finite. If not, the optimizer stands before the step where it was not, and steps are allowed again."""
    numbers = model.numbers()
    (_, steps, _), sums, totals, finite = numbers.read()
    if not finite:
        numbers.begin(sums)
        assert model.optimizer is not None
        model.optimizer.iterations = steps
    return totals, sums, finite


def not_finite(owner: str, model: Model, data: Data, rows: np.ndarray) -> Exception:
    """The error for a step that gave NaN or infinity: what is wrong with its data, or the layer where it began, for
    which the step is run again."""
    invalid = invalid_data(owner, data, rows, model.device()[1])
    if invalid is not None:
        return invalid
    [loss, *_] = gradient_batch(owner, model, data, rows)
    size = model.slab_size(len(rows))
    place = None
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        gradient_batch(owner, model, data, part, fused=False)  # layer by layer
        place = place or model.plan(len(part), True, fused=False, loss=fused_loss(model)).find_nonfinite()
    return FloatingPointError(
        f"the loss of this batch is {loss:g}, and {place or 'the loss'} is the first that is not finite; the weights "
        "are those before this step. A smaller learning rate, clipnorm=1.0, or data scaled to [0, 1] may help"
    )
