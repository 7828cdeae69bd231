"""Rules: what a neuron emits at a potential, whichever surrogate gives the derivative. Given as `rule=` to every spike function.

>>> import torch
>>> from arcana.rules import Integer
>>> from arcana.torch import fast_sigmoid
>>> fast_sigmoid(torch.tensor([-0.5, 0.5, 1.5, 9.0]), rule=Integer(4))
tensor([0., 1., 2., 4.])

A rule says how many spikes there are, and at which thresholds h is. So the derivative of the spikes is a sum of h at
shifted potentials, to every order and under every transform of the framework, as that of 0 and 1 is h.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from arcana._core import (
    AT_ZERO,
    DefinitionMeta,
    Formula,
    Surrogate,
    SurrogateFunction,
    Thresholds,
    per_class_cache,
    preset_uncalled,
    usual_values,
)

__all__ = ["Firing", "Heaviside", "Integer", "Rule", "Smooth", "Stochastic", "Ternary", "from_dict"]


@dataclasses.dataclass(frozen=True)
class Firing:
    """What a rule may ask of the call that it is part of, besides the potential.

    Args:
        xp: the array namespace, see `Surrogate`.
        fires_at_threshold: whether a potential at a threshold has reached it.
        primitive: gives G at the potential.
        uniform: numbers from [0, 1) of the potential's shape where the rule is `random`, else None.

    >>> import numpy as np
    >>> from arcana._core import NUMPY_NAMESPACES
    >>> from arcana.rules import Firing
    >>> firing = Firing(NUMPY_NAMESPACES["float64"], fires_at_threshold=False)
    >>> firing.reached(np.array([0.5, 1.0, 1.5]), 1.0).tolist()
    [0.0, 0.0, 1.0]
    """

    xp: Any
    fires_at_threshold: bool = True
    primitive: Callable[[], Any] | None = None
    uniform: Any = None

    def reached(self, x: Any, threshold: float) -> Any:
        """Return 1 where x is at the threshold or above it, or above it alone, else 0; exact for subnormals, 0 for NaN."""
        return self.xp.as_numbers(self.xp.reached(x, self.xp.number(threshold), self.fires_at_threshold), x)


@dataclasses.dataclass(frozen=True)
class Rule:
    """The base of every rule: a frozen value, equal and hashable, which knows no framework.

    A rule of your own gives `thresholds`, and by them the spikes too: one more at each threshold that is reached, one less at
    each whose direction is −1. `spikes` is overridden where they are something else, or can be had at less cost.

    >>> import dataclasses, torch
    >>> from arcana.rules import Rule
    >>> from arcana.surrogate import Sigmoid
    >>> @dataclasses.dataclass(frozen=True)
    ... class Octaves(Rule):
    ...     @property
    ...     def thresholds(self):
    ...         return ((0.0, 1), (1.0, 1), (3.0, 1))
    >>> v = torch.tensor([-0.5, 0.5, 1.5, 3.5], requires_grad=True)
    >>> Sigmoid()(v, rule=Octaves())
    tensor([0., 1., 2., 3.], grad_fn=<AddBackward0>)
    """

    random: ClassVar[bool] = False
    """Whether the spikes ask for uniform numbers."""

    @property
    def thresholds(self) -> Thresholds:
        """The values of v at which h is, each with 1 for spikes above it or −1 for negative spikes below it."""
        return AT_ZERO

    def check(self, surrogate: Surrogate) -> None:
        """Raise a ValueError for a surrogate with which the rule has no meaning."""

    def spikes(self, v: Any, firing: Firing) -> Any:
        """Return the spikes of v, an array of the computing dtype; they may be cast and have no derivative of their own."""
        terms = [firing.reached(v, at) if direction > 0 else -firing.reached(-v, -at) for at, direction in self.thresholds]
        return functools.reduce(operator.add, terms)

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of plain values from which `from_dict` makes an equal rule.

        >>> from arcana.rules import Ternary
        >>> Ternary(gap=1.0).to_dict()
        {'rule': 'Ternary', 'parameters': {'gap': 1.0}}
        """
        return {"rule": _public_name(type(self)), "parameters": dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Heaviside(Rule):
    """One spike at the threshold, 1[v >= 0]: what every spike function does without a rule.

    Derivative: h(v).

    >>> import torch
    >>> from arcana.rules import Heaviside
    >>> from arcana.torch import fast_sigmoid
    >>> fast_sigmoid(torch.tensor([-0.5, 0.0, 7.0]), rule=Heaviside())
    tensor([0., 1., 1.])
    """


MOST = 128
"""Thresholds at which h may be repeated: each is one more evaluation of it."""


@dataclasses.dataclass(frozen=True)
class Integer(Rule):
    """Several spikes a step: one for each of the thresholds v = 0, step, 2·step, … that is reached, up to `most`.

    Derivative: Σ h(v − k·step) for k = 0 … most − 1, so h at each threshold; with `repeat=False` h(v), at the first alone, as
    Sinabs and Rockpool have it, whose periodic surrogates repeat themselves.

    v is the potential minus the first threshold, and `step` is the distance to the next, in the units of v. A neuron that takes
    off one threshold θ for each spike has thresholds at θ, 2·θ, …: v = potential − θ and step = θ; or, where θ is trained,
    v = potential/θ − 1 and a step of 1, whose derivative by θ is that of the counts.

    Args:
        most: spikes a step, a whole number from 1 to 2²⁰; to 128 where h is repeated; None for no limit, where it is not.
        repeat: whether h is repeated at each threshold (default) or is at the first alone.
        step: from one threshold to the next, from 1e-6 to 8192 (default 1).

    Shapes and dtypes: those of v, kept. Counts are exact to 2²⁰ in float64 and float32; float16 holds every whole number to 2,048
    and bfloat16 to 256, and a count above is rounded once. An infinite potential gives `most`, or inf without a limit.

    Raises:
        TypeError: most is no whole number, step no number, or repeat no bool.
        ValueError: most or step is out of its bounds.

    Reference: X. Luo, M. Yao, Y. Chou, B. Xu and G. Li, Integer-valued training and spike-driven inference spiking neural
    network for high-performance and energy-efficient object detection, ECCV (2024), arXiv:2407.20708.

    >>> import torch
    >>> from arcana.rules import Integer
    >>> from arcana.torch import rectangular
    >>> v = torch.tensor([-0.75, 0.25, 1.25, 2.0, 5.0], requires_grad=True)
    >>> spikes = rectangular(v, rule=Integer(3))
    >>> spikes.tolist()
    [0.0, 1.0, 2.0, 3.0, 3.0]
    >>> spikes.sum().backward()
    >>> v.grad
    tensor([0., 1., 1., 1., 0.])

    >>> import jax, jax.numpy as jnp
    >>> from arcana.jax import rectangular
    >>> v = jnp.array([-0.75, 0.25, 1.25, 2.0, 5.0])
    >>> jax.grad(lambda v: rectangular(v, rule=Integer(3)).sum())(v)
    Array([0., 1., 1., 1., 0.], dtype=float32)
    """

    most: int | None
    repeat: bool = True
    step: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.repeat, bool):
            msg = f"Integer: repeat must be True or False, got {self.repeat!r}"
            raise TypeError(msg)
        object.__setattr__(self, "step", _checked("Integer", "step", self.step, 1e-6, 8192.0))
        if self.most is None and not self.repeat:
            return
        if not isinstance(self.most, numbers.Integral) or isinstance(self.most, bool):
            hint = ": h cannot be repeated without an end; give repeat=False" if self.most is None else ""
            msg = f"Integer: most must be a whole number, got {self.most!r}{hint}"
            raise TypeError(msg)
        object.__setattr__(self, "most", int(self.most))
        limit = MOST if self.repeat else 2**20
        if not 1 <= self.most <= limit:
            hint = "; with repeat=False it may be up to 1048576" if self.repeat and self.most > 0 else ""
            msg = f"Integer: most must be from 1 to {limit}, got {self.most}{hint}"
            raise ValueError(msg)

    @property
    def thresholds(self) -> Thresholds:
        """Each multiple of the step; the first alone where h is not repeated."""
        return tuple((k * self.step, 1) for k in range(self.most)) if self.repeat and self.most else AT_ZERO

    def spikes(self, v: Any, firing: Firing) -> Any:
        """Return how many thresholds v has reached, exact to its last bit."""
        most = math.inf if self.most is None else float(self.most)
        return firing.xp.count(v, self.step, most, firing.fires_at_threshold)


