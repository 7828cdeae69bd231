"""`arcana compare` and `arcana diverge`: what differs between the two sides of a port."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from arcana.cli._shared import Json, existing, fail, named, one_line, writable
from arcana.testing import backends


def compare(
    torch_function: Annotated[str, typer.Argument(metavar="TORCH", help="The PyTorch function, module:name.")],
    jax_function: Annotated[str, typer.Argument(metavar="JAX", help="The JAX function, module:name.")],
    data: Annotated[Path, typer.Option(help="An .npz; its arrays in order are the arguments, `a.b` is entry b of dict a.")],
    gradients: Annotated[bool, typer.Option(help="Compare the gradients too.")] = True,
    relative: Annotated[float | None, typer.Option(min=0, help="Relative tolerance; by default that of the dtype.")] = None,
    absolute: Annotated[float | None, typer.Option(min=0, help="Absolute tolerance; by default relative · the largest.")] = None,
    as_json: Json = False,
) -> None:
    """Run a PyTorch and a JAX function on the same data and compare outputs and gradients; status 1 if they differ.

    Example: arcana compare port:torch_step port:jax_step --data step.npz

    Example: arcana compare port:torch_step port:jax_step --data step.npz --no-gradients --relative 1e-6
    """
    functions = [named(torch_function), named(jax_function)]
    arguments = _arguments(existing(data))
    missing = backends.missing(backends.BACKENDS)
    if missing:
        fail(f"compare needs both frameworks. {'; '.join(missing.values())}")
    from arcana import testing

    try:
        found = testing.compare(*functions, *arguments, gradients=gradients)
    except Exception as error:
        fail(f"comparing {torch_function} and {jax_function} raised {one_line(error)}")
    close = all(leaf.close(relative, absolute) for leaf in found.leaves)
    typer.echo(json.dumps({**found.to_dict(), "close": close}, indent=2, allow_nan=False) if as_json else found)
    raise typer.Exit(int(not close))


def diverge(
    torch_run: Annotated[str, typer.Argument(metavar="TORCH", help="PyTorch's run: an .npz, or module:function that gives it.")],
    jax_run: Annotated[str, typer.Argument(metavar="JAX", help="JAX's run, likewise.")],
    threshold: Annotated[
        list[str] | None, typer.Option(metavar="[LAYER=]VALUE", help="The threshold, 1 by default; with a layer, of that one.")
    ] = None,
    terms: Annotated[int | None, typer.Option(min=1, help="How many numbers a neuron adds up in a step.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write rasters and difference there, a PNG.")] = None,
    as_json: Json = False,
) -> None:
    """Find where two runs first spike differently and whether rounding explains it; status 1 if it does not.

    Example: arcana diverge torch.npz jax.npz

    Example: arcana diverge port:torch_run port:jax_run --threshold 0.5 --threshold output=1 --plot divergence.png
    """
    from arcana.testing import first_divergence

    writable(plot, "--plot")
    runs = [_run(each) for each in (torch_run, jax_run)]
    try:
        found = first_divergence(*runs, threshold=_thresholds(threshold or [], list(runs[0].layers)), terms=terms)
    except (TypeError, ValueError) as error:
        fail(str(error))
    if plot is not None:
        try:
            found.plot(plot)
        except ImportError as error:
            fail(str(error))
    typer.echo(json.dumps(found.to_dict(), indent=2, allow_nan=False) if as_json else found)
    raise typer.Exit(int(not found.explained))


def _run(name: str) -> Any:
    from arcana.testing import Run

    try:
        if ":" not in name:
            return Run.of(existing(Path(name)))
        found = named(name)
        return Run.of(found() if callable(found) else found)
    except typer.Exit:
        raise
    except Exception as error:
        fail(f"{name}: {one_line(error)}")


def _thresholds(given: list[str], layers: list[str]) -> float | dict[str, float]:
    """Return the threshold of all layers, 1 by default, or each layer's own."""
    common, own = 1.0, {}
    for each in given:
        layer, equals, text = each.rpartition("=")
        try:
            value = float(text)
        except ValueError:
            fail(f"--threshold: {text!r} is not a number")
        if not equals:
            common = value
        elif layer in layers:
            own[layer] = value
        else:
            fail(f"--threshold: there is no layer {layer!r}; there are {', '.join(layers)}")
    return {layer: own.get(layer, common) for layer in layers} if own else common


def _arguments(path: Path) -> list[Any]:
    """Return the arrays of an .npz in order; `a.b` and `a.c` are one dict a."""
    try:
        with np.load(path) as file:
            arrays = {key: file[key] for key in file.files}
    except (zipfile.BadZipFile, ValueError, AttributeError, OSError) as error:
        fail(f"--data: {path} is no .npz of plain arrays ({one_line(error)})")
    arguments: dict[str, Any] = {}
    for key, value in arrays.items():
        outer, dot, inner = key.partition(".")
        if dot:
            arguments.setdefault(outer, {})[inner] = value
        else:
            arguments[key] = value
    return list(arguments.values())
