"""Copies the tables of benchmarks/results into the README: `python -m benchmarks.readme`, or --check to compare."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(text: str, results: Path) -> str:
    """The text with each <!-- name --> ... <!-- end --> block holding results/name.md."""
    return BLOCK.sub(lambda block: block[1] + table(results / f"{block[2]}.md") + block[3], text)


def table(file: Path) -> str:
    """A result without its heading, which the README has already."""
    return (
        "".join(line for line in file.read_text().splitlines(keepends=True) if not line.startswith("# ")).strip() + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if the README is out of date")
    check = parser.parse_args().check
    readme = ROOT / "README.md"
    text = readme.read_text()
    current = with_tables(text, ROOT / "benchmarks" / "results")
    if not check:
        readme.write_text(current)
    elif current != text:
        print("README.md is out of date: run python -m benchmarks.readme", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
