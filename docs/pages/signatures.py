"""The signature of a class as it stands in the source, where a framework makes it over or a default is no expression."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

OWN = ("arcana", "builtins", "typing")
"""Where bases come from that leave a signature as it is written."""


def as_written(app: Any, what: str, name: str, obj: Any, options: Any, signature: str, returned: str) -> tuple[str, str] | None:
    """Have Sphinx show the signature of the source where its own is none; else what it has found."""
    if what != "class":
        return None
    made_over = any(base.__module__.partition(".")[0] not in OWN for base in obj.__mro__)
    written = signature_of(obj) if made_over or not _is_python(signature) else None
    return None if written is None else (written, returned)


def _is_python(signature: str | None) -> bool:
    """Whether a signature could be written so; one with `<factory>` or `<class 'float'>` for a default could not."""
    try:
        ast.parse(f"def f{signature or '()'}: ...")
    except SyntaxError:
        return False
    return True


def signature_of(of: type) -> str | None:
    """Return what a class is called with: the arguments of its own `__init__`, or the fields that it declares, if any."""
    (found,) = ast.parse(textwrap.dedent(inspect.getsource(of))).body
    assert isinstance(found, ast.ClassDef)
    for each in found.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            del each.args.args[0]
            return f"({ast.unparse(each.args)})"
    fields = [each for each in found.body if isinstance(each, ast.AnnAssign)]
    arguments = ast.arguments(
        posonlyargs=[],
        args=[ast.arg(ast.unparse(each.target), each.annotation) for each in fields],
        kwonlyargs=[],
        kw_defaults=[],
        defaults=[_default(each.value) for each in fields if each.value],
    )
    return f"({ast.unparse(arguments)})" if fields else None


def _default(value: ast.expr) -> ast.expr:
    """Return the default of a field: what its factory makes, where it has one."""
    if isinstance(value, ast.Call):
        for keyword in value.keywords:
            if keyword.arg == "default_factory":
                return ast.Call(keyword.value, args=[], keywords=[])
    return value
