"""Models as ONNX files, for programs that run models and don't train them.

Opset 17 and IR version 8 are those of ONNX 1.12, of 2022, which onnxruntime 1.12 and all later ones read. They have all
that the layers need; newer ones would only keep out programs that don't know them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .. import __version__
from ..model import Model
from ..plan import Slot, flatten
from .atomic import write_atomically

try:
    from onnx import ModelProto, ValueInfoProto, helper
except ImportError as error:
    raise ImportError('export needs onnx: pip install "scratchae[onnx]"') from error

from .onnx_graph import Graph, Value
from .onnx_layers import WRITERS

OPSET, IR_VERSION = 17, 8


def export(
    model: Model,
    filepath: str | os.PathLike[str],
    format: str = "onnx",
    verbose: bool | None = None,
    input_signature: Any = None,
) -> None:
    """What Model.export does."""
    if format != "onnx":
        raise ValueError(f"export: format={format!r} is not supported; expected 'onnx'")
    if Path(filepath).suffix != ".onnx":
        raise ValueError(f"export: filepath={str(filepath)!r} must end in .onnx")
    if input_signature is not None:
        raise ValueError(
            f"export: input_signature={input_signature!r} is not supported; expected None: the file takes what the "
            f"model takes, {model.input_shape}, None being any number of samples"
        )
    proto = as_onnx(model)
    write_atomically(filepath, proto.SerializeToString())
    if verbose:
        print(f"{filepath}: {proto.doc_string}")


def as_onnx(model: Model) -> ModelProto:
    """The model in ONNX' own terms; ValueError for one without layers, and for a layer that is not in WRITERS.

    Inputs and outputs have the names of their layers, the shapes (batch, ...) of the model's, and are float32.
    """
    if not model.outputs:
        raise ValueError(f"export: {model} has no input yet; begin it with an Input, or fit it")
    graph = Graph()
    slots, steps, results = flatten(model.graph, 1)
    values: dict[Slot, Value] = {}
    for slot, symbol in zip(slots, model.inputs, strict=True):
        name = graph.input(symbol.node.layer.name, slot.shape[1:])
        values[slot] = Value(slot.shape[1:], ours=name)
    names = [graph.unique(symbol.node.layer.name) for symbol in model.outputs]
    for step in steps:
        write = WRITERS.get(type(step.layer))
        if write is None:
            raise ValueError(
                f"export: {step.layer} is a {type(step.layer).__name__}, which export can't say in ONNX' operators; "
                f"export a model without it, of {', '.join(sorted(kind.__name__ for kind in WRITERS))}"
            )
        [y] = step.outputs
        values[y] = Value(y.shape[1:])
        graph.scope = step.layer.name
        write(graph, values[y], *(values[x] for x in step.inputs), step.layer)
    graph.finish(names, [values[slot] for slot in results])
    return helper.make_model(
        helper.make_graph(graph.nodes, model.name, graph.inputs, graph.outputs, graph.initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="scratchae",
        producer_version=__version__,
        doc_string=f"{model.name}: {described(graph.inputs)} -> {described(graph.outputs)}; float32",
    )


def described(tensors: list[ValueInfoProto]) -> str:
    """Names and shapes, such as `image (batch, 28, 28, 1)`."""
    words = []
    for tensor in tensors:
        sizes = [size.dim_param or str(size.dim_value) for size in tensor.type.tensor_type.shape.dim]
        words.append(f"{tensor.name} ({', '.join(sizes)})")
    return ", ".join(words)
