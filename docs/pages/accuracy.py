"""The measured accuracy, a line a surrogate, from the file that `tests/accuracy.py` writes."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

MEASURED = Path(__file__).parents[1] / "accuracy.csv"
DTYPES = ("float64", "float32", "float16", "bfloat16")


@functools.cache
def errors() -> dict[str, dict[str, tuple[float, float]]]:
    """Return by surrogate and dtype the largest error over the ways of calling: in units in the last place, and by condition."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    with MEASURED.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            of_surrogate = found.setdefault(row["surrogate"], {})
            ulp, conditioned = of_surrogate.get(row["dtype"], (0.0, 0.0))
            of_surrogate[row["dtype"]] = max(ulp, float(row["ulp"])), max(conditioned, float(row["by condition"]))
    return found


def summary() -> str:
    """Return a table: the largest error of each surrogate in each dtype, with what the condition number leaves of it."""
    rows = []
    for name, of_dtype in errors().items():
        cells = [f"{ulp:.3g} ({by:.2f})" for ulp, by in (of_dtype[dtype] for dtype in DTYPES)]
        rows.append(f"| [`{name}`](catalogue/{name}.md) | {' | '.join(cells)} |")
    return "\n".join([f"| | {' | '.join(DTYPES)} |", "|---|" + "---:|" * len(DTYPES), *rows])
