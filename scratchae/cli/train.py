"""scratchae train."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from ..callbacks import BackupAndRestore
from ..distributed import say, start
from ..files import write_atomically
from .common import (
    BATCH_SIZE,
    KINDS,
    add_command,
    add_data,
    as_image,
    draw_reconstructions,
    load_data,
    samples,
    save_auto,
    write_figure,
)

SAME = ("noise", "batch_size", "learning_rate", "seed")  # options that --resume needs again, beside the autoencoder's
EXAMPLE = """scratchae train convolutional --epochs 20 --out runs/digits

The folder then holds model.safetensors, history.csv (the losses of each epoch), reconstructions.png and loss.png.
Ctrl-C ends training early and keeps the last completed step. The same command with --resume goes on after the last
whole epoch, whatever broke training off, and ends with the same bits as if nothing had.

mpirun -n 4 scratchae train convolutional --batch-size 256

trains with four processes, 64 samples a step in each, to the same weights up to rounding. If one of them dies, or at
Ctrl-C, all of them end, and --resume goes on, with any number of processes."""


def add_commands(commands: Any) -> None:
    parser = add_command(commands, "train", train, "train an autoencoder, and draw what it makes of the data", EXAMPLE)
    parser.add_argument("kind", choices=list(KINDS), help="which autoencoder")
    add_data(parser)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--hidden", type=sizes, metavar="128,64", help="units of the hidden layers, '' for none")
    shape.add_argument("--filters", type=sizes, metavar="16,8,8", help="channels of the convolutions")
    parser.add_argument(
        "--latent", type=int, metavar="N", help="size of the code; convolutional ones have theirs from --filters"
    )
    parser.add_argument("--lambtha", type=float, default=1e-5, metavar="F", help="penalty of the sparse one (1e-5)")
    parser.add_argument("--noise", type=float, default=0.0, metavar="F", help="fraction of the input to mask (0)")
    parser.add_argument("--epochs", type=int, default=10, metavar="N", help="passes through the data (10)")
    parser.add_argument(
        "--batch-size", type=int, default=32, metavar="N", help="samples in a step, of all processes together (32)"
    )
    parser.add_argument("--learning-rate", type=float, default=0.001, metavar="F", help="Adam's step size (0.001)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, noise and order (0)")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda-emulator, reference or auto (cpu)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where results go (runs/KIND)")
    parser.add_argument(
        "--resume", action="store_true", help="go on where training into that folder was broken off, if it was"
    )


def sizes(text: str) -> list[int]:
    """The list that "16,8,8" stands for."""
    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of integers such as 16,8,8") from None


def train(options: argparse.Namespace) -> int:
    """Fit, evaluate before and after, write model, history and pictures."""
    from .. import plotting
    from ..backend import set_device
    from ..config import set_random_seed
    from ..layers import Dropout, Input
    from ..model import Model
    from ..optimizers import Adam

    processes = start()  # this one alone, unless mpirun started more
    folder = options.out or Path("runs", options.kind)
    backup = unfinished(folder, options.resume)
    if options.device is not None:
        set_device(options.device)
    set_random_seed(options.seed)
    data = load_data(options.data)
    arguments = constructor_arguments(options, data.x.shape[1:])
    encoder, decoder, auto = KINDS[options.kind](*arguments)
    shape = auto.inputs[0].sample_shape
    x, x_test = samples(data.x, shape), samples(data.x_test, shape)
    trained = auto
    if options.noise:  # dropout on the input is masking noise (Vincent et al. 2010), the rest scaled to make up for it
        inputs = Input(shape)
        trained = Model(inputs, auto(Dropout(options.noise)(inputs)), name="denoising")
    trained.compile(Adam(options.learning_rate), auto.loss)

    say(f"{options.kind} autoencoder, {auto.count_params():,} parameters")
    say(f"{len(x):,} samples to train on, {len(x_test):,} to validate")
    before = trained.evaluate(x_test, x_test, batch_size=BATCH_SIZE)
    say(f"validation loss before training: {before:.4f}")
    backup.options = {
        "the autoencoder": f"{options.kind} {arguments}",
        **{f"--{name.replace('_', '-')}": getattr(options, name) for name in SAME},
    }
    folder.mkdir(parents=True, exist_ok=True)
    interrupted = False
    try:
        trained.fit(
            x,
            x,
            epochs=options.epochs,
            batch_size=options.batch_size,
            validation_data=(x_test, x_test),
            validation_batch_size=BATCH_SIZE,
            verbose=1 if sys.stderr.isatty() else 0,
            callbacks=[backup],
        )
    except KeyboardInterrupt:
        interrupted = True
        assert trained.optimizer is not None
        print(f"interrupted after {trained.optimizer.iterations} steps: writing what was learned by then")
        print("the same command with --resume goes on")
    if processes.rank:
        return 0  # the first one reports and saves
    print(f"validation loss after training:  {trained.evaluate(x_test, x_test, batch_size=BATCH_SIZE):.4f}")

    history = trained.history.history
    auto.history = trained.history
    save_auto(folder / "model.safetensors", auto, options.kind, data.x.shape[1:])
    print(f"wrote {folder / 'model.safetensors'}")
    if history:
        write_atomically(folder / "history.csv", history_csv(history).encode())
        print(f"wrote {folder / 'history.csv'}")
        write_figure(folder / "loss.png", plotting.loss_curves(history, f"Loss of the {options.kind} autoencoder"))
    picture = draw_reconstructions(data.x.shape[1:], x_test[:10], auto.predict(x_test[:10]))
    if picture is not None:
        write_figure(folder / "reconstructions.png", picture)
    if interrupted:
        return 1
    backup.delete()  # everything is there
    return 0


def unfinished(folder: Path, resume: bool) -> BackupAndRestore:
    """The backup of training into a folder; ValueError if there is one, and it is not to be gone on with."""
    backup = BackupAndRestore(folder / "backup", delete_checkpoint=False)
    epochs = backup.epochs_done()
    if epochs is not None and not resume:
        raise ValueError(
            f"training into {folder} was broken off after epoch {epochs}: --resume goes on with it; to begin anew, "
            f"delete {backup.backup_dir} or give another --out"
        )
    if resume and not backup.latest.exists() and (folder / "model.safetensors").exists():
        raise ValueError(f"training into {folder} has come to its end: without --resume it begins anew")
    if resume:
        say(f"going on after epoch {epochs}" if epochs is not None else "beginning anew: there is no backup yet")
    return backup


def constructor_arguments(options: argparse.Namespace, sample: tuple[int, ...]) -> list[Any]:
    """What the constructor of the autoencoder takes, for samples of that shape."""
    kind, latent = options.kind, options.latent
    if kind == "convolutional":
        if options.hidden is not None or latent is not None:
            raise ValueError("a convolutional autoencoder takes --filters, and neither --hidden nor --latent")
        height, width, channels = as_image(sample)
        filters = options.filters or [16, 8, 8]
        factor = 2 ** len(filters)
        return [[height, width, channels], filters, [-(-height // factor), -(-width // factor), filters[-1]]]
    if options.filters is not None:
        raise ValueError(f"--filters is for convolutional autoencoders; a {kind} one takes --hidden and --latent")
    if kind == "recurrent":
        if options.hidden:
            raise ValueError("a recurrent autoencoder has one layer on each side: it takes --latent, not --hidden")
        timesteps, features = sample if len(sample) == 2 else as_image(sample)[:2]
        return [timesteps, features, 32 if latent is None else latent]
    if kind == "variational":
        return [prod(sample), [512] if options.hidden is None else options.hidden, 2 if latent is None else latent]
    arguments = [
        prod(sample),
        [128, 64] if options.hidden is None else options.hidden,
        32 if latent is None else latent,
    ]
    return [*arguments, options.lambtha] if kind == "sparse" else arguments


def history_csv(history: Mapping[str, Sequence[float]]) -> str:
    """One row an epoch: its number from 1, then loss and val_loss."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", *history])
    for i, row in enumerate(zip(*history.values(), strict=True), start=1):
        table.writerow([i, *row])
    return text.getvalue()
