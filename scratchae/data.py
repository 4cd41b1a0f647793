"""What fit, evaluate and predict are given: checked, and read batch by batch."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import REFERENCE, Backend
from .datasets.rows import Scaled
from .kernels import Array
from .plan import Plan

if TYPE_CHECKING:
    from .model import Model
    from .numbers import Numbers


class Data:
    """Inputs, targets and weights with one row a sample. Arrays are taken as they are, without a copy."""

    def __init__(self, inputs: list[np.ndarray], target: np.ndarray | None, weight: np.ndarray | None):
        self.inputs, self.target, self.weight = inputs, target, weight
        self.n = len(inputs[0])
        self.target_is_input = target is not None and target is inputs[0]

    def release_pages(self) -> None:
        """Let go of the pages of memory-mapped files that a batch was read from: else the whole file counts as ours."""
        for array in [*self.inputs, self.target]:
            mapping = getattr(getattr(array, "array", array), "_mmap", None)
            if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
                mapping.madvise(mmap.MADV_DONTNEED)

    def held(self, backend: Backend) -> Data:
        """The same data where the backend reads it fastest."""
        return self.lying_in([backend.machine.hold(array) for array in self.arrays()])

    def is_held(self) -> bool:
        """Whether all of it is where the device reads it."""
        return not any(isinstance(array, (np.ndarray, Scaled)) for array in self.arrays())

    def arrays(self) -> list[Any]:
        """What a batch takes its rows from: the inputs, the target if it is not one of them, and weights."""
        others = (None if self.target_is_input else self.target), self.weight
        return [*self.inputs, *(array for array in others if array is not None)]

    def memory_and_form(self) -> tuple[list[Any], tuple]:
        """Where the numbers of `arrays` lie; which array is what, and by how much it is scaled."""
        arrays = self.arrays()
        form = len(self.inputs), self.target_is_input, self.weight is None
        return [getattr(a, "array", a) for a in arrays], (*form, *[getattr(a, "scale", 1.0) for a in arrays])

    def moved_to(self, memory: Sequence[np.ndarray]) -> Data:
        """The same data with its numbers elsewhere, in the order of `memory_and_form`."""
        return self.lying_in(
            [
                Scaled(there, array.scale, array.dtype.name) if isinstance(array, Scaled) else there
                for array, there in zip(self.arrays(), memory, strict=True)
            ]
        )

    def lying_in(self, arrays: list[Any]) -> Data:
        """The same data in other `arrays`."""
        rest = arrays[len(self.inputs) :]
        weight = None if self.weight is None else rest.pop()
        target = None if self.target is None else arrays[0] if self.target_is_input else rest.pop()
        return Data(arrays[: len(self.inputs)], target, weight)

    def conveyed(self, backend: Backend, rows: np.ndarray, conveyors: dict) -> Data:
        """Some rows, on their way to the device by conveyors that are kept."""
        conveyed = []
        for i, array in enumerate(self.arrays()):
            key = i, len(rows), array.shape[1:], getattr(array, "array", array).dtype
            if key not in conveyors:
                conveyors[key] = backend.holder.conveyor(array, len(rows))
            conveyed.append(conveyors[key].put(array, rows))
        self.release_pages()
        return self.lying_in(conveyed)

    def part(self, rows: slice) -> Data:
        """Some of the samples, as views."""
        inputs = [array[rows] for array in self.inputs]
        target = None if self.target is None else inputs[0] if self.target_is_input else self.target[rows]
        return Data(inputs, target, None if self.weight is None else self.weight[rows])


def as_array(
    owner: str, name: str, value: Any, shape: tuple[int, ...], hint: str = "", backend: Backend = REFERENCE
) -> Any:
    """value as an array (samples, *shape) of numbers; TypeError or ValueError that says what is wrong with it."""
    array = backend.machine.borrow(value)
    if array is None and hasattr(value, "__cuda_array_interface__"):
        raise TypeError(
            f"{owner}: {name} lies on a GPU and the model runs on {backend.name!r}; call model.to('cuda'), or give a "
            "copy in memory"
        )
    if array is None:
        array = value if isinstance(value, (np.ndarray, Scaled)) else np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{owner}: {name} is {type(value).__name__} of type {array.dtype}; expected an array of real numbers"
        )
    if array.ndim and (*array.shape[1:], 1) == shape:
        array = array.reshape(len(array), *shape)  # images without their axis of one channel
    if array.ndim == 0 or array.shape[1:] != shape:
        expected = "(samples, " + ", ".join(map(str, shape)) + ")"
        cure = ""
        if array.ndim and array.size == len(array) * int(np.prod(shape)) and array.size:
            cure = f"; the sizes agree, so {name}.reshape((-1, {', '.join(map(str, shape))})) makes it fit"
        raise ValueError(f"{owner}: {name} has shape {array.shape}; expected {expected}{cure}{hint}")
    if len(array) == 0:
        raise ValueError(f"{owner}: {name} has no samples, its shape is {array.shape}; expected at least one")
    return array


def as_data(owner: str, model: Model, x: Any, y: Any = None, sample_weight: Any = None, targets: bool = True) -> Data:
    """Checked data for a model; `targets` says whether y is needed."""
    if hasattr(model, "ensure_built"):
        model.ensure_built(np.shape(x)[1:])
    xs = list(x) if len(model.inputs) > 1 and isinstance(x, (list, tuple)) else [x]
    if len(xs) != len(model.inputs):
        raise ValueError(f"{owner}: x holds {len(xs)} arrays; {model} has {len(model.inputs)} inputs")
    backend, _ = model.device()
    names = ["x"] if len(xs) == 1 else [f"x[{i}]" for i in range(len(xs))]
    inputs = [
        as_array(owner, name, array, tensor.sample_shape, backend=backend)
        for name, array, tensor in zip(names, xs, model.inputs, strict=True)
    ]
    if not targets:
        return Data(inputs, None, None)
    if model.optimizer is None:
        raise RuntimeError(f"{owner}: {model} has no loss and no optimizer yet; call compile(optimizer, loss) first")
    if y is None:
        raise ValueError(f"{owner}: y is missing; the target of an autoencoder is its input: {owner}(x, x)")
    shape = model.outputs[0].sample_shape
    if y is x and shape == model.inputs[0].sample_shape:
        target = inputs[0]
    else:
        target = as_array(owner, "y", y, shape, model.target_hint, backend)
    for name, array in (*zip(names, inputs, strict=True), ("y", target)):
        if len(array) != len(inputs[0]):
            raise ValueError(f"{owner}: {name} has {len(array)} samples and {names[0]} has {len(inputs[0])}")
    if sample_weight is not None:
        sample_weight = as_array(owner, "sample_weight", sample_weight, ())
        if len(sample_weight) != len(inputs[0]):
            raise ValueError(f"{owner}: sample_weight has {len(sample_weight)} entries for {len(inputs[0])} samples")
        if not np.isfinite(sample_weight).all():
            raise ValueError(f"{owner}: sample_weight holds NaN or infinity; expected finite numbers")
    return Data(inputs, target, sample_weight)


def load(plan: Plan, data: Data, rows: Any, flag: Array, scale: float = 1.0) -> None:
    """Gather rows into the plan's inputs and target, and their weights times `scale`. NaN and infinity set the flag."""
    backend = plan.backend
    for destination, source in zip(plan.inputs, data.inputs, strict=True):
        backend.ops.gather(destination, source, rows, flag)
    plan.target = plan.inputs[0] if data.target_is_input else plan.own_target
    if data.target is not None and not data.target_is_input:
        backend.ops.gather(plan.target, data.target, rows, flag)
    plan.weight = plan.mean_weight
    if data.weight is not None:
        plan.weight = plan.own_weight
        backend.ops.gather(plan.weight, data.weight, rows, flag)
        backend.ops.rescale_forward(plan.weight, plan.weight, scale, 0.0)
    data.release_pages()


