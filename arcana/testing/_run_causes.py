"""The causes that two differing runs point to, each with the figures it rests on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from arcana.testing._cause import Cause
from arcana.testing._layers import UNIT, Pair, SideBySide, numbers_of
from arcana.testing._runs import Run
from arcana.testing._values import Array, from_float, to_float

PROPORTIONAL = 0.98
"""The share of a difference's square that one factor must explain."""

UNRELATED = 0.2
"""The correlation below which two weights are taken for two draws: that of two draws of n numbers is about 1/sqrt(n)."""

GIVEN = ("dtype", "transposed", "seed", "weights", "inputs")
"""The kinds of cause that lie in what the networks got."""


def causes(torch_run: Run, jax_run: Run, sides: SideBySide) -> tuple[Cause, ...]:
    """Return every cause that the evidence names, what was given to the networks first, then what they did with it."""
    found = [*_given(torch_run, jax_run), *_dtype(torch_run, jax_run, sides)]
    for pair in sides.pairs:
        found += _threshold(pair, sides.dtype)
    # Another threshold takes another amount off at the reset: one cause, not two.
    explained = any(cause.kind in (*GIVEN, "threshold") for cause in found)
    if not explained:
        found += _dynamics(sides, same_given=_same_given(torch_run, jax_run))
    return tuple(found)


def _given(torch_run: Run, jax_run: Run) -> Iterator[Cause]:
    if torch_run.inputs is not None and jax_run.inputs is not None:
        kind, difference = _array_difference(torch_run.inputs, jax_run.inputs)
        if difference:
            yield Cause("dtype" if kind == "dtype" else "inputs", None, f"the inputs differ: {difference}")
    for name in [name for name in torch_run.parameters if name in jax_run.parameters]:
        kind, difference = _array_difference(torch_run.parameters[name], jax_run.parameters[name])
        if difference:
            yield Cause(kind, None, f"parameter {name!r}: {difference}")


def _same_given(torch_run: Run, jax_run: Run) -> bool:
    """Whether inputs and parameters were kept on both sides (and, as nothing was found there, are the same)."""
    inputs = torch_run.inputs is not None and jax_run.inputs is not None
    return inputs and bool(torch_run.parameters) and torch_run.parameters.keys() == jax_run.parameters.keys()


def _array_difference(ours: Array, theirs: Array) -> tuple[str, str]:
    """Return the kind of difference of two arrays that should be equal, and the figures; both empty if it is rounding."""
    if ours.shape != theirs.shape:
        turned = ours.ndim == 2 and ours.shape[::-1] == theirs.shape and _array_difference(ours.T, theirs)[0] == ""
        shapes = f"shape {ours.shape} in torch, {theirs.shape} in JAX"
        return ("transposed", f"{shapes}, one the transpose of the other") if turned else ("weights", shapes)
    if ours.dtype.kind in "biu" and theirs.dtype.kind in "biu":
        # Whole numbers have no rounding, and those of 64 bits no float64.
        count = int(np.count_nonzero(ours != theirs))
        return ("weights", f"{count} of {ours.size} whole numbers differ") if count else ("", "")
    if "c" in (ours.dtype.kind, theirs.dtype.kind):
        ours, theirs = (np.concatenate([np.atleast_1d(part) for part in (each.real, each.imag)]) for each in (ours, theirs))
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    # The same infinity on both sides, or NaN on both, differs by nothing.
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    a, b = (np.where(same & ~np.isfinite(each), 0.0, each) for each in (a, b))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        count = int(np.count_nonzero(~same & ~(np.isfinite(a) & np.isfinite(b))))
        return "weights", f"{count} of {a.size} numbers are NaN or infinite on one side"
    size = max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)))
    apart = float(np.abs(a - b).max(initial=0.0))
    if apart <= 2 * UNIT["float32"] * size:
        return "", ""
    if a.ndim == 2 and a.shape[0] == a.shape[1] and np.abs(a.T - b).max() <= 2 * UNIT["float32"] * size:
        return "transposed", "torch's is the transpose of JAX's"
    for dtype in ("float16", "bfloat16"):
        if apart <= UNIT[dtype] * size:
            return "dtype", f"they differ by {apart / size:.2g} of the largest, as if one were rounded to {dtype}"
    if min(a.std(), b.std()) > 0:
        correlation = float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
        if abs(correlation) < UNRELATED:
            return "seed", f"two different draws, as of two seeds: their correlation is {correlation:.2g}"
    return "weights", f"largest difference {apart:.3g}, largest value {size:.3g}"