@dataclasses.dataclass(frozen=True)
class Ternary(Rule):
    """A spike of 1 where v >= 0, of −1 where v <= −gap, and 0 between.

    Derivative: h(v) + h(−gap − v), the second mirrored, so that the whole is even about the middle.

    v is the potential minus the upper threshold. Thresholds at θ and −θ are v = potential − θ and gap = 2·θ. With a gap of 0 it
    is the sign of v, which is 0 at 0.

    Args:
        gap: from the lower threshold to the upper, from 0 to 2²⁰ (default 2: thresholds at 1 and −1).

    Shapes and dtypes: those of v, kept.

    Raises:
        TypeError: gap is no number.
        ValueError: gap is out of its bounds.

    Reference: Y. Guo et al., Ternary spike: learning ternary spikes for spiking neural networks, AAAI (2024), arXiv:2312.06372.

    >>> import torch
    >>> from arcana.rules import Ternary
    >>> from arcana.torch import fast_sigmoid
    >>> fast_sigmoid(torch.tensor([-2.5, -2.0, -1.0, 0.0, 0.5]), rule=Ternary(gap=2.0))
    tensor([-1., -1.,  0.,  1.,  1.])

    >>> import jax, jax.numpy as jnp
    >>> from arcana.jax import fast_sigmoid
    >>> potential = jnp.array([-1.0, 0.0, 1.0])
    >>> spikes = lambda x: fast_sigmoid(x - 1, rule=Ternary(gap=2.0))
    >>> jax.grad(lambda x: spikes(x).sum())(potential).round(4)
    Array([1.0023, 0.0165, 1.0023], dtype=float32)
    """

    gap: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "gap", _checked("Ternary", "gap", self.gap, 0.0, 2.0**20))

    @property
    def thresholds(self) -> Thresholds:
        """The upper one at 0, and the lower."""
        return ((0.0, 1), (-self.gap, -1))


