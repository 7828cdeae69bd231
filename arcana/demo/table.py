"""The results as a table for the terminal."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from arcana.demo.comparison import Comparison
from arcana.demo.run import TITLES, Results


def render(results: Results) -> Group:
    """The epochs of every backend, and under them what differs."""
    settings = results.experiment.settings
    title = f"Handwritten digits, 64 → 128 → 10, {settings.steps} steps, {settings.surrogate!r}, seed {settings.seed}"
    table = Table()
    table.add_column("epoch", justify="right")
    for name in results.records:
        table.add_column(f"{TITLES[name]}\nloss", justify="right")
        table.add_column(f"{TITLES[name]}\naccuracy", justify="right")
    losses = {name: record.epoch_losses() for name, record in results.records.items()}
    for epoch in range(settings.epochs):
        cells = [str(epoch + 1)]
        for name, record in results.records.items():
            cells += [f"{losses[name][epoch]:.6f}", f"{record.accuracies[epoch]:.2%}"]
        table.add_row(*cells)
    return Group(Text(title, style="bold"), table, _summary(results))


def _summary(results: Results) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    if results.comparison is not None:
        for label, text in _differences(results.comparison):
            facts.add_row(label, Text(text))
    for name, record in results.records.items():
        seconds = f"{record.seconds:.1f} s, of which the first training step {record.first_step_seconds:.1f} s"
        facts.add_row(f"{TITLES[name]} took", Text(seconds))
    return facts


def _differences(comparison: Comparison) -> list[tuple[str, str]]:
    gradient = (
        f"{comparison.first_gradient:.1e} in {comparison.first_gradient_in}, the largest over the\n"
        "parameters of max |torch − jax| / max |gradient|"
    )
    spikes = "none differs in any training step"
    if comparison.first_spike_step is not None:
        spikes = (
            f"training step {comparison.first_spike_step} of {len(comparison.shares)}\n"
            f"{comparison.first_spike_count:,} of {comparison.spikes_per_step:,} hidden neurons × steps × images;\n"
            f"{comparison.shares[-1]:.2%} of them in the last training step"
        )
    return [("First gradient differs by", gradient), ("First spike that differs", spikes)]
