"""The command `arcana`. Every command imports what it needs when it runs, so that `--help` stays quick."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import arcana
from arcana.surrogate import Surrogate

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
    if not output.parent.is_dir() or output.is_dir():
        _fail(f"--output: cannot write a file at {str(output)!r}")
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
