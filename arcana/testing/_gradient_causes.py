"""The causes that differing outputs and gradients point to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from arcana.testing._cause import Cause
from arcana.testing._difference import Leaf
from arcana.testing._values import Array


def causes_of(
    outputs: tuple[Leaf, ...], gradients: tuple[Leaf, ...], first_row: Callable[[Leaf], list[Leaf]]
) -> tuple[Cause, ...]:
    """Return the causes, the most direct first; `first_row` gives the gradients of an output's first row alone."""
    different = [leaf for leaf in outputs if not leaf.close()]
    causes = [
        Cause("dtype", leaf.name, f"{leaf.name}: {leaf.mismatch}: a dtype of the data, a cast, or jax_enable_x64")
        for leaf in different
        if leaf.mismatch and leaf.absolute is not None
    ]
    causes += [_spikes(leaf) for leaf in different if not leaf.mismatch and _is_spikes(leaf)]
    if different:
        text = "the forward passes differ; record both and ask arcana.testing.first_divergence where it begins"
        return tuple(causes or [Cause("forward", different[0].name, text)])
    failing = [leaf for leaf in gradients if not leaf.close()]
    return (_gradient_cause(outputs, failing, first_row),) if failing else ()


def _is_spikes(leaf: Leaf) -> bool:
    return all(each is not None and each.size > 0 and _is_binary(each) for each in (leaf.torch, leaf.jax))


def _is_binary(array: Array) -> bool:
    return bool(np.isin(array if array.dtype.kind == "c" else array.astype(np.float64), (0.0, 1.0)).all())


def _spikes(leaf: Leaf) -> Cause:
    text = f"{leaf.name}: {leaf.differing} spikes differ: the threshold, `>` for `>=`, or a potential that differs"
    return Cause("spikes", leaf.name, text)


def _gradient_cause(outputs: tuple[Leaf, ...], failing: list[Leaf], first_row: Callable[[Leaf], list[Leaf]]) -> Cause:
    """Return the cause of a wrong gradient where the forward pass is right: another surrogate, or a path that is cut."""
    of_spikes = [leaf for leaf in outputs if _is_spikes(leaf) and any(f"∂{leaf.name}/" in each.name for each in failing)]
    if not of_spikes:
        cut = failing[0].name.partition("/")[0].removeprefix("∂")
        text = f"the outputs agree and so do the spikes' gradients; a path to {cut} is cut on one side: a detached reset or state"
        return Cause("detached", cut, text)
    where = of_spikes[0].name
    rows = [[each for each in first_row(leaf) if _is_reached(each)] for leaf in of_spikes]
    for leaf, gradients in zip(of_spikes, rows, strict=True):
        # A wrong slope spoils every gradient of the spikes, a cut path only those that it would have added to.
        if gradients and not any(each.close() for each in gradients):
            text = (
                f"the outputs agree, the spikes' gradients do not, from the first row on: the surrogate ({_ratio(gradients[0])})"
            )
            return Cause("surrogate", leaf.name, text)
    wrong = [each.name for gradients in rows for each in gradients if not each.close()]
    if wrong:
        text = f"the outputs agree, and so do some of the spikes' gradients, but not {wrong[0]}: a path is cut on one side"
        return Cause("detached", where, f"{text}: a detached reset or state, or the surrogate of an earlier layer")
    text = "the outputs agree, and the spikes' gradients in the first row; later a path is cut on one side: a detached reset"
    return Cause("detached", where, text)


def _is_reached(leaf: Leaf) -> bool:
    return any(each is not None and bool(each.any()) for each in (leaf.torch, leaf.jax))


def _ratio(leaf: Leaf) -> str:
    if leaf.torch is None or leaf.jax is None:
        return ""
    both = (leaf.torch != 0) & (leaf.jax != 0)
    if not both.any():
        return "where one gradient is 0 the other is not"
    # Of complex gradients a wrong slope changes the size and not the angle.
    ratio = (leaf.torch[both].astype(np.complex128) / leaf.jax[both].astype(np.complex128)).real
    return f"torch/JAX is {np.median(ratio):.4g} in the median of {leaf.name}"
