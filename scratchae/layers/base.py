"""What every layer is: a configuration, parameters, and a pair forward / backward over a call record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks, config, regularizers
from ..changes import note_change
from ..configuration import Configurable
from ..graph import Graph, Node, Shape, Tensor
from ..initializers import Initializer
from ..parameters import Parameter, WeightBudget

if TYPE_CHECKING:
    from ..plan import Call

Saved = dict[str, tuple[Any, Any]]  # name -> (shape with None for the batch, dtype or None for the model's)


class Layer(Configurable):
    """The base of all layers.

    A layer owns its configuration and its parameters and nothing else: the tensors of a step belong to a plan, which
    hands them over in a `Call`. A subclass defines

        check_input(input_shape)           raises ValueError unless the layer can be called on that shape
        build(input_shape)                 makes the parameters, once
        compute_output_shape(input_shape)  shapes include the batch, as None
        saved(input_shape)                 what forward keeps for backward, if anything
        forward(call), backward(call)      one op pair over call.x, call.y, call.dx, call.dy

    A layer with several inputs sets takes_several, and gets lists instead of single shapes and tensors.

    Args, which every layer takes by keyword:
        name: unique within a model; None for one made of the class and a number.
        trainable: whether training changes the parameters.
        activity_regularizer: a penalty on the output.
        input_shape: of a sample, for the first layer of a Sequential.
        seed: of initial weights and noise; None for the next one of `set_random_seed`.
        dtype: the float type of the parameters, "float32" or "float64"; None for that of `set_floatx`.
    """

    module = "keras.layers"
    unsaved: tuple[str, ...] = ("input_shape", "seed")
    ignored: tuple[str, ...] = ("seed",)

    takes_several = False
    draws = False  # noise, from the place of each sample
    graph: Graph | None = None  # of a model, which is a layer made of layers

    def __init__(
        self,
        name: str | None = None,
        trainable: bool = True,
        activity_regularizer: regularizers.Regularizer | str | None = None,
        input_shape: Sequence[int] | None = None,
        seed: int | np.random.SeedSequence | None = None,
        dtype: str | None = None,
    ):
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ValueError(f"{type(self).__name__}: name={name!r} must be a non-empty string without '/'")
        self.name = name or config.unique_name(snake_case(type(self).__name__))
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.built = False
        self.parameters: list[Parameter] = []
        self.nodes: list[Node] = []  # the calls on symbolic tensors, in order
        if seed is None:
            seed = config.next_seed()
        self.seed = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        self._dtype = None if dtype is None else checks.one_of(self.name, "dtype", dtype, ("float32", "float64"))
        self.weight_budget: WeightBudget | None = None  # of the file that the layer comes from, while it is read
        self._trainable = trainable
        self._input_shape = None  # of a sample: what a Sequential begins with
        if input_shape is not None:
            self._input_shape = checks.positive_integers(self.name, "input_shape", input_shape)

    # ---- for subclasses ---------------------------------------------------------------------------------------------
    def check_input(self, input_shape: Any) -> None:
        """Raise ValueError unless the layer can be called on inputs of this shape."""

    def build(self, input_shape: Any) -> None:
        """Make the parameters."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output for an input of this shape."""
        return input_shape

    def saved(self, input_shape: Any) -> Saved:
        """Tensors that forward keeps for backward: name -> (shape, dtype or None)."""
        return {}

    def borders(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns of zeros that the layer's kernels may read around the input, and around the gradient dy."""
        return (0, 0), (0, 0)

    def forward(self, call: Call) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no forward: this library runs its own layers only")

    def backward(self, call: Call) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no backward: this library runs its own layers only")

    def add_parameter(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Initializer,
        regularizer: regularizers.Regularizer | None = None,
    ) -> Parameter:
        if self.weight_budget is not None:
            value = self.weight_budget.take(f"{self.name}/{name}", shape, np.dtype(self.dtype))
        else:
            rng = np.random.default_rng(self.seed.spawn(1)[0])
            value = initializer(shape, rng).astype(self.dtype)
        parameter = Parameter(f"{self.name}/{name}", value, regularizer)
        self.parameters.append(parameter)
        return parameter

    def require_rank(self, input_shape: Shape, rank: int, meaning: str) -> None:
        if len(input_shape) != rank:
            raise ValueError(f"{self}: the input has shape {input_shape}; expected {meaning}, {rank} dimensions")

    def build_once(self, input_shape: Any) -> None:
        """Make the parameters for inputs of this shape, or check that they fit."""
        if not self.built:
            self.build(input_shape)
            self._built_for = input_shape
            self.built = True
        elif self.parameters and not self.accepts(input_shape):
            raise ValueError(f"{self} was built for inputs of shape {self._built_for} and is called on {input_shape}")

    # ---- the graph --------------------------------------------------------------------------------------------------
    def __call__(self, inputs: Any) -> Any:
        """Record this layer's output for a symbolic tensor, or for a list of them."""
        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"{self} was called on a {type(tensor).__name__}; expected the symbolic tensor of Input(...) or of "
                    "another layer. To compute on arrays, make a Model and use its predict"
                )
        shapes = [tensor.shape for tensor in tensors]
        if isinstance(inputs, (list, tuple)) and not self.takes_several:
            raise ValueError(f"{self} was called on a list of tensors, of shapes {shapes}; expected one tensor")
        input_shape = shapes if isinstance(inputs, (list, tuple)) else shapes[0]
        self.check_input(input_shape)
        self.build_once(input_shape)
        output_shape = self.compute_output_shape(input_shape)
        several = isinstance(output_shape, list)
        node = Node(self, tensors, output_shape if several else [output_shape])
        self.nodes.append(node)
        return list(node.outputs) if several else node.outputs[0]

    def accepts(self, input_shape: Any) -> bool:
        """Whether the parameters fit inputs of this shape: the size of the last axis decides."""
        return input_shape[-1] == self._built_for[-1]

    @property
    def input(self) -> Any:
        """The symbolic input of this layer's first call."""
        return self._first_node().inputs if len(self._first_node().inputs) > 1 else self._first_node().inputs[0]

    @property
    def output(self) -> Any:
        """The symbolic output of this layer's first call."""
        return self._first_node().outputs if len(self._first_node().outputs) > 1 else self._first_node().outputs[0]

    def _first_node(self) -> Node:
        if not self.nodes:
            raise AttributeError(f"{self} has not been called on a tensor yet, so it has no input and no output")
        return self.nodes[0]

    # ---- the configuration ------------------------------------------------------------------------------------------
    @property
    def dtype(self) -> str:
        """The float type of the parameters."""
        return self.parameters[0].dtype.name if self.parameters else self._dtype or config.floatx()

    def get_config(self):
        found = super().get_config()
        found["dtype"] = {
            "module": "keras",
            "class_name": "DTypePolicy",
            "config": {"name": found["dtype"]},
            "registered_name": None,
        }
        if found["activity_regularizer"] is None:
            del found["activity_regularizer"]  # Keras has it only where there is one
        return found

    # ---- weights ----------------------------------------------------------------------------------------------------
    @property
    def trainable(self) -> bool:
        """Whether `compile` hands the parameters to the optimizer. Set it before compile, as with Keras."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        note_change()

    @property
    def weights(self) -> list[Parameter]:
        """All parameters."""
        return list(self.parameters)

    @property
    def trainable_weights(self) -> list[Parameter]:
        """The parameters that training changes."""
        return list(self.parameters) if self.trainable else []

    def count_params(self) -> int:
        """How many numbers the parameters hold."""
        return sum(p.size for p in self.weights)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all parameters, in the order of `weights`."""
        return [p.numpy() for p in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all parameters, in the order of `get_weights`; ValueError, and no change, if they don't fit."""
        parameters = self.weights
        arrays = [np.asarray(w) for w in weights]
        if len(arrays) != len(parameters):
            raise ValueError(
                f"{self}: set_weights got {len(arrays)} arrays; expected {len(parameters)}, as get_weights gives"
            )
        for parameter, array in zip(parameters, arrays, strict=True):
            if array.shape != parameter.shape:
                raise ValueError(
                    f"{self}: set_weights got shape {array.shape} for {parameter.name!r}; expected {parameter.shape}. "
                    "These are the weights of another model"
                )
            if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
                raise ValueError(f"{self}: set_weights got values for {parameter.name!r} that are not finite numbers")
        for parameter, array in zip(parameters, arrays, strict=True):
            parameter.assign(array)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def snake_case(name: str) -> str:
    """Conv2D -> conv2d, MaxPooling2D -> max_pooling2d, LSTM -> lstm: the names that Keras gives."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
