"""The outcome as a table for the terminal."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from arcana.demo.comparison import Differences
from arcana.demo.run import Outcome
from arcana.testing.backends import TITLES


def render(outcome: Outcome) -> Group:
    """Return a table of every backend's epochs, and under it what differs."""
    settings = outcome.experiment.settings
    title = f"Handwritten digits, 64 → 128 → 10, {settings.steps} steps, {settings.surrogate!r}, seed {settings.seed}"
    table = Table()
    table.add_column("epoch", justify="right")
    for name in outcome.trainings:
        table.add_column(f"{TITLES[name]}\nloss", justify="right")
        table.add_column(f"{TITLES[name]}\naccuracy", justify="right")
    losses = {name: training.epoch_losses() for name, training in outcome.trainings.items()}
    for epoch in range(settings.epochs):
        cells = [str(epoch + 1)]
        for name, training in outcome.trainings.items():
            cells += [f"{losses[name][epoch]:.6f}", f"{training.accuracies[epoch]:.2%}"]
        table.add_row(*cells)
    return Group(Text(title, style="bold"), table, _summary(outcome))


def _summary(outcome: Outcome) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    if outcome.differences is not None:
        for label, text in _lines(outcome.differences):
            facts.add_row(label, Text(text))
    for name, training in outcome.trainings.items():
        seconds = f"{training.seconds:.1f} s, of which the first training step {training.first_step_seconds:.1f} s"
        facts.add_row(f"{TITLES[name]} took", Text(seconds))
    return facts


def _lines(differences: Differences) -> list[tuple[str, str]]:
    gradient = (
        f"{differences.first_gradient:.1e} in {differences.first_gradient_in}, the largest over the\n"
        "parameters of max |torch − jax| / max |gradient|"
    )
    spikes = "none differs in any training step"
    if differences.first_spike_step is not None:
        spikes = (
            f"training step {differences.first_spike_step} of {len(differences.shares)}\n"
            f"{differences.first_spike_count:,} of {differences.spikes_per_step:,} hidden neurons × steps × images;\n"
            f"{differences.shares[-1]:.2%} of them in the last training step"
        )
    return [("First gradient differs by", gradient), ("First spike that differs", spikes)]