def load_finite(owner: str, plan: Plan, data: Data, rows: np.ndarray, numbers: Numbers, scale: float = 1.0) -> None:
    """`load` for rows of the host; NaN and infinity are a ValueError."""
    load(plan, data, rows, numbers.invalid, scale)
    raise_if_invalid(owner, plan, data, rows, numbers.invalid)


def find_invalid(plan: Plan, inputs: list[np.ndarray], numbers: Numbers) -> None:
    """Set a flag for NaN and infinity in inputs that are used as they are."""
    for array in inputs:
        plan.backend.ops.find_nonfinite(numbers.invalid, array, array[:0].reshape(-1))


def raise_if_invalid(owner: str, plan: Plan, data: Data, rows: np.ndarray, flag: Array) -> None:
    """The error for these rows if the flag is set, which is cleared."""
    if plan.backend.download(flag)[0]:
        plan.backend.upload(flag, 0)
        raise invalid_data(owner, data, rows, plan.dtype) or AssertionError("the kernel found what is not there")


def invalid_data(owner: str, data: Data, rows: np.ndarray, dtype: np.dtype) -> ValueError | None:
    """The error that names the first element of these rows that is not finite; None if they are."""
    sources = [("x", array) for array in data.inputs]
    if data.target is not None:
        sources.append(("y", data.target))
    with np.errstate(over="ignore"):
        for name, array in sources:
            for row in rows:
                places = np.argwhere(~np.isfinite(np.asarray(array[row], dtype)))
                if len(places):
                    index = ", ".join(str(int(i)) for i in (row, *places[0]))
                    return ValueError(
                        f"{owner}: {name}[{index}] is {array[row][tuple(places[0])]}, which is not finite in {dtype}; "
                        f"clean the data first, for example with np.nan_to_num({name})"
                    )
    return None
