"""The gradient checker: backpropagation against differences of the loss, in float64.

Each entry of each parameter is moved a little to both sides. With L(h) the loss at distance h,

    d(h) = (L(h) - L(-h)) / 2h,      D = (4 d(h/2) - d(h)) / 3

is the derivative up to O(h^4) (Richardson 1911), and must agree with the gradient. Tensors of many entries are checked
along random directions u instead: D against <gradient, u>.

A relu, a maximum or |x| has kinks, where a difference means nothing. A kink between -h and h gives itself away: either
d(h) and d(h/2) disagree by an amount like the error, or, with the kink at the very point, the second difference
(L(h) - 2 L(0) + L(-h)) / h does not shrink with h. A wrong gradient of a smooth loss does neither. Such entries are
tried with a smaller h, then skipped and counted. Fresh biases are zero, and relu's kink is at zero: so all weights are
first moved a little, at random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from .backend import REFERENCE
from .changes import note_change
from .data import Data, as_data, load_finite
from .layers.base import Layer
from .layers.input_layer import Input
from .model import Model
from .parameters import ParameterStore
from .plan import Plan
from .step import batch_totals, merged, run_batch

FLOAT64 = np.dtype("float64")
STEPS = (1e-4, 1e-6)  # distances h, the second for what looks like a kink
ELEMENTWISE = 200  # larger tensors are checked along directions
DIRECTIONS = 20
SHIFT = 0.01  # standard deviation of the move of all weights before the check


class GradientError(AssertionError):
    """A gradient that the differences contradict."""


@dataclass
class Report:
    """How many derivatives were checked, how many skipped at kinks, and the worst relative difference."""

    checked: int = 0
    skipped: int = 0
    worst: float = 0.0  # |difference| / max |gradient| of the tensor
    worst_entry: str = ""

    def __str__(self) -> str:
        return (
            f"{self.checked} derivatives checked, {self.skipped} skipped at kinks; "
            f"largest difference {self.worst:.1e} of max |gradient|, at {self.worst_entry}"
        )


def check(
    model_or_layer: Layer,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    tolerance: float = 1e-7,
    seed: int = 0,
) -> Report:
    """Check the gradients of a model's loss, or of one layer.

    Args:
        model_or_layer: a compiled model with y, whose loss is checked with all penalties, or any layer or model
            without y: then a random combination of each of its outputs is, and the gradient of its input too.
        x: data (samples, ...); a list for several inputs. A few samples do.
        y, sample_weight: as for fit.
        tolerance: the largest |difference| / max |gradient of the tensor|.
        seed: of directions and combinations.

    Weights, optimizer and counters stay as they are: the check runs on float64 copies, with the reference kernels.

    Returns:
        a Report. Raises GradientError that names the worst entry, or the tensor of which every entry was at a kink.
    """
    if isinstance(model_or_layer, Model):
        model = model_or_layer
    else:
        several = isinstance(x, (list, tuple))
        tensors = [Input(np.shape(array)[1:]) for array in (x if several else [x])]
        model = Model(tensors, model_or_layer(tensors if several else tensors[0]))
    report = Report()
    rng = np.random.default_rng(seed)
    if y is not None:
        if not model.trainable_weights:
            raise ValueError(f"gradcheck: {model} has no weight that is trained, so there is no gradient to check")
        check_loss(report, model, as_data("gradcheck", model, x, y, sample_weight), tolerance, rng)
        return report
    for output in model.outputs:
        part = Model(model.inputs, output) if len(model.outputs) > 1 else model
        data = as_data("gradcheck", part, x, targets=False)
        data.inputs = [np.array(array, float) for array in data.inputs]  # a copy: they are moved, too
        check_output(report, part, data, tolerance, rng)
    return report


def check_loss(report: Report, model: Model, data: Data, tolerance: float, rng: np.random.Generator) -> None:
    """Check the gradient of a compiled model's loss with respect to its weights."""

    def objective(gradients: bool = False) -> float:
        rows = np.arange(data.n)
        run_batch("gradcheck", model, data, rows, gradients, True, step=model.numbers().draw, fused=False)
        return merged(batch_totals(model))[0]

    with model._lock, in_float64(model, rng) as store:
        backpropagate(model, store, objective)
        for name, value, gradient in weights_and_gradients(model):
            check_tensor(report, name, value, gradient, objective, tolerance, rng)


def check_output(report: Report, model: Model, data: Data, tolerance: float, rng: np.random.Generator) -> None:
    """Check the gradient of a random combination of the output with respect to weights and inputs."""
    combination = rng.standard_normal((data.n, *model.outputs[0].sample_shape))
    step, penalty = np.zeros(1, np.uint64), np.zeros(1)

    def layer_by_layer() -> Plan:
        return model.plan(data.n, gradients=True, input_gradient=True, fused=False)

    def objective(gradients: bool = False) -> float:
        plan = layer_by_layer()
        load_finite("gradcheck", plan, data, np.arange(data.n), model.numbers())
        penalty[0] = 0
        plan.forward(True, step, penalty, 0, 1 / data.n)
        if gradients:
            plan.output_gradient[...] = combination  # type: ignore[index]
            plan.backward(accumulate=False)
        return float(np.sum(combination * plan.outputs[0]) + penalty[0])

    with model._lock, in_float64(model, rng) as store:
        backpropagate(model, store, objective)
        checked = weights_and_gradients(model)
        slots = layer_by_layer().input_slots
        for i, (slot, array) in enumerate(zip(slots, data.inputs, strict=True)):
            gradient = np.zeros(slot.shape) if slot.gradient is None else np.array(slot.gradient)
            checked.append((f"input {i}", array, gradient))
        for name, value, gradient in checked:
            check_tensor(report, name, value, gradient, objective, tolerance, rng)


