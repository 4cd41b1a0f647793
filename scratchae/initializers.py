"""Initial weights."""

from __future__ import annotations

from math import prod, sqrt
from typing import ClassVar

import numpy as np

from .configuration import Configurable


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs of one unit: for (J, K, C, O) the J * K taps count on both sides."""
    if len(shape) < 2:
        raise ValueError(f"shape={shape} has no inputs and outputs: use Zeros, Ones or Constant for vectors")
    taps = prod(shape[:-2])
    return taps * shape[-2], taps * shape[-1]


class Initializer(Configurable):
    """`initializer(shape, rng)` returns float64 values of that shape, drawn from a numpy Generator."""

    module = "keras.initializers"
    ignored = ("seed",)

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        raise NotImplementedError


class Constant(Initializer):
    """Every weight is `value`."""

    def __init__(self, value: float = 0.0):
        self.value = value

    def __call__(self, shape, rng):
        return np.full(shape, float(self.value))


class Zeros(Constant):
    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    def __init__(self) -> None:
        super().__init__(1.0)


class RandomNormal(Initializer):
    """Normal with `mean` and `stddev`."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05):
        self.mean, self.stddev = mean, stddev

    def __call__(self, shape, rng):
        return rng.normal(self.mean, self.stddev, shape)


class RandomUniform(Initializer):
    """Uniform in [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05):
        self.minval, self.maxval = minval, maxval

    def __call__(self, shape, rng):
        return rng.uniform(self.minval, self.maxval, shape)


class GlorotUniform(Initializer):
    """Uniform in +-sqrt(6 / (fan_in + fan_out)): Glorot & Bengio 2010, eq. 16."""

    def __call__(self, shape, rng):
        limit = sqrt(6 / sum(fans(shape)))
        return rng.uniform(-limit, limit, shape)


class HeUniform(Initializer):
    """Uniform in +-sqrt(6 / fan_in), variance 2 / fan_in: He, Zhang, Ren & Sun 2015, eq. 10."""

    def __call__(self, shape, rng):
        limit = sqrt(6 / fans(shape)[0])
        return rng.uniform(-limit, limit, shape)


class Orthogonal(Initializer):
    """A random matrix with orthonormal rows or columns: Saxe, McClelland & Ganguli 2014."""

    fixed: ClassVar = {"gain": 1.0}

    def __call__(self, shape, rng):
        rows, columns = prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))  # makes the draw uniform over all orthogonal matrices
        return (q.T if rows < columns else q).reshape(shape)


_BY_NAME = {
    "zeros": Zeros,
    "ones": Ones,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "glorot_uniform": GlorotUniform,
    "he_uniform": HeUniform,
    "orthogonal": Orthogonal,
}


def get(identifier: Initializer | str) -> Initializer:
    """An initializer from an instance or its Keras name."""
    if isinstance(identifier, Initializer):
        return identifier
    if isinstance(identifier, str) and identifier in _BY_NAME:
        return _BY_NAME[identifier]()
    raise ValueError(f"initializer={identifier!r} is unknown: use an Initializer or one of {', '.join(_BY_NAME)}")
