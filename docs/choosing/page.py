"""Measures what docs/choosing.md says and writes its tables, its pictures and their numbers: python docs/choosing/page.py

A quarter of an hour on two cores. What stands between the marks of a table in the page is replaced, the rest of the page stays.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import depth
import digits
import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "choosing.md"
PICTURES = FOLDER.parent / "_static"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
GREY = "#888888"
CLOSE = 0.02
"""Three seeds of 297 images tell no smaller difference of accuracies apart."""
# Grey axes and no background can be read on a light page and on a dark one; equal pictures are equal files.
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "arcana",
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "text.color": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def factor(value: float) -> str:
    """Return a factor with two digits, as a power of ten where it is far from 1."""
    if 0.01 <= value < 1000:
        return f"{value:.2g}" if value < 100 else f"{value:.0f}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}·10{str(int(exponent)).translate(RAISED)}"


def between(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"


def fill(page: str, name: str, text: str) -> str:
    """Return the page with what stands between the marks of a name replaced."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
    filled, count = re.subn(pattern, lambda match: f"{match[1]}{text}\n{match[2]}", page, flags=re.DOTALL)
    if count != 1:
        msg = f"{PAGE.name} must have one <!-- {name} --> with an <!-- end -->, has {count}"
        raise ValueError(msg)
    return filled


def write_csv(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows to a file beside this one, numbers with four digits."""
    rounded = [{key: f"{x:.4g}" if isinstance(x, float) else x for key, x in row.items()} for row in rows]
    with (FOLDER / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rounded)


def draw(rows: Sequence[dict[str, Any]], line: str, x: str, y: str) -> Axes:
    """Return the axes of a new picture, with one line for each value of a column."""
    axes = Figure(figsize=(6.4, 3.6), layout="constrained").subplots()
    for value in dict.fromkeys(row[line] for row in rows):
        points = [(row[x], row[y]) for row in rows if row[line] == value]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=1.2, label=f"{value}")
    axes.set_xscale("log")
    axes.legend(frameon=False, fontsize=8, title=line)
    return axes


def save(axes: Axes, name: str) -> None:
    figure = cast(Figure, axes.get_figure())
    figure.savefig(PICTURES / f"choosing-{name}.svg", metadata={"Date": None}, transparent=True)


def write_depth(page: str) -> str:
    by_scale, by_gain = depth.by_scale(), depth.by_gain()
    write_csv("scales", by_scale)
    write_csv("gains", by_gain)
    axes = draw(by_scale, "layers", "scale", "ratio")
    axes.set(yscale="log", xlabel="scale of the fast sigmoid", ylabel="gradient norm, first over last layer")
    save(axes, "depth")
    names = list(by_gain[0])[3:]
    rows = []
    for leak, reset in [(leak, reset) for leak in depth.LEAKS for reset in depth.RESETS if leak or reset == "detached"]:
        found = [row for row in by_gain if (row["leak"], row["reset"]) == (leak, reset)]
        cells = [between(factor(min(row[name] for row in found)), factor(max(row[name] for row in found))) for name in names]
        rows.append([f"{leak:g}, {reset}" if leak else "0", *cells])
    return fill(page, "gains", table(["leak, reset", *names], rows))


def write_digits(page: str) -> str:
    by_width = digits.by_width()
    write_csv("widths", by_width)
    axes = draw(by_width, "surrogate", "half width", "mean")
    axes.set(xlabel="half width of h at half its peak, in deviations of v", ylabel="accuracy on the test images")
    save(axes, "digits")
    rows = []
    for name, (parameter, direction) in digits.STRETCHED_BY.items():
        found = [row for row in by_width if row["surrogate"] == name]
        best = max(found, key=lambda row: row["mean"])
        value = getattr(digits.get(name), parameter) * (best["half width"] / digits.half_width(name)) ** direction
        close = [row["half width"] for row in found if row["mean"] >= best["mean"] - CLOSE]
        cells = [f"{best['mean']:.1%}", f"{best['half width']:.2g}", f"{parameter} {value:.2g}"]
        rows.append([f"`{name}`", *cells, f"{min(close):.2g} to {max(close):.2g}", f"{min(row['mean'] for row in found):.1%}"])
    head = ["surrogate", "best accuracy", "at half width", "which is", f"within {CLOSE:.0%} of it", "worst accuracy"]
    return fill(page, "widths", table(head, rows))


def main() -> None:
    with mpl.rc_context(STYLE):
        page = write_digits(write_depth(PAGE.read_text()))
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
