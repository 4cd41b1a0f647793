"""From results to Markdown. The tables that say most stand at the end, where a terminal shows them.

`python -m benchmarks.gpu.table FOLDER ...` prints them for a run that was killed, or for several that had a part of the
stages each.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from .. import floors
from ..contest import OURS
from ..report import number, table

Record = dict[str, Any]
DRY = "**A dry run: it shows that everything runs. No time was kept, and nothing here says how fast anything is.**"


def markdown(records: Sequence[Record]) -> str:
    """All that a run has found, complete or not."""
    parts = [heading, ceilings, correctness, kernels, products, contestants, steps, gaps]
    return "\n".join(text for part in parts if (text := part(records)))


def of(records: Iterable[Record], stage: str, what: str = "") -> list[Record]:
    """The results of a stage that are of one kind."""
    return [r for r in records if r["stage"] == stage and what in ("", r.get("what"))]


# ---- figures --------------------------------------------------------------------------------------------------------
def seconds(record: Record) -> float | None:
    """The median over the rounds; None where no time was kept."""
    return median(record["times"]) if record.get("times") else None


def microseconds(record: Record | None) -> str:
    """The median, and half the distance between the quartiles in percent."""
    middle = None if record is None else seconds(record)
    if record is None or middle is None:
        return "-"
    times = record["times"]
    q1, _, q3 = quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    return f"{number(1e6 * middle)} ±{50 * (q3 - q1) / middle:.0f} %"


def rate(record: Record, key: str) -> float | None:
    """Bytes or operations a second."""
    middle = seconds(record)
    return record[key] / middle if middle else None


def best_rates(records: Sequence[Record]) -> dict[str, float]:
    """The highest rate of each kind that was measured: "bytes", "float32", "tf32"; those that were not are missing."""
    found: dict[str, float] = {}
    for record in of(records, "ceilings"):
        if record.get("what") == "copy":
            kind, value = "bytes", rate(record, "bytes")
        elif "flops" in record:
            kind, value = record["precision"], rate(record, "flops")
        else:
            continue
        if value is not None:
            found[kind] = max(value, found.get(kind, 0.0))
    return found


def cells(records: Sequence[Record]) -> dict[tuple[str, int], dict[str, Record]]:
    """(model, batch) -> contestant and variant -> its cell, errors too."""
    found: dict[tuple[str, int], dict[str, Record]] = defaultdict(dict)
    for record in (*of(records, "steps", "cell"), *of(records, "peers", "cell")):
        name = ", ".join(filter(None, (record["name"], record.get("variant"))))
        found[record["model"], record["batch"]][name] = record
    return found


def is_ours(name: str) -> bool:
    return name.startswith(OURS)


# ---- tables ---------------------------------------------------------------------------------------------------------
def heading(records: Sequence[Record]) -> str:
    runs = of(records, "run")
    first = ["# Training steps on a GPU", "", *([DRY, ""] if any(run["dry"] for run in runs) else [])]
    lines = [f"Date: {run['date']}. `{run['command']}`. Data: {run['data']}." for run in runs]
    for record in of(records, "facts", "software"):
        peers = ", ".join(f"{package} {version}" for package, version in record["peers"].items())
        lines.append(
            f"Commit: {record['commit']}. Python {record['python']}; scratchae {record['scratchae']}; {peers}."
        )
    for record in of(records, "facts", "status"):
        if not record["usable"]:
            lines.append(f"\nThere is no usable GPU: {record['reason']}.")
    for record in of(records, "facts", "device"):
        device = {key: value for key, value in record.items() if key not in ("stage", "at", "what", "sensors")}
        lines.append("; ".join(f"{key} {value}" for key, value in (device | record["sensors"]).items()) + ".")
    told = (r for r in (*of(records, "steps"), *of(records, "peers")) if "precision" in r.get("settings", {}))
    precisions = {r["name"]: r["settings"]["precision"] for r in told}
    if precisions:
        lines.append(f"Matrix products: {', '.join(f'{name} in {word}' for name, word in precisions.items())}.")
    return "\n".join([*first, *dict.fromkeys(lines)]) + "\n"


def ceilings(records: Sequence[Record]) -> str:
    lines = []
    for record in of(records, "ceilings"):
        if "error" in record:
            continue
        if record["what"] == "copy":
            value = rate(record, "bytes")
            what, shown = (
                f"copy, {record['bytes'] / 2**20:,.0f} MiB read and written",
                f"{number(value and value / 1e9)} GB/s",
            )
        elif record["what"] == "launch":
            host = f"; Python alone {number(record['host_us'])}" if "host_us" in record else ""
            what, shown = f"launch by {record['by']}", f"{microseconds(record)} us{host}"
        else:
            value, n = rate(record, "flops"), record.get("n")
            what = f"{record['what']}, {record['precision']}" + (f", {n}, {record['by']}" if n else "")
            shown = f"{number(value and value / 1e12)} TFLOP/s"
        lines.append([what, shown])
    return f"## Ceilings\n\n{table(['what', 'reached'], lines)}" if lines else ""


def correctness(records: Sequence[Record]) -> str:
    lines = []
    ops = of(records, "correctness", "op")
    if ops:
        wrong = [f"{r['op']} ({r['sizes']})" for r in ops if not r["good"]]
        errors = [(e, r["op"]) for r in ops for name, e in r.get("errors", {}).items() if name != "winner"]
        worst, where = max(errors, default=(0.0, "none"))
        lines.append([f"{len(ops)} ops against float64", verdict(not wrong, wrong), f"{worst:.1e} in {where}"])
    tests = of(records, "correctness", "tests")
    if tests:
        last = tests[-1]
        if isinstance(last.get("skipped"), str):
            lines.append(["tests", "-", last["skipped"]])
        else:
            counts = {name: last.get(name, 0) for name in ("passed", "failed", "error", "skipped")}
            good = counts["passed"] and not (counts["failed"] or counts["error"] or last.get("unfinished"))
            said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            lines.append(["tests", verdict(good, last["names"]), said + ("; stopped" if "unfinished" in last else "")])
    for r in of(records, "correctness", "trajectory"):
        said = (
            f"gradients {r['gradients']:.1e}, losses {r['losses']:.1e}, weights {r['weights']:.1e}; "
            f"bits {'the same' if r['same_bits'] else 'DIFFERENT'} in a second run"
        )
        lines.append([f"{r['steps']} steps, {r['model']}, batch {r['batch']}", verdict(r["good"]), said])
    for tool in ("memcheck", "racecheck"):
        for r in of(records, "correctness", tool):
            lines.append([tool, "-" if "skipped" in r else verdict(r["good"]), r.get("skipped") or r["summary"]])
    return f"## Correctness\n\n{table(['what', 'good', 'found'], lines)}" if lines else ""


def verdict(good: object, wrong: Sequence[str] = ()) -> str:
    return "yes" if good else f"**NO** {', '.join(wrong[:5])}".strip()


def kernels(records: Sequence[Record]) -> str:
    """Where each step's time goes."""
    rates, timed, text = best_rates(records), cells(records), ""
    groups: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in of(records, "kernels", "kernel"):
        groups[record["model"], record["batch"]].append(record)
    for (model, batch), group in groups.items():
        total = sum(r["count"] * (seconds(r) or 0.0) for r in group)
        steps = [r for r in of(records, "kernels", "step") if (r["model"], r["batch"]) == (model, batch)]
        whole = microseconds(steps[0]) if steps else "-"
        fit = microseconds(timed.get((model, batch), {}).get(f"{OURS}, fit"))
        lines = [
            [
                r["kernel"],
                str(r["count"]),
                microseconds(r),
                percent(seconds(r), total / r["count"]),
                number(r["flops"] / 1e6) if r["flops"] else "-",
                number(r["bytes"] / 1e6),
                percent(lower_bound(r, rates), seconds(r)),
            ]
            for r in sorted(group, key=lambda r: -(seconds(r) or 0.0) * r["count"])
        ]
        header = ["kernel", "launches", "us", "of the sum", "MFLOP", "MB", "of the ceiling"]
        text += (
            f"### {model}, batch {batch:,}\n\n"
            f"Sum of the kernels {number(1e6 * total or None)} us; all in one graph {whole} us; a step of fit {fit} us."
            f"\n\n"
            f"{table(header, lines)}\n"
        )
    return f"## Kernels of a training step\n\n{text}" if text else ""


