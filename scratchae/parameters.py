"""Parameters and their home: one flat buffer of values, one of gradients."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from math import prod

import numpy as np

from .backend import ALIGNMENT, Backend, default_backend
from .changes import note_change
from .kernels import Array
from .regularizers import Regularizer


class Parameter:
    """One tensor that training changes.

    `data` and `grad` are views into the buffers of `home`, the ParameterStore that adopted it last; a parameter that
    no model has trained yet has a value of its own and no gradient.
    """

    def __init__(self, name: str, value: np.ndarray, regularizer: Regularizer | None = None):
        self.name = name
        self.backend = default_backend().supporting(value.dtype)
        self.data: Array = self.backend.array(value)
        self.grad: Array | None = None
        self.home: weakref.ref[ParameterStore] | None = None
        self.regularizer = regularizer
        note_change()

    def numpy(self) -> np.ndarray:
        """A copy of the value."""
        return self.backend.download(self.data)

    def assign(self, value: np.ndarray | float) -> None:
        """Set the value, of the same shape, or to one number."""
        self.backend.upload(self.data, value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def size(self) -> int:
        return self.data.size


class WeightBudget:
    """How many bytes of weights a file holds: what is made from the file gets memory for so many, and for no more."""

    def __init__(self, size: int):
        self.size = size

    def take(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Zeros, into which the weights are read; ValueError where the file can't have any for them."""
        self.size -= prod(shape) * dtype.itemsize
        if self.size < 0:
            raise ValueError(f"{name} has the shape {shape}: that is more than the file holds weights for")
        return np.zeros(shape, dtype)


class ParameterStore:
    """The home of a model's parameters: flat, contiguous `values` (those that are trained first) and `gradients`.

    Layers keep views. An optimizer is then one call over `trained_values` and `gradients`, a save one write, an
    exchange of gradients one call. Each parameter starts on a cache line; the gaps hold zeros and stay zero. A
    parameter that is not trained has no gradient: its `grad` is None.

    `message` is what processes add up: the gradients, and room for so many other numbers.
    """

    def __init__(
        self,
        trained: Sequence[Parameter],
        frozen: Sequence[Parameter],
        backend: Backend,
        dtype: np.dtype,
        room: int = 0,
    ):
        self.trained, self.frozen = tuple(trained), tuple(frozen)
        self.backend, self.dtype = backend, dtype
        self.slices: list[slice] = []
        step = ALIGNMENT // dtype.itemsize
        end = trained_end = 0
        for parameter in self.parameters:
            self.slices.append(slice(end, end + parameter.size))
            end += -(-parameter.size // step) * step
            if len(self.slices) == len(self.trained):
                trained_end = end
        self.values = backend.zeros((end,), dtype)
        self.message = backend.zeros((trained_end + room,), dtype)
        self.gradients = self.message[:trained_end]
        self.trained_values = self.values[:trained_end]
        self.adopt()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.trained + self.frozen

    def adopt(self) -> None:
        """Copy the parameters' values here and make their views point here."""
        for i, (parameter, part) in enumerate(zip(self.parameters, self.slices, strict=True)):
            value = self.values[part].reshape(parameter.shape)
            self.backend.upload(value, parameter.numpy())
            parameter.data = value
            parameter.grad = self.gradients[part].reshape(parameter.shape) if i < len(self.trained) else None
            parameter.backend, parameter.home = self.backend, weakref.ref(self)
        note_change()

    def is_home(self) -> bool:
        """Whether all parameters still live here: another model that shares some may have adopted them since."""
        return all(p.home is not None and p.home() is self for p in self.parameters)
