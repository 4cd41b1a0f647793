"""From times to medians, ratios, tables and files: the benchmarks that hold contests."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from .contest import OURS, ROOT, Entry, Player, Task, Times, contest, players
from .machine import available_cores, processor_name, timed_environment

Row = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """What a benchmark makes of its times."""

    name: str  # of its files
    title: str
    header: Sequence[str]
    summarize: Callable[[str, int, dict[str, Times]], Row]
    cells: Callable[[Row], list[str]]  # of a line of the table, one for each column


def run(report: Report, entries: Sequence[Entry], task: Task, options: argparse.Namespace, **request: Any) -> None:
    """Hold a contest for each model and batch size; print and write each as it ends."""
    widths = [max(len(title), 13) for title in report.header]
    with players(entries, options) as rivals:
        facts = {**machine_facts(rivals, options), **request}
        rows: list[Row] = []
        print(*(title.ljust(width) for title, width in zip(report.header, widths, strict=True)))
        for model in options.models:
            for batch in options.batches:
                rows.append(report.summarize(model, batch, contest(rivals, task, options, model, batch, **request)))
                cells = report.cells(rows[-1])
                print(*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), flush=True)
                if options.out is not None:
                    write(options.out, report, facts, rows)


# ---- arithmetic -----------------------------------------------------------------------------------------------------
def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median and quartiles in milliseconds, and of how many."""
    milliseconds = [1000 * s for s in seconds]
    q1, median, q3 = quantiles(milliseconds, n=4, method="inclusive") if len(seconds) > 1 else milliseconds * 3
    return {"median_ms": median, "q1_ms": q1, "q3_ms": q3, "times": len(seconds)}


def summarize(model: str, batch: int, times: dict[str, Times]) -> Row:
    """A cell: each contestant's fastest variant, the fastest peer, and how many times as long as ours that takes."""
    contestants: dict[str, dict[str, Any]] = {}
    for name, variants in times.items():
        measured = [{"variant": variant, **summary(seconds)} for variant, seconds in variants.items()]
        contestants[name] = min(measured, key=median)
    peers = [name for name in contestants if name != OURS]
    best = min(peers, key=lambda name: median(contestants[name]), default=None)
    ratio = None if best is None else median(contestants[best]) / median(contestants[OURS])
    return {"model": model, "batch": batch, "contestants": contestants, "best_peer": best, "ratio": ratio}


def median(measured: dict[str, Any]) -> float:
    return measured["median_ms"]


# ---- tables ---------------------------------------------------------------------------------------------------------
def comparison(name: str, title: str, entries: Sequence[Entry]) -> Report:
    """The report with a column for each contestant, and the ratio at the end."""
    columns = [entry.name for entry in entries]

    def cells(row: Row) -> list[str]:
        medians = [row["contestants"].get(column, {}).get("median_ms") for column in columns]
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f} ({row['best_peer']})"
        return [row["model"], f"{row['batch']:,}", *map(number, medians), ratio]

    return Report(name, title, ["model", "batch", *columns, "best peer / scratchae"], summarize, cells)


def number(value: float | None) -> str:
    """Three digits; "-" for what was not measured."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    head, *body = (f"| {' | '.join(line)} |\n" for line in [header, *lines])
    return head + "|" + "---|" * len(header) + "\n" + "".join(body)


# ---- facts and files ------------------------------------------------------------------------------------------------
def without_places(information: dict[str, Any]) -> dict[str, Any]:
    """What `scratchae info` tells, but for the folder of the machine code, which means nothing elsewhere."""
    devices = {name: text.split("; machine code")[0] for name, text in information["devices"].items()}
    return information | {"devices": devices}


def machine_facts(rivals: Sequence[Player], options: argparse.Namespace) -> dict[str, Any]:
    """What the numbers depend on."""
    information = subprocess.run(
        [sys.executable, "-m", "scratchae", "info", "--json"],
        cwd=ROOT,
        env=timed_environment(options.threads),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": command(sys.argv),
        "processor": processor_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": available_cores(),
        "threads": options.threads or "each library's own choice",
        "rounds": options.rounds,
        "data": describe_data(options.data),
        "versions": {player.name: player.versions for player in rivals},
        "scratchae_info": without_places(json.loads(information.stdout)),
    }


def command(arguments: Sequence[str]) -> str:
    """What was run, without the paths of this machine."""
    words = " ".join(["python -m", f"benchmarks.{Path(arguments[0]).stem}", *arguments[1:]])
    words = re.sub(r" --out[ =]\S+", "", words)
    return re.sub(r"--(data|peers-python)[ =]\S*?([^\s/\\]+)(?= |$)", r"--\1 \2", words)


def describe_data(data: str | None) -> dict[str, str]:
    if data is None:
        return {"file": "drawn rings"}
    return {"file": Path(data).name, "sha256": hashlib.sha256(Path(data).read_bytes()).hexdigest()}


def caption(facts: dict[str, Any]) -> str:
    """Machine, versions and command, to stand below a table."""
    versions = sorted({f"{package} {v}" for found in facts["versions"].values() for package, v in found.items()})
    information = facts["scratchae_info"]
    return (
        f"Medians. Processor: {facts['processor']}; {facts['system']}; cores: {facts['cores']}, "
        f"threads: {facts['threads']}. Data: {facts['data']['file']}. Date: {facts['date']}.\n"
        f"scratchae's device: {information['default_device']}; NumPy's BLAS: {information['blas']}.\n"
        f"Versions: {', '.join(versions)}.\n"
        f"`{facts['command']}`\n"
    )


def write(folder: Path, report: Report, facts: dict[str, Any], rows: Sequence[Row]) -> None:
    """name.json with every figure, name.md with the table. After each cell: an interrupted run leaves what it has."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{report.name}.json").write_text(json.dumps({**facts, "cells": rows}, indent=1) + "\n")
    text = table(report.header, [report.cells(row) for row in rows])
    (folder / f"{report.name}.md").write_text(f"# {report.title}\n\n{text}\n{caption(facts)}")
