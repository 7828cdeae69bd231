"""Two runs side by side: where their spikes part, and which potentials before that have had the same spikes behind them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from arcana.testing._runs import Layer, Run, layer_pairs
from arcana.testing._values import Array, from_float, to_float

UNIT = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""The unit roundoff: half the distance from 1 to the next float."""

CONFIDENCE = 4.0
"""How many standard deviations of accumulated rounding are taken for rounding."""

UNKNOWN_TERMS = 1024
"""The number of terms in a sum where nothing says it: its square root counts, so a factor 4 either way is one of 2."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """One layer of both runs, (steps, samples, neurons), the potentials in float64.

    Attributes:
        name: the layer's.
        shape: of one step, as the user has it.
        torch, jax: the potentials.
        torch_fired, jax_fired: the spikes as booleans.
        threshold: broadcasts to the potentials.
        bound: the accumulated rounding of each step, (steps,); see `accumulated_rounding`.
    """

    name: str
    shape: tuple[int, ...]
    torch: Array
    jax: Array
    torch_fired: Array
    jax_fired: Array
    threshold: Array
    bound: Array

    @property
    def difference(self) -> Array:
        """JAX − torch; inf where only one is NaN."""
        with np.errstate(invalid="ignore"):
            difference = self.jax - self.torch
        same = (self.jax == self.torch) | (np.isnan(self.jax) & np.isnan(self.torch))
        return np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))

    @property
    def size(self) -> float:
        """The largest finite potential of torch."""
        return float(np.abs(self.torch[np.isfinite(self.torch)]).max(initial=0.0))

    @property
    def flips(self) -> Array:
        """A mask of the spikes that differ."""
        return self.torch_fired != self.jax_fired


@dataclasses.dataclass(frozen=True, eq=False)
class SideBySide:
    """Both runs, layer by layer.

    Attributes:
        pairs: the layers in order.
        dtype: the coarser of the runs', whose unit roundoff the bounds rest on.
        parted: the place `step · layers + layer` of each sample's first spike that differs, steps · layers where none does.
    """

    pairs: tuple[Pair, ...]
    dtype: str
    parted: Array

    def untouched(self, layer: int) -> Array:
        """Return a mask, (steps, samples), of where a layer's potentials come from the same spikes in both runs.

        The place of a sample's first differing spike is among them: all before it was the same.
        """
        steps = np.arange(len(self.pairs[layer].torch))
        return steps[:, None] * len(self.pairs) + layer <= self.parted[None, :]


def side_by_side(torch_run: Run, jax_run: Run, threshold: Any, terms: int | None) -> SideBySide:
    """Set two runs side by side, with the bound of each layer and the place where each sample parts."""
    layers = list(layer_pairs(torch_run, jax_run))
    if isinstance(threshold, Mapping) and (unknown := [str(name) for name in threshold if name not in torch_run.layers]):
        msg = f"threshold: there is no layer {', '.join(unknown)}, the runs have {', '.join(torch_run.layers)}"
        raise ValueError(msg)
    dtype = _coarser(torch_run, jax_run)
    shaped = [_shaped(name, ours, theirs, _of_layer(threshold, name), dtype) for name, ours, theirs in layers]
    parted = _parted(shaped)
    widths = [pair.torch.shape[2] for pair in shaped]
    first = math.prod(torch_run.inputs.shape[2:] or torch_run.inputs.shape[1:]) if torch_run.inputs is not None else UNKNOWN_TERMS
    result = SideBySide(tuple(shaped), dtype, parted)
    bounded = []
    for i, pair in enumerate(shaped):
        # What a neuron adds up: the layer before, its own layer if it is recurrent, bias, leak, reset.
        count = (terms or (first if i == 0 else widths[i - 1]) + widths[i]) + 4
        size = _largest(pair, result.untouched(i))
        bounded.append(dataclasses.replace(pair, bound=accumulated_rounding(dtype, count, size)))
    return dataclasses.replace(result, pairs=tuple(bounded))


def accumulated_rounding(dtype: str, terms: int, size: Array) -> Array:
    """Return how far rounding can take two correct runs apart by each step.

    λ · u · sqrt(2 · n) · size, n = terms · (step + 1) roundings in each run: rounding errors are as good as independent and of
    mean zero, and n of them add up to λ·sqrt(n)·u with a probability of 2·exp(−λ²/2) for more (N. J. Higham and T. Mary
    (2019), "A New Approach to Probabilistic Rounding Error Analysis", SIAM J. Sci. Comput. 41(5), A2815–A2835,
    doi:10.1137/18M1226312). `size` is the largest potential of the layer up to each step.
    """
    steps = np.arange(1, len(size) + 1)
    return CONFIDENCE * UNIT[dtype] * np.sqrt(2.0 * terms * steps) * size


def spacing(value: float, dtype: str) -> float:
    """Return one unit in the last place of a value."""
    magnitude = float(to_float(from_float(np.array([abs(value)]), dtype), dtype)[0])
    if not math.isfinite(magnitude) or magnitude == 0.0:
        return math.nan
    return 2.0 * UNIT[dtype] * 2.0 ** math.floor(math.log2(magnitude))


def numbers_of(run: Run) -> str:
    """Return the coarsest dtype that holds every potential of a run: float64 arrays may hold float32 numbers."""
    arrays = [layer.potentials for layer in run.layers.values()]
    own = min((array.dtype.name for array in arrays), key=UNIT.__getitem__)
    coarser = [dtype for dtype in UNIT if UNIT[dtype] > UNIT[own]]
    held = [dtype for dtype in coarser if all(_holds(dtype, array) for array in arrays)]
    return max([own, *held], key=UNIT.__getitem__)


def _holds(dtype: str, array: Array) -> bool:
    values = array.astype(np.float64)
    return bool(np.array_equal(to_float(from_float(values, dtype), dtype), values, equal_nan=True))


def _coarser(torch_run: Run, jax_run: Run) -> str:
    arrays = [layer.potentials for run in (torch_run, jax_run) for layer in run.layers.values()]
    declared = max((array.dtype.name for array in arrays), key=UNIT.__getitem__)
    if declared == "float64" and all(_holds("float32", array) for array in arrays):
        return "float32"
    return declared


def _of_layer(threshold: Any, name: str) -> Any:
    if not isinstance(threshold, Mapping):
        return threshold
    if name not in threshold:
        msg = f"threshold: layer {name!r} is missing, it has {', '.join(threshold)}"
        raise ValueError(msg)
    return threshold[name]


def _shaped(name: str, ours: Layer, theirs: Layer, threshold: Any, dtype: str) -> Pair:
    shape = ours.potentials.shape
    samples = shape[1] if len(shape) > 2 else 1
    neurons = shape[2:] if len(shape) > 2 else shape[1:]
    flat = (shape[0], samples, math.prod(neurons))
    # The threshold as the runs' own arithmetic has it.
    rounded = to_float(from_float(np.atleast_1d(np.asarray(threshold, np.float64)), dtype), dtype).astype(np.float64)
    try:
        limit = np.broadcast_to(rounded, shape).reshape(flat)
    except ValueError:
        msg = f"threshold: shape {np.shape(threshold)} does not broadcast to layer {name!r}, {shape}"
        raise ValueError(msg) from None
    potentials = [each.potentials.astype(np.float64).reshape(flat) for each in (ours, theirs)]
    fired = [np.zeros(flat, bool) if each.spikes is None else each.spikes.reshape(flat) > 0 for each in (ours, theirs)]
    return Pair(name, shape[1:], *potentials, *fired, threshold=limit, bound=np.zeros(shape[0]))


def _parted(pairs: list[Pair]) -> Array:
    steps, samples = pairs[0].torch.shape[:2]
    if any(pair.torch.shape[1] != samples for pair in pairs):
        msg = f"every layer has the same number of samples, got {[pair.torch.shape[1] for pair in pairs]}"
        raise ValueError(msg)
    flips = np.stack([pair.flips.any(axis=2) for pair in pairs], axis=1).reshape(steps * len(pairs), samples)
    return np.where(flips.any(axis=0), flips.argmax(axis=0), len(flips))


def _largest(pair: Pair, untouched: Array) -> Array:
    """Return the largest potential until each step, at least the threshold, which the reset takes off."""
    sizes = np.maximum(np.abs(pair.torch), np.abs(pair.threshold))
    sizes = np.where(untouched[:, :, None] & np.isfinite(sizes), sizes, 0.0)
    return np.maximum.accumulate(sizes.max(axis=(1, 2)))
