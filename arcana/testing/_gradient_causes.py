"""The causes that differing outputs and gradients point to. Nothing is said of what was neither returned nor seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from arcana.testing._cause import Cause
from arcana.testing._difference import RELATIVE, Leaf
from arcana.testing._divergence import CANNOT_TELL
from arcana.testing._first_divergence import first_divergence
from arcana.testing._matching import match
from arcana.testing._runs import Run
from arcana.testing._seen import Seen, surrogates_differ
from arcana.testing._values import Array

Look = Callable[[], tuple[Seen, Seen] | None]
"""Runs both functions once more and sees their spike functions; None where a function does not repeat itself."""


def causes_of(
    outputs: tuple[Leaf, ...], gradients: tuple[Leaf, ...], first_row: Callable[[Leaf], list[Leaf]], look: Look
) -> tuple[Cause, ...]:
    """Return the causes, the most direct first; `first_row` gives the gradients of an output's first row alone."""
    different = [leaf for leaf in outputs if not leaf.close()]
    if different:
        return tuple(_forward(different, look()))
    failing = [leaf for leaf in gradients if not leaf.close()]
    return tuple(_backward(outputs, gradients, failing, first_row, look())) if failing else ()


def _forward(different: Sequence[Leaf], seen: tuple[Seen, Seen] | None) -> list[Cause]:
    causes = [
        Cause("dtype", leaf.name, f"{leaf.name}: {leaf.mismatch}: a dtype of the data, a cast, or jax_enable_x64")
        for leaf in different
        if leaf.mismatch and leaf.absolute is not None
    ]
    numbers = [leaf for leaf in different if not leaf.mismatch]
    if numbers and seen and seen[0].run and seen[1].run:
        causes += _by_spikes(numbers, seen[0].run, seen[1].run, surrogates_differ(*seen))
    elif numbers:
        causes += [cause for leaf in numbers for cause in _of_numbers(leaf)]
    if causes:
        return causes
    return [Cause("forward", different[0].name, f"{different[0].name}: {different[0].mismatch or 'the numbers differ'}")]


def _by_spikes(numbers: Sequence[Leaf], torch: Run, jax: Run, surrogates: str | None) -> list[Cause]:
    """Return what the spikes that were seen on the way say of outputs that differ: a training step's depend on surrogates too."""
    where = numbers[0].name
    known = _on_the_way(torch, jax)
    if known is None:
        return [cause for leaf in numbers for cause in _of_numbers(leaf)]
    explained, text = known
    if not explained:
        kind = "spikes" if all(_is_spikes(leaf) for leaf in numbers) else "forward"
        return [Cause(kind, where, text)]
    if text:
        return [Cause("rounding", where, text)]
    if surrogates:
        return [Cause("surrogate", where, f"the spikes on the way are the same and the surrogates are not: {surrogates}")]
    found = [cause for leaf in numbers for cause in _of_numbers(leaf)]
    same = "the spikes on the way are the same in every call"
    return [dataclasses.replace(cause, evidence=f"{cause.evidence}; {same}") for cause in found] or [
        Cause("forward", where, f"{same}, and what is made of them differs")
    ]


def _on_the_way(torch: Run, jax: Run) -> tuple[bool, str] | None:
    """Return whether rounding explains what differs between the spikes seen, and what it is; None if that cannot be told."""
    try:
        found = first_divergence(*match(torch, jax).runs, threshold=0.0)
    except (ValueError, TypeError):
        # One side may fire more often than the other and mean the same.
        return None
    if found.verdict == CANNOT_TELL:
        return None
    flip = found.unexplained or found.first
    place = "" if flip is None else f"spikes differ first at step {flip.step}, layer {flip.layer!r}, neuron {flip.neuron}: "
    if found.explained:
        return (
            True,
            ""
            if flip is None
            else f"{place}rounding explains it, with margins of {flip.potentials[0]:.2g} and {flip.potentials[1]:.2g}",
        )
    text = found.causes[0].evidence if found.causes else "the potentials on the way differ"
    return False, f"{place}{text}; record both runs for more (arcana.testing.recording, arcana diverge)"


