"""The outcome as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group
from rich.table import Table
from rich.text import Text

from arcana.demo.comparison import Differences
from arcana.demo.run import Outcome
from arcana.testing.backends import TITLES


def render(outcome: Outcome) -> Group:
    """Return a table of every backend's epochs, under it what differs, and at the end whether that is rounding."""
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
    return Group(Text(title, style="bold"), table, _summary(outcome), *_verdict(outcome))


def _verdict(outcome: Outcome) -> Iterator[Text]:
    """Yield what `first_divergence` says of the two networks, and what follows for the two trainings."""
    found, differences = outcome.divergence, outcome.differences
    if found is None or differences is None:
        return
    yield Text(
        f"\nBoth networks with PyTorch's trained weights, on the {len(outcome.experiment.test.labels)} test images:", "bold"
    )
    yield Text(str(found))
    if found.explained and differences.first_spike_step is not None:
        yield Text(
            "So the networks are the same to within rounding. The trainings part since their gradients are rounded differently: "
            "each step then starts from weights that differ in the last places, until a potential crosses the threshold."
        )


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
            f"{differences.first_spike_count:,} of {differences.spikes_per_step:,} hidden neurons × steps × images"
        )
    return [("First gradient differs by", gradient), ("First spike that differs", spikes)]
