"""scratchae explore."""

from __future__ import annotations

import argparse
from typing import Any

from .common import add_command, add_data, add_model, add_out, codes_of, load_data, load_saved, samples

EXAMPLE = """scratchae train variational
scratchae explore runs/variational/model.safetensors -o latent.html

The file opens in any browser, without a server and without a network."""


def add_commands(commands: Any) -> None:
    text = "write a page in which to walk through the latent space"
    parser = add_command(commands, "explore", explore, text, EXAMPLE)
    add_model(parser)
    add_data(parser)
    parser.add_argument("--samples", type=int, default=2000, metavar="N", help="codes of so many test samples (2000)")
    parser.add_argument("--title", metavar="TEXT", help="of the page")
    add_out(parser, "latent.html")


def explore(options: argparse.Namespace) -> int:
    from ..explorer import explore as write_page

    if options.samples < 1:
        raise ValueError(f"--samples {options.samples} is too small; expected at least 1")
    saved = load_saved(options)
    data = load_data(options.data)
    x = samples(data.x_test, saved.encoder.inputs[0].sample_shape)[: options.samples]
    size = write_page(
        saved.decoder,
        options.out,
        codes_of(saved.encoder, x),
        None if data.y_test is None else data.y_test[: options.samples],
        sample_shape=saved.sample_shape if len(saved.sample_shape) > 1 else None,  # rows: squares are images
        title=options.title or f"Latent space of a {saved.kind} autoencoder",
    )
    print(f"wrote {options.out}, {size / 1e6:.1f} MB: open it in a browser")
    return 0
