"""Flax NNX: the spike function as a module, with the threshold inside and parameters that can be trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from arcana._core import AnySurrogate, Surrogate
from arcana.jax.adapters.layer import first_values, layer_of, present, spikes, values_of
from arcana.rules import Rule


class Spike(nnx.Module):
    """spike(v − threshold), as a layer of Flax NNX.

    A learnable parameter is an `nnx.Param` of its own name, and keeps what the optimizer writes; a value out of its domain counts
    as the nearest inside, where its gradient can lead back. A threshold given as a number is that number in every dtype; an
    array is an `nnx.Variable`, which is saved and not trained.

    Args:
        surrogate: any `Surrogate` instance; a class or a function stands for its default parameters.
        threshold: the potential at which a neuron fires, a number or an array that broadcasts to v (default 1).
        learnable: names to train, among the surrogate's parameters and "threshold".
        shape: of each learnable parameter; it broadcasts to v. A number of channels, or a tuple (default 1: one value for all).
        dtype: of the learnable parameters (default float32).
        rule: of `arcana.rules`, where spikes are something else than 0 and 1; v is then the potential less the threshold.
            `layer(v, random=key)` hands on what `Stochastic` draws from.

    Shapes and dtypes: those of v, kept.

    Raises:
        TypeError: surrogate is none, threshold is no number or array of numbers, or a learnable name is none of its parameters.
        ValueError: threshold is not finite, or does not broadcast to shape.

    >>> from arcana.surrogate import FastSigmoid
    >>> layer = Spike(FastSigmoid(scale=25.0), threshold=0.5, learnable="scale", shape=2)
    >>> layer.scale.shape
    (2,)
    >>> layer(jnp.array([0.4, 0.6]))
    Array([0., 1.], dtype=float32)
    """

    def __init__(
        self,
        surrogate: AnySurrogate,
        threshold: Any = 1.0,
        learnable: Iterable[str] | str = (),
        *,
        shape: int | Sequence[int] = 1,
        dtype: Any = jnp.float32,
        rule: Rule | None = None,
    ) -> None:
        layer = layer_of(surrogate, threshold, learnable, shape, dtype, rule)
        self.given, self._first, self.rule = layer.surrogate, values_of(layer.threshold), rule
        self.learnable = tuple(layer.learned)
        if "threshold" not in layer.learned:
            number = isinstance(layer.threshold, float)
            self.threshold = layer.threshold if number else nnx.Variable(jnp.asarray(layer.threshold))
        for name, value in layer.learned.items():
            setattr(self, name, nnx.Param(jnp.asarray(value)))

    @property
    def surrogate(self) -> Surrogate:
        """The surrogate with the present values of what is learned, where each has one value for all channels."""
        return present(self.given, {name: getattr(self, name)[...] for name in self.learnable})

    def reset_parameters(self) -> None:
        """Set every value as it was given, in place; each keeps its dtype. A layer of `nnx.eval_shape` gets its values so.

        >>> from arcana.surrogate import FastSigmoid
        >>> layer = Spike(FastSigmoid(scale=25.0), learnable="scale")
        >>> layer.scale[...] = jnp.array([3.0])
        >>> layer.reset_parameters()
        >>> layer.surrogate
        FastSigmoid(scale=25.0)
        """
        if isinstance(self._first, float) and "threshold" not in self.learnable:
            self.threshold = self._first
        own = ("threshold", *self.learnable)
        held = {name: value for name, value in nnx.to_pure_dict(nnx.state(self)).items() if name in own}
        nnx.update(self, {name: first_values(self.given, self._first, name, value) for name, value in held.items()})

    def __call__(self, v: jax.Array, random: Any = None) -> jax.Array:
        """Return the spikes of v."""
        learned = {name: getattr(self, name)[...] for name in self.learnable}
        fixed = self.threshold[...] if isinstance(self.threshold, nnx.Variable) else self.threshold
        return spikes(v, self.given, fixed, learned, self.rule, random)
