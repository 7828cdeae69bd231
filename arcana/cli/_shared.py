"""Helpers of every command: errors in one line, surrogates and objects by name, and files."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import typer

import arcana
from arcana.surrogate import Surrogate
from arcana.testing.backends import BACKENDS

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the surrogate, scale=25; may be repeated."),
]
CHOICES = f"<{'|'.join(BACKENDS)}|both>"
"""What `--backend` takes."""


def fail(message: str, status: int = 2) -> NoReturn:
    typer.echo(f"arcana: {message}", err=True)
    raise typer.Exit(status)


def surrogate_named(name: str, assignments: list[str]) -> Surrogate:
    """Return the surrogate of `--surrogate` and `--set`; exit with a line on what is wrong with them."""
    try:
        known = type(arcana.surrogate.get(name)).parameter_names()
        return arcana.surrogate.get(name, **_parameters(name, assignments, known))
    except (TypeError, ValueError) as error:
        fail(str(error))


def _parameters(surrogate: str, assignments: list[str], known: list[str]) -> dict[str, float | bool]:
    parameters: dict[str, float | bool] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            fail(f"--set takes name=value, got {assignment!r}")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            fail(f"{surrogate} has no parameter {name!r}; {advice}")
        if name in parameters:
            fail(f"--set {name} is given twice")
        parameters[name] = _value(name, text)
    return parameters


def _value(name: str, text: str) -> float | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        fail(f"--set {name}: {text!r} is not a number")


def surrogate_or_own(name: str, assignments: list[str]) -> Surrogate:
    """Return the surrogate of a registry name, or of `module:Class` or `module:instance`."""
    if ":" not in name:
        return surrogate_named(name, assignments)
    found = named(name)
    if isinstance(found, Surrogate):
        found = type(found) if assignments else found
    if isinstance(found, type) and issubclass(found, Surrogate):
        try:
            parameters: dict[str, Any] = _parameters(found.name, assignments, found.parameter_names())
            return found(**parameters)
        except (TypeError, ValueError) as error:
            fail(str(error))
    if not isinstance(found, Surrogate):
        fail(f"{name} is no surrogate but a {type(found).__qualname__}")
    return found


def named(name: str) -> Any:
    """Return the object that `module:name` names; a module in the current folder is found too."""
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        fail(f"expected module:name, got {name!r}")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    module = call(f"importing {module_name}", _imported, module_name)
    if module is None:
        files = [path.stem for path in Path.cwd().glob("*.py")]
        fail(f"there is no module {module_name!r}{near(module_name, files)}")
    if not hasattr(module, attribute):
        fail(f"{module_name} has no {attribute!r}{near(attribute, [each for each in dir(module) if not each.startswith('_')])}")
    return getattr(module, attribute)


def _imported(name: str) -> Any:
    """Return a module; None if there is none of that name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def call(name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call what the user wrote; what it prints goes to the error stream, what it raises is one line."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return function(*arguments, **options)
    except typer.Exit:
        raise
    except SystemExit as error:
        fail(f"{name} called sys.exit({error.code!r})")
    except Exception as error:
        fail(f"{name} raised {one_line(error)}")


def arrays_in(path: Path, option: str) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of an .npz by name; exit with a line on what the file is instead."""
    try:
        file = np.load(path)
        if isinstance(file, np.ndarray):
            fail(f"{option}: {path} is a single array; write an .npz with np.savez(path, name=array)")
        with file:
            return {key: file[key] for key in file.files}
    except typer.Exit:
        raise
    except Exception as error:
        reason = "it is empty" if not path.stat().st_size else one_line(error)
        fail(f"{option}: {path} is no .npz of plain arrays ({reason})")


def as_text(value: Any) -> str:
    """Return plain values as JSON, in which what is not finite is a string: "inf", "-inf" or "nan"."""
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def near(name: str, known: Sequence[str]) -> str:
    """Return `; did you mean ...?` if there is a near name, else nothing."""
    found = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def one_line(error: BaseException) -> str:
    """Return an exception as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def existing(path: Path) -> Path:
    """Return the path of a file; exit with the near names if there is none."""
    if not path.is_file():
        fail(f"there is no file {str(path)!r}{near(path.name, [each.name for each in path.parent.glob('*')])}")
    return path


def writable(path: Path | None, option: str) -> None:
    """Exit if a file cannot be written there."""
    if path is not None and (not path.parent.is_dir() or path.is_dir()):
        fail(f"{option}: cannot write a file at {str(path)!r}")


def backends_of(choice: str) -> list[str]:
    """Return the names of the backends that `--backend` asks for; exit if there is no such backend."""
    if choice not in (*BACKENDS, "both"):
        fail(f"--backend: {choice!r} is not one of {', '.join(BACKENDS)}, both")
    return list(BACKENDS) if choice == "both" else [choice]
