"""What the differences of outputs and gradients point to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from arcana.testing._difference import Leaf


def causes_of(outputs: tuple[Leaf, ...], gradients: tuple[Leaf, ...], first_row: Callable[[Leaf], list[Leaf]]) -> tuple[str, ...]:
    """Sentences; `first_row` gives the gradients of an output's first row alone."""
    causes = [
        f"{leaf.name}: {leaf.mismatch}: a dtype of the data, a cast, or jax_enable_x64"
        for leaf in outputs
        if leaf.mismatch and leaf.absolute is not None
    ]
    different = [leaf for leaf in outputs if not leaf.close()]
    causes += [cause for leaf in different if (cause := _comparison(leaf))]
    if different:
        if not causes:
            causes.append("the forward passes differ; record both and ask arcana.testing.first_divergence where it begins")
        return tuple(causes)
    failing = [leaf for leaf in gradients if not leaf.close()]
    if failing:
        causes.append(_gradient_cause(outputs, failing, first_row))
    return tuple(causes)


def _is_spikes(leaf: Leaf) -> bool:
    return leaf.torch is not None and leaf.torch.size > 0 and bool(np.isin(leaf.torch.astype(np.float64), (0.0, 1.0)).all())


def _comparison(leaf: Leaf) -> str:
    if leaf.mismatch or not _is_spikes(leaf) or leaf.jax is None or not np.isin(leaf.jax.astype(np.float64), (0.0, 1.0)).all():
        return ""
    return f"{leaf.name}: {leaf.differing} spikes differ: the threshold, `>` for `>=`, or a potential that differs"


def _gradient_cause(outputs: tuple[Leaf, ...], failing: list[Leaf], first_row: Callable[[Leaf], list[Leaf]]) -> str:
    """Which of the two ways of getting a gradient wrong while the forward pass is right."""
    of_spikes = [leaf for leaf in outputs if _is_spikes(leaf) and any(f"∂{leaf.name}/" in each.name for each in failing)]
    if not of_spikes:
        return (
            "the outputs agree and so do the spikes' gradients; a path to "
            f"{failing[0].name.partition('/')[0].removeprefix('∂')} is cut on one side: a detached reset or state"
        )
    first = [each for leaf in of_spikes for each in first_row(leaf)]
    wrong = [each for each in first if not each.close()]
    if wrong:
        return f"the outputs agree and the spikes' gradients do not, from the first row on: the surrogate ({_ratio(wrong[0])})"
    return (
        "the outputs agree, and the gradients of the first row of the spikes: over time, a path is cut on one side: "
        "a detached reset or state"
    )


def _ratio(leaf: Leaf) -> str:
    if leaf.torch is None or leaf.jax is None:
        return ""
    both = (leaf.torch != 0) & (leaf.jax != 0)
    if not both.any():
        return "where one gradient is 0 the other is not"
    ratio = leaf.torch[both].astype(np.float64) / leaf.jax[both].astype(np.float64)
    return f"torch/JAX is {np.median(ratio):.4g} in the median of {leaf.name}"