def _dtype(torch_run: Run, jax_run: Run, sides: SideBySide) -> Iterator[Cause]:
    runs = {"torch": torch_run, "JAX": jax_run}
    held = {title: numbers_of(run) for title, run in runs.items()}
    if held["torch"] == held["JAX"]:
        return
    own = [{layer.potentials.dtype.name for layer in run.layers.values()} for run in runs.values()]
    coarse, fine = sorted(held, key=lambda title: UNIT[held[title]], reverse=True)
    if own[0] != own[1] or (_within(sides, held[coarse]) and _mostly_finer(runs[fine], held[coarse])):
        evidence = f"every potential of {coarse} is a {held[coarse]} number, those of {fine} are {held[fine]} numbers"
        yield Cause("dtype", None, evidence)


def _mostly_finer(run: Run, dtype: str) -> bool:
    """Whether a dtype cannot hold most potentials of a run; a few may be rounding among round numbers."""
    values = np.concatenate([layer.potentials.astype(np.float64).ravel() for layer in run.layers.values()])
    return bool(np.mean(to_float(from_float(values, dtype), dtype) != values) > 0.5)


def _within(sides: SideBySide, dtype: str) -> bool:
    """Whether the potentials differ by no more than rounding in a coarser dtype would bring."""
    factor = UNIT[dtype] / UNIT[sides.dtype]
    largest = [np.abs(pair.difference).max(axis=2) for pair in sides.pairs]
    over = [each > factor * pair.bound[:, None] for each, pair in zip(largest, sides.pairs, strict=True)]
    return not any((each & sides.untouched(i)).any() for i, each in enumerate(over))


@dataclasses.dataclass(frozen=True)
class _Firing:
    """The distances from the threshold between which a run begins to fire."""

    low: float
    high: float

    @classmethod
    def of(cls, potentials: Array, fired: Array, threshold: Array) -> _Firing:
        margin = potentials - threshold
        silent, firing = margin[~fired & ~np.isnan(margin)], margin[fired]
        return cls(float(silent.max(initial=-np.inf)), float(firing.min(initial=np.inf)))

    def fits(self, slack: float) -> bool:
        return self.low <= slack and self.high >= -slack

    @property
    def comparison(self) -> str:
        """The comparison, `>=` or `>`, if a potential on the threshold shows it; empty if none does."""
        if self.low < 0.0 == self.high:
            return ">="
        return ">" if self.low == 0.0 < self.high else ""

    def text(self, threshold: float) -> str:
        if self.low >= self.high:
            return f"fires at {threshold + self.high:.6g} and does not at {threshold + self.low:.6g}"
        return f"begins to fire above {threshold + self.low:.6g}, at most at {threshold + self.high:.6g}"


def firings(pair: Pair) -> tuple[_Firing, _Firing]:
    """Return where a layer begins to fire in torch and in JAX; each run's own potentials say it, whatever came before."""
    return _Firing.of(pair.torch, pair.torch_fired, pair.threshold), _Firing.of(pair.jax, pair.jax_fired, pair.threshold)


def _threshold(pair: Pair, dtype: str) -> Iterator[Cause]:
    ours, theirs = firings(pair)
    if not pair.torch_fired.any() and not pair.jax_fired.any():
        return
    level = float(pair.threshold.flat[0])
    slack = 4 * UNIT[dtype] * float(np.abs(pair.threshold).max())
    if ours.fits(slack) and theirs.fits(slack):
        if {ours.comparison, theirs.comparison} == {">", ">="}:
            rules = f"torch fires where v {ours.comparison} threshold and JAX where v {theirs.comparison} threshold"
            yield Cause("comparison", pair.name, f"in layer {pair.name!r} {rules}")
        return
    yield Cause("threshold", pair.name, f"layer {pair.name!r} in torch {ours.text(level)}; in JAX it {theirs.text(level)}")