@dataclasses.dataclass(frozen=True)
class Stochastic(Rule):
    """Fires with the probability G(v), the surrogate's primitive: a neuron with escape noise, whose mean has the slope h.

    Derivative: h(v), as without noise. It is the derivative of the probability, which gives a surrogate its meaning for a single
    neuron (Gygax and Zenke 2025).

    G must be a distribution function: h >= 0 with area 1, whatever the parameters that are given as arrays. `unit_area()`
    rescales an instance. `random=` says what the numbers are drawn from: in PyTorch a `torch.Generator`, or nothing for the
    default one; in JAX a key; in both an array of numbers from [0, 1) of v's shape, with which both frameworks draw the same
    spikes. A key or an array is good for one call: a neuron takes a new one at every step.

    Raises (at the call):
        ValueError: G is no distribution function, with what to write instead; or no key is given.
        NotImplementedError: the surrogate has no primitive.

    Reference: J. Gygax and F. Zenke, Elucidating the theoretical underpinnings of surrogate gradient learning in spiking neural
    networks, Neural Computation 37 (2025) 886.

    >>> import torch
    >>> from arcana.rules import Stochastic
    >>> from arcana.torch import sigmoid
    >>> uniform = torch.tensor([0.2, 0.4, 0.6, 0.8])
    >>> sigmoid(torch.zeros(4), rule=Stochastic(), random=uniform)
    tensor([1., 1., 0., 0.])

    >>> import jax, jax.numpy as jnp
    >>> from arcana.jax import sigmoid
    >>> spikes = sigmoid(jnp.zeros(10000), rule=Stochastic(), random=jax.random.key(0))
    >>> print(spikes.mean().round(1))
    0.5
    """

    random: ClassVar[bool] = True

    def check(self, surrogate: Surrogate) -> None:
        """Raise a ValueError where G is no distribution function."""
        if not surrogate.has_primitive():
            msg = f"{type(surrogate).__name__} defines no primitive, with whose probability Stochastic fires"
            raise NotImplementedError(msg)
        low, high = (float(surrogate.primitive(end)) for end in (-math.inf, math.inf))
        if not math.isfinite(surrogate.area) or surrogate.area <= 0 or not math.isfinite(high - low):
            why = f"the area of h is {surrogate.area:g}; {_DISTRIBUTIONS}"
        elif surrogate.derivative(_EVERYWHERE).min() < 0:
            why = f"h is below 0 somewhere; {_DISTRIBUTIONS}"
        elif max(abs(low), abs(high - 1)) > 1e-6:
            advice = "write unit_area() of the surrogate, or " if abs(high - low - 1) > 1e-6 else ""
            why = f"it goes from {low:g} to {high:g}; {advice}{_DISTRIBUTIONS}"
        else:
            return
        msg = f"Stochastic fires with the probability G, and that of {surrogate!r} is no distribution function: {why}"
        raise ValueError(msg)

    def spikes(self, v: Any, firing: Firing) -> Any:
        """Return 1 where the uniform number is below G."""
        assert firing.primitive is not None
        return firing.xp.as_numbers(firing.uniform < firing.primitive(), v)


