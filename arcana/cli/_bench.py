"""`arcana bench`."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from arcana.cli._shared import Json, fail, writable

if TYPE_CHECKING:
    from arcana.bench.settings import Settings


def bench(
    parts: Annotated[
        list[str] | None, typer.Argument(help="What to measure: elementwise, memory, layer, import; all if none is named.")
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
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the ratios: FILE.png, FILE.svg.")] = None,
) -> None:
    """Measure time and memory of the surrogates beside every installed library, relu and a bare copy, in turn in one run."""
    from arcana.bench.settings import PARTS, Settings

    writable(plot, "--plot")
    try:
        settings = Settings(
            parts=tuple(parts or PARTS),
            frameworks=_frameworks(framework, mode),
            modes=("eager", "compiled") if mode == "both" else (mode,),
            chosen=tuple(surrogates or ()),
            sizes=_sizes(sizes),
            dtype=dtype,
            seconds=seconds,
            neurons=neurons,
        )
    except ValueError as error:
        fail(str(error))
    from arcana._missing import MissingDependencyError

    try:
        _bench(settings, as_json, plot)
    except MissingDependencyError as error:
        fail(str(error), status=1)


def _bench(settings: Settings, as_json: bool, plot: Path | None) -> None:
    from arcana.bench import report, run

    figure = None if plot is None else _figure(settings, plot)
    log = Console(stderr=True, highlight=False)
    with log.status("importing the frameworks and the libraries") as status:
        found, missing = run.fields(settings)
        if not found:
            fail("; ".join(missing.values()), status=1)
        results = run.run(settings, found, say=status.update)
    results.left_out |= missing
    if as_json:
        typer.echo(json.dumps(run.to_plain(settings, results), indent=1, allow_nan=False))
    else:
        report.show(results)
    if figure is not None and plot is not None:
        figure.save(results.times, plot)
        log.print(f"Ratios: {plot}", markup=False, soft_wrap=True)


def _figure(settings: Settings, path: Path) -> ModuleType:
    """The module that draws; exits if there would be nothing to draw, before minutes of measuring."""
    from arcana.bench import figure

    if "elementwise" not in settings.parts:
        fail("--plot draws the times of the part elementwise, which is not measured")
    try:
        figure.check(path)
    except ValueError as error:
        fail(f"--plot: {error}")
    return figure


def _frameworks(framework: str, mode: str) -> tuple[str, ...]:
    if framework != "both":
        return (framework,)
    return ("torch",) if mode == "kernels" else ("torch", "jax")


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        fail(f"--sizes takes whole numbers with commas between, got {text!r}")
