"""The table of what a parameter that trains costs, of the cells that `python tests/bench/learnable.py` writes."""

from __future__ import annotations

import csv
from pathlib import Path

from pages.speed import short, table

CELLS = Path(__file__).parents[1] / "learnable.csv"
WAYS = {
    ("torch", "eager", "µs"): "PyTorch",
    ("torch", "eager", "bytes"): "PyTorch, bytes",
    ("torch", "compiled", "µs"): "`torch.compile`",
    ("jax", "compiled", "µs"): "`jax.jit`",
    ("jax", "compiled", "bytes"): "`jax.jit`, bytes",
}


def costs() -> str:
    """Return the machine, and the times of each parameter as ratios by size beside its bytes an element."""
    lines = CELLS.read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("# ")))
    sizes = sorted({int(row["n"]) for row in rows if row["unit"] == "µs"})
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in rows:
        cells = found.setdefault((row["surrogate"], row["parameter"]), {})
        shown = f"{float(row['ratio']):.2f}" if row["unit"] == "µs" else f"{float(row['learnable']):.0f}"
        cells.setdefault(WAYS[row["framework"], row["mode"], row["unit"]], []).append(shown)
    heads = ["", *WAYS.values()]
    body = [
        [f"`{name}` {parameter}", *(" ".join(cells.get(way, [])) for way in WAYS.values())]
        for (name, parameter), cells in found.items()
    ]
    about = "\\\n".join(line.removeprefix("# ") for line in lines if line.startswith("# "))
    return f"{about}; sizes {', '.join(map(short, sizes))}.\n\n{table(heads, body)}"
