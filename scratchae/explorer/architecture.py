"""A decoder as the page reads it: layers with their settings, and the numbers of their weights among its arrays."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np

from .. import layers
from ..graph import Graph
from ..layers.base import Layer
from ..model import Model
from ..parameters import Parameter
from ..plan import flatten


class Arrays:
    """The arrays of a page, float32 and little-endian, one behind the other."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.number_of: dict[Parameter, int] = {}  # of those added: layers may share them

    def add(self, array: Any) -> int:
        """Append an array; returns its number."""
        self.arrays.append(np.asarray(array, "<f4"))
        return len(self.arrays) - 1

    def parameter(self, parameter: Parameter) -> int:
        """The number of a parameter, which is appended when it is asked for first."""
        if parameter not in self.number_of:
            self.number_of[parameter] = self.add(parameter.numpy())
        return self.number_of[parameter]

    def describe(self) -> dict[str, Any]:
        content = b"".join(array.tobytes() for array in self.arrays)
        return {"shapes": [array.shape for array in self.arrays], "base64": b64encode(content).decode()}


def describe(decoder: Model, arrays: Arrays) -> dict[str, Any]:
    """The layers of a decoder in the order in which they run, nested models inlined; their weights go to `arrays`.

    A layer here has one input and there is one output, so the layers are a chain. Those that change nothing outside
    training are left out. Raises ValueError for a layer that the page can't run.
    """
    described = []
    _, steps, _ = flatten(Graph(decoder.inputs, decoder.outputs), 1)
    for step in steps:
        layer = step.layer.layer if isinstance(step.layer, layers.TimeDistributed) else step.layer
        if isinstance(layer, layers.Dropout | layers.GaussianNoise | layers.ActivityRegularization):
            continue
        name, settings, parameters = parts(layer)
        weights = {key: arrays.parameter(parameter) for key, parameter in parameters.items() if parameter is not None}
        described.append({"class": name, "output_shape": step.outputs[0].shape[1:], **settings, "weights": weights})
    return {"input_shape": decoder.inputs[0].sample_shape, "layers": described}


def parts(layer: Layer) -> tuple[str, dict[str, Any], dict[str, Parameter | None]]:
    """The class of a layer in the page, its settings and its parameters, as decoder.js calls them."""
    match layer:
        case layers.Activation():
            return "Activation", {"activation": layer.activation}, {}
        case layers.Conv2D():
            settings = {"padding": layer.padding, "activation": layer.activation}
            return "Conv2D", settings, {"w": layer.w, "b": layer.b}
        case layers.Dense():
            return "Dense", {"activation": layer.activation}, {"w": layer.w, "b": layer.b}
        case layers.LSTM():
            settings = {"return_sequences": layer.return_sequences}
            return "LSTM", settings, {"wx": layer.wx, "wh": layer.wh, "b": layer.b}
        case layers.MaxPooling2D():
            return "MaxPooling2D", {}, {}
        case layers.RepeatVector():
            return "RepeatVector", {}, {}
        case layers.Rescaling():
            return "Rescaling", {"scale": layer.scale, "offset": layer.offset}, {}
        case layers.Reshape():  # Flatten is one
            return "Reshape", {}, {}
        case layers.UpSampling2D():
            return "UpSampling2D", {}, {}
    raise ValueError(
        f"explore: the decoder has {layer}, which the page can't run; expected Activation, Conv2D, Dense, Flatten, "
        "LSTM, MaxPooling2D, RepeatVector, Rescaling, Reshape, TimeDistributed, UpSampling2D, layers of noise, and "
        "models of them"
    )
