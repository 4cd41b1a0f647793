"""What the commands share: options, data, models and results."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import files
from ..autoencoders import convolutional, recurrent, sparse, vanilla, variational
from ..files import write_atomically

if TYPE_CHECKING:
    from ..model import Model

KINDS: dict[str, Callable[..., tuple[Model, Model, Model]]] = {
    "vanilla": vanilla.autoencoder,
    "sparse": sparse.autoencoder,
    "convolutional": convolutional.autoencoder,
    "variational": variational.autoencoder,
    "recurrent": recurrent.autoencoder,
}

BATCH_SIZE = 256  # of everything but training
FEW_FEATURES = 8  # rank 2 with more of them is an image, not a sequence


def add_command(
    commands: Any, name: str, command: Callable[[argparse.Namespace], int], text: str, example: str
) -> argparse.ArgumentParser:
    """A subcommand whose --help ends with an example."""
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog="example:\n" + "\n".join(f"  {line}" for line in example.splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=command)
    return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="an autoencoder's file, of scratchae train or of auto.save"
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        default="digits",
        metavar="D",
        help="digits (no network), mnist, fashion_mnist, a .npz, .npy or IDX file, or a folder of IDX files (digits)",
    )


def add_out(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("-o", "--out", type=Path, default=Path(default), metavar="FILE", help=f"where to ({default})")


# ---- data -----------------------------------------------------------------------------------------------------------
@dataclass
class Split:
    """Data to train on and to test on; labels are None where the file has none."""

    x: Any
    y: np.ndarray | None
    x_test: Any
    y_test: np.ndarray | None

    def part(self, name: str) -> tuple[Any, np.ndarray | None]:
        return (self.x, self.y) if name == "train" else (self.x_test, self.y_test)


def load_data(name: str) -> Split:
    """The data set of that name, or of that path; where it has no test part, its last tenth is that."""
    from ..datasets import digits, fashion_mnist, load, mnist

    known: dict[str, Callable[[], Any]] = {
        "digits": digits.load_data,
        "mnist": mnist.load_data,
        "fashion_mnist": fashion_mnist.load_data,
    }
    (x, y), (x_test, y_test) = known[name]() if name in known else load(name)
    if x_test is None:
        if len(x) < 2:
            raise ValueError(f"--data {name}: {len(x)} samples are too few to train and test on; expected two or more")
        cut = len(x) - max(len(x) // 10, 1)
        x, x_test = x[:cut], x[cut:]
        if y is not None:
            y, y_test = y[:cut], y[cut:]
    return Split(x, y, x_test, y_test)


def samples(x: Any, shape: tuple[int, ...]) -> Any:
    """Data in a model's sample shape, bytes as numbers in [0, 1]; files stay where they are."""
    from ..datasets.rows import Scaled

    if x.shape[1:] != shape:
        if prod(x.shape[1:]) != prod(shape):
            raise ValueError(f"--data has samples of shape {x.shape[1:]}; the model takes {shape}")
        x = x.reshape(len(x), *shape)
    return Scaled(x, 1 / 255) if x.dtype == np.uint8 else x


def as_image(sample: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape of samples as images (H, W, C); rows of a square number are squares."""
    if len(sample) == 3:
        return sample
    if len(sample) == 2:
        return (*sample, 1)
    side = isqrt(sample[0])
    if side * side != sample[0]:
        raise ValueError(f"--data has samples of shape {sample}; expected images (H, W), (H, W, C) or rows of a square")
    return side, side, 1


def draw_reconstructions(sample: tuple[int, ...], originals: Any, copies: np.ndarray) -> Any:
    """Samples over their reconstructions, in the shape that the data has; None for rows that are no images."""
    from .. import plotting

    originals, copies = (np.asarray(x).reshape(len(x), *sample) for x in (originals, copies))
    if len(sample) == 2 and sample[1] <= FEW_FEATURES:
        return plotting.sequences(originals, copies)
    if len(sample) == 1 and isqrt(sample[0]) ** 2 != sample[0]:
        return None
    return plotting.reconstructions(originals, copies)


# ---- models ---------------------------------------------------------------------------------------------------------
@dataclass
class Saved:
    """An autoencoder from a file, and what `scratchae train` noted about it."""

    encoder: Model
    decoder: Model
    auto: Model
    kind: str
    sample_shape: tuple[int, ...]  # of the data, which pictures show; a model may take it in another


def save_auto(path: Path, auto: Model, kind: str, sample_shape: tuple[int, ...]) -> None:
    from ..files import safetensors

    safetensors.save(auto, path, {"kind": kind, "sample_shape": sample_shape})


def load_saved(options: argparse.Namespace) -> Saved:
    encoder, decoder, auto = files.load(options.model)
    notes = files.read_notes(options.model)
    sample_shape = notes.get("sample_shape", auto.inputs[0].sample_shape)
    return Saved(encoder, decoder, auto, notes.get("kind", auto.name), tuple(sample_shape))


def codes_of(encoder: Model, x: Any) -> np.ndarray:
    """The codes of samples; of a variational encoder the means, which are the same each time."""
    outputs = encoder.predict(x, batch_size=BATCH_SIZE)
    return outputs[1] if isinstance(outputs, tuple) else outputs


# ---- results --------------------------------------------------------------------------------------------------------
def write_array(path: Path, array: np.ndarray) -> None:
    """An array as .npy, whole or not at all, and the line that says so."""
    if path.suffix != ".npy":
        raise ValueError(f"--out {path}: arrays are written as .npy")
    content = io.BytesIO()
    np.save(content, array)
    write_atomically(path, content.getvalue())
    print(f"wrote {path}, {array.dtype} {array.shape}")


def write_figure(path: Path, figure: Any) -> None:
    """A Figure as PNG, whole or not at all, and the line that says so."""
    if path.suffix != ".png":
        raise ValueError(f"--out {path}: pictures are written as .png")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    write_atomically(path, content.getvalue())
    print(f"wrote {path}")


def report(values: dict[str, Any], as_json: bool) -> None:
    """Results for a person, or for a program."""
    if as_json:
        print(json.dumps(values))
        return
    for key, value in values.items():
        print(f"{key}: {value:.6g}" if isinstance(value, float) else f"{key}: {value}")
