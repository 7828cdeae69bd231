"""What missed its target, what a library does faster, and what was left out; a line each."""

from __future__ import annotations

from arcana.bench.ratios import ratios
from arcana.bench.run import Results
from arcana.bench.targets import IMPORT_MILLISECONDS, late, verdicts

NOISE = 1.05
"""The medians of one kernel, measured twice in the same turns, differ by some percent."""


def summary(results: Results) -> dict[str, list[str]]:
    """The lists under the tables, by their titles."""
    return {
        "missed targets": missed(results),
        "more than 5 % slower than a library with the same shape": slower(results),
        "left out": [f"{name}: {reason}" for name, reason in results.left_out.items()],
    }


def missed(results: Results) -> list[str]:
    """Every target that was missed."""
    judged = [str(each) for each in verdicts(ratios(results.times)) if not each.met]
    imports = [
        f"import {each.module} takes {each.milliseconds:.1f} ms after {each.after}, at most {IMPORT_MILLISECONDS:g}"
        for each in late(results.imports)
    ]
    return judged + imports


def slower(results: Results) -> list[str]:
    """Every time that is more than 5 % longer than a library's, whether or not there is a target."""
    return [str(pair) for pair in ratios(results.times) if pair.beside_peer and pair.value > NOISE]