_DISTRIBUTIONS = "take a Sigmoid, ATan, Gaussian or Exponential, whose area is 1 at every slope"
_EVERYWHERE = np.concatenate([[0.0], *(sign * np.logspace(-6, 6, 1201) for sign in (-1, 1))])


@dataclasses.dataclass(frozen=True)
class Smooth(Rule):
    """No spikes at all but G(v), the primitive: the smooth function whose derivative is h exactly.

    It is what finite differences and `gradcheck` can look at, and a network to train before the spikes come in.

    Derivative: h(v), and ∂G/∂parameter, to every order.

    Raises (at the call):
        NotImplementedError: the surrogate has no primitive.

    >>> import torch
    >>> from arcana.rules import Smooth
    >>> from arcana.torch import sigmoid
    >>> v = torch.linspace(-1.0, 1.0, 5, dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradcheck(lambda v: sigmoid(v, rule=Smooth()), v)
    True

    >>> import jax.numpy as jnp
    >>> from arcana.jax import fast_sigmoid
    >>> fast_sigmoid(jnp.array([-0.1, 0.0, 0.1]), rule=Smooth())
    Array([0.45, 0.5 , 0.55], dtype=float32)
    """

    def spikes(self, v: Any, firing: Firing) -> Any:
        """Return G."""
        assert firing.primitive is not None
        return firing.primitive()


def from_dict(data: Mapping[str, Any]) -> Rule:
    """Return the rule that `to_dict` wrote.

    A rule of your own is found once its module has been imported; nothing is imported on the word of the data.

    Raises:
        ValueError: a key is missing, or there is no such rule.

    >>> from arcana.rules import Integer, from_dict
    >>> from_dict(Integer(4).to_dict()) == Integer(4)
    True
    """
    missing = {"rule", "parameters"} - set(data)
    if missing:
        msg = f"a rule's dict has the keys 'rule' and 'parameters'; missing: {', '.join(sorted(missing))}"
        raise ValueError(msg)
    name, known = data["rule"], {_public_name(each): each for each in _kinds(Rule)}
    if name not in known:
        own = f"import {name.partition(':')[0]} first" if ":" in str(name) else f"there are {', '.join(sorted(known))}"
        msg = f"unknown rule {name!r}; {own}"
        raise ValueError(msg)
    return known[name](**data["parameters"])


