"""Samples or neurons of one run in another order: found in the first step, and brought into that of the other run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from arcana.testing._cause import Cause
from arcana.testing._evidence import Evidence
from arcana.testing._laws import order_of, permuted
from arcana.testing._runs import Layer, Run
from arcana.testing._sides import Pair, Sides
from arcana.testing._values import Array


def in_order(one: Run, other: Run, sides: Sides, arranged: Callable[..., Sides]) -> tuple[list[Cause], Run, Sides] | None:
    """Return which orders differ, the other run in the order of the one, and both side by side.

    None where they do not, or where another order does not explain all of the first step.
    """
    if one.axes or other.axes or not _differs_at_first(sides):
        return None
    causes: list[Cause] = []
    for layer, axis in [(0, 1), *((i, 2) for i in range(len(sides.pairs)))]:
        found = Evidence.of(sides, layer)
        if (order := order_of(found, axis, 1)) is not None:
            causes.append(permuted(found, axis, order))
            other = _reordered(other, sides, order, None if axis == 1 else layer)
            sides = arranged(one, other)
    return (causes, other, sides) if causes and not _differs_at_first(sides) else None


def _differs_at_first(sides: Sides) -> bool:
    """Whether potentials of the first step differ by more than rounding, of the same spikes before."""
    return any(
        bool((np.abs(pair.difference[0]) > pair.bound[0])[sides.untouched(i)[0]].any()) for i, pair in enumerate(sides.pairs)
    )


def _reordered(run: Run, sides: Sides, order: Array, only: int | None) -> Run:
    """Return a run with the neurons of one layer in another order, or with the samples of all."""
    layers = {
        pair.name: _layer(run.layers[pair.name], pair, order, samples=only is None)
        for i, pair in enumerate(sides.pairs)
        if only in (None, i)
    }
    inputs = run.inputs if only is not None or run.inputs is None else run.inputs.take(order, axis=1)
    return dataclasses.replace(run, layers={**run.layers, **layers}, inputs=inputs)


def _layer(layer: Layer, pair: Pair, order: Array, *, samples: bool) -> Layer:
    shape = layer.potentials.shape
    flat = pair.other.potentials.shape

    def moved(part: Any) -> Array | None:
        if part is None:
            return None
        return np.broadcast_to(part, shape).reshape(flat).take(order, axis=1 if samples else 2).reshape(shape)

    # A threshold that was given for both runs is that of a neuron's place.
    threshold = layer.threshold if layer.margins or not pair.fires else pair.other.threshold.reshape(shape)
    parts = {"potentials": layer.potentials, "spikes": layer.spikes, "threshold": threshold, "refractory": layer.refractory}
    return dataclasses.replace(layer, **{name: moved(part) for name, part in parts.items()})
