"""The API: a page for each public name, and the list of them by module, from `__all__` and the docstrings."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from arcana.surrogate import Surrogate

MODULES = (
    *("arcana.torch", "arcana.jax", "arcana.surrogate", "arcana.rules", "arcana.testing", "arcana.presets"),
    *("arcana.torch.adapters.sinabs", "arcana.torch.adapters.rockpool"),
    *("arcana.jax.adapters.nnx", "arcana.jax.adapters.linen", "arcana.jax.adapters.equinox", "arcana.jax.adapters.pallas"),
)
"""The other adapters import libraries that need not be there where the pages are built."""

FOR_BACKENDS = (
    *("bounded", "check_derivative", "check_name", "checked", "domain", "formula", "numbers", "own_names", "representable"),
    *("rounded", "settings"),
)
"""Members of `Surrogate` that backends take, which a user needs not."""


def public(module: str) -> dict[str, Any]:
    """Return the public names of a module and what they are, those of the catalogue's surrogates left out."""
    loaded = importlib.import_module(module)
    own = [name for name, value in vars(loaded).items() if getattr(value, "__module__", "") == module and name[0] != "_"]
    found = {name: getattr(loaded, name) for name in getattr(loaded, "__all__", own)}
    return {name: value for name, value in found.items() if not _of_catalogue(name)}


def _of_catalogue(name: str) -> bool:
    value = getattr(importlib.import_module("arcana.surrogate"), name, None)
    return isinstance(value, Surrogate) or (isinstance(value, type) and issubclass(value, Surrogate) and value is not Surrogate)


def page(module: str, name: str, value: Any) -> str:
    """Return the page of one name."""
    full = f"{module}.{name}"
    if inspect.ismodule(value):
        directive = f".. automodule:: {full}\n   :members:\n"
    elif isinstance(value, type):
        listed = ", ".join(members(value))
        directive = f".. autoclass:: {full}\n" + (f"   :members: {listed}\n" if listed else "")
    else:
        directive = f".. autofunction:: {full}\n"
    return f"# {full}\n\n```{{eval-rst}}\n.. currentmodule:: {module}\n\n{directive}```\n"


def members(of: type) -> list[str]:
    """Return the public members of a class that are Arcana's own, with a docstring, and no part of a framework's class."""
    ours = [each for each in of.__mro__ if each.__module__.startswith("arcana.")]
    fields = {name for each in ours for name in vars(each).get("__annotations__", {})}
    foreign = {name for each in of.__mro__ if each not in (*ours, object) for name in vars(each)}
    found = {
        name: value
        for each in reversed(ours)
        for name, value in vars(each).items()
        if not name.startswith("_") or name == "__call__"
    }
    return [
        name
        for name, value in found.items()
        if inspect.getdoc(getattr(value, "__func__", value))
        and (name not in foreign or name == "apply")
        and name not in (*FOR_BACKENDS, *fields)
        if callable(getattr(of, name)) or isinstance(value, property)
    ]


def pages() -> dict[str, str]:
    """Return every page of the API by its path under docs, without the ending."""
    return {f"api/{module}.{name}": page(module, name, value) for module in MODULES for name, value in public(module).items()}


def listed() -> str:
    """Return a section for each module: what it is, its names with a line each, and its surrogates' pages."""
    sections = []
    for module in MODULES:
        loaded = importlib.import_module(module)
        about = (inspect.getdoc(loaded) or "").partition("\n")[0]
        names = public(module)
        rows = [f"| [`{name}`](api/{module}.{name}.md) | {_line(value)} |" for name, value in names.items()]
        sections += [f"## {module}", about, "\n".join(["| name | |", "|---|---|", *rows])]
        if len(names) < len(getattr(loaded, "__all__", names)):
            sections.append(
                "and a function and a class for each surrogate, documented on its page of [the catalogue](catalogue.md)."
            )
    tree = "\n".join(["```{toctree}", ":hidden:", "", *pages(), "```"])
    return "\n\n".join([*sections, tree])


def _line(value: Any) -> str:
    """Return the first sentence of a docstring."""
    first = " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())
    return first.replace("|", "\\|")
