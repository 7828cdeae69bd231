"""Writes docs/speed.csv from what `arcana bench --json` printed: `python tests/bench/page.py FILE.json ... [--write CSV]`.

Several files are put together, so that the parts of a long run can be made one after the other on the same machine. Prints
every missed target at its end, and exits with 1 if there is one. The documentation's page is made from the file.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from targets import judged, missed

from arcana.bench.records import PARTS, Results
from arcana.bench.table import ratios

COLUMNS = (
    *("part", "framework", "mode", "quantity", "unit", "dtype", "n", "surrogate", "ours", "beside"),
    *("value of ours", "value of beside", "ratio", "at most"),
)


def merged(files: Iterable[Path]) -> Results:
    """Return the results of several runs on one machine as one."""
    first, *others = (Results.from_dict(json.loads(file.read_text())) for file in files)
    for other in others:
        if other.heading() != first.heading():
            msg = "the files are from different machines or versions"
            raise SystemExit(msg)
        first.left_out |= other.left_out
        first.records += other.records
    return first


def rows(results: Results) -> Iterator[list[Any]]:
    """Return a line for each of ours beside another: what was measured, both values, their ratio, and the target, if any."""
    limits = {(ratio.ours, ratio.other): target.at_most[ratio.ours.size] for target, ratio in judged(results.records)}
    for ratio in ratios(results.records):
        at, other = ratio.ours, ratio.other
        about = [at.part, at.framework, at.mode, at.quantity, at.unit, at.dtype, at.size, at.surrogate, at.candidate, other.shown]
        # A library that keeps nothing between the passes has no ratio.
        value = f"{ratio.value:.3g}" if other.value else ""
        limit = limits.get((at, other))
        yield [*about, f"{at.value:.4g}", f"{other.value:.4g}", value, "" if limit is None else f"{limit:g}"]


def write(results: Results, path: Path) -> None:
    """Write the file: the machine and the versions as comments, and the lines."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"# {line}\n" for line in results.heading().splitlines())
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        lines.writerows(rows(results))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--write", type=Path, default=Path(__file__).parents[2] / "docs" / "speed.csv", metavar="CSV")
    arguments = parser.parse_args()
    results = merged(arguments.files)
    if unmeasured := set(PARTS) - {each.part for each in results.records}:
        msg = f"the files have no {', '.join(sorted(unmeasured))}"
        raise SystemExit(msg)
    write(results, arguments.write)
    lines = missed(results.records)
    print("\n".join([f"missed targets: {len(lines) or 'none'}", *lines]))
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