def _of_numbers(leaf: Leaf) -> list[Cause]:
    if _is_spikes(leaf):
        text = f"{leaf.name}: {leaf.differing} spikes differ: the threshold, `>` for `>=`, or a potential that differs"
        return [Cause("spikes", leaf.name, text)]
    factor = _factor(leaf)
    if factor is None or factor.spread > factor.close or abs(factor.value - 1) <= factor.close:
        return []
    if leaf.torch is not None and leaf.torch.size > 2:
        return [Cause("scale", leaf.name, f"{leaf.name}: torch is {factor.value:.6g} times JAX in every element")]
    return [Cause("forward", leaf.name, f"{leaf.name}: torch is {factor.value:.6g} times JAX")]


def _backward(
    outputs: tuple[Leaf, ...],
    gradients: tuple[Leaf, ...],
    failing: list[Leaf],
    first_row: Callable[[Leaf], list[Leaf]],
    seen: tuple[Seen, Seen] | None,
) -> list[Cause]:
    """Return the causes of wrong gradients where the forward pass is right."""
    if seen and seen[0].run and seen[1].run:
        found = _on_the_way(seen[0].run, seen[1].run)
        if found and not found[0]:
            return [Cause("forward", None, f"the outputs agree, and the potentials behind them do not: {found[1]}")]
    differ = surrogates_differ(*seen) if seen else None
    if differ:
        surrogate = Cause("surrogate", None, f"the outputs agree and the surrogates do not: {differ}")
        # A surrogate scales what passes it; where its derivative is 0 nowhere in a call, no gradient is 0 for it.
        passes = seen is not None and all(h.all() for side in seen for calls in side.slopes for _, h in calls)
        cut = (_cut(output.name, [leaf for leaf in failing if _is_of(leaf, output) and _is_reached(leaf)]) for output in outputs)
        return [surrogate, *[cause for cause in cut if cause is not None and passes][:1]]
    causes: dict[tuple[str, str], Cause] = {}
    for output in outputs:
        rows = [leaf for leaf in gradients if _is_of(leaf, output) and _is_reached(leaf)]
        wrong = [leaf for leaf in rows if leaf in failing]
        if wrong:
            cause = _of_output(output, rows, wrong, differ == "", outputs, gradients, first_row)
            # What is cut for one output is for others: it is said once.
            causes.setdefault((cause.kind, cause.evidence.partition(": ")[2]), cause)
    return list(causes.values())


def _of_output(
    output: Leaf,
    rows: list[Leaf],
    wrong: list[Leaf],
    same_surrogates: bool,
    outputs: tuple[Leaf, ...],
    gradients: tuple[Leaf, ...],
    first_row: Callable[[Leaf], list[Leaf]],
) -> Cause:
    name = output.name
    if cut := _cut(name, wrong):
        return cut
    factors = {leaf.name.partition("/∂")[2]: _factor(leaf) for leaf in rows}
    known = [each for each in factors.values() if each is not None]
    values = [each.value for each in known]
    one = len(known) == len(rows) and all(each.spread <= each.close for each in known)
    same = one and max(values) - min(values) <= known[0].close * max(map(abs, values))
    if same and (same_surrogates or not _is_spikes(output)):
        text = f"{name}: every gradient of torch is {values[0]:.6g} times JAX's: a cotangent, or how a loss is reduced"
        return Cause("scale", name, text)
    if one:
        each = ", ".join(f"{value:.4g} for {argument}" for argument, value in zip(factors, values, strict=True))
        text = f"{name}: the gradients of torch and JAX have one ratio for each argument: {each}"
        if same_surrogates:
            return Cause("gradients", name, f"{text}; the surrogates are the same, so a gradient is scaled on the way")
        return Cause("surrogate", name, f"{text}: the height of a surrogate, which counts once a layer")
    if same_surrogates:
        text = f"{name}: the surrogates are the same in every call: a path is cut on one side, such as a detached reset or state"
        return Cause("detached", name, text)
    return _by_the_first_row(output, outputs, gradients, first_row)


