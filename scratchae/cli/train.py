"""The command line: `scratchae train convolutional`, or `python -m scratchae ...`."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import Model

KINDS = ("vanilla", "sparse", "convolutional", "variational", "recurrent")
TRAIN_EXAMPLE = """example:
  scratchae train convolutional --epochs 20 --out runs/digits

The folder then holds model.safetensors (the weights), history.csv (the losses of each epoch), reconstructions.png and
loss.png. Ctrl-C ends training early and keeps what was learned.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 for an error, 130 after Ctrl-C. argparse exits with 2 by itself."""
    options = make_parser().parse_args(arguments)
    try:
        return options.command(options)
    except KeyboardInterrupt:
        print("interrupted; nothing was kept", file=sys.stderr)
        return 130
    except (ValueError, TypeError, ImportError, OSError, FloatingPointError) as error:
        print(f"scratchae: {error}", file=sys.stderr)
        return 1


def make_parser() -> argparse.ArgumentParser:
    from . import __version__

    parser = argparse.ArgumentParser(prog="scratchae", description="Autoencoders from scratch.")
    parser.add_argument("--version", action="version", version=f"scratchae {__version__}")
    commands = parser.add_subparsers(title="commands", required=True)
    train = commands.add_parser(
        "train",
        help="train an autoencoder on images",
        description="Train an autoencoder on handwritten digits, and draw what it makes of them.",
        epilog=TRAIN_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.set_defaults(command=train_command)
    train.add_argument("kind", choices=KINDS, help="which autoencoder")
    train.add_argument(
        "--data", choices=["digits"], default="digits", help="1,797 digits of scikit-learn, enlarged to 28x28"
    )
    shape = train.add_mutually_exclusive_group()
    shape.add_argument("--hidden", type=sizes, metavar="128,64", help="units of the hidden layers, '' for none")
    shape.add_argument("--filters", type=sizes, metavar="16,8,8", help="channels of the convolutions")
    train.add_argument(
        "--latent", type=int, metavar="N", help="size of the code; convolutional ones have theirs from --filters"
    )
    train.add_argument(
        "--lambtha", type=float, default=1e-5, metavar="F", help="weight of the sparse one's penalty (1e-5)"
    )
    train.add_argument("--epochs", type=int, default=10, metavar="N", help="passes through the data (10)")
    train.add_argument("--batch-size", type=int, default=32, metavar="N", help="images in a step (32)")
    train.add_argument("--learning-rate", type=float, default=0.001, metavar="F", help="Adam's step size (0.001)")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, noise and order (0)")
    train.add_argument("--device", default="reference", metavar="NAME", help="where to compute (reference)")
    train.add_argument("--out", type=Path, metavar="FOLDER", help="where results go (runs/KIND)")
    return parser


def sizes(text: str) -> list[int]:
    """ "16,8,8" as a list."""
    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of integers such as 16,8,8") from None


# ---- train ----------------------------------------------------------------------------------------------------------
def train_command(options: argparse.Namespace) -> int:
    """scratchae train: fit, evaluate before and after, write weights, history and pictures."""
    from . import plotting
    from .backend import set_device
    from .config import set_random_seed
    from .datasets import digits
    from .files import write_atomically
    from .optimizers import Adam

    set_device(options.device)
    set_random_seed(options.seed)
    (x, _), (x_test, _) = digits.load_data()
    image = x.shape[1:]
    auto = make_autoencoder(options, image)
    shape = auto.inputs[0].sample_shape
    x, x_test = (images.reshape(len(images), *shape).astype("float32") / 255 for images in (x, x_test))
    auto.compile(Adam(options.learning_rate), auto.loss)
    folder = options.out or Path("runs", options.kind)
    folder.mkdir(parents=True, exist_ok=True)

    print(f"{options.kind} autoencoder, {auto.count_params():,} parameters")
    print(f"{len(x):,} images to train on, {len(x_test):,} to validate")
    before = auto.evaluate(x_test, x_test, verbose=0)
    print(f"validation loss before training: {before:.4f}")
    interrupted = False
    try:
        auto.fit(
            x, x, epochs=options.epochs, batch_size=options.batch_size, validation_data=(x_test, x_test), verbose=1
        )  # fmt: skip
    except KeyboardInterrupt:
        interrupted = True
        print(f"interrupted after {auto.optimizer.iterations} steps: writing what was learned by then")  # type: ignore[union-attr]
    print(f"validation loss after training:  {auto.evaluate(x_test, x_test, verbose=0):.4f}")

    written = [folder / "model.safetensors"]
    auto.save_weights(written[0])
    history = auto.history.history
    if history:
        written.append(folder / "history.csv")
        write_atomically(written[-1], history_csv(history).encode())
        written.append(folder / "loss.png")
        write_figure(plotting.loss_curves(history, f"Loss of the {options.kind} autoencoder"), written[-1])
    originals, copies = (a.reshape(-1, *image) for a in (x_test[:10], auto.predict(x_test[:10])))
    written.append(folder / "reconstructions.png")
    write_figure(plotting.reconstructions(originals, copies), written[-1])
    print("wrote " + ", ".join(str(path) for path in written))
    return 130 if interrupted else 0


def make_autoencoder(options: argparse.Namespace, image: tuple[int, int]) -> Model:
    """The autoencoder that the options ask for."""
    from .autoencoders import convolutional, recurrent, sparse, vanilla, variational

    height, width = image
    if options.kind == "convolutional":
        if options.hidden is not None or options.latent is not None:
            raise ValueError("a convolutional autoencoder takes --filters, and neither --hidden nor --latent")
        filters = options.filters or [16, 8, 8]
        factor = 2 ** len(filters)
        return convolutional.autoencoder(
            (height, width, 1), filters, (-(-height // factor), -(-width // factor), filters[-1])
        )[2]
    if options.filters is not None:
        raise ValueError(
            f"--filters is for convolutional autoencoders; a {options.kind} one takes --hidden and --latent"
        )
    if options.kind == "recurrent":
        if options.hidden:
            raise ValueError("a recurrent autoencoder has one layer on each side: it takes --latent, not --hidden")
        return recurrent.autoencoder(height, width, 32 if options.latent is None else options.latent)[2]
    if options.kind == "variational":
        hidden = [512] if options.hidden is None else options.hidden
        return variational.autoencoder(height * width, hidden, 2 if options.latent is None else options.latent)[2]
    hidden = [128, 64] if options.hidden is None else options.hidden
    latent = 32 if options.latent is None else options.latent
    if options.kind == "sparse":
        return sparse.autoencoder(height * width, hidden, latent, options.lambtha)[2]
    return vanilla.autoencoder(height * width, hidden, latent)[2]


def history_csv(history: Mapping[str, Sequence[float]]) -> str:
    """One row an epoch: its number from 1, then loss and val_loss."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", *history])
    for i, row in enumerate(zip(*history.values(), strict=True), start=1):
        table.writerow([i, *row])
    return text.getvalue()


def write_figure(figure: object, path: Path) -> None:
    """A Figure as PNG, whole or not at all."""
    from .files import write_atomically

    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)  # type: ignore[attr-defined]
    write_atomically(path, content.getvalue())
