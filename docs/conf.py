"""Sphinx: Markdown pages, what is written from the definitions, and the API from the docstrings."""

from __future__ import annotations

import importlib
import inspect
import sys
import tomllib
from pathlib import Path
from typing import Any

import arcana

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))

project = "Arcana"
author = "the Arcana developers"
project_copyright = author
release = version = arcana.__version__

SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("urls", {}).get("Source")
"""The repository's public address, if it has one; without it the sources are among the pages."""

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
    "sphinx.ext.linkcode" if SOURCE else "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "pages",
]
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
autosummary_generate = False  # `pages` writes a page for each public name.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("A subclass may give, besides ``derivative``", "params_style")]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Annotations name classes of torch, JAX, NumPy and Python, whose own pages are not linked: CI has no network.
nitpick_ignore_regex = [
    ("py:.*", r"(torch|jax|flax|numpy|np|jnp|collections|dataclasses|typing|enum|pathlib)(\..*)?"),
    ("py:.*", r"(Any|Callable|Mapping|Iterable|Sequence|Self|ArrayT|P|_P|[a-z_]+\._?[A-Z]|.*\.[A-Z]\w*T)"),
    ("py:.*", r"(Tensor|Array|ArrayLike|ndarray)"),
    # What stands for a surrogate where one is taken, and what the testing tools hand to one another.
    ("py:class", r"AnySurrogate|arcana\.testing\._places\.Places"),
    # The functions and classes of a backend, which stand for a surrogate where one is taken.
    ("py:class", r"arcana\._core\.generated\.(SurrogateFunction|DefinitionMeta)"),
]

html_theme = "furo"
html_title = "Arcana"
html_static_path = ["_static"]
html_css_files = ["arcana.css"]


def linkcode_resolve(domain: str, info: dict[str, Any]) -> str | None:
    """Return the address of the lines that define an object."""
    found: Any = importlib.import_module(info["module"])
    try:
        for part in info["fullname"].split("."):
            found = getattr(found, part)
        file = inspect.getsourcefile(inspect.unwrap(found))
        lines, first = inspect.getsourcelines(inspect.unwrap(found))
    except (AttributeError, OSError, TypeError):
        return None
    path = Path(file or "").resolve()
    return (
        f"{SOURCE}/blob/HEAD/{path.relative_to(ROOT)}#L{first}-L{first + len(lines) - 1}" if path.is_relative_to(ROOT) else None
    )
