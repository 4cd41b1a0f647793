"""How long does a training step take, here and in PyTorch, JAX and Keras?

    python -m benchmarks.train_step [--data mnist.npz] [--peers-python PATH]

A step is forward, loss, backward and Adam on one batch, all of them timed from Python. PyTorch runs eagerly with its
fused Adam and once more with the loss compiled, of NCHW and channels_last the faster; JAX has the whole step in one
jit with its state donated; Keras' step is its share of a `fit` on JAX. All start from the same weights. PyTorch and JAX
get their batches in arrays of their own; scratchae and Keras read NumPy arrays.

Results: benchmarks/results/train_step.json and train_step.md.
"""

from __future__ import annotations

import sys

from . import contest, report

ENTRIES = contest.SCRATCHAE, contest.PYTORCH, contest.COMPILED, contest.JAX, contest.KERAS


def main() -> int:
    """The command line."""
    options = contest.parse(contest.command_line(__doc__, batches=(32, 256, 2048), smoke_batches=(32,)))
    task = contest.Task("training", seconds=0.02 if options.smoke else 0.3, least=3, untimed=1)
    report.run(report.comparison("train_step", "Training steps, ms", ENTRIES), ENTRIES, task, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
