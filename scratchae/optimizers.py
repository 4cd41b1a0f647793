"""Optimizers: what a step does with the gradient. Each is one kernel over all parameters at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import checks, schedules
from .backend import REFERENCE
from .configuration import Configurable, plain
from .interrupts import UNINTERRUPTED
from .kernels import Array, Ops
from .parameters import Parameter, ParameterStore
from .schedules import LearningRateSchedule

__all__ = ["SGD", "Adadelta", "Adam", "AdamW", "Optimizer", "RMSprop", "get", "schedules"]


class Optimizer(Configurable):
    """The base of all optimizers. A step is, in this order:

        clip the gradient; w -= w * weight_decay * lr; update; average the weights; iterations += 1.

    Args:
        learning_rate: a number, or a LearningRateSchedule of `iterations`.
        weight_decay: decoupled from the gradient, Loshchilov & Hutter 2019.
        clipnorm, global_clipnorm, clipvalue: limit on the norm of each parameter's gradient, of all of them together,
            or on each element. One at most.
        use_ema, ema_momentum, ema_overwrite_frequency: an exponential moving average of the weights. It replaces them
            after every so many steps, and at the end of `fit`.
        gradient_accumulation_steps: k > 1 updates once in k steps, with the mean of k gradients.
    """

    module = "keras.optimizers"
    state_names: tuple[str, ...] = ()  # arrays like the parameters, zero at first

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ):
        owner = type(self).__name__
        self.name = name or owner.lower()
        if not isinstance(learning_rate, LearningRateSchedule):
            learning_rate = checks.number(owner, "learning_rate", learning_rate, low=0)
        self._learning_rate = learning_rate
        limits = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = [key for key, value in limits.items() if value is not None]
        if len(given) > 1:
            raise ValueError(f"{owner}: {' and '.join(given)} are both given; expected one of them at most")
        for key in given:
            limits[key] = checks.number(owner, key, limits[key], low=0, low_open=True)
        self.clipnorm, self.clipvalue = limits["clipnorm"], limits["clipvalue"]
        self.global_clipnorm = limits["global_clipnorm"]
        if weight_decay is not None:
            weight_decay = checks.number(owner, "weight_decay", weight_decay, low=0)
        self.weight_decay = weight_decay
        self.use_ema = use_ema
        self.ema_momentum = checks.number(owner, "ema_momentum", ema_momentum, low=0, high=1)
        if ema_overwrite_frequency is not None:
            checks.positive_integer(owner, "ema_overwrite_frequency", ema_overwrite_frequency)
        self.ema_overwrite_frequency = ema_overwrite_frequency
        if gradient_accumulation_steps is not None:
            checks.positive_integer(owner, "gradient_accumulation_steps", gradient_accumulation_steps)
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.iterations = 0  # batches seen; updates are iterations // accumulation
        self.state: dict[str, Array] = {}  # name -> flat array, laid out like the store's gradients
        self._parameters: tuple[Parameter, ...] = ()  # whose they are
        self._backend = REFERENCE  # where that is
        self._built = False

    def get_config(self):
        return super().get_config() | {"learning_rate": plain(self._learning_rate)}

    # ---- for subclasses ---------------------------------------------------------------------------------------------
    def update(self, ops: Ops, p: Array, g: Array, t: Array, lr: Array, flag: Array) -> None:
        """Change the parameters p by the gradient g; t (1,) counts updates from 1. Nothing is written if flag[0]."""
        raise NotImplementedError

    # ---- the learning rate ------------------------------------------------------------------------------------------
    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        rate = self._learning_rate
        return float(rate(self.iterations)) if isinstance(rate, LearningRateSchedule) else rate

    @learning_rate.setter
    def learning_rate(self, value: float | LearningRateSchedule) -> None:
        if isinstance(self._learning_rate, LearningRateSchedule) and not isinstance(value, LearningRateSchedule):
            raise TypeError(
                "the learning rate is a schedule: give the optimizer another schedule, or make it with a number"
            )
        if not isinstance(value, LearningRateSchedule):
            value = checks.number(type(self).__name__, "learning_rate", value, low=0)
        self._learning_rate = value

    @property
    def serves(self) -> tuple[Parameter, ...]:
        """The parameters that it has been built for, if it has."""
        return self._parameters

    def state_kinds(self) -> list[str]:
        """The names of the arrays that the optimizer keeps."""
        names = list(self.state_names)
        if self.accumulation > 1:
            names.append("accumulated")
        if self.use_ema:
            names.append("average")
        return names

    # ---- the step ---------------------------------------------------------------------------------------------------
    def build(self, store: ParameterStore) -> None:
        """Make the state for a store, or move it there; ValueError if it belongs to other parameters."""
        if self._parameters not in ((), store.trained):
            raise ValueError(
                f"{type(self).__name__} has trained other weights already: give each model its own optimizer"
            )
        self._parameters = store.trained
        before = self.get_state()
        for name in self.state_kinds():
            array = store.backend.zeros(store.gradients.shape, store.dtype)
            if name in before:
                store.backend.upload(array, before[name])
            self.state[name] = array
        self._backend = store.backend
        self._built = True

    @property
    def accumulation(self) -> int:
        """How many gradients an update takes."""
        return self.gradient_accumulation_steps or 1

    @property
    def updates(self) -> int:
        """How often the weights have been changed."""
        return self.iterations // self.accumulation

    @property
    def steps_are_alike(self) -> bool:
        """Whether every step is of the same kind, with the same learning rate."""
        return self.accumulation == 1 and not self.use_ema and not isinstance(self._learning_rate, LearningRateSchedule)

    def kind(self) -> tuple[bool, bool, bool]:
        """What decides on the operations of the next step: whether it updates the weights, and of their average whether
        there is one, and whether it then replaces them."""
        k, every = self.accumulation, self.ema_overwrite_frequency
        overwrites = bool(self.use_ema and every and (self.updates + 1) % every == 0)
        return (self.iterations + 1) % k == 0, self.use_ema and self.updates > 0, overwrites

    def apply(self, store: ParameterStore, t: Array, lr: Array, flag: Array) -> None:
        """The operations of a step with the store's gradients: t (1,) updates from 1, lr (1,), and nothing is written
        where flag[0] is set."""
        ops, p, g = store.backend.ops, store.trained_values, store.gradients
        k = self.accumulation
        updates, has_average, overwrites = self.kind()
        if not updates:
            ops.accumulate_gradient(self.state["accumulated"], g, flag)
        else:
            if k > 1:
                ops.mean_gradient(g, self.state["accumulated"], flag, k)
            self._clip(ops, store)
            if self.weight_decay:
                ops.weight_decay(p, lr, flag, self.weight_decay)
            self.update(ops, p, g, t, lr, flag)
        if self.use_ema:
            ops.exponential_average(self.state["average"], p, flag, self.ema_momentum if has_average else 0.0)
            if overwrites:
                ops.exponential_average(p, self.state["average"], flag, 0.0)

    def _clip(self, ops: Ops, store: ParameterStore) -> None:
        if self.clipvalue is not None:
            ops.clip_by_value(store.gradients, self.clipvalue)
        if self.clipnorm is not None:
            for parameter in store.trained:
                ops.clip_by_norm(parameter.grad, self.clipnorm)
        if self.global_clipnorm is not None:
            ops.clip_by_norm(store.gradients, self.global_clipnorm)

    def finish(self, store: ParameterStore) -> None:
        """The end of `fit`: the moving average, if there is one, becomes the weights."""
        if self.use_ema and self.iterations:
            with UNINTERRUPTED:
                store.backend.upload(store.trained_values, store.backend.download(self.state["average"]))

    # ---- the state, for resuming ------------------------------------------------------------------------------------
    def get_state(self) -> dict[str, Any]:
        """Everything that changes with training, as copies."""
        return {
            "iterations": self.iterations,
            **{name: self._backend.download(array) for name, array in self.state.items()},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave."""
        arrays = dict(state)
        self.iterations = int(arrays.pop("iterations"))
        self.state, self._backend = {name: np.array(array) for name, array in arrays.items()}, REFERENCE
        self._built = False  # so that the next step lays the arrays out anew

    @property
    def built(self) -> bool:
        return self._built


