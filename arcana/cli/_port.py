"""`arcana compare` and `arcana diverge`: what differs between the two sides of a port."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from arcana.cli._shared import Json, arrays_in, as_text, call, existing, fail, named, writable
from arcana.testing import backends

if TYPE_CHECKING:
    from arcana.testing import Layer


def compare(
    torch_function: Annotated[str, typer.Argument(metavar="TORCH", help="The PyTorch function, module:name.")],
    jax_function: Annotated[str, typer.Argument(metavar="JAX", help="The JAX function, module:name.")],
    data: Annotated[Path, typer.Option(help="An .npz; its arrays in order are the arguments, `a.b` is entry b of dict a.")],
    gradients: Annotated[bool, typer.Option(help="Compare the gradients too.")] = True,
    relative: Annotated[float | None, typer.Option(min=0, help="Relative tolerance; by default that of the dtype.")] = None,
    absolute: Annotated[float | None, typer.Option(min=0, help="Absolute tolerance; by default relative · the largest.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print a line for each array, not only the worst.")] = False,
    as_json: Json = False,
) -> None:
    """Run a PyTorch and a JAX function on the same data and compare outputs and gradients; status 1 if they differ.

    Where a spike that rounding flips explains the difference, it says so with status 0, unless a tolerance is given.

    Example: arcana compare port:torch_step port:jax_step --data step.npz

    Example: arcana compare port:torch_step port:jax_step --data step.npz --all
    """
    functions = [named(torch_function), named(jax_function)]
    arguments = _arguments(existing(data))
    missing = backends.missing(backends.BACKENDS)
    if missing:
        fail(f"compare needs both frameworks. {'; '.join(missing.values())}")
    from arcana import testing

    what = f"comparing {torch_function} and {jax_function}"
    found = call(what, testing.compare, *functions, *arguments, gradients=gradients)
    close = all(leaf.close(relative, absolute) for leaf in found.leaves)
    strict = relative is not None or absolute is not None
    if as_json:
        typer.echo(as_text({**found.to_dict(), "close": close}))
    else:
        typer.echo(found.table() if everything else found)
    raise typer.Exit(int(not (close or (found.explained and not strict))))


def diverge(
    torch_run: Annotated[str, typer.Argument(metavar="TORCH", help="PyTorch's run: an .npz, or module:function that gives it.")],
    jax_run: Annotated[str, typer.Argument(metavar="JAX", help="JAX's run, likewise.")],
    threshold: Annotated[
        list[str] | None, typer.Option(metavar="[LAYER=]VALUE", help="The threshold, 1 by default; with a layer, of that one.")
    ] = None,
    terms: Annotated[int | None, typer.Option(min=1, help="How many numbers a neuron adds up in a step.")] = None,
    dtype: Annotated[
        Literal["float64", "float32", "tensorfloat32", "float16", "bfloat16"] | None,
        typer.Option(
            help="In which both compute, where the potentials do not say it: tensorfloat32 for products as a GPU takes."
        ),
    ] = None,
    names: Annotated[
        list[str] | None, typer.Option("--same", metavar="A=B", help="A layer or parameter A of the first run is B of the other.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write rasters and difference there: a PNG, SVG or PDF.")] = None,
    as_json: Json = False,
) -> None:
    """Find where two runs first spike differently and whether rounding explains it; status 1 if it does not.

    Example: arcana diverge torch.npz jax.npz

    Example: arcana diverge torch.npz jax.npz --threshold output=1 --plot flip.png

    Example: arcana diverge torch.npz jax.npz --dtype tensorfloat32
    """
    from arcana.testing import first_divergence, match

    writable(plot, "--plot")
    try:
        matching = match(*(_run(each) for each in (torch_run, jax_run)), names=_pairs(names or []))
        runs = matching.runs
        found = first_divergence(*runs, threshold=_thresholds(threshold or [], runs[0].layers), terms=terms, dtype=dtype)
    except (TypeError, ValueError) as error:
        fail(str(error))
    if plot is not None:
        try:
            found.plot(plot)
        except (ImportError, ValueError) as error:
            fail(f"--plot: {error}")
    if as_json:
        typer.echo(as_text({**found.to_dict(), "matched": matching.to_dict()}))
    else:
        typer.echo(found)
        if str(matching):
            typer.echo(f"\nCompared under other names or in another layout; --same A=B says otherwise:\n{matching}")
    raise typer.Exit(int(not found.explained))


def _pairs(given: list[str]) -> dict[str, str]:
    for each in given:
        if not all(each.partition("=")):
            fail(f"--same takes A=B, got {each!r}")
    return {name: other for name, _, other in (each.partition("=") for each in given)}


def _run(name: str) -> Any:
    from arcana.testing import Run

    # A path may have a colon too.
    if ":" not in name or Path(name).is_file():
        arrays_in(existing(Path(name)), "a run")
        return call(f"reading {name}", Run.load, name)
    found = named(name)
    return call(name, lambda: Run.of(found() if callable(found) else found))


def _thresholds(given: list[str], layers: Mapping[str, Layer]) -> float | dict[str, float]:
    """Return the threshold of all layers, 1 by default, or each layer's own; it is 0 where it has been taken off already."""
    common, own = 1.0, {name: 0.0 for name, layer in layers.items() if layer.margins}
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
    arguments: dict[str, Any] = {}
    for key, value in arrays_in(path, "--data").items():
        outer, dot, inner = key.partition(".")
        if dot:
            arguments.setdefault(outer, {})[inner] = value
        else:
            arguments[key] = value
    return list(arguments.values())
