"""The presets beside the six libraries: `python tests/peers/table.py` prints it, `--write docs/presets.csv` writes it."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cases import CASES
from comparison import Comparison, compare

COLUMNS = ["preset", "parameters", "version", "h, float32", "h, float64", "spike at 0", "result"]


def rows() -> Iterator[tuple[list[str], bool]]:
    """The cells of each line, and whether preset and library do what is described."""
    for name, parameters in CASES:
        single, double = (compare(name, parameters, dtype) for dtype in ("float32", "float64"))
        good = single.agrees and double.agrees
        yield [name, shown(parameters), version(name.partition(".")[0]), *cells(single, double), verdict(single, good)], good


def shown(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in parameters.items())


def cells(single: Comparison, double: Comparison) -> list[str]:
    library, preset = ("raises" if value != value else f"{value:g}" for value in single.spikes_at_zero)
    return [f"{single.error:.0g}", f"{double.error:.0g}", f"{library}, {preset}"]


def verdict(comparison: Comparison, good: bool) -> str:
    if not good:
        return "FAILS"
    return "differs as described" if comparison.differs else "same"


def aligned(lines: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="CSV", help="write the table for the documentation, docs/presets.csv")
    arguments = parser.parse_args()
    found = list(rows())
    lines = [COLUMNS, *(line for line, _ in found)]
    print(aligned(lines))
    if arguments.write:
        with arguments.write.open("w", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)
    bad = sum(not good for _, good in found)
    print(f"\n{len(found)} comparisons of {len({line[0] for line in lines[1:]})} presets, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
