"""Docstrings as the pages show them: parts of a definition's, and the reStructuredText that Sphinx takes."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

from arcana import surrogate as definitions
from arcana.surrogate import Surrogate

FORMULA = re.compile(r"[hG]\(v\) = ")
FACT = re.compile(r"(Shapes and dtypes|Peak|Errors|Reference|Differs|Note): ")
LINKS = (
    (re.compile(r"doi:(10\.[^\s,;]*[^\s,;.])"), "https://doi.org/{}"),
    (re.compile(r"arXiv:(\d{4}\.\d{5})"), "https://arxiv.org/abs/{}"),
)
IN_BOUNDS = re.compile(r"(?<=[.)]) (?=Area: |Support: |h\(|There is )")


@dataclasses.dataclass(frozen=True)
class Docstring:
    """What a definition's docstring says, in its parts."""

    summary: str
    formulas: dict[str, str]
    remarks: list[str]
    facts: list[str]
    reference: str


def parts(surrogate: Surrogate) -> Docstring:
    """Return the parts of the docstring of a surrogate's class."""
    summary, *paragraphs = (inspect.getdoc(type(surrogate)) or "").split("\n\n")
    formulas, remarks, facts = {}, [], []
    for paragraph in paragraphs:
        if FORMULA.match(paragraph):
            for line in re.split(r"\n(?=[hG]\(v\) = )", paragraph):
                name, _, written = " ".join(line.split()).partition(" = ")
                formulas[name] = written
        elif paragraph.startswith("Shapes and dtypes: "):
            text = " ".join(paragraph.partition("Peak: ")[2].partition("\nErrors: ")[0].split())
            facts = IN_BOUNDS.split(f"Peak: {text}")
        elif not paragraph.startswith(("Args:", "Reference: ", ">>>")):
            remarks.append(" ".join(paragraph.split()))
    return Docstring(" ".join(summary.split()), formulas, remarks, facts, linked(surrogate.reference))


def linked(text: str) -> str:
    """Return a reference with links to its DOI and arXiv numbers, in Markdown."""
    for pattern, address in LINKS:
        text = pattern.sub(lambda found, address=address: f"[{found[0]}]({address.format(found[1])})", text)
    return text


def as_restructured_text(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are written for `help()`: code in single backquotes, a formula or fact a line, |v| for the modulus."""
    if _on_its_page(name):
        _keep_parameters(lines)
    in_fact = in_formula = False
    for i, line in enumerate(lines):
        line = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line)
        line = line.replace("|", r"\|") if not line.lstrip().startswith(">>>") else line
        in_fact = bool(FACT.match(line)) or (in_fact and bool(line.strip()))
        in_formula = bool(FORMULA.match(line)) or (in_formula and bool(line.strip()))
        if FORMULA.match(line):
            line = f"| {line}"
        elif FACT.match(line):
            line = FACT.sub(r"- **\1**: ", line)
        elif in_fact or in_formula:
            line = f"  {line.strip()}"
        lines[i] = line


def _on_its_page(name: str) -> bool:
    """Whether an object is a surrogate's, whose page has formulas, facts and paper above."""
    module, _, last = name.rpartition(".")
    found = getattr(definitions, last, None)
    is_class = isinstance(found, type) and issubclass(found, Surrogate) and found is not Surrogate
    return module in ("arcana.surrogate", "arcana.torch", "arcana.jax") and (is_class or isinstance(found, Surrogate))


def _keep_parameters(lines: list[str]) -> None:
    """Keep of the paragraphs the first, the parameters, what comes back and the example."""
    paragraphs = re.split(r"\n\n+", "\n".join(lines).strip())
    kept = [each for i, each in enumerate(paragraphs) if i == 0 or each.startswith(("Args:", "Returns:", "Example", ">>>"))]
    errors = [line for each in paragraphs for line in re.findall(r"^Errors: .*(?:\n(?!\w+: ).*)*", each, re.MULTILINE)]
    lines[:] = "\n\n".join([*kept, *errors, ""]).split("\n")
