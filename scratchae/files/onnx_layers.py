"""The layers in ONNX' operators: a function for each class, in one table.

`write(graph, y, x, layer)` adds nodes that compute y from x, as the layer does outside training, and says under which
name y is found, and in which layout: see onnx_graph.py. Penalties belong to training, and so does noise but for
Sampling's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..layers import (
    LSTM,
    Activation,
    ActivityRegularization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Layer,
    MaxPooling2D,
    RepeatVector,
    Rescaling,
    Reshape,
    Sampling,
    TimeDistributed,
    UpSampling2D,
)
from .onnx_graph import Graph, Value

ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}


def activate(graph: Graph, name: str, activation: str) -> str:
    return name if activation == "linear" else graph.node(ACTIVATIONS[activation], name)


def number_by_number(y: Value, x: Value, compute: Callable[[str], str]) -> None:
    """y = compute(x) where each number is for itself: the layout stays what it is."""
    if x.ours is not None:
        y.ours = compute(x.ours)
    else:
        assert x.theirs is not None
        y.theirs = compute(x.theirs)


def unchanged(graph: Graph, y: Value, x: Value, layer: Layer) -> None:
    y.ours, y.theirs = x.ours, x.theirs


def activation(graph: Graph, y: Value, x: Value, layer: Activation) -> None:
    number_by_number(y, x, lambda name: activate(graph, name, layer.activation))


def rescaling(graph: Graph, y: Value, x: Value, layer: Rescaling) -> None:
    scale, offset = graph.constant(np.float32(layer.scale)), graph.constant(np.float32(layer.offset))
    number_by_number(y, x, lambda name: graph.node("Add", graph.node("Mul", name, scale), offset))


def dense(graph: Graph, y: Value, x: Value, layer: Dense) -> None:
    w, *b = graph.weights(layer.w, layer.b)
    if len(x.shape) == 1:
        y.ours = activate(graph, graph.node("Gemm", graph.ours(x), w, *b), layer.activation)
        return

    def along_the_last_axis(name: str) -> str:
        z = graph.node("MatMul", name, w)
        return activate(graph, graph.node("Add", z, *b) if b else z, layer.activation)

    if len(x.shape) == 2:  # each step of a sequence is for itself, too
        number_by_number(y, x, along_the_last_axis)
    else:
        y.ours = along_the_last_axis(graph.ours(x))


def time_distributed(graph: Graph, y: Value, x: Value, layer: TimeDistributed) -> None:
    dense(graph, y, x, layer.layer)


def conv2d(graph: Graph, y: Value, x: Value, layer: Conv2D) -> None:
    w = graph.weight(layer.w, lambda w: w.transpose(3, 2, 0, 1))  # (J, K, C, O) -> (O, C, J, K)
    J, K = layer.kernel_size
    pads = [J // 2, K // 2] * 2 if layer.padding == "same" else [0] * 4
    z = graph.node("Conv", graph.theirs(x), w, *graph.weights(layer.b), kernel_shape=[J, K], pads=pads)
    y.theirs = activate(graph, z, layer.activation)


def max_pooling2d(graph: Graph, y: Value, x: Value, layer: MaxPooling2D) -> None:
    H, W, _ = x.shape
    pads = [0, 0, H % 2, W % 2] if layer.padding == "same" else [0] * 4  # with -inf, behind the last row and column
    y.theirs = graph.node("MaxPool", graph.theirs(x), kernel_shape=[2, 2], strides=[2, 2], pads=pads)


def up_sampling2d(graph: Graph, y: Value, x: Value, layer: UpSampling2D) -> None:
    scales = graph.constant(np.array([1, 1, 2, 2], np.float32))
    nearest: dict[str, Any] = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    y.theirs = graph.node("Resize", graph.theirs(x), "", scales, **nearest)


def iofg(w: np.ndarray) -> np.ndarray:
    """Gates along the last axis in ONNX' order; ours is i, f, g, o."""
    i, f, g, o = np.split(w, 4, axis=-1)
    return np.concatenate([i, o, f, g], axis=-1)


def lstm(graph: Graph, y: Value, x: Value, layer: LSTM) -> None:
    w, r = (graph.weight(p, lambda w: iofg(w).T[None]) for p in (layer.wx, layer.wh))  # (1, 4U, I), (1, 4U, U)
    b = []
    if layer.b is not None:  # (1, 8U): ONNX has a second one, for the state
        b = [graph.weight(layer.b, lambda b: np.concatenate([iofg(b), np.zeros_like(b)])[None])]
    inputs = graph.theirs(x), w, r, *b
    if layer.return_sequences:
        states = graph.node("LSTM", *inputs, hidden_size=layer.units)  # (T, 1, N, U): one direction
        y.theirs = graph.node("Squeeze", states, graph.constant(np.array([1])))
    else:
        y.theirs = graph.node("LSTM", *inputs, output=1, hidden_size=layer.units)  # the last one, (1, N, U)


def repeat_vector(graph: Graph, y: Value, x: Value, layer: RepeatVector) -> None:
    y.theirs = graph.node("Tile", graph.theirs(x), graph.constant(np.array([layer.n, 1, 1])))


def reshape(graph: Graph, y: Value, x: Value, layer: Reshape) -> None:
    y.ours = graph.node("Reshape", graph.ours(x), graph.constant(np.array([0, *y.shape])))  # 0: the batch, as it is


def sampling(graph: Graph, z: Value, mean: Value, log_var: Value, layer: Sampling) -> None:
    about = f"noise of {layer.name}: standard normal numbers, drawn anew for each sample; zeros give the mean"
    noise = graph.input(f"{layer.name}_noise", z.shape, about)
    deviation = graph.node("Exp", graph.node("Mul", graph.ours(log_var), graph.constant(np.float32(0.5))))
    z.ours = graph.node("Add", graph.ours(mean), graph.node("Mul", deviation, noise))


WRITERS: dict[type[Layer], Callable[..., None]] = {
    Activation: activation,
    ActivityRegularization: unchanged,
    Conv2D: conv2d,
    Dense: dense,
    Dropout: unchanged,
    Flatten: reshape,
    GaussianNoise: unchanged,
    LSTM: lstm,
    MaxPooling2D: max_pooling2d,
    RepeatVector: repeat_vector,
    Rescaling: rescaling,
    Reshape: reshape,
    Sampling: sampling,
    TimeDistributed: time_distributed,
    UpSampling2D: up_sampling2d,
}
