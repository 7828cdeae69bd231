"""Which private names of a framework a source file reads."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[2] / "arcana"


def _dotted(node: ast.expr) -> str:
    """`torch._C._autograd` for the expression of these names, and "" for another."""
    if isinstance(node, ast.Name):
        return node.id
    before = _dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{before}.{node.attr}" if before and isinstance(node, ast.Attribute) else ""


def _names(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            yield _dotted(node)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def private_names(source: str, modules: tuple[str, ...], inner: tuple[str, ...] = ()) -> set[str]:
    """The names of these modules with a part that begins with an underscore, and all of the inner modules."""
    ours = [name for name in _names(source) if name.partition(".")[0] in modules]
    return {name for name in ours if any(map(_is_private, name.split("."))) or (inner and name.startswith(inner))}


def _is_private(part: str) -> bool:
    return part.startswith("_") and not part.endswith("__")


def readers(modules: tuple[str, ...], inner: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """The files of the package that read private names, and which."""
    found = {
        path.relative_to(PACKAGE).as_posix(): private_names(path.read_text(), modules, inner) for path in PACKAGE.rglob("*.py")
    }
    return {path: names for path, names in found.items() if names}


def resolve(name: str) -> Any:
    """What stands under a dotted name; an AttributeError that says which part is missing."""
    parts = name.split(".")
    value = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], 2):
        if not hasattr(value, part):
            try:
                value = importlib.import_module(".".join(parts[:i]))
                continue
            except ModuleNotFoundError:
                msg = f"{name}: {'.'.join(parts[: i - 1])} has no {part}"
                raise AttributeError(msg) from None
        value = getattr(value, part)
    return value
