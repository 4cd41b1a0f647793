"""The classes that a file may name. A name that is not here is refused: nothing is ever imported by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import initializers, layers, losses, metrics, optimizers, regularizers, schedules
from .errors import ScratchaeFormatError


class DTypePolicy:
    """The float type of a layer, as Keras writes it."""

    module = "keras"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> str:
        return config["name"]


ALLOWED: tuple[Any, ...] = (
    layers.Activation, layers.ActivityRegularization, layers.Conv2D, layers.Dense, layers.Dropout, layers.Flatten,
    layers.GaussianNoise, layers.InputLayer, layers.LSTM, layers.MaxPooling2D, layers.RepeatVector, layers.Rescaling,
    layers.Reshape, layers.Sampling, layers.TimeDistributed, layers.UpSampling2D,
    initializers.Constant, initializers.GlorotUniform, initializers.HeUniform, initializers.Ones,
    initializers.Orthogonal, initializers.RandomNormal, initializers.RandomUniform, initializers.Zeros,
    regularizers.L1, regularizers.L1L2, regularizers.L2, regularizers.Regularizer,
    losses.BinaryCrossentropy, losses.MeanAbsoluteError, losses.MeanSquaredError, losses.SummedBinaryCrossentropy,
    metrics.BinaryAccuracy, metrics.BinaryCrossentropy, metrics.LossMetric, metrics.MeanAbsoluteError,
    metrics.MeanSquaredError,
    optimizers.Adadelta, optimizers.Adam, optimizers.AdamW, optimizers.RMSprop, optimizers.SGD,
    schedules.CosineDecay, schedules.ExponentialDecay, schedules.InverseTimeDecay, schedules.PiecewiseConstantDecay,
    schedules.PolynomialDecay,
    DTypePolicy,
)  # fmt: skip
FUNCTIONAL = ("keras.src.models.functional", "Functional")  # module and class of models, as Keras writes them
SEQUENTIAL = ("keras", "Sequential")
FUNCTIONALS = (FUNCTIONAL, ("keras.models", "Functional"), ("keras.models", "Model"), ("keras", "Model"))  # and reads
SEQUENTIALS = (SEQUENTIAL, ("keras.models", "Sequential"), ("keras.src.models.sequential", "Sequential"))
CLASSES = {(cls.module, cls.__name__): cls for cls in ALLOWED} | {
    (f"keras.src.backend.torch.optimizers.torch_{cls.__name__.lower()}", cls.__name__): cls  # as Keras on PyTorch says
    for cls in ALLOWED
    if cls.module == "keras.optimizers"
}
OURS = {f"scratchae>{cls.__name__}": cls for cls in ALLOWED if cls.module.startswith("scratchae")}


def find(entry: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The class that a serialized object names; ScratchaeFormatError if it is not among those there are."""
    module, name, registered = entry.get("module"), entry["class_name"], entry.get("registered_name")
    for known in (registered, name):
        if custom_objects and isinstance(known, str) and known in custom_objects:
            return custom_objects[known]
    if isinstance(registered, str) and registered in OURS:  # Keras writes the module that had its counterpart
        return OURS[registered]
    if name == "Lambda":
        raise ScratchaeFormatError("the file has a Lambda layer, which is Python code: nothing from a file is run")
    if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in CLASSES:
        raise ScratchaeFormatError(
            f"the file asks for the class {name!r} of {module!r}, which is none that this library makes from a file; "
            f"a class of your own is given as custom_objects={{{registered or name!r}: class}}"
        )
    return CLASSES[module, name]
