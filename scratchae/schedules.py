"""Learning rates that depend on the step."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, floor, pi

from . import checks
from .configuration import Configurable


class LearningRateSchedule(Configurable):
    """`schedule(step)` is the learning rate of step 0, 1, 2, ..."""

    module = "keras.optimizers.schedules"
    ignored = ("name",)

    def __call__(self, step: int) -> float:
        raise NotImplementedError


def check(owner: str, initial_learning_rate: float, decay_steps: int) -> None:
    """What all schedules with these arguments ask of them."""
    checks.number(owner, "initial_learning_rate", initial_learning_rate, low=0)
    checks.number(owner, "decay_steps", decay_steps, low=0, low_open=True)


class ExponentialDecay(LearningRateSchedule):
    """initial * rate^(step / decay_steps); with staircase the exponent is rounded down."""

    def __init__(self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False):
        check("ExponentialDecay", initial_learning_rate, decay_steps)
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.decay_rate, self.staircase = decay_rate, staircase

    def __call__(self, step):
        exponent = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (floor(exponent) if self.staircase else exponent)


class InverseTimeDecay(LearningRateSchedule):
    """initial / (1 + rate * step / decay_steps); with staircase the quotient is rounded down."""

    def __init__(self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False):
        check("InverseTimeDecay", initial_learning_rate, decay_steps)
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.decay_rate, self.staircase = decay_rate, staircase

    def __call__(self, step):
        time = step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * (floor(time) if self.staircase else time))


class PolynomialDecay(LearningRateSchedule):
    """From initial to end along (1 - step / decay_steps)^power, then constant; with cycle it starts over, longer."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
    ):
        check("PolynomialDecay", initial_learning_rate, decay_steps)
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.end_learning_rate, self.power, self.cycle = end_learning_rate, power, cycle

    def __call__(self, step):
        length = self.decay_steps
        if self.cycle:
            length *= max(1, -(-step // self.decay_steps))
        left = 1 - min(step, length) / length
        return (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """Half a cosine from initial down to alpha * initial (Loshchilov & Hutter 2017, without restarts).

    With warmup_target the rate first rises in a line from initial to warmup_target in warmup_steps, and the cosine
    starts from there.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ):
        check("CosineDecay", initial_learning_rate, decay_steps)
        self.initial_learning_rate, self.decay_steps, self.alpha = initial_learning_rate, decay_steps, alpha
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step):
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            step, top = step - self.warmup_steps, self.warmup_target
        wave = (1 + cos(pi * min(step, self.decay_steps) / self.decay_steps)) / 2
        return top * ((1 - self.alpha) * wave + self.alpha)


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[i] while step <= boundaries[i], and the last value after the last boundary."""

    def __init__(self, boundaries: Sequence[float], values: Sequence[float]):
        if len(values) != len(boundaries) + 1:
            needed = len(boundaries) + 1
            raise ValueError(f"PiecewiseConstantDecay: values has {len(values)} entries; expected {needed}")
        self.boundaries, self.values = tuple(boundaries), tuple(values)

    def __call__(self, step):
        for boundary, value in zip(self.boundaries, self.values, strict=False):
            if step <= boundary:
                return value
        return self.values[-1]
