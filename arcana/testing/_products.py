"""What a layer adds up, where a run holds its inputs and weights: how large the terms are, and the sums themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from arcana.testing._values import Array


def matrices(parameters: Mapping[str, Array], inputs: int, neurons: int) -> Iterator[tuple[str, Array]]:
    """Yield the weights that fit between so many inputs and neurons as (inputs, neurons), by name; a square one both ways."""
    for name, weight in parameters.items():
        if weight.ndim == 2 and (weight.dtype.kind == "f" or weight.dtype.name == "bfloat16"):
            wide = weight.astype(np.float64)
            if weight.shape == (inputs, neurons):
                yield name, wide
            if weight.shape == (neurons, inputs):
                yield name, wide.T


def products(inputs: Array | None, parameters: Mapping[str, Array], shape: tuple[int, ...]) -> Array | None:
    """Return how large a neuron's terms are, (steps, samples, neurons): the root of the sum of their squares, or their sum.

    None without inputs, or if no weight fits. Of a convolution each neuron's terms are at most its kernel's with the largest
    input of the sample.
    """
    if inputs is None or inputs.shape[:2] != shape[:2] or inputs.dtype.kind == "c":
        return None
    flat = inputs.astype(np.float64).reshape(*inputs.shape[:2], -1)
    sizes = [_size(flat, weight) for _, weight in matrices(parameters, flat.shape[2], shape[2])]
    for weight in parameters.values():
        if weight.ndim > 2 and weight.dtype.kind == "f":
            sizes += _of_kernel(flat, weight.astype(np.float64), shape[2])
    return np.maximum.reduce(sizes) if sizes else None


def _size(x: Array, weight: Array) -> Array:
    return np.maximum(np.sqrt((x * x) @ (weight * weight)), np.abs(x @ weight))


def _of_kernel(x: Array, weight: Array, neurons: int) -> list[Array]:
    """Return the bound of a kernel whose first axis (PyTorch) or last (Flax) is that of the channels."""
    largest = np.abs(x).max(axis=2, keepdims=True)
    kernel = max(
        (
            float(np.sqrt((weight * weight).sum(axis=axes)).max())
            for axes in (tuple(range(1, weight.ndim)), tuple(range(weight.ndim - 1)))
        ),
        default=0.0,
    )
    return [np.broadcast_to(largest * kernel, (*x.shape[:2], neurons))] if math.isfinite(kernel) else []