def lower_bound(record: Record, rates: dict[str, float]) -> float | None:
    """Seconds that a kernel needs at the rates that were measured."""
    if not {"bytes", "float32"} <= rates.keys():
        return None
    return max(record["bytes"] / rates["bytes"], record["flops"] / rates["float32"])


def products(records: Sequence[Record]) -> str:
    """Ours beside cublasLt's."""
    rates, text = best_rates(records), ""
    groups: dict[int, list[Record]] = defaultdict(list)
    for record in of(records, "products", "comparison"):
        groups[record["batch"]].append(record)
    for batch, group in groups.items():
        won = Counter(record["winner"] for record in group if record.get("winner"))
        lines = [
            [
                f"{r['layer']} ({', '.join(r['models'])})",
                r["product"],
                r["precision"],
                *side(r, "ours", r["precision"], rates),
                *side(r, "theirs", "tf32" if r["precision"] == "tf32" else "float32", rates),
                with_what_it_lacks(r),
                number(r["theirs"]["workspace"] / 1024) if "theirs" in r else "-",
                f"{r['ratio']:.2f}" if r.get("ratio") else "-",
                r.get("winner") or "-",
            ]
            for r in group
        ]
        header = ["layer", "product", "precision", "us", "TFLOP/s", "of the ceiling", "error"]
        header += [f"cublasLt: {title}" for title in header[3:]]
        header += ["epilogue", "workspace, KiB", "cublasLt / ours", "faster"]
        counts = "; ".join(f"{name} {count}" for name, count in won.most_common()) or "-"
        text += f"### Batch {batch:,}\n\nFaster: {counts}.\n\n{table(header, lines)}\n"
    return f"## Matrix products beside cublasLt\n\n{text}{HOW_TO_READ_PRODUCTS}" if text else ""


