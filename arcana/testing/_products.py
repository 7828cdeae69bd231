"""What a layer adds up, where a run holds its inputs and weights: how large the terms are, and the sums themselves."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from arcana.testing._values import Array

STRIDES = (1, 2, 3, 4)
"""The strides of a convolution that are tried."""


def matrices(parameters: Mapping[str, Array], inputs: int, neurons: int) -> Iterator[tuple[str, Array]]:
    """Yield the weights that fit between so many inputs and neurons as (inputs, neurons), by name; a square one both ways."""
    for name, weight in parameters.items():
        if weight.ndim == 2 and (weight.dtype.kind == "f" or weight.dtype.name == "bfloat16"):
            wide = weight.astype(np.float64)
            if weight.shape == (inputs, neurons):
                yield name, wide
            if weight.shape == (neurons, inputs):
                yield name, wide.T


@dataclasses.dataclass(frozen=True, eq=False)
class Sum:
    """A way in which a layer may add up what it gets.

    Attributes:
        weight: as recorded, in float64.
        of: takes inputs, (steps, samples, inputs), and a weight, and returns the sums, (steps, samples, neurons).
    """

    weight: Array
    of: Callable[[Array, Array], Array]


def sums(parameters: Mapping[str, Array], inputs: tuple[int, ...], neurons: tuple[int, ...]) -> Iterator[Sum]:
    """Yield each sum of inputs and neurons of such shapes of a step, by a matrix or a convolution."""
    for _, weight in matrices(parameters, math.prod(inputs), math.prod(neurons)):
        yield Sum(weight, np.matmul)
    for weight in parameters.values():
        if weight.ndim > 2 and weight.ndim == len(inputs) + 1 == len(neurons) + 1 and weight.dtype.kind == "f":
            yield from _convolutions(weight.astype(np.float64), inputs, neurons)


def _convolutions(weight: Array, inputs: tuple[int, ...], neurons: tuple[int, ...]) -> Iterator[Sum]:
    """Yield the convolutions with channels first, as PyTorch has them, and last, as Flax has them, that fit the shapes."""
    last = len(inputs) - 1
    for channel, order in ((0, range(weight.ndim)), (last, (last + 1, last, *range(last)))):
        outputs, given, *widths = (weight.shape[axis] for axis in order)
        if (neurons[channel], inputs[channel]) != (outputs, given):
            continue
        before, after = ([size for axis, size in enumerate(shape) if axis != channel] for shape in (inputs, neurons))
        for stride in STRIDES:
            for border in _borders(before, after, widths, stride):
                yield Sum(weight, functools.partial(_convolved, inputs, channel, order, stride, border, after))


def _borders(before: list[int], after: list[int], widths: list[int], stride: int) -> list[tuple[int, ...]]:
    """Return the zeros before the first place of each axis: as many as behind the last, or half of those that "SAME" adds."""
    axes = list(zip(before, after, widths, strict=True))
    even = [[n for n in range(width) if (size + 2 * n - width) // stride + 1 == places] for size, places, width in axes]
    same = [max((places - 1) * stride + width - size, 0) // 2 for size, places, width in axes]
    # One number for all axes if there is one.
    found = [(n,) * len(axes) for n in even[0] if all(n in each for each in even)] or list(zip(*even, strict=False))[:1]
    if all(-(-size // stride) == places for size, places, _ in axes):
        found = [*found, tuple(same)]
    return list(dict.fromkeys(found))


def _convolved(
    inputs: tuple[int, ...],
    channel: int,
    order: Sequence[int],
    stride: int,
    border: tuple[int, ...],
    places: list[int],
    x: Array,
    weight: Array,
) -> Array:
    """Return the sums of a convolution, an offset of its kernel at a time, so that no patch is copied."""
    kernel = weight.transpose(order)
    image = np.moveaxis(x.reshape(-1, *inputs), 1 + channel, 1)
    # Behind the last place "SAME" adds at most one zero more.
    image = np.pad(image, ((0, 0), (0, 0), *((n, n + 1) for n in border)))
    total = np.zeros((len(image), *places, len(kernel)))
    for offset in np.ndindex(kernel.shape[2:]):
        here = [slice(first, first + (count - 1) * stride + 1, stride) for first, count in zip(offset, places, strict=True)]
        total += np.tensordot(image[:, :, *here], kernel[:, :, *offset], axes=([1], [1]))
    return np.moveaxis(total, -1, 1 + channel).reshape(*x.shape[:2], -1)


def finite(x: Array) -> Array:
    """Return numbers with 0 for NaN and infinities: what adds them up is none that is compared."""
    return np.where(np.isfinite(x), x, 0.0)


def products(inputs: Array | None, parameters: Mapping[str, Array], shape: tuple[int, ...]) -> Array | None:
    """Return how large a neuron's terms are, (steps, samples, neurons): the root of the sum of their squares, or their sum.

    None without inputs, or if no weight fits. Of a convolution each neuron's terms are at most its kernel's with the largest
    input of the sample.
    """
    if inputs is None or inputs.shape[:2] != shape[:2] or inputs.dtype.kind == "c":
        return None
    flat = finite(inputs.astype(np.float64).reshape(*inputs.shape[:2], -1))
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
        float(np.sqrt((weight * weight).sum(axis=axes)).max())
        for axes in (tuple(range(1, weight.ndim)), tuple(range(weight.ndim - 1)))
    )
    return [np.broadcast_to(largest * kernel, (*x.shape[:2], neurons))] if math.isfinite(kernel) else []
