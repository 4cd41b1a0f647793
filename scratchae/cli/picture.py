"""Commands that draw: interpolate, plot."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from .common import (
    Saved,
    add_command,
    add_data,
    add_model,
    add_out,
    codes_of,
    draw_reconstructions,
    load_data,
    load_saved,
    samples,
    write_figure,
)

POINTS = 2000  # samples in a scatter plot or histogram
MASKED = 0.5  # of a noisy image


def add_commands(commands: Any) -> None:
    example = "scratchae interpolate runs/variational/model.safetensors --first 0 --second 1 -o way.png"
    parser = add_command(commands, "interpolate", interpolate, "draw what lies between two test samples", example)
    add_model(parser)
    add_data(parser)
    parser.add_argument("--first", type=int, default=0, metavar="I", help="number of a test sample (0)")
    parser.add_argument("--second", type=int, default=1, metavar="I", help="number of another (1)")
    parser.add_argument("--steps", type=int, default=8, metavar="N", help="images between them (8)")
    add_out(parser, "interpolation.png")

    example = "scratchae train variational\nscratchae plot grid runs/variational/model.safetensors -o grid.png"
    parser = add_command(commands, "plot", plot, "draw one of the pictures of a model", example)
    parser.add_argument("picture", choices=list(PICTURES), help="which picture")
    add_model(parser)
    add_data(parser)
    parser.add_argument("-o", "--out", metavar="FILE", help="where to (PICTURE.png)")


def interpolate(options: argparse.Namespace) -> int:
    from .. import plotting

    saved = load_saved(options)
    data = load_data(options.data)
    x = samples(data.x_test, saved.encoder.inputs[0].sample_shape)
    for name in ("first", "second"):
        number = getattr(options, name)
        if not 0 <= number < len(x):
            raise ValueError(f"--{name} {number} is out of range; the data has test samples 0 to {len(x) - 1}")
    a, b = (np.asarray(x[[number]])[0] for number in (options.first, options.second))
    shape = image_shape(saved)
    write_figure(options.out, plotting.interpolation(saved.encoder, saved.decoder, a, b, options.steps, shape))
    return 0


def plot(options: argparse.Namespace) -> int:
    saved = load_saved(options)
    picture = PICTURES[options.picture](saved, options)
    write_figure(Path(options.out or f"{options.picture}.png"), picture)
    return 0


# ---- the pictures ---------------------------------------------------------------------------------------------------
def image_shape(saved: Saved) -> tuple[int, ...] | None:
    """The shape of images that the model has as rows; None where it has images, or rows of squares."""
    rows = len(saved.auto.inputs[0].sample_shape) == 1
    return saved.sample_shape if rows and len(saved.sample_shape) > 1 else None


def first_samples(saved: Saved, options: argparse.Namespace) -> tuple[Any, np.ndarray | None]:
    """Some test samples in the model's shape, and their labels."""
    data = load_data(options.data)
    labels = None if data.y_test is None else data.y_test[:POINTS]
    return samples(data.x_test, saved.auto.inputs[0].sample_shape)[:POINTS], labels


def draw_loss(saved: Saved, options: argparse.Namespace) -> Any:
    from .. import plotting

    if saved.auto.history is None:
        raise ValueError(f"{options.model} has no history of losses: it was saved before it was trained")
    return plotting.loss_curves(saved.auto.history.history, f"Loss of the {saved.kind} autoencoder")


def draw_copies(saved: Saved, options: argparse.Namespace) -> Any:
    x, _ = first_samples(saved, options)
    shape = saved.sample_shape
    picture = draw_reconstructions(shape, x[:10], saved.auto.predict(x[:10]))
    if picture is None:
        raise ValueError(f"samples of shape {shape} are no images and no sequences")
    return picture


def draw_denoising(saved: Saved, options: argparse.Namespace) -> Any:
    from .. import plotting
    from ..datasets import corrupt

    x, _ = first_samples(saved, options)
    clean = np.asarray(x[:10])
    noisy = corrupt(clean, "masking", MASKED, seed=0)
    shape = saved.sample_shape
    clean, noisy, denoised = (a.reshape(len(a), *shape) for a in (clean, noisy, saved.auto.predict(noisy)))
    return plotting.denoising(clean, noisy, denoised)


def draw_latent(saved: Saved, options: argparse.Namespace) -> Any:
    from .. import plotting

    x, labels = first_samples(saved, options)
    codes = codes_of(saved.encoder, x)
    return plotting.latent_scatter(codes.reshape(len(codes), -1), labels)


def draw_grid(saved: Saved, options: argparse.Namespace) -> Any:
    from .. import plotting

    return plotting.latent_grid(saved.decoder, image_shape=image_shape(saved))


def draw_filters(saved: Saved, options: argparse.Namespace) -> Any:
    from .. import plotting

    return plotting.filters(saved.encoder.layers[1])


def draw_activations(saved: Saved, options: argparse.Namespace) -> Any:
    from .. import plotting

    x, _ = first_samples(saved, options)
    codes = codes_of(saved.encoder, x)
    return plotting.activation_histogram(codes.reshape(len(codes), -1))


PICTURES = {
    "reconstructions": draw_copies,
    "denoising": draw_denoising,
    "loss": draw_loss,
    "latent": draw_latent,
    "grid": draw_grid,
    "filters": draw_filters,
    "activations": draw_activations,
}