def backpropagate(model: Model, store: ParameterStore, objective: Callable[..., float]) -> None:
    """Compute the gradients, in memory that was full of NaN: what nobody writes is found."""
    for _ in range(2):  # the first time allocates
        store.gradients[...] = np.nan
        if model._memory is not None:
            model._memory.fill(0xFF)  # NaN, whatever float lies there
        objective(gradients=True)


def weights_and_gradients(model: Model) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, value and a copy of the gradient of each weight that is trained."""
    return [(p.name, p.data, np.array(p.grad)) for p in model.trainable_weights]


def check_tensor(
    report: Report,
    name: str,
    value: np.ndarray,
    gradient: np.ndarray,
    objective: Callable[[], float],
    tolerance: float,
    rng: np.random.Generator,
) -> None:
    """Check one tensor, to whose entries `objective` is a function, and add to the report."""
    if not np.isfinite(gradient).all():
        raise GradientError(
            f"{name}: the gradient holds {np.sum(~np.isfinite(gradient))} entries that are NaN or infinite"
        )
    scale = float(np.abs(gradient).max())
    failures: list[tuple[float, str]] = []
    checked = skipped = 0
    for where, direction in directions(value.shape, rng):
        claimed = float(np.sum(gradient * direction))
        verdict = compare(value, direction, claimed, objective, tolerance * scale)
        if verdict is None:
            skipped += 1
            continue
        checked += 1
        measured, error, agrees = verdict
        relative = error / scale if scale else float(error > 0)
        entry = f"{name}{where}: backpropagation gives {claimed:.9g}, differences give {measured:.9g}"
        if not agrees:
            failures.append((relative, entry))
        if relative >= report.worst:
            report.worst, report.worst_entry = relative, f"{name}{where}"
    report.checked += checked
    report.skipped += skipped
    if failures:
        worst, entry = max(failures)
        raise GradientError(
            f"{entry}, a difference of {worst:.1e} of max |gradient| = {scale:.3g} "
            f"({len(failures)} of {checked} beyond {tolerance:g})"
        )
    if not checked:
        raise GradientError(f"{name}: all {skipped} derivatives are at kinks; check it with other data")


def directions(shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Unit vectors: along each axis of a small tensor, at random in a large one."""
    size = int(np.prod(shape))
    for i in range(size if size <= ELEMENTWISE else DIRECTIONS):
        direction = np.zeros(shape)
        if size <= ELEMENTWISE:
            index = tuple(int(k) for k in np.unravel_index(i, shape))
            direction[index] = 1
            yield str(list(index)), direction
        else:
            direction[...] = rng.standard_normal(shape)
            yield f" along random direction {i}", direction / np.linalg.norm(direction)


def compare(
    value: np.ndarray, direction: np.ndarray, claimed: float, objective: Callable[[], float], allowed: float
) -> tuple[float, float, bool] | None:
    """The measured derivative, its distance from the claimed one, and whether that is allowed; None at a kink.

    Beyond `allowed`, what the loss' own rounding makes of a difference is allowed too.
    """
    start = value.copy()

    def at(distance: float) -> float:
        value[...] = start + distance * direction
        return objective()

    try:
        centre = at(0)
        for h in STEPS:
            outer, inner = (at(h), at(-h)), (at(h / 2), at(-h / 2))
            d_outer, d_inner = (outer[0] - outer[1]) / (2 * h), (inner[0] - inner[1]) / h
            measured = (4 * d_inner - d_outer) / 3
            rounding = 1e-15 * max(1.0, abs(centre)) / h
            error = abs(measured - claimed)
            if error <= allowed + rounding:
                return measured, error, True
            bend_outer = abs(outer[0] - 2 * centre + outer[1]) / h
            bend_inner = abs(inner[0] - 2 * centre + inner[1]) / (h / 2)
            beside = abs(d_outer - d_inner) > error / 10
            inside = bend_inner > 0.75 * bend_outer and bend_inner > error / 2
            if not (beside or inside):
                return measured, error, False
        return None
    finally:
        value[...] = start


@contextmanager
def in_float64(model: Model, rng: np.random.Generator) -> Iterator[ParameterStore]:
    """The model's parameters in a float64 store of the reference backend, a little moved, and back."""
    parameters, trained = model.weights, model.trainable_weights
    before = [(p.data, p.grad, p.backend, p.home) for p in parameters]
    kept = model._plans, model._memory, model._memory_of, model._place
    model._plans, model._memory, model._place = {}, None, (REFERENCE, FLOAT64)
    try:
        store = ParameterStore(trained, [p for p in parameters if p not in set(trained)], REFERENCE, FLOAT64)
        for p in parameters:
            p.data += SHIFT * rng.standard_normal(p.shape)
        yield store
    finally:
        model._plans, model._memory, model._memory_of, model._place = kept
        model._using = None
        for p, state in zip(parameters, before, strict=True):
            p.data, p.grad, p.backend, p.home = state
        note_change()