def side(record: Record, whose: str, precision: str, rates: dict[str, float]) -> list[str]:
    """us, TFLOP/s, % of the ceiling and error of one of the two."""
    if whose not in record:
        return ["-"] * 4
    told, us = record[whose], record.get(f"{whose}_us")
    rate = rates.get("float32" if precision == "float32" else "tf32")
    work = record["flops"] * (3 if precision == "tf32x3" else 1)
    bound = max(record["bytes"] / rates["bytes"], work / rate) if rate and "bytes" in rates else None
    error = f"{told['relative_error']:.1e}" + ("" if told["good"] else " **WRONG**")
    error += "" if told["same_bits"] else ", other bits in a second run"
    return [number(us), number(us and 1e-6 * record["flops"] / us), percent(bound, us and 1e-6 * us), error]


def with_what_it_lacks(record: Record) -> str:
    """cublasLt's epilogue."""
    if "theirs" not in record:
        return "-"
    told = record["theirs"]
    return told["epilogue"].lower() + (f"; lacks {told['lacks']}" if told["lacks"] else "")


HOW_TO_READ_PRODUCTS = (
    "Times are of one product in a graph of many, its data mostly in the cache. Ceiling: bytes or arithmetic at the "
    "rates measured; for tf32x3 a third of TF32's. Beside tf32x3 stands cublasLt's float32. Errors: against float64, "
    "in units of the largest number. How to read it, and what follows: docs/gpu.md.\n"
)


def percent(part: float | None, whole: float | None) -> str:
    return "-" if part is None or not whole else f"{100 * part / whole:.0f} %"


