"""The state of an optimizer as the list of variables that Keras keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..model import Model
from ..optimizers import SGD, Adadelta, Adam, Optimizer, RMSprop
from ..schedules import LearningRateSchedule
from .errors import ScratchaeFormatError

# Which arrays stand side by side, parameter by parameter; the next group follows when all parameters have had theirs.
GROUPS: tuple[tuple[type[Optimizer], tuple[tuple[str, ...], ...]], ...] = (
    (SGD, (("m",),)),
    (Adam, (("m", "v"), ("v_max",))),  # AdamW too
    (RMSprop, (("v",), ("m",), ("mean",))),
    (Adadelta, (("a", "d"),)),
)
MOST_STEPS = 2**31 - 1  # Keras counts them in 32 bits


def arrays(optimizer: Optimizer, parameters: int) -> Iterator[tuple[str, int]]:
    """The names of the arrays and the numbers of the parameters, as their variables follow each other."""
    kept = optimizer.state_kinds()
    own = next(groups for cls, groups in GROUPS if isinstance(optimizer, cls))
    for group in (("average",), ("accumulated",), *own):
        names = [name for name in group if name in kept]
        yield from ((name, i) for i in range(parameters) for name in names)


def has_schedule(optimizer: Optimizer) -> bool:
    return isinstance(optimizer._learning_rate, LearningRateSchedule)


def values(model: Model) -> list[np.ndarray]:
    """The variables of a compiled model's optimizer: steps, the learning rate unless it has a schedule, arrays."""
    store, optimizer = model.training_store(), model.optimizer
    assert optimizer is not None
    found = [np.asarray(optimizer.iterations, np.int32)]
    if not has_schedule(optimizer):
        found.append(np.asarray(optimizer.learning_rate, store.dtype))
    state = optimizer.get_state()
    for name, i in arrays(optimizer, len(store.trained)):
        found.append(state[name][store.slices[i]].reshape(store.trained[i].shape))
    return found


def belong(model: Model, variables: Sequence[np.ndarray]) -> bool:
    """Whether these are the variables of the model's optimizer; ScratchaeFormatError for values that can't be."""
    optimizer, trained = model.optimizer, model.trainable_weights
    assert optimizer is not None
    places = list(arrays(optimizer, len(trained)))
    heads = 1 if has_schedule(optimizer) else 2
    if len(variables) not in (heads, heads + len(places)):  # Keras makes the arrays at the first step
        return False
    check_number("number of steps", variables[0], "iu", MOST_STEPS)
    for variable in variables[1:heads]:
        check_number("learning rate", variable, "f", float(np.finfo(np.float32).max))
    for (_, i), variable in zip(places, variables[heads:], strict=False):
        if variable.shape != trained[i].shape or variable.dtype.kind != "f":
            return False
        with np.errstate(over="ignore"):
            finite = np.isfinite(variable.astype(trained[i].dtype, copy=False)).all()
        if not finite:
            raise ScratchaeFormatError(f"the optimizer's state for {trained[i].name!r} has NaN or infinity")
    return True


def check_number(name: str, variable: np.ndarray, kinds: str, high: float) -> None:
    if variable.shape != () or variable.dtype.kind not in kinds or not 0 <= variable.item() <= high:
        raise ScratchaeFormatError(f"the optimizer's {name} is {variable!r}; expected a number from 0 to {high}")


def assign(model: Model, variables: Sequence[np.ndarray]) -> None:
    """Set the state of a compiled model's optimizer to variables that fit."""
    store, optimizer = model.training_store(), model.optimizer
    assert optimizer is not None
    steps, *rest = variables
    optimizer.iterations = int(steps)
    if not has_schedule(optimizer):
        rate, *rest = rest
        if rate != rate.dtype.type(optimizer.learning_rate):  # else what was configured has more digits
            optimizer.learning_rate = float(rate)
    for array in optimizer.state.values():
        store.backend.upload(array, 0.0)  # and so they stay if the file's model was compiled and not trained
    for (name, i), variable in zip(arrays(optimizer, len(store.trained)), rest, strict=False):
        store.backend.upload(optimizer.state[name][store.slices[i]], variable.reshape(-1))
