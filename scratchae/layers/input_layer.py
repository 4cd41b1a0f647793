"""Where data enters a model."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import ClassVar

from .. import checks
from ..graph import Node, Tensor
from .base import Layer


class InputLayer(Layer):
    """The node that stands for data given to `fit` or `predict`."""

    fixed: ClassVar = {"sparse": False, "ragged": False, "optional": False}

    def __init__(self, shape: Sequence[int], name: str | None = None, dtype: str | None = None):
        super().__init__(name=name, dtype=dtype)
        if isinstance(shape, (list, tuple)) and None in shape:
            raise ValueError(f"Input: shape={shape} has an open dimension; every one but the batch must be fixed")
        self.shape = (None, *checks.positive_integers("Input", "shape", shape))
        self.nodes.append(Node(self, (), [self.shape]))
        self.built = True

    def get_config(self):
        return {"batch_shape": [*self.shape], "dtype": self.dtype, "name": self.name, **self.fixed}

    @classmethod
    def from_config(cls, config):
        batch, *shape = config["batch_shape"]
        if batch is not None:
            raise ValueError(f"InputLayer: batch_shape={config['batch_shape']} fixes the batch; expected None for it")
        return super().from_config({name: v for name, v in config.items() if name != "batch_shape"} | {"shape": shape})

    def compute_output_shape(self, input_shape):
        return self.shape


def Input(shape: Sequence[int] | int, name: str | None = None) -> Tensor:  # noqa: N802 Keras' name
    """A symbolic tensor for data of `shape` a sample, the batch not counted.

    Input((784,)), Input(784) or Input((28, 28, 1)). Raises TypeError or ValueError unless all sizes are integers of at
    least 1.
    """
    sizes = [int(shape)] if isinstance(shape, Integral) else shape
    return InputLayer(sizes, name=name).output  # type: ignore[arg-type]