class SGD(Optimizer):
    """w -= lr g; with momentum m = momentum m - lr g and w += m.

    nesterov: w += momentum m - lr g (Sutskever, Martens, Dahl & Hinton 2013).
    """

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, **options):
        super().__init__(learning_rate, **options)
        self.momentum = checks.number("SGD", "momentum", momentum, low=0, high=1)
        self.nesterov = nesterov
        self.state_names = ("m",) if momentum else ()

    def update(self, ops, p, g, t, lr, flag):
        ops.sgd(p, g, self.state.get("m"), lr, flag, self.momentum, self.nesterov)


class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2015), with epsilon where the text before their section 2.1 has it, as in Keras.

        m += (1 - beta_1) (g - m);  v += (1 - beta_2) (g^2 - v)
        w -= lr sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)

    amsgrad: the largest v so far stands for v (Reddi, Kale & Kumar 2018).
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False, **options):
        super().__init__(learning_rate, **options)
        owner = type(self).__name__
        self.beta_1 = checks.number(owner, "beta_1", beta_1, low=0, high=1, high_open=True)
        self.beta_2 = checks.number(owner, "beta_2", beta_2, low=0, high=1, high_open=True)
        self.epsilon = checks.number(owner, "epsilon", epsilon, low=0)
        self.amsgrad = amsgrad
        self.state_names = ("m", "v", "v_max") if amsgrad else ("m", "v")

    def update(self, ops, p, g, t, lr, flag):
        m, v, v_max = self.state["m"], self.state["v"], self.state.get("v_max")
        ops.adam(p, g, m, v, v_max, t, lr, flag, self.beta_1, self.beta_2, self.epsilon)


