"""Sphinx: Markdown pages, and the reference from the docstrings."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

import arcana

FORMULA = re.compile(r"[hG]\(v\) = ")
FACT = re.compile(r"(Shapes and dtypes|Peak|Errors|Reference): ")

project = "Arcana"
author = "the Arcana developers"
project_copyright = author
release = version = arcana.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nitpicky = True

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("A subclass may give, besides ``derivative``", "params_style")]

# Annotations name classes of torch, JAX, NumPy and Python, whose own pages are not linked: CI has no network.
nitpick_ignore_regex = [
    ("py:.*", r"(torch|jax|numpy|np|jnp|collections|dataclasses|typing|enum|pathlib)(\..*)?"),
    ("py:.*", r"(Any|Callable|Mapping|Iterable|Sequence|Self|ArrayT|P|_P|[a-z_]+\._?[A-Z]|.*\.ArrayT)"),
    ("py:.*", r"(Tensor|Array|ndarray)"),
    # The functions and classes of a backend, which stand for a surrogate where one is taken.
    ("py:class", r"arcana\._core\.generated\.(SurrogateFunction|DefinitionMeta)"),
]

html_theme = "furo"
html_title = "Arcana"
html_static_path = ["_static"]


def as_restructured_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are written for `help()`: code in single backquotes, a formula or fact a line, |v| for the modulus."""
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


def setup(app: Sphinx) -> None:
    # Before napoleon, which has the default priority of 500.
    app.connect("autodoc-process-docstring", as_restructured_text, priority=400)
