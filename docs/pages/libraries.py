"""The functions of other libraries beside the calls that compute the same, from the presets and the measured comparison."""

from __future__ import annotations

import csv
import functools
import re
from pathlib import Path

from arcana import presets

COMPARED = Path(__file__).parents[1] / "presets.csv"

FIRST = ("snntorch", "spikingjelly", "norse", "sinabs", "rockpool", "spyx")
"""The order of the libraries; those that are not named follow."""
PLACE = re.compile(r" of ([\w.-]*[A-Za-z][\w.-]*) ((?:at )?[\w.]*\w)")
"""A library's name and version, in the first paragraph of a preset's docstring."""


def libraries() -> list[str]:
    """Return the modules of `arcana.presets` that have presets."""
    present = {name.partition(".")[0] for name in presets.names()}
    return [*(each for each in FIRST if each in present), *sorted(present - set(FIRST))]


def place_of(name: str) -> tuple[str, str]:
    """Return a preset's library, as it writes itself, and the version that was read."""
    found = PLACE.search(_description(name)[0])
    if found is None:
        msg = f"the docstring of the preset {name} does not say of which library and version it is: `function` of Library 1.0"
        raise ValueError(msg)
    return found[1], found[2]


def call_of(name: str) -> str:
    """Return a library's own call of the function that a preset is, with the library's defaults."""
    function, defaults = _description(name)[0].split("`")[1], presets.defaults(name)
    given = [f"{key}={value!r}" for key, value in defaults.items()]
    # Norse's are calls of one function, of which the last argument is the parameter.
    return function.replace("alpha)", f"{given[0]})") if "(" in function else f"{function}({', '.join(given)})"


def _description(name: str) -> list[str]:
    """Return the paragraphs of a preset's docstring, a line each."""
    return [" ".join(paragraph.split()) for paragraph in presets.describe(name).split("\n\n")[1:]]


@functools.cache
def compared() -> dict[str, list[dict[str, str]]]:
    """Return what was measured of each preset, a row for each set of parameters."""
    found: dict[str, list[dict[str, str]]] = {}
    with COMPARED.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["preset"], []).append(row)
    return found


def verdict(name: str) -> str:
    """Return whether the library computes the same, or what differs, and what else is to be known."""
    place, _, *remarks = _description(name)
    said = [remark for remark in remarks if remark.startswith(("Differs: ", "Note: "))]
    results = {row["result"] for row in compared().get(name, [])}
    if not results <= {"same", "differs as described"}:
        msg = f"{name} is not what its description says: {COMPARED} has {', '.join(sorted(results))}"
        raise ValueError(msg)
    if results == {"same"}:
        said.insert(0, "Same.")
    elif not results:
        said.insert(0, "From its source, not compared by value.")
    about = re.sub(r"^.*?`[^`]*`( \(\w+\))?( and `[^`]*` \(\w+\))?( of [\w.-]+ (at )?[\w.]+)?|; fires where.*$", "", place).strip(
        " ,"
    )
    return " ".join([*said, *([f"{about[0].upper()}{about[1:]}."] if about else [])])


def item(name: str) -> str:
    """Return a preset as an item of a list: the library's call, ours, the surrogate that it is, and whether it is the same."""
    surrogate = presets.get(name)
    page = f"catalogue/{surrogate.name}.md"
    return f'`{call_of(name)}`\n: `presets.get("{name}")`, which is [`{surrogate!r}`]({page}). {verdict(name)}'


def rule_row(name: str) -> str:
    """Return a preset of a rule as a row: the library's function, ours, v of the library's x, and the surrogate beside it."""
    place, _, surrogate, *_ = _description(name)
    function, kind = place.split("`")[1], type(presets.get_rule(name)).__name__
    made = f"`{name}`: [`{kind}`](api/arcana.rules.{kind}.md)"
    v, beside = (part.removesuffix(".") for part in (place.rpartition("v = ")[2], surrogate.removeprefix("Surrogate: ")))
    return f"| {place_of(name)[0]} `{function}` | {made} | {v} | {beside} |"


def rules() -> str:
    """Return a table of the rules of other libraries, and what is to be known of each."""
    names = [name for library in libraries() for name in presets.rule_names(library)]
    table = ["| library | preset | v | surrogate |", "|---|---|---|---|", *map(rule_row, names)]
    remarks = [
        f"- `{name}`. {remark}" for name in names for remark in _description(name) if remark.startswith(("Differs: ", "Note: "))
    ]
    return "\n".join([*table, "", *remarks])


def tabs() -> str:
    """Return a tab for each library."""
    made = []
    for library in libraries():
        names = presets.names(library)
        title, version = place_of(names[0])
        spikes = {re.search(r"fires where (v >=? 0)", _description(name)[0])[1] for name in names}  # pyright: ignore[reportOptionalSubscript]
        about = f"{title} {version}; a spike where `{'` or `'.join(sorted(spikes))}`."
        table = "\n\n".join(map(item, names))
        if counted := presets.rule_names(library):
            listed = ", ".join(f"`{name}`" for name in counted)
            table += f"\n\nThe [rules](rules.md#what-other-libraries-do) by which it spikes: {listed}."
        made.append(f":::{{tab-item}} {title}\n:sync: {library}\n\n{about}\n\n{table}\n:::")
    return "\n".join(["::::{tab-set}", ":sync-group: library", "", *made, "::::"])