class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov & Hutter 2019); it decays biases too, as in Keras."""

    def __init__(self, learning_rate=0.001, weight_decay=0.004, **options):
        super().__init__(learning_rate, weight_decay=weight_decay, **options)


class RMSprop(Optimizer):
    """v = rho v + (1 - rho) g^2; w -= lr g / sqrt(v + epsilon) (Hinton, lecture 6e of his 2012 course).

    centered: v minus the square of the gradient's moving average stands for v (Graves 2013, eq. 38 to 40). With
    momentum, steps are collected: m = momentum m + step, w -= m.
    """

    def __init__(self, learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False, **options):
        super().__init__(learning_rate, **options)
        self.rho = checks.number("RMSprop", "rho", rho, low=0, high=1)
        self.momentum = checks.number("RMSprop", "momentum", momentum, low=0, high=1)
        self.epsilon = checks.number("RMSprop", "epsilon", epsilon, low=0)
        self.centered = centered
        self.state_names = ("v", *(("mean",) if centered else ()), *(("m",) if momentum else ()))

    def update(self, ops, p, g, t, lr, flag):
        v, mean, m = self.state["v"], self.state.get("mean"), self.state.get("m")
        ops.rmsprop(p, g, v, mean, m, lr, flag, self.rho, self.momentum, self.epsilon)


class Adadelta(Optimizer):
    """Steps in the units of the parameters (Zeiler 2012, algorithm 1): a and d average g^2 and the squared step."""

    state_names = ("a", "d")

    def __init__(self, learning_rate=0.001, rho=0.95, epsilon=1e-7, **options):
        super().__init__(learning_rate, **options)
        self.rho = checks.number("Adadelta", "rho", rho, low=0, high=1)
        self.epsilon = checks.number("Adadelta", "epsilon", epsilon, low=0)

    def update(self, ops, p, g, t, lr, flag):
        ops.adadelta(p, g, self.state["a"], self.state["d"], lr, flag, self.rho, self.epsilon)


_BY_NAME = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "adadelta": Adadelta}


def get(identifier: Optimizer | str) -> Optimizer:
    """An optimizer from an instance or its name, in any case; raises ValueError with the names there are."""
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str) and identifier.lower() in _BY_NAME:
        return _BY_NAME[identifier.lower()]()
    raise ValueError(f"optimizer={identifier!r} is unknown: use an Optimizer or one of {', '.join(_BY_NAME)}")