def _dynamics(sides: SideBySide, *, same_given: bool) -> Iterator[Cause]:
    """Yield the cause at the first place where potentials from the same spikes differ by more than rounding."""
    places = []
    for i, pair in enumerate(sides.pairs):
        over = sides.untouched(i) & (np.abs(pair.difference).max(axis=2) > pair.bound[:, None])
        if over.any():
            places.append((int(over.any(axis=1).argmax()), i))
    if places:
        step, i = min(places)
        yield _at(sides.pairs[i], step, sides.untouched(i)[step], same_given)


def _at(pair: Pair, step: int, samples: Array, same_given: bool) -> Cause:
    """Return the cause that the differences at one step are in proportion to, trying the more telling ones first."""
    difference, now = pair.difference[step][samples], pair.torch[step][samples]
    where = f"at step {step} of layer {pair.name!r}"
    factor, share = _fit(difference, now)
    if step > 0:
        before, fired = pair.torch[step - 1][samples], pair.torch_fired[step - 1][samples]
        over = np.abs(difference) > pair.bound[step]
        if not (over & ~fired).any():
            return Cause("reset", pair.name, f"{where} only neurons that fired one step before differ: the reset")
        leak, leaked = _fit(difference[~fired], before[~fired])
        if leaked > max(PROPORTIONAL, share):
            evidence = f"{where} JAX − torch is {leak:.4g} times the potential one step before, where none fired: the leak"
            return Cause("leak", pair.name, evidence)
    if share > PROPORTIONAL:
        return _scaled(pair, f"{where} JAX's potentials are {1 + factor:.6g} times torch's", same_given)
    return _disproportionate(pair, where, difference, now)


def _disproportionate(pair: Pair, where: str, difference: Array, now: Array) -> Cause:
    finite = np.isfinite(difference) & np.isfinite(now) & (now != 0.0)
    size = float(np.sqrt(np.mean(difference[finite] ** 2) / np.mean(now[finite] ** 2))) if finite.any() else np.inf
    text = f"{where} the potentials differ by {size:.2g} of their size"
    # Rounding to a coarser dtype moves nearly every number.
    if finite.any() and np.mean(difference[finite] != 0.0) > 0.5:
        for dtype, title in (("float16", "float16 or TF32"), ("bfloat16", "bfloat16")):
            if size <= 4 * UNIT[dtype]:
                return Cause("dtype", pair.name, f"{text}, as if a part were rounded to {title}")
    return Cause("potentials", pair.name, f"{text}, in proportion to nothing that is known: weights or input")


def _scaled(pair: Pair, evidence: str, same_given: bool) -> Cause:
    leak = "the leak reaches the input, β·(v + I) for β·v + I"
    if same_given:
        return Cause("leak", pair.name, f"{evidence}, of the same inputs and weights: {leak}")
    return Cause("scale", pair.name, f"{evidence}: a scaled input or weight, or {leak}")


def _fit(difference: Array, explanation: Array) -> tuple[float, float]:
    """Return the factor that best explains a difference, and the share of its square that it explains."""
    finite = np.isfinite(difference) & np.isfinite(explanation)
    difference, explanation = difference[finite], explanation[finite]
    square, total = float(explanation @ explanation), float(difference @ difference)
    if difference.size < 4 or square == 0.0 or total == 0.0:
        return 0.0, 0.0
    factor = float(difference @ explanation) / square
    return factor, factor**2 * square / total


def check_threshold(pairs: tuple[Pair, ...], dtype: str) -> None:
    """Raise a ValueError if neither run has the threshold that the caller gave: then no margin would mean anything."""
    for pair in pairs:
        if not (pair.torch_fired.any() and pair.jax_fired.any()):
            continue
        slack = 4 * UNIT[dtype] * float(np.abs(pair.threshold).max())
        both: Mapping[str, _Firing] = dict(zip(("torch", "JAX"), firings(pair), strict=True))
        if any(each.fits(slack) for each in both.values()):
            continue
        level = float(pair.threshold.flat[0])
        told = "; ".join(f"{title} {each.text(level)}" for title, each in both.items())
        advice = "give its threshold"
        if all(each.low >= each.high for each in both.values()):
            advice = "potentials are those before the reset; an array gives each neuron its own threshold"
        msg = f"layer {pair.name!r} has another threshold than {level:g} in both runs ({told}); {advice}"
        raise ValueError(msg)
