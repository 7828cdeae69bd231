"""The preset table against the six libraries: `python tests/peers/table.py`, and its page with `--write docs/presets.md`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cases import CASES, CONSTANTS_IN_FLOAT32
from comparison import Comparison, compare

from arcana import presets
from arcana.bench.candidates import TOLERANCE, grid

COLUMNS = ["preset", "parameters", "library", "h, float32", "h, float64", "spike at 0", "result"]

LIBRARY_NAMES = {
    "braincog": "BrainCog",
    "braintools": "braintools",
    "jaxsnn": "jaxsnn",
    "lava_dl": "lava-dl",
    "norse": "Norse",
    "rockpool": "Rockpool",
    "sinabs": "Sinabs",
    "slax": "slax",
    "snnax": "snnax",
    "snntorch": "snnTorch",
    "spikingjelly": "SpikingJelly",
    "spyx": "spyx",
}

WITHOUT_PRESET = [
    "snnTorch `SSO`: draws noise in the backward pass. `custom_surrogate`: the formula is the user's.",
    "SpikingJelly `PoissonPass`, Norse `logistic` and `circ_dist`: the spike is drawn at random.",
    "SpikingJelly `MultiLevelSpikeCount`, BrainCog `RoundGrad` and `EIGrad`, lava-dl's graded spikes: the output is not 0 or 1.",
    "lava-dl's `rf` and `adrf`: the spike is of a complex number.",
    "Norse and spyx `heaviside`: no gradient.",
    "Sinabs with a `mu` that is not 0: the peak is away from the threshold.",
    (
        "Sinabs `PeriodicExponential` at a threshold that is not 1, and Rockpool `PeriodicExponential` with several spikes a "
        "step and such a threshold: the period is the threshold."
    ),
]

HEAD = """<!-- Written by `python tests/peers/table.py --write docs/presets.md`; edit that file instead. -->
# Presets

`arcana.presets` has what other libraries compute under their own names, parameters and defaults: the formula that the
library's code evaluates, and its spike at v = 0. Where a library's code contradicts the paper it is from, or fails, the preset
gives what was intended, and its description says so ("Differs").

```python
import torch
from arcana import presets

spike = presets.get("snntorch.fast_sigmoid", slope=25)
print(spike)  # FastSigmoid(scale=25.0, fires_at_threshold=False)
print(spike(torch.tensor([-0.1, 0.0, 0.1])).tolist())  # [0.0, 0.0, 1.0]
print(presets.get("sinabs.single_exponential"))  # Exponential(slope=2.0, gain=2.0)
print(len(presets.names("norse")))  # 5
print(presets.describe("spyx.custom"))
```

## With the libraries themselves

`nox -s peers` installs six of the libraries, compares every preset with the library's own code in the library's framework, and
prints this table; `python tests/peers/table.py` prints it where they are installed. The same session checks that no preset
passes with a parameter 1 % off.

"h" is the largest difference of h over {points:,} values of v from −16 to 16, relative to h or to a tenth of its peak,
whichever is larger; {tolerance:g} times the dtype's epsilon is allowed, {single:.0e} in float32 and {double:.0e} in float64, and
float32's in both for {constants}, whose π is a float32 in the
library. "Differs as described" says that h is what was intended, and that the library's own h is what the description says of
it. "Spike at 0" is the library's and the preset's.

"""


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


def markdown(lines: list[list[str]]) -> str:
    head, *body = lines
    coded = [[f"`{name}`", f"`{parameters}`" if parameters else "", *rest] for name, parameters, *rest in body]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *coded])


def described(name: str) -> str:
    """A preset as an item of a list: its call, where the library has it, its formula, what differs."""
    call, source, *paragraphs = presets.describe(name).split("\n\n")
    formula, *remarks = (" ".join(paragraph.split()) for paragraph in paragraphs)
    lines = [f"- **`{call}`**", f"  {' '.join(source.split())}", f"  `{formula}`", *(f"  {remark}" for remark in remarks)]
    return "\\\n".join(line.rstrip() for line in lines)


def page(lines: list[list[str]]) -> str:
    constants = ", ".join(f"`{name}`" for name in sorted(CONSTANTS_IN_FLOAT32))
    limits = {"tolerance": TOLERANCE, "single": TOLERANCE * 2.0**-23, "double": TOLERANCE * 2.0**-52}
    head = HEAD.format(points=len(grid("float64")), constants=constants, **limits)
    listed = [
        f"### {title}\n\n" + "\n".join(described(name) for name in presets.names(library))
        for library, title in LIBRARY_NAMES.items()
    ]
    without = "\n".join(f"- {reason}" for reason in WITHOUT_PRESET)
    every = "\n\n".join(["## Every preset", *listed])
    return f"{head}{markdown(lines)}\n\n{every}\n\n## Without a preset\n\n{without}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the page with the table and every preset")
    arguments = parser.parse_args()
    found = list(rows())
    lines = [COLUMNS, *(line for line, _ in found)]
    print(aligned(lines))
    if arguments.write:
        arguments.write.write_text(page(lines))
    bad = sum(not good for _, good in found)
    print(f"\n{len(found)} comparisons of {len({line[0] for line in lines[1:]})} presets, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
