"""How long does an epoch of 10,000 images take, here and in Keras, and what does fit add to its training steps?

    python -m benchmarks.fit [--data mnist.npz] [--peers-python PATH]

Whole calls `fit(x, x, batch_size=256, verbose=0)`, shuffling included, of which the first in a round does not count.
Beside ours stands the sum of the same steps through train_on_batch, epoch by epoch in turn with ours; fit should add
less than 5 %.

Results: benchmarks/results/fit.json and fit.md.
"""

from __future__ import annotations

import sys

from . import contest, report

ENTRIES = contest.SCRATCHAE, contest.KERAS
SAMPLES, SMOKE_SAMPLES = 10_000, 512


def summarize(model: str, batch: int, times: dict[str, contest.Times]) -> report.Row:
    """A cell in which our fit counts, and our steps alone stand beside it."""
    ours = times[contest.OURS]
    row = report.summarize(model, batch, {**times, contest.OURS: {"fit": ours["fit"]}})
    alone = report.summary(ours["train_on_batch"])
    adds = 100 * (row["contestants"][contest.OURS]["median_ms"] / alone["median_ms"] - 1)
    return {**row, "steps_alone": alone, "fit_adds_percent": adds}


def cells(row: report.Row) -> list[str]:
    """A line of the table."""
    fits = [row["contestants"].get(entry.name, {}).get("median_ms") for entry in ENTRIES]
    ours, keras = map(report.number, fits)
    alone, adds = report.number(row["steps_alone"]["median_ms"]), f"{row['fit_adds_percent']:+.1f} %"
    ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
    return [row["model"], f"{row['batch']:,}", ours, alone, adds, keras, ratio]


def main() -> int:
    """The command line."""
    options = contest.parse(contest.command_line(__doc__, batches=(256,), smoke_batches=(256,)))
    untimed, least = (0, 1) if options.smoke else (1, 3)  # cores and caches come from another contestant
    task = contest.Task("fit", seconds=0, least=least, untimed=untimed, interleaved=True)
    samples = SMOKE_SAMPLES if options.smoke else SAMPLES
    header = ["model", "batch", "scratchae fit", "its steps alone", "fit adds", "Keras fit", "Keras / scratchae"]
    epochs = report.Report("fit", f"An epoch of {samples:,} images, ms", header, summarize, cells)
    report.run(epochs, ENTRIES, task, options, samples=samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
