"""Commands that apply a trained model: evaluate, encode, decode, reconstruct, sample."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ..layers import Sampling
from .common import (
    BATCH_SIZE,
    add_command,
    add_data,
    add_model,
    add_out,
    codes_of,
    draw_reconstructions,
    load_data,
    load_saved,
    report,
    samples,
    write_array,
    write_figure,
)

MODEL = "runs/vanilla/model.safetensors"


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands, "evaluate", evaluate, "tell the loss of a model on data", f"scratchae evaluate {MODEL} --json"
    )
    add_model(parser)
    add_data(parser)
    add_part(parser)
    parser.add_argument("--json", action="store_true", help="for programs")

    parser = add_command(
        commands, "encode", encode, "write the codes of data", f"scratchae encode {MODEL} -o codes.npy"
    )
    add_model(parser)
    add_data(parser)
    add_part(parser)
    add_out(parser, "codes.npy")

    example = f"scratchae encode {MODEL} -o codes.npy\nscratchae decode {MODEL} codes.npy -o images.npy"
    parser = add_command(commands, "decode", decode, "write what a model makes of codes", example)
    add_model(parser)
    parser.add_argument("codes", type=Path, metavar="CODES", help="an .npy of scratchae encode")
    add_out(parser, "decoded.npy")

    example = f"scratchae reconstruct {MODEL} -o copies.npy --picture copies.png"
    parser = add_command(commands, "reconstruct", reconstruct, "write the reconstructions of data", example)
    add_model(parser)
    add_data(parser)
    add_part(parser)
    add_out(parser, "reconstructed.npy")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="a .png of the first ten, below their originals")

    example = "scratchae sample runs/variational/model.safetensors -n 16 -o samples.npy"
    parser = add_command(commands, "sample", sample, "write what a variational model makes of random codes", example)
    add_model(parser)
    parser.add_argument("-n", type=int, default=16, metavar="N", help="how many (16)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw (0)")
    add_out(parser, "samples.npy")


def add_part(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--part", choices=["test", "train"], default="test", help="which part of the data (test)")


def evaluate(options: argparse.Namespace) -> int:
    """Loss as compiled, and the mean squared error, which all kinds share."""
    auto = load_saved(options).auto
    x, _ = load_data(options.data).part(options.part)
    x = samples(x, auto.inputs[0].sample_shape)
    auto.compile(loss=auto.loss, metrics=["mse"])
    loss, mse = auto.evaluate(x, x, batch_size=BATCH_SIZE)
    report({"samples": len(x), "loss": loss, "mean_squared_error": mse}, options.json)
    return 0


def encode(options: argparse.Namespace) -> int:
    encoder = load_saved(options).encoder
    x, _ = load_data(options.data).part(options.part)
    write_array(options.out, codes_of(encoder, samples(x, encoder.inputs[0].sample_shape)))
    return 0


def decode(options: argparse.Namespace) -> int:
    decoder = load_saved(options).decoder
    from ..datasets import load

    (codes, _), _ = load(options.codes)
    write_array(options.out, decoder.predict(codes, batch_size=BATCH_SIZE))
    return 0


def reconstruct(options: argparse.Namespace) -> int:
    auto = load_saved(options).auto
    data, _ = load_data(options.data).part(options.part)
    x = samples(data, auto.inputs[0].sample_shape)
    copies = auto.predict(x, batch_size=BATCH_SIZE)
    write_array(options.out, copies)
    if options.picture is not None:
        picture = draw_reconstructions(data.shape[1:], x[:10], copies[:10])
        if picture is None:
            raise ValueError(f"--picture: samples of shape {data.shape[1:]} are no images and no sequences")
        write_figure(options.picture, picture)
    return 0


def sample(options: argparse.Namespace) -> int:
    saved = load_saved(options)
    if not any(isinstance(layer, Sampling) for layer in saved.encoder.layers):
        raise ValueError(
            f"sample needs a variational autoencoder, whose codes are N(0, 1); {options.model} has no Sampling layer"
        )
    if options.n < 1:
        raise ValueError(f"-n {options.n} is too small; expected at least 1")
    rng = np.random.default_rng(options.seed)
    codes = rng.standard_normal((options.n, *saved.decoder.inputs[0].sample_shape), np.float32)
    write_array(options.out, saved.decoder.predict(codes, batch_size=BATCH_SIZE))
    return 0
