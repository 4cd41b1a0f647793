"""How long does a reconstruction take, here and in ONNX Runtime and PyTorch?

    python -m benchmarks.inference [--data mnist.npz] [--peers-python PATH]

scratchae's predict_on_batch, from NumPy to NumPy, beside a session of ONNX Runtime, also from NumPy to NumPy, and
PyTorch's eager modules in inference mode, from tensor to tensor, of NCHW and channels_last the faster. The variational
model draws its z in all of them.

Results: benchmarks/results/inference.json and inference.md.
"""

from __future__ import annotations

import sys

from . import contest, report

ENTRIES = contest.SCRATCHAE, contest.ONNX, contest.PYTORCH


def main() -> int:
    """The command line."""
    options = contest.parse(contest.command_line(__doc__, batches=(1, 256, 2048), smoke_batches=(1, 32)))
    task = contest.Task("inference", seconds=0.02 if options.smoke else 0.3, least=3, untimed=1)
    report.run(report.comparison("inference", "Inference on a batch, ms", ENTRIES), ENTRIES, task, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
