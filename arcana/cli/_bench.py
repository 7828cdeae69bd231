"""`arcana bench`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from arcana.cli._shared import Json, as_text, fail, near, surrogate_named
from arcana.testing.backends import missing

if TYPE_CHECKING:
    from arcana.bench.records import Part, Results, Settings


def bench(
    parts: Annotated[
        list[str] | None, typer.Argument(help="What to measure: elementwise, memory, layer; all if none is named.")
    ] = None,
    framework: Annotated[Literal["torch", "jax", "both"], typer.Option(help="In which framework.")] = "both",
    mode: Annotated[
        Literal["eager", "compiled", "both", "kernels"],
        typer.Option(help="Plain calls; torch.compile and jax.jit; both; or PyTorch's plain calls with compiled kernels."),
    ] = "eager",
    surrogates: Annotated[
        list[str] | None,
        typer.Option("--surrogate", help="A surrogate; may be repeated. All if none is named, in the layer fast_sigmoid."),
    ] = None,
    sizes: Annotated[str, typer.Option(help="Elements of the arrays, with commas between.")] = "1024,65536,1048576,16777216",
    dtype: Annotated[Literal["float32", "float16", "bfloat16", "float64"], typer.Option(help="Of the arrays.")] = "float32",
    seconds: Annotated[float, typer.Option(min=0, help="For each surrogate at each size; five rounds at least.")] = 0.25,
    neurons: Annotated[int, typer.Option(min=1, help="Neurons of the layer, and its inputs.")] = 512,
    as_json: Json = False,
) -> None:
    """Measure time and memory of the surrogates beside every installed library and relu, in turn in one run.

    Example: arcana bench layer --framework jax

    Example: arcana bench elementwise --surrogate atan --sizes 1024,65536
    """
    from arcana.bench.records import PARTS, Settings

    for name in surrogates or ():
        surrogate_named(name, [])
    settings = Settings(
        parts=tuple(_part(each, PARTS) for each in parts or PARTS),
        frameworks=_frameworks(framework, mode),
        modes=("eager", "compiled") if mode == "both" else (mode,),
        chosen=tuple(surrogates or ()),
        sizes=_sizes(sizes),
        dtype=dtype,
        seconds=seconds,
        neurons=neurons,
    )
    results = _measured(settings)
    if as_json:
        typer.echo(as_text(dataclasses.asdict(results)))
    else:
        from arcana.bench.table import summary, tables

        typer.echo("\n".join([results.heading(), "", *tables(results.records), *summary(results)]).rstrip())


def _measured(settings: Settings) -> Results:
    from arcana.bench.run import run

    with Console(stderr=True, highlight=False).status("importing the frameworks and the libraries") as status:
        absent = missing(settings.frameworks)
        found = [each for each in settings.frameworks if each not in absent]
        if not found:
            fail("; ".join(absent.values()), status=1)
        results = run(settings, found, say=status.update)
    results.left_out |= absent
    return results


def _part(name: str, parts: tuple[Part, ...]) -> Part:
    if name not in parts:
        there = f"; there are {', '.join(parts)}"
        fail(f"nothing to measure is called {name!r}{near(name, parts) or there}")
    return parts[parts.index(name)]


def _frameworks(framework: str, mode: str) -> tuple[str, ...]:
    if mode == "kernels" and framework == "jax":
        fail("the mode kernels is PyTorch's alone, and JAX was asked for")
    if framework == "both" and mode != "kernels":
        return ("torch", "jax")
    return ("torch",) if framework == "both" else (framework,)


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = sorted({int(size) for size in text.split(",")})
    except ValueError:
        fail(f"--sizes takes whole numbers with commas between, got {text!r}")
    if sizes[0] < 1:
        fail(f"--sizes must be at least 1, got {sizes[0]}")
    return tuple(sizes)