def _cut(name: str, wrong: list[Leaf]) -> Cause | None:
    """Return the path that is cut on one side: a gradient that is 0 there alone."""
    cut = [(leaf, side) for leaf in wrong for side, each in (("torch", leaf.torch), ("JAX", leaf.jax)) if not _any(each)]
    if not cut:
        return None
    leaf, side = cut[0]
    return Cause("detached", name, f"{name}: {leaf.name} is 0 in {side} and not in the other: that path is cut in {side}")


def _is_of(leaf: Leaf, output: Leaf) -> bool:
    return leaf.name.startswith(f"∂{output.name}/")


def _by_the_first_row(
    output: Leaf, outputs: tuple[Leaf, ...], gradients: tuple[Leaf, ...], first_row: Callable[[Leaf], list[Leaf]]
) -> Cause:
    """Return what the spikes that are returned say, where no spike function was seen."""
    name = output.name
    spikes = [leaf for leaf in outputs if _is_spikes(leaf) and _has_gradients(leaf, gradients)]
    if not spikes:
        text = f"{name}: its gradients differ, and not by one factor: another surrogate, or a path that is cut, such as a reset"
        return Cause("gradients", name, f"{text}. No spikes are returned and no spike function was seen, so which is not known")
    if output not in spikes and all(
        leaf.close() for each in spikes for leaf in gradients if leaf.name.startswith(f"∂{each.name}/")
    ):
        text = f"{name}: the spikes' gradients agree and these do not: a path is cut on one side: a detached reset or state"
        return Cause("detached", name, text)
    for leaf in spikes:
        rows = [each for each in first_row(leaf) if _is_reached(each)]
        # A wrong slope spoils every gradient of the spikes, a cut path only those that it would have added to.
        if rows and not any(each.close() for each in rows):
            factor = _factor(rows[0])
            ratio = "" if factor is None else f" (torch/JAX is {factor.median:.4g} in the median of {rows[0].name})"
            text = f"{leaf.name}: its gradients differ from the first row on: the surrogate{ratio}"
            return Cause("surrogate", leaf.name, text)
    text = f"{name}: the spikes' gradients agree in part: a path is cut on one side: a detached reset or state"
    return Cause("detached", name, f"{text}, or the surrogate of an earlier layer")


@dataclasses.dataclass(frozen=True)
class _Factor:
    """torch as a multiple of JAX.

    Attributes:
        value: by least squares.
        median: of the ratios, where neither is 0.
        spread: the largest that is left, relative to the largest of torch.
        close: how small a spread is none.
    """

    value: float
    median: float
    spread: float
    close: float


def _factor(leaf: Leaf) -> _Factor | None:
    if leaf.torch is None or leaf.jax is None or leaf.torch.shape != leaf.jax.shape:
        return None
    a, b = (each.astype(np.complex128).ravel() for each in (leaf.torch, leaf.jax))
    if not (np.isfinite(a).all() and np.isfinite(b).all() and a.any() and b.any()):
        return None
    both = (a != 0) & (b != 0)
    if not both.any():
        return None
    value = np.vdot(b, a) / np.vdot(b, b)
    left = float(np.abs(a - value * b).max() / np.abs(a).max())
    # A complex factor turns every number: no scale.
    spread = left + float(abs(value.imag) / abs(value))
    return _Factor(float(value.real), float(np.median((a[both] / b[both]).real)), spread, 10 * RELATIVE.get(leaf.dtype, 0.0))


def _has_gradients(output: Leaf, gradients: tuple[Leaf, ...]) -> bool:
    return any(_is_of(leaf, output) for leaf in gradients)


def _is_spikes(leaf: Leaf) -> bool:
    return all(each is not None and each.size > 1 and _is_binary(each) for each in (leaf.torch, leaf.jax))


def _is_binary(array: Array) -> bool:
    return bool(np.isin(array if array.dtype.kind == "c" else array.astype(np.float64), (0.0, 1.0)).all())


def _is_reached(leaf: Leaf) -> bool:
    return _any(leaf.torch) or _any(leaf.jax)


def _any(array: Array | None) -> bool:
    return array is not None and bool(array.any())
