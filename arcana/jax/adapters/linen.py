"""Flax linen: the spike function as a module, with the threshold inside and parameters that can be trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from arcana._core import AnySurrogate, Surrogate
from arcana.jax.adapters.layer import layer_of, present, spikes
from arcana.rules import Rule


class Spike(nn.Module):
    """spike(v − threshold), as a layer of Flax linen.

    A learnable parameter is one of the "params" by its own name, and keeps what the optimizer writes; a value out of its domain
    counts as the nearest inside, where its gradient can lead back. A threshold that is not learned is a constant of the module;
    one value a neuron is given as a tuple, since linen's modules are compared by their fields.

    Args:
        surrogate: any `Surrogate` instance; a class or a function stands for its default parameters.
        threshold: the potential at which a neuron fires, a number or values that broadcast to v (default 1).
        learnable: names to train, among the surrogate's parameters and "threshold".
        shape: of each learnable parameter; it broadcasts to v. A number of channels, or a tuple (default 1: one value for all).
        dtype: of the learnable parameters (default float32).
        rule: of `arcana.rules`, where spikes are something else than 0 and 1; v is then the potential less the threshold.
            `layer.apply(variables, v, key)` hands on what `Stochastic` draws from.

    Shapes and dtypes: those of v, kept.

    It is checked when it is initialized or applied.

    Raises:
        TypeError: surrogate is none, threshold is no number or array of numbers, or a learnable name is none of its parameters.
        ValueError: threshold is not finite, or does not broadcast to shape.

    >>> from arcana.surrogate import FastSigmoid
    >>> layer = Spike(FastSigmoid(scale=25.0), threshold=0.5, learnable=("scale",))
    >>> variables = layer.init(jax.random.key(0), jnp.zeros(2))
    >>> variables
    {'params': {'scale': Array([25.], dtype=float32)}}
    >>> layer.apply(variables, jnp.array([0.4, 0.6]))
    Array([0., 1.], dtype=float32)
    """

    surrogate: AnySurrogate
    threshold: Any = 1.0
    learnable: tuple[str, ...] | str = ()
    shape: int | Sequence[int] = 1
    dtype: Any = jnp.float32
    rule: Rule | None = None

    @nn.compact
    def __call__(self, v: jax.Array, random: Any = None) -> jax.Array:
        """Return the spikes of v."""
        layer = layer_of(self.surrogate, self.threshold, self.learnable, self.shape, self.dtype, self.rule)
        learned = {name: self.param(name, lambda _, value=value: jnp.asarray(value)) for name, value in layer.learned.items()}
        return spikes(v, layer.surrogate, layer.threshold, learned, self.rule, random)

    def present_surrogate(self) -> Surrogate:
        """Return the surrogate with the present values of what is learned, where each has one value for all channels.

        The field `surrogate` is what was given. In linen the values are outside of a module, so this is asked for by `apply`:

        >>> from arcana.surrogate import FastSigmoid
        >>> layer = Spike(FastSigmoid(scale=25.0), learnable=("scale",))
        >>> trained = {"params": {"scale": jnp.array([3.0])}}
        >>> layer.apply(trained, method="present_surrogate")
        FastSigmoid(scale=3.0)
        """
        layer = layer_of(self.surrogate, self.threshold, self.learnable, self.shape, self.dtype)
        return present(layer.surrogate, {name: self.get_variable("params", name) for name in layer.learned})