def _public_name(rule: type[Rule]) -> str:
    """Return the class's name, with its module before it where it is a user's."""
    return rule.__name__ if rule.__module__ == __name__ else f"{rule.__module__}:{rule.__qualname__}"


def _kinds(rule: type[Rule]) -> list[type[Rule]]:
    """Return the class's subclasses, and theirs."""
    return [kind for each in rule.__subclasses__() for kind in (each, *_kinds(each))]


def checked_rule(rule: Any, random: Any) -> Rule:
    """Return the rule of a call, or raise a TypeError: it is none, or random numbers are given to one that draws none."""
    if not isinstance(rule, Rule):
        if rule is None:
            msg = "random numbers are drawn by a rule: write rule=Stochastic() too"
        else:
            msg = f"rule must be a rule of arcana.rules, {_instead(rule)}, got {rule!r}"
        raise TypeError(msg)
    if random is not None and not rule.random:
        msg = f"{rule!r} draws no random numbers: leave out random="
        raise TypeError(msg)
    return rule


def _instead(given: Any) -> str:
    """Return what to write where this was given for a rule."""
    if isinstance(given, type) and issubclass(given, Rule):
        return f"write {given.__name__}(…)"
    if isinstance(given, (Surrogate, SurrogateFunction, DefinitionMeta)) or (
        isinstance(given, type) and issubclass(given, Surrogate)
    ):
        return "and a surrogate is given before it: write spike(v, surrogate, rule=Integer(4))"
    if preset_uncalled(given):
        return f"write {given.__name__}()"
    if isinstance(given, str) and "." in given:
        return f"write arcana.presets.get_rule({given!r})"
    return "Integer(4), say"


def emitted(rule: Rule, v: Any, formula: Formula, parameters: Mapping[str, Any], firing: Firing) -> Any:
    """Return the spikes of v by a rule, or raise an error where it cannot be had with the surrogate.

    Args:
        rule: checked.
        v: of the computing dtype.
        formula: of the call.
        parameters: of the call; one that is no float stands for every value.
        firing: what the rule may ask.
    """
    if type(rule).check is not Rule.check:
        numbers = tuple((name, value) for name, value in parameters.items() if isinstance(value, float))
        _check(formula, rule, numbers, tuple(name for name, value in parameters.items() if not isinstance(value, float)))
    return rule.spikes(v, firing)


@per_class_cache
def _check(formula: Formula, rule: Rule, numbers: tuple[tuple[str, float], ...], arrays: tuple[str, ...]) -> None:
    """Have the rule check the surrogate of a call; one with arrays for parameters at two values of each."""
    definition = formula.definition
    usual = usual_values(definition, arrays)
    values = [usual, *({**usual, name: definition.rounded(name, 1.25 * usual[name], "float32")} for name in arrays)]
    for each in values:
        rule.check(definition(**dict(formula.settings), **dict(numbers), **each))


def _checked(rule: str, name: str, value: Any, low: float, high: float) -> float:
    """Return a number of a rule as a float, or raise an error."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        array = (
            "; a threshold that is an array divides: v = potential / threshold - 1, in units of it"
            if hasattr(value, "shape")
            else ""
        )
        msg = f"{rule}: {name} must be a number, got {value!r} ({type(value).__name__}){array}"
        raise TypeError(msg)
    if not low <= float(value) <= high:
        msg = f"{rule}: {name} must be from {low:g} to {high:g}, got {value!r}"
        raise ValueError(msg)
    return float(value)


def __dir__() -> list[str]:
    return sorted(__all__)
