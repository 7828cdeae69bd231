"""All parts of a run, its results, and the results as plain values."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

from arcana._missing import MissingDependencyError
from arcana.bench import elementwise, imports, layer, memory, memory_use
from arcana.bench.candidates import Field, field_of
from arcana.bench.libraries import LIBRARIES
from arcana.bench.machine import machine, versions
from arcana.bench.settings import Settings

Say = Callable[[str], object]


@dataclasses.dataclass
class Results:
    """What a run found.

    Attributes:
        machine: the processor and its like.
        versions: of the packages.
        left_out: what was not measured, and why.
        times: of the elementwise part.
        uses: of memory.
        layers: of the layer.
        imports: of the imports.
    """

    machine: dict[str, Any] = dataclasses.field(default_factory=machine)
    versions: dict[str, str] = dataclasses.field(default_factory=lambda: versions(["torch", "jax", *LIBRARIES]))
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    times: list[elementwise.Time] = dataclasses.field(default_factory=list)
    uses: list[memory.Use] = dataclasses.field(default_factory=list)
    layers: list[layer.Step] = dataclasses.field(default_factory=list)
    imports: list[imports.Import] = dataclasses.field(default_factory=list)


def fields(settings: Settings) -> tuple[dict[str, Field], dict[str, str]]:
    """The frameworks that are installed, and of the others what to install."""
    found, missing = {}, {}
    names = {*settings.surrogates, *settings.layer_surrogates}
    for framework in settings.frameworks:
        try:
            found[framework] = field_of(framework, names)
        except MissingDependencyError as error:
            missing[framework] = str(error)
    return found, missing


def run(settings: Settings, found: dict[str, Field], say: Say) -> Results:
    """Measure the chosen parts in the frameworks that were found.

    Args:
        settings: what to measure.
        found: of `fields`.
        say: told what is being measured.
    """
    results = Results()
    if "elementwise" in settings.parts:
        for framework, field in found.items():
            results.times += elementwise.measure(framework, field, settings, say)
    if {"memory", "layer"} & set(settings.parts):
        _measure_with_memory(settings, found, say, results)
    if "import" in settings.parts:
        results.imports = imports.measure(imports.chains_of(found), say)
    for field in found.values():
        results.left_out |= field.left_out
    return results


def _measure_with_memory(settings: Settings, found: dict[str, Field], say: Say, results: Results) -> None:
    """The parts of which memory is counted, in a second process where it can be."""
    with contextlib.ExitStack() as stack:
        executor = stack.enter_context(memory_use.counting_process()) if memory_use.available() else None
        if executor is None:
            results.left_out["memory"] = "can be counted on Linux with glibc only"
        elif "memory" in settings.parts:
            for framework in found:
                uses, left_out = memory.measure(framework, settings, say, executor)
                results.uses += uses
                results.left_out |= left_out
        if "layer" in settings.parts:
            for framework, field in found.items():
                results.layers += layer.measure(framework, field, settings, say, executor)


def to_plain(settings: Settings, results: Results) -> dict[str, Any]:
    """The results as JSON has them."""
    return {"settings": dataclasses.asdict(settings), **dataclasses.asdict(results)}


def from_plain(data: dict[str, Any]) -> Results:
    """The results from what `to_plain` made."""
    return Results(
        machine=data["machine"],
        versions=data["versions"],
        left_out=data["left_out"],
        times=[elementwise.Time(**each) for each in data["times"]],
        uses=[memory.Use(**each) for each in data["uses"]],
        layers=[layer.Step(**each) for each in data["layers"]],
        imports=[imports.Import(**each) for each in data["imports"]],
    )
