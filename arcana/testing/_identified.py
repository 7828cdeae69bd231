"""What each run alone does with the inputs and weights that it holds: v = a·v₁ + c·(x·W) + e until a neuron fires."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from arcana.testing._cause import Cause
from arcana.testing._evidence import FEW, Evidence, Fit, lag
from arcana.testing._products import matrices
from arcana.testing._rounding import UNIT, rounded
from arcana.testing._runs import Run
from arcana.testing._sides import Sides, canonical
from arcana.testing._values import Array


@dataclasses.dataclass(frozen=True, eq=False)
class Law:
    """The law of one run's layer.

    Attributes:
        name: of the run.
        change: what was done to the recorded weights or inputs: "" for nothing, "transposed", "late" or a dtype.
        parameter: the name of the weight.
        kept: a, of one step before or of two, (1 or 2, 1 or neurons).
        scale, bias: c and e; arrays of one number, or of one a neuron.
        start: whether the first step follows it too, from a state of zero.
        fit: the fit.
    """

    name: str
    change: str
    parameter: str
    kept: Array
    scale: Array
    bias: Array
    start: bool
    fit: Fit


def identified(found: Evidence, sides: Sides, layer: int, runs: tuple[Run, Run]) -> tuple[Law | None, Law | None]:
    """Return the law of the layer in each run; None where none is found."""
    return _law(found, sides, layer, 0, runs[0]), _law(found, sides, layer, 1, runs[1])


def _law(found: Evidence, sides: Sides, layer: int, index: int, run: Run) -> Law | None:
    potentials, mask = (found.one, found.other)[index], found.alone(index)
    drives = list(_drives(found, sides, layer, index, run))
    # The simplest first: a change of the inputs is simpler than another state, and that than numbers of each neuron.
    for by_neuron in (False, True):
        for start in (True, False):
            for change, parameter, drive in drives:
                about = (found.names[index], change, parameter)
                law = _fitted(found, potentials, mask, drive, about, by_neuron=by_neuron, start=start)
                if law is not None:
                    return law
    return None


def _drives(found: Evidence, sides: Sides, layer: int, index: int, run: Run) -> Iterator[tuple[str, str, Array]]:
    """Yield what the layer may add up in each step: recorded weights as they are first, then with one change."""
    shape = found.mask.shape
    if layer == 0:
        if run.inputs is None or run.inputs.dtype.kind == "c":
            return
        x = canonical(run.inputs, run.axes)
        x = x.astype(np.float64).reshape(*x.shape[:2], -1)
    else:
        before = sides.pairs[layer - 1].sides[index]
        x = before.fired.astype(np.float64) if sides.pairs[layer - 1].fires else before.potentials
    if x.shape[:2] != shape[:2] or not np.isfinite(x).all():
        return
    weights = list(matrices(run.parameters, x.shape[2], shape[2]))
    # A square weight comes in both layouts, the one that the other layers have first.
    recorded = [(name, weight) for name, weight in weights if weight.shape == (x.shape[2], shape[2])]
    names = [name for name, _ in recorded]
    own = [each for i, each in enumerate(recorded) if names.index(each[0]) == i]
    for name, weight in own:
        yield "", name, x @ weight
    for name, weight in own:
        if weight.shape[0] == weight.shape[1]:
            yield "transposed", name, x @ weight.T
        yield "late", name, lag(x @ weight, 1)
        for dtype in ("float16", "bfloat16"):
            if UNIT[dtype] > UNIT[found.pair.dtype]:
                yield dtype, name, rounded(rounded(x, dtype) @ rounded(weight, dtype), dtype)


def _fitted(
    found: Evidence, potentials: Array, mask: Array, drive: Array, about: tuple[str, str, str], *, by_neuron: bool, start: bool
) -> Law | None:
    if not mask.any() or not np.any(drive[mask]):
        return None
    later = mask.copy()
    later[0] = False
    before = [lag(potentials, 1), lag(potentials, 2)]
    for order in (1, 2):
        # Margins do not say what the potential of step −1 was, and the threshold is a constant in their law.
        for constant in (0, 1):
            if found.pair.offset and (start or not constant):
                continue
            where = mask if start else later
            if order == 2 and not start:
                where = where & (np.arange(len(mask)) > 1)[:, None, None]
            terms = [drive, *before[:order], *[np.ones((1, 1, 1))] * constant]
            fit = found.fit(potentials, terms, where, by_neuron=by_neuron)
            moved = (np.abs(before[0])[where] > found.pair.bound[where]).sum()
            if fit.holds and np.abs(fit.coefficients[0]).max() > 0 and moved >= FEW + fit.coefficients.size:
                bias = fit.coefficients[-1] if constant else np.zeros(1)
                return Law(*about, fit.coefficients[1 : 1 + order], fit.coefficients[0], bias, start, fit)
    return None


def differences(found: Evidence, one: Law, other: Law) -> Iterator[Cause]:
    """Yield how the laws of two runs differ."""
    layer = found.pair.name
    for law, reference in ((one, other), (other, one)):
        if law.change and not reference.change:
            kind = {"transposed": "transposed", "late": "delay"}.get(law.change, "dtype")
            words = {"transposed": "the transpose of it", "late": "the input of the step before"}.get(
                law.change, f"products in {law.change}"
            )
            recorded = f"that of {reference.name} with parameter {law.parameter!r} as recorded"
            text = f"layer {layer!r} of {law.name} computes with {words}, {recorded}"
            yield Cause(kind, layer, _with(text, law.fit))
    if one.kept.shape[0] != other.kept.shape[0]:
        return
    typical = float(np.median(np.abs(found.one[found.alone(0)]))) or 1.0
    limit = max(found.constant, 4 * float(np.median(found.pair.bound[found.alone(0)])) / typical)
    kept, scale, bias = (_apart(getattr(one, part), getattr(other, part)) for part in ("kept", "scale", "bias"))
    laws = f"in layer {layer!r} {one.name} computes {_told(one)}, {other.name} {_told(other)}"
    for reached, plain in ((other, one), (one, other)):
        if kept <= limit < scale and any(_apart(reached.scale, plain.scale * pole) <= 4 * limit for pole in _poles(plain)):
            reaches = f"the leak of {reached.name} reaches the input, β·(v + I) for β·v + I"
            kinds = ("leak", "scale") if abs(float(np.median(plain.scale)) - 1.0) <= 4 * limit else ("scale", "leak")
            yield Cause(kinds[0], layer, f"{laws}: {reaches}, or the input is scaled, which gives the same numbers", kinds[1:])
            return
    if kept > limit and one.kept.shape[0] == 1:
        yield Cause("leak", layer, _with(f"{laws}: the leak", other.fit))
    if scale > limit and not (kept > limit and _together(one, other)):
        yield Cause("scale", layer, _with(f"{laws}: a scaled input, of the same inputs and weights", other.fit))
    if bias > limit * typical and not found.pair.offset:
        yield Cause("bias", layer, _with(f"{laws}: a bias", other.fit))
    if one.start != other.start:
        odd = one if not one.start else other
        text = (
            f"the first step of layer {layer!r} in {odd.name} does not begin at zero, and later steps follow one law: the state"
        )
        yield Cause("state", layer, text)


def _poles(law: Law) -> list[Array]:
    """Return the constants of the potential and, if there is one, of the synaptic current; which is which is not known."""
    if law.kept.shape[0] == 1:
        return [law.kept[0]]
    first, second = law.kept
    half = np.sqrt(np.maximum(first * first / 4 + second, 0.0))
    return [first / 2 + half, first / 2 - half]


def _together(one: Law, other: Law) -> bool:
    """Whether leak and scale change as where a time constant divides the input too, v + (I − v)/τ."""
    if one.kept.shape[0] != 1:
        return False
    ratio = float(np.median(other.scale) / np.median(one.scale))
    expected = float((1 - np.median(other.kept)) / (1 - np.median(one.kept)))
    return abs(ratio - expected) < 0.01 * abs(ratio - 1)


def _apart(a: Array, b: Array) -> float:
    """Return the difference of two coefficients, each one number or one a neuron: that which most neurons exceed or reach."""
    if a.shape[-1] != b.shape[-1] and 1 not in (a.shape[-1], b.shape[-1]):
        return float(np.abs(np.median(a) - np.median(b)).max())
    return float(np.median(np.abs(a - b), axis=-1).max())


def _told(law: Law) -> str:
    def number(value: Array) -> str:
        return f"{float(value[0]):.6g}" if value.size == 1 else f"({value.min():.4g} to {value.max():.4g})"

    bias = f" + {number(law.bias)}" if np.any(law.bias) else ""
    kept = " + ".join(f"{number(each)}·v{'₁₂'[i] if len(law.kept) > 1 else ''}" for i, each in enumerate(law.kept))
    return f"{kept} + {number(law.scale)}·I{bias}"


def _with(text: str, fit: Fit) -> str:
    return f"{text} (this explains {min(fit.share, 1.0):.4%} of the potentials, in {fit.informative:,} places)"
