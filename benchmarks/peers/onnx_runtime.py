"""ONNX Runtime, inference only. The graphs are built with the `onnx` package alone, as an exporter would build them."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from .models import TIMESTEPS, UNITS, initial_weights
from .serve import Contestant, Variants, Work, serve


class Graph:
    """Nodes in the order of their calls; each method returns the name of its output."""

    def __init__(self):
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: Any) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operation: str, *inputs: str, outputs: int = 1, output: int = 0, **attributes: Any) -> str:
        names = [f"{operation}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operation, inputs, names, **attributes))
        return names[output]

    def dense(self, x: str, w: np.ndarray, b: np.ndarray) -> str:
        return self.add("Gemm", x, self.constant(w), self.constant(b))

    def conv(self, x: str, padding: int, w: np.ndarray, b: np.ndarray) -> str:
        w = w.transpose(3, 2, 0, 1)  # HWIO to OIHW
        return self.add("Conv", x, self.constant(w), self.constant(b), kernel_shape=[3, 3], pads=[padding] * 4)

    def lstm(self, x: str, output: int, wx: np.ndarray, wh: np.ndarray, b: np.ndarray) -> str:
        """Output 0: every state (T, 1, N, U); output 1: the last (1, N, U)."""
        b = np.concatenate([iofc(b), np.zeros_like(b)])  # two biases, as cuDNN has them
        constants = [self.constant(array[None]) for array in (iofc(wx).T, iofc(wh).T, b)]
        return self.add("LSTM", x, *constants, outputs=2, output=output, hidden_size=wh.shape[0])


def iofc(w: np.ndarray) -> np.ndarray:
    """The gates in ONNX' order."""
    i, f, c, o = np.split(w, 4, axis=-1)
    return np.concatenate([i, o, f, c], axis=-1)


def dense(graph: Graph, x: str, weights: list[np.ndarray]) -> str:
    """Logits."""
    for i in range(0, len(weights), 2):
        x = graph.dense(graph.add("Relu", x) if i else x, weights[i], weights[i + 1])
    return x


def convolutional(graph: Graph, x: str, weights: list[np.ndarray]) -> str:
    """Logits: sides 28, 14, 7, 4, and 4, 8, 16, 14 (no padding), 28 back."""
    scales = graph.constant(np.array([1, 1, 2, 2], np.float32))
    nearest: dict[str, Any] = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    for i in range(6):
        x = graph.add("Relu", graph.conv(x, 0 if i == 5 else 1, weights[2 * i], weights[2 * i + 1]))
        if i < 3:
            x = graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
        else:
            x = graph.add("Resize", x, "", scales, **nearest)
    return graph.conv(x, 1, *weights[12:])


def variational(graph: Graph, x: str, weights: list[np.ndarray], noise: np.ndarray | None) -> str:
    """Logits."""
    h = graph.add("Relu", graph.dense(x, *weights[:2]))
    mean, log_var = graph.dense(h, *weights[2:4]), graph.dense(h, *weights[4:6])
    drawn = graph.add("RandomNormalLike", mean) if noise is None else graph.constant(noise)
    deviation = graph.add("Exp", graph.add("Mul", log_var, graph.constant(np.float32(0.5))))
    return dense(graph, graph.add("Add", mean, graph.add("Mul", deviation, drawn)), weights[6:])


def recurrent(graph: Graph, x: str, weights: list[np.ndarray]) -> str:
    """The output itself, (N, T, D)."""
    code = graph.lstm(graph.add("Transpose", x, perm=[1, 0, 2]), 1, *weights[:3])  # (1, N, U)
    repeated = graph.add("Tile", code, graph.constant(np.array([TIMESTEPS, 1, 1])))
    states = graph.lstm(repeated, 0, *weights[3:])  # (T, 1, N, D)
    return graph.add("Transpose", graph.add("Squeeze", states, graph.constant(np.array([1]))), perm=[1, 0, 2])


def session(model: str, noise: np.ndarray | None = None) -> onnxruntime.InferenceSession:
    """The model with the initial weights, ready to run."""
    graph, weights = Graph(), initial_weights(model)
    if model == "recurrent":
        y = recurrent(graph, "x", weights)
    elif model == "convolutional":
        y = graph.add("Sigmoid", convolutional(graph, "x", weights))
    elif model == "variational":
        y = graph.add("Sigmoid", variational(graph, "x", weights, noise))
    else:
        assert model in UNITS
        y = graph.add("Sigmoid", dense(graph, "x", weights))
    shape = {"recurrent": ("N", 28, 28), "convolutional": ("N", 1, 28, 28)}.get(model, ("N", 784))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", y)]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, model, ends[:1], ends[1:], graph.constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(proto)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))  # 0: its own choice
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def images(model: str, x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, 1, 28, 28) if model == "convolutional" else x


class OnnxRuntime(Contestant):
    def versions(self) -> dict[str, str]:
        return {"onnxruntime": onnxruntime.__version__, "python": platform.python_version()}

    def inference(self, model: str, batches: list[np.ndarray]) -> Variants:
        run = session(model).run
        return {"": Work(lambda x: run(None, {"x": x}), [images(model, x) for x in batches])}

    def check(self, model: str, x: np.ndarray, noise: np.ndarray, steps: int) -> dict[str, Any]:
        (y,) = session(model, noise).run(None, {"x": images(model, x)})
        return {"output": y.reshape(x.shape)}


if __name__ == "__main__":
    serve(OnnxRuntime())
