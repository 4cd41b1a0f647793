"""A model as a table, in text and for notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from .layers.base import Layer
from .model import Model

HEADINGS = "Layer (type)", "Output shape", "Parameters"


def row(model: Model, layer: Layer) -> tuple[str, str, str]:
    """What a table says of one layer, for its call within the model."""
    outputs = next(node.outputs for node in layer.nodes if node in model.graph.nodes)
    shapes = ", ".join(str(tensor.shape) for tensor in outputs)
    return f"{layer.name} ({type(layer).__name__})", shapes, f"{layer.count_params():,}"


def totals(model: Model) -> str:
    trained = sum(p.size for p in model.trainable_weights)
    return f"{model.count_params():,} parameters, {trained:,} of them trained"


def as_text(model: Model, expand_nested: bool) -> str:
    """The table with the layers of nested models indented, if they are expanded."""

    def rows(model: Model, indent: str) -> Iterator[tuple[str, str, str]]:
        for layer in model.layers:
            name, *rest = row(model, layer)
            yield (indent + name, *rest)  # type: ignore[misc]
            if expand_nested and isinstance(layer, Model):
                yield from rows(layer, indent + "  ")

    table = [HEADINGS, *rows(model, "")]
    a, b, c = (max(len(line[i]) for line in table) for i in range(3))
    lines = [f"{name:<{a}}  {shape:<{b}}  {count:>{c}}" for name, shape, count in table]
    rule = "-" * len(lines[0])
    return "\n".join([f'Model "{model.name}"', rule, lines[0], rule, *lines[1:], rule, totals(model)])


def as_html(model: Model) -> str:
    """The table for notebooks: a nested model is a line that opens."""

    def table(model: Model) -> str:
        lines = ["<tr>" + "".join(f"<th style='text-align:left'>{heading}</th>" for heading in HEADINGS) + "</tr>"]
        for layer in model.layers:
            name, shape, count = (escape(cell) for cell in row(model, layer))
            if isinstance(layer, Model):
                name = f"<details><summary>{name}</summary>{table(layer)}</details>"
            cells = f"<td style='text-align:left'>{name}</td><td>{shape}</td><td>{count}</td>"
            lines.append(f"<tr style='vertical-align:top'>{cells}</tr>")
        return "<table>" + "".join(lines) + "</table>"

    return f"<p><b>Model {escape(model.name)}</b>: {totals(model)}</p>{table(model)}"