def contestants(records: Sequence[Record]) -> str:
    """Every contestant's time for a step."""
    found = cells(records)
    columns = dict.fromkeys(name for cell in found.values() for name in cell if "times" in cell[name])
    lines = []
    for (model, batch), cell in found.items():
        lines.append([model, f"{batch:,}", *(microseconds(cell.get(name)) for name in columns)])
    header = ["model", "batch", *columns]
    return f"## Every contestant, us a step\n\n{table(header, lines)}" if lines else ""


def steps(records: Sequence[Record]) -> str:
    """Ours beside the fastest peer and the floor."""
    rates, errors, lines = best_rates(records), differences(records), []
    for (model, batch), cell in cells(records).items():
        fit, alone = cell.get(f"{OURS}, fit"), cell.get(f"{OURS}, train_on_batch")
        mine = None if fit is None else seconds(fit)
        others = {name: t for name, r in cell.items() if not is_ours(name) and (t := seconds(r)) is not None}
        best = min(others, key=lambda name: others[name], default="")
        ratio = f"{others[best] / mine:.2f}" if best and mine else "-"
        floor, bound = None, ""
        if {"bytes", "float32"} <= rates.keys():
            work, ceiling = floors.training_step(model, batch), (rates["float32"], rates["bytes"])
            floor, bound = work.seconds(*ceiling), f" ({work.bound(*ceiling)})"
        lines.append(
            [
                model,
                f"{batch:,}",
                microseconds(fit),
                microseconds(alone),
                f"{number(1e6 * others[best])} ({best})" if best else "-",
                ratio,
                number(floor and 1e6 * floor) + bound,
                percent(floor, mine),
                errors.get(model, "-"),
            ]
        )
    header = ["model", "batch", "fit, us", "train_on_batch, us", "best peer, us", "best peer / fit"]
    header += ["floor, us", "of the floor", "error"]
    return f"## Training steps\n\n{table(header, lines)}\n{CAPTION}" if lines else ""


CAPTION = (
    "Medians of the rounds; ± half the distance between the quartiles. The floor: the step's arithmetic at the highest "
    "float32 rate measured, or its bytes at that of a copy, whichever takes longer (benchmarks/floors.py). Error: the "
    "greater of loss and output against `reference` in float64.\n"
)


def differences(records: Sequence[Record]) -> dict[str, str]:
    """Ours, model by model."""
    found = {}
    for record in of(records, "steps", "check"):
        if record["name"] == OURS and "differences" in record:
            found[record["model"]] = f"{max(record['differences'][key] for key in ('loss', 'output')):.1e}"
    return found


def gaps(records: Sequence[Record]) -> str:
    """What is missing, and why; and who computes something else."""
    lines, wanted = [], ""
    for record in records:
        if record["stage"] == "run":
            wanted = record["precision"]
        where = [record["stage"], *(str(record[k]) for k in ("what", "name", "op", "model", "batch") if k in record)]
        for reason in ("error", "skipped"):
            if isinstance(record.get(reason), str):
                lines.append(f"- {', '.join(where)}: {record[reason]}")
        used = record.get("settings", {}).get("precision")
        if used is not None and used not in (wanted, "tf32x3"):
            lines.append(f"- {', '.join(where)}: computes in {used}, not in {wanted}")
        if any(value > LIMITS[name] for name, value in record.get("differences", {}).items()):
            lines.append(f"- {', '.join(where)}: DIFFERENT: {record['differences']}")
    return "## Gaps\n\n" + "\n".join(lines) + "\n" if lines else ""


# As in same_models.py, but for sums on a GPU.
LIMITS = {"parameters": 0.0, "loss": 2e-5, "output": 2e-5, "fall": 0.2}


def read(folder: Path) -> list[Record]:
    """The results of a run; the last line of one that was killed may be half a line."""
    lines = (folder / "results.jsonl").read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]


def main() -> int:
    """Print the tables of one run, or of several in one."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of a run: its --out")
    folders = parser.parse_args().folders
    for folder in folders:
        if not (folder / "results.jsonl").is_file():
            parser.error(f"{folder} holds no results.jsonl; expected the --out folder of python -m benchmarks.gpu")
    print(markdown([record for folder in folders for record in read(folder)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
