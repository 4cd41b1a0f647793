"""The command line: `scratchae train convolutional`, or `python -m scratchae ...`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..distributed import world


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, or 1 for an error and after Ctrl-C. argparse exits with 2 itself."""
    options = make_parser().parse_args(arguments)
    try:
        return options.command(options)
    except (KeyboardInterrupt, ValueError, TypeError, ImportError, OSError, FloatingPointError) as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        text = "interrupted before all results were written" if interrupted else " ".join(str(error).split())
        world().report(error, lambda: print(f"scratchae: {text}", file=sys.stderr))
        return 1


def make_parser() -> argparse.ArgumentParser:
    from .. import __version__
    from . import apply, describe, explore, picture, train

    parser = argparse.ArgumentParser(prog="scratchae", description="Autoencoders from scratch.")
    parser.add_argument("--version", action="version", version=f"scratchae {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (train, apply, picture, explore, describe):
        module.add_commands(commands)
    return parser
