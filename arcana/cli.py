"""The command `arcana`. Every command imports what it needs when it runs, so that `--help` stays quick."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import arcana
from arcana.surrogate import Surrogate

if TYPE_CHECKING:
    from arcana.bench.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def arcana_command() -> None:
    """Surrogate gradients for spiking networks: one definition, the same numbers in PyTorch and in JAX."""


@app.command()
def demo(
    surrogate: Annotated[str, typer.Option(help="Name of the surrogate.")] = "fast_sigmoid",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the surrogate, scale=25; may be repeated."),
    ] = None,
    backend: Annotated[Literal["torch", "jax", "both"], typer.Option(help="Where to train.")] = "both",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 15,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split, the weights and the batches.")] = 0,
    output: Annotated[Path, typer.Option(help="Where to write the picture, a PNG.")] = Path("arcana-demo.png"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON in place of the table.")] = False,
) -> None:
    """Train one spiking network on handwritten digits in PyTorch and in JAX, and show what differs."""
    chosen = _surrogate(surrogate, assignments or [])
    _check_writable("--output", output)
    from arcana._missing import MissingDependencyError

    try:
        _demo(chosen, ["torch", "jax"] if backend == "both" else [backend], epochs, seed, output, as_json)
    except MissingDependencyError as error:
        _fail(str(error), status=1)


def _demo(surrogate: Surrogate, backends: list[str], epochs: int, seed: int, output: Path, as_json: bool) -> None:
    from arcana.demo import figure
    from arcana.demo.experiment import Settings, prepare
    from arcana.demo.run import TITLES, load_trainers, run, to_plain
    from arcana.demo.table import render

    log = Console(stderr=True, highlight=False)
    experiment = prepare(Settings(surrogate=surrogate, epochs=epochs, seed=seed))
    with log.status("importing the frameworks"):
        trainers, missing = load_trainers(backends)
    if not trainers:
        _fail("; ".join(missing.values()), status=1)
    for name, note in missing.items():
        typer.echo(f"{TITLES[name]} is left out. {note}", err=True)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=log) as progress:
        total = experiment.training_steps
        tasks = {name: progress.add_task(TITLES[name], total=total, start=False) for name in trainers}
        results = run(
            experiment,
            trainers,
            missing,
            on_start=lambda name: progress.start_task(tasks[name]),
            on_step=lambda name: progress.advance(tasks[name]),
        )
    figure.save(results, output)
    if as_json:
        typer.echo(json.dumps({**to_plain(results), "figure": str(output)}, indent=2, allow_nan=False))
    else:
        console = Console(highlight=False)
        console.print(render(results))
        console.print(f"Loss curves and spike raster: {output}", markup=False, soft_wrap=True)


@app.command()
def bench(
    parts: Annotated[
        list[str] | None, typer.Argument(help="What to measure: elementwise, memory, layer, import; all if none is named.")
    ] = None,
    framework: Annotated[Literal["torch", "jax", "both"], typer.Option(help="In which framework.")] = "both",
    mode: Annotated[Literal["eager", "compiled", "both"], typer.Option(help="Plain calls, torch.compile and jax.jit.")] = "eager",
    surrogates: Annotated[
        list[str] | None,
        typer.Option("--surrogate", help="A surrogate; may be repeated. All if none is named, in the layer fast_sigmoid."),
    ] = None,
    sizes: Annotated[str, typer.Option(help="Elements of the arrays, with commas between.")] = "1024,65536,1048576,16777216",
    dtype: Annotated[Literal["float32", "float16", "bfloat16", "float64"], typer.Option(help="Of the arrays.")] = "float32",
    seconds: Annotated[float, typer.Option(min=0, help="For each surrogate at each size; five rounds at least.")] = 0.25,
    neurons: Annotated[int, typer.Option(min=1, help="Neurons of the layer, and its inputs.")] = 512,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON in place of the tables.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the ratios: FILE.png, FILE.svg.")] = None,
) -> None:
    """Measure time and memory of the surrogates beside every installed library, relu and a bare copy, in turn in one run."""
    from arcana.bench.settings import PARTS, Settings

    if plot is not None:
        _check_writable("--plot", plot)
    try:
        settings = Settings(
            parts=tuple(parts or PARTS),
            frameworks=("torch", "jax") if framework == "both" else (framework,),
            modes=("eager", "compiled") if mode == "both" else (mode,),
            chosen=tuple(surrogates or ()),
            sizes=_sizes(sizes),
            dtype=dtype,
            seconds=seconds,
            neurons=neurons,
        )
    except ValueError as error:
        _fail(str(error))
    from arcana._missing import MissingDependencyError

    try:
        _bench(settings, as_json, plot)
    except MissingDependencyError as error:
        _fail(str(error), status=1)


def _bench(settings: Settings, as_json: bool, plot: Path | None) -> None:
    from arcana.bench import report, run

    figure = None if plot is None else _figure(settings, plot)
    log = Console(stderr=True, highlight=False)
    with log.status("importing the frameworks and the libraries") as status:
        found, missing = run.fields(settings)
        if not found:
            _fail("; ".join(missing.values()), status=1)
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
        _fail("--plot draws the times of the part elementwise, which is not measured")
    try:
        figure.check(path)
    except ValueError as error:
        _fail(f"--plot: {error}")
    return figure


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        _fail(f"--sizes takes whole numbers with commas between, got {text!r}")


def _check_writable(option: str, path: Path) -> None:
    if not path.parent.is_dir() or path.is_dir():
        _fail(f"{option}: cannot write a file at {str(path)!r}")


def _surrogate(name: str, assignments: list[str]) -> Surrogate:
    """The surrogate of `--surrogate` and `--set`; exits with a line on what is wrong with them."""
    try:
        known = type(arcana.surrogate.get(name)).parameter_names()
        return arcana.surrogate.get(name, **_parameters(name, assignments, known))
    except (TypeError, ValueError) as error:
        _fail(str(error))


def _parameters(surrogate: str, assignments: list[str], known: list[str]) -> dict[str, float | bool]:
    parameters: dict[str, float | bool] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            _fail(f"--set takes name=value, got {assignment!r}")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            _fail(f"{surrogate} has no parameter {name!r}; {advice}")
        if name in parameters:
            _fail(f"--set {name} is given twice")
        parameters[name] = _value(name, text)
    return parameters


def _value(name: str, text: str) -> float | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        _fail(f"--set {name}: {text!r} is not a number")


def _fail(message: str, status: int = 2) -> NoReturn:
    typer.echo(f"arcana: {message}", err=True)
    raise typer.Exit(status)


def main() -> None:
    """The command, as installed."""
    app(prog_name="arcana")
