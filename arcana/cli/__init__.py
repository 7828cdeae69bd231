"""The command `arcana`. Every command imports what it needs when it runs, so that `--help` stays quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from arcana import __version__
from arcana.cli._bench import bench
from arcana.cli._catalogue import list_command, show
from arcana.cli._check import check
from arcana.cli._port import compare, diverge
from arcana.cli._shared import CHOICES, as_text, backends_of, fail as _fail, surrogate_named as _surrogate, writable
from arcana.surrogate import Surrogate

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("list")(list_command)
app.command()(show)
app.command()(check)
app.command()(compare)
app.command()(diverge)
app.command()(bench)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"arcana {__version__}")
        raise typer.Exit


@app.callback()
def arcana_command(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Surrogate gradients for spiking networks: one definition, the same numbers in PyTorch and in JAX."""


@app.command()
def demo(
    surrogate: Annotated[str, typer.Option(help="Name of the surrogate.")] = "fast_sigmoid",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the surrogate, scale=25; may be repeated."),
    ] = None,
    backend: Annotated[str, typer.Option(metavar=CHOICES, help="Where to train.")] = "both",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 15,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split, the weights and the batches.")] = 0,
    output: Annotated[Path, typer.Option(help="Where to write the picture, a PNG.")] = Path("arcana-demo.png"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON in place of the table.")] = False,
) -> None:
    """Train one spiking network on handwritten digits in PyTorch and in JAX, and show what differs and whether that is rounding.

    Example: arcana demo

    Example: arcana demo --surrogate atan --set slope=3 --backend jax
    """
    chosen = _surrogate(surrogate, assignments or [])
    writable(output, "--output")
    from arcana._core import MissingDependencyError

    try:
        _demo(chosen, backends_of(backend), epochs, seed, output, as_json)
    except MissingDependencyError as error:
        _fail(str(error), status=1)


def _demo(surrogate: Surrogate, backends: list[str], epochs: int, seed: int, output: Path, as_json: bool) -> None:
    from arcana.demo import figure
    from arcana.demo.experiment import TrainingSettings, prepare
    from arcana.demo.run import load_trainers, run, to_plain
    from arcana.demo.table import render
    from arcana.testing.backends import TITLES

    log = Console(stderr=True, highlight=False)
    experiment = prepare(TrainingSettings(surrogate=surrogate, epochs=epochs, seed=seed))
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
        outcome = run(
            experiment,
            trainers,
            missing,
            on_start=lambda name: progress.start_task(tasks[name]),
            on_step=lambda name: progress.advance(tasks[name]),
        )
    figure.save(outcome, output)
    if as_json:
        typer.echo(as_text({**to_plain(outcome), "figure": str(output)}))
    else:
        console = Console(highlight=False)
        console.print(render(outcome))
        console.print(f"Loss curves and spike raster: {output}", markup=False, soft_wrap=True)


def main() -> None:
    """Run the command, as installed; a misuse is one line and status 2."""
    try:
        sys.exit(app(prog_name="arcana", standalone_mode=False))
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        # What Typer raises for a wrong option says itself how to show it; anything else is a fault of ours.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        typer.echo(f"arcana: {' '.join(str(message()).split())}", err=True)
        sys.exit(2)
