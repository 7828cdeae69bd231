"""What the libraries compute, written to tests/core/peers.json, which the tests without the libraries read.

`python tests/peers/freeze.py` writes it, `--check` compares it with what the installed libraries compute now.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from cases import COMPARED, CONSTANTS_IN_FLOAT32, DIFFERENCES, OTHER_PARAMETERS
from comparison import evaluate_library
from rule_cases import CASES as RULES, IN_FLOAT32, LIBRARIES as WITH_RULES, Case, evaluate_rule, inputs, meant

from arcana import presets
from arcana.bench.libraries import LIBRARIES

FILE = Path(__file__).parents[1] / "core" / "peers.json"

# With a threshold of 1 or 2 added these are the same numbers; the kinks of most cases are among them, and −0.0.
GRID = sorted([*np.arange(-8, 9) / 4, *(sign * x for sign in (-1, 1) for x in (1 / 64, 1 / 16, 4.0, 16.0))])
DIGITS = 12

RULE_GRID = sorted(k / 4 + beside for k in range(-8, 25) for beside in (-1 / 128, 0.0, 1 / 128))
"""The thresholds of every case, and what lies beside them."""


def parameter_sets(name: str) -> list[dict[str, Any]]:
    """The defaults, another value of each parameter alone, and all of them together."""
    defaults, other = presets.defaults(name), OTHER_PARAMETERS.get(name, {})
    alone = [{**defaults, key: value} for key, value in other.items()] if len(other) > 1 else []
    return [defaults, *alone, *([other] if other else [])]


def frozen() -> dict[str, Any]:
    """The whole file: versions, potentials, and of each preset and parameter set what it is to compute."""
    v = np.array(GRID)
    cases = [_case(name, parameters, v) for name in COMPARED for parameters in parameter_sets(name)]
    rules = [_rule_case(case, np.array(RULE_GRID)) for case in RULES]
    return {
        "versions": {library: version(library) for library in LIBRARIES},
        "v": GRID,
        "cases": cases,
        "rule_versions": {library: version(library) for library in WITH_RULES},
        "x": RULE_GRID,
        "rules": rules,
    }


def _case(name: str, parameters: dict[str, Any], v: Any) -> dict[str, Any]:
    difference = DIFFERENCES.get(name)
    case: dict[str, Any] = {"preset": name, "parameters": parameters}
    if difference is not None and difference.raises is not None:
        return {**case, "h": _numbers(difference.meant(v, **parameters)), "library": None, "spikes": None}
    spikes, h = evaluate_library(name, parameters, v)
    case["spikes"] = "".join(str(int(each)) for each in spikes)
    if name in CONSTANTS_IN_FLOAT32:
        case["digits"] = 6
    if difference is None:
        return {**case, "h": _numbers(h)}
    return {**case, "h": _numbers(difference.meant(v, **parameters)), "library": _numbers(h)}


def _rule_case(case: Case, x: Any) -> dict[str, Any]:
    taken = np.isin(x, inputs(case, x))
    found = evaluate_rule(case, x[taken])
    spikes, gradient = meant(case, x[taken], *found)
    about: dict[str, Any] = {"preset": case.name, "parameters": case.parameters, "others": case.others}
    about |= {"spikes": _spread(spikes, taken), "gradient": _spread(gradient, taken)}
    if case.name in IN_FLOAT32:
        about["digits"] = 6
    # A gradient that is a factor off is not written twice.
    return {**about, "library": _spread(found[0], taken)} if (found[0] != spikes).any() else about


def _spread(values: Any, taken: Any) -> list[float | str | None]:
    """Return the values at the inputs that are taken, and nothing at the others."""
    found = iter(_numbers(values))
    return [next(found) if each else None for each in taken]


def _numbers(values: Any) -> list[float | str]:
    """As many digits as a comparison counts; what JSON has no number for, as text."""
    rounded = [float(f"{float(each):.{DIGITS}g}") for each in values]
    return [each if math.isfinite(each) else str(each) for each in rounded]


def text(table: dict[str, Any]) -> str:
    """One case a line, so that a change of a library shows as the lines that it changes."""
    parts = [
        "[\n" + ",\n".join(json.dumps(case) for case in value) + "\n]" if key in ("cases", "rules") else json.dumps(value)
        for key, value in table.items()
    ]
    return "{" + ",\n".join(f'"{key}": {part}' for key, part in zip(table, parts, strict=True)) + "}\n"


def main() -> None:
    """Write the file, or say where it differs from what the libraries compute."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    new = text(frozen())
    if not parser.parse_args().check:
        FILE.write_text(new, encoding="utf-8")
        return
    old = FILE.read_text(encoding="utf-8")
    changed = [line for line in new.splitlines() if line not in set(old.splitlines())]
    # The last digits of exp may be another processor's: those are compared as numbers.
    if changed and not _alike(json.loads(old), json.loads(new)):
        print(f"{FILE.name} is not what the installed libraries compute:", *changed, sep="\n")
        sys.exit(1)


def _alike(old: dict[str, Any], new: dict[str, Any]) -> bool:
    if any(old.get(key) != new[key] for key in new if key not in ("cases", "rules")):
        return False
    pairs = [(old.get(key, []), new[key]) for key in ("cases", "rules")]
    return all(len(one) == len(other) and all(map(_same, one, other)) for one, other in pairs)


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    lists = [key for key in one if isinstance(one[key], list)]
    if set(one) != set(other) or any(one[key] != other[key] for key in one if key not in lists):
        return False
    return all(
        np.allclose(np.array(one[key], float), np.array(other[key], float), rtol=1e-9, atol=1e-12, equal_nan=True)
        for key in lists
    )


if __name__ == "__main__":
    main()
