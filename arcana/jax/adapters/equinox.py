"""Equinox: the spike function as a module, with the threshold inside and parameters that can be trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from arcana._core import AnySurrogate, Surrogate
from arcana.jax.adapters.layer import Values, array_of, first_values, layer_of, present, spikes, values_of
from arcana.rules import Rule


class Spike(eqx.Module):
    """spike(v − threshold), as a layer of Equinox.

    `learned` has each learnable parameter by its own name, `layer.scale` is `layer.learned["scale"]`. They keep what the
    optimizer writes; a value out of its domain counts as the nearest inside, where its gradient can lead back. A threshold that
    is not learned has no gradient: a number is that number in every dtype, an array is one of NumPy.

    Args:
        surrogate: any `Surrogate` instance; a class or a function stands for its default parameters.
        threshold: the potential at which a neuron fires, a number or an array that broadcasts to v (default 1).
        learnable: names to train, among the surrogate's parameters and "threshold".
        shape: of each learnable parameter; it broadcasts to v. A number of channels, or a tuple (default 1: one value for all).
        dtype: of the learnable parameters (default float32).
        rule: of `arcana.rules`, where spikes are something else than 0 and 1; v is then the potential less the threshold.
            `layer(v, key=key)` hands on what `Stochastic` draws from.

    Shapes and dtypes: those of v, kept.

    Raises:
        TypeError: surrogate is none, threshold is no number or array of numbers, or a learnable name is none of its parameters.
        ValueError: threshold is not finite, or does not broadcast to shape.

    >>> from arcana.surrogate import FastSigmoid
    >>> layer = Spike(FastSigmoid(scale=25.0), threshold=0.5, learnable="scale")
    >>> layer.scale
    Array([25.], dtype=float32)
    >>> layer(jnp.array([0.4, 0.6]))
    Array([0., 1.], dtype=float32)
    """

    learned: dict[str, jax.Array]
    fixed_threshold: float | np.ndarray[Any, Any] | None
    given: Surrogate = eqx.field(static=True)
    first_threshold: float | Values = eqx.field(static=True)
    rule: Rule | None = eqx.field(static=True)

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
        self.given, self.first_threshold, self.rule = layer.surrogate, values_of(layer.threshold), rule
        self.learned = {name: jnp.asarray(value) for name, value in layer.learned.items()}
        self.fixed_threshold = None if "threshold" in layer.learned else layer.threshold

    def __getattr__(self, name: str) -> Any:
        learned = self.__dict__.get("learned", {})
        if name in learned:
            return learned[name]
        if name == "threshold":
            return self.fixed_threshold
        msg = f"{type(self).__name__} has no attribute {name!r}"
        raise AttributeError(msg)

    @property
    def surrogate(self) -> Surrogate:
        """The surrogate with the present values of what is learned, where each has one value for all channels."""
        return present(self.given, self.learned)

    def reset_parameters(self) -> Self:
        """Return the layer with every value as it was given; each keeps its dtype. The layer itself is left as it is.

        >>> from arcana.surrogate import FastSigmoid
        >>> layer = Spike(FastSigmoid(scale=25.0), learnable="scale")
        >>> scale = {"scale": jnp.array([3.0])}
        >>> trained = eqx.tree_at(lambda layer: layer.learned, layer, scale)
        >>> trained.surrogate, trained.reset_parameters().surrogate
        (FastSigmoid(scale=3.0), FastSigmoid(scale=25.0))
        """
        learned = {name: first_values(self.given, self.first_threshold, name, value) for name, value in self.learned.items()}
        if "threshold" in learned:
            return eqx.tree_at(lambda layer: layer.learned, self, learned)
        threshold = array_of(self.first_threshold)
        return eqx.tree_at(lambda layer: (layer.learned, layer.fixed_threshold), self, (learned, threshold))

    def __call__(self, v: jax.Array, *, key: Any = None) -> jax.Array:
        """Return the spikes; `key` is what `eqx.nn.Sequential` hands to every layer, and used by a rule that draws."""
        fixed = self.fixed_threshold
        fixed = fixed if isinstance(fixed, float) else jax.lax.stop_gradient(fixed)
        return spikes(v, self.given, fixed, self.learned, self.rule, key if self.rule and self.rule.random else None)
