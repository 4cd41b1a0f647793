"""scratchae convert."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files
from .common import add_command

if TYPE_CHECKING:
    from ..model import Model

EXAMPLE = """scratchae convert runs/vanilla/model.safetensors vanilla.keras
scratchae convert runs/vanilla/model.safetensors encoder.onnx --part encoder
scratchae convert runs/vanilla/model.safetensors vanilla.weights.h5
scratchae convert vanilla.weights.h5 again.safetensors --model vanilla.keras

The ending says the format: .safetensors keeps everything; .keras is Keras' own; .weights.h5 has weights and moments
of the optimizer, for a model that is there already; .onnx is for programs that run a model and don't train it."""

KEPT = {  # ending -> what a file has besides weights
    ".safetensors": {"layers", "loss", "optimizer", "history", "random seeds", "notes of scratchae train"},
    ".keras": {"layers", "loss", "optimizer"},
    ".weights.h5": {"optimizer"},
    ".onnx": {"layers"},
}


def add_commands(commands: Any) -> None:
    parser = add_command(commands, "convert", convert, "write a model in another format", EXAMPLE)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="a .safetensors, .keras or .weights.h5 file")
    parser.add_argument("target", type=Path, metavar="TARGET", help="a .safetensors, .keras, .weights.h5 or .onnx file")
    parser.add_argument(
        "--part", choices=["auto", "encoder", "decoder"], default="auto", help="of an autoencoder (auto, all of it)"
    )
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="a .safetensors or .keras file, whose layers the weights are for"
    )


def convert(options: argparse.Namespace) -> int:
    """Write what SOURCE has to TARGET, and say what TARGET has no place for."""
    source, target = ending("SOURCE", options.source), ending("TARGET", options.target)
    if options.source.resolve() == options.target.resolve():
        raise ValueError(f"SOURCE and TARGET are the same file, {options.source}")
    if source == ".onnx":
        raise ValueError(f"{options.source}: ONNX files are only written; convert the file that it was made from")
    if source == ".weights.h5" and options.model is None:
        raise ValueError(f"{options.source} holds weights alone; add --model FILE, a model that they are for")
    whole = files.load_model(options.source) if options.model is None else with_weights(options.model, options.source)
    model = whole if options.part == "auto" else part_of(whole, options)
    there, notes = contents(whole, options)
    write(model, options.target, target, notes if model is whole else {})
    kept = KEPT[target] if model is whole else KEPT[target] & {"layers", "random seeds"}
    left = [thing for thing in there if thing not in kept]
    origin = f": the weights of {options.source} in the layers of {options.model}" if options.model else ""
    print(f"wrote {options.target}{origin}" + (f"; left out: {', '.join(left)}" if left else ""))
    return 0


def ending(name: str, path: Path) -> str:
    """The ending, which says the format."""
    for known in KEPT:
        if path.name.endswith(known):
            return known
    raise ValueError(f"{name} {path} has no ending that is known; expected one of {', '.join(KEPT)}")


def with_weights(model: Path, weights: Path) -> Model:
    """A model with weights from another file. What training left in the model belongs to the weights it had."""
    loaded = files.load_model(model)
    loaded.history = None
    if loaded.optimizer is not None and loaded.loss is not None:
        fresh = type(loaded.optimizer).from_config(loaded.optimizer.get_config())
        loaded.compile(fresh, loaded.loss, loaded.metrics)
    loaded.load_weights(weights)
    return loaded


def part_of(whole: Model, options: argparse.Namespace) -> Model:
    """The encoder or the decoder of an autoencoder."""
    try:
        encoder, decoder = files.parts_of(whole, options.source)
    except files.ScratchaeFormatError as error:
        raise ValueError(
            f"--part {options.part}: {options.source} holds one model, and no encoder and decoder in it; leave --part "
            "out to convert it"
        ) from error
    return encoder if options.part == "encoder" else decoder


def contents(whole: Model, options: argparse.Namespace) -> tuple[list[str], dict[str, Any]]:
    """What there is besides weights, in words, and the notes of the program that wrote SOURCE."""
    notes = files.read_notes(options.source) if options.model is None else {}
    there = {
        "layers": True,
        "loss": whole.loss is not None,
        "optimizer": whole.optimizer is not None,
        "history": whole.history is not None,
        "random seeds": options.model is None and ending("SOURCE", options.source) == ".safetensors",
        "notes of scratchae train": bool(notes),
    }
    return [thing for thing, is_there in there.items() if is_there], notes


def write(model: Model, target: Path, form: str, notes: dict[str, Any]) -> None:
    """Write the file, whole or not at all."""
    if form == ".safetensors":
        from ..files import safetensors

        safetensors.save(model, target, notes)
    elif form == ".keras":
        model.save(target)
    elif form == ".weights.h5":
        model.save_weights(target)
    else:
        model.export(target, verbose=True)  # prints inputs and outputs
