"""Second order through what the spikes go into: the chain rule with H′ = h and H″ = h′, by jets, beside each backend.

A loss that is linear in the spikes cannot see a rule whose spikes are constants to the second derivative; these can.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from arcana.surrogate import Surrogate
from arcana.testing._report import Row
from arcana.testing._transforms import product_words, spelled
from arcana.testing._values import Array

Spike = Callable[[Any], Any]
Repeat = Callable[[Callable[[Any], Any], Any, int], Any]
Circuit = Callable[[Spike, Any, Repeat], Any]
"""A function of a spike function, v and a way to repeat a step. It has +, − and · alone, so that it takes jets too."""

POINTS = (-1.37, -0.61, -0.23, 0.13, 0.37, 0.83, 1.19)


def loop(step: Callable[[Any], Any], carry: Any, count: int) -> Any:
    """Return the carry after so many steps, unrolled."""
    for _ in range(count):
        carry = step(carry)
    return carry


def _products(spike: Spike, v: Any, repeat: Repeat) -> Any:
    z = spike(v)
    return z * (z + spike(0.41 - v))


def _in_turn(spike: Spike, v: Any, repeat: Repeat) -> Any:
    z = spike(v)
    return z * spike(0.5 * z + 0.6 * v)


def _recurrent(spike: Spike, v: Any, repeat: Repeat) -> Any:
    def step(carry: Any) -> Any:
        u, total = carry
        u = 0.9 * u + v
        z = spike(u - 0.97)
        return u - z, 0.7 * total + z * u

    return repeat(step, (0.3 * v, 0.0 * v), 2)[1]


CIRCUITS: dict[str, Circuit] = {
    "products of spikes": _products,
    "spikes of spikes": _in_turn,
    "a recurrent neuron": _recurrent,
}


def paces_of(surrogate: Surrogate) -> dict[str, float]:
    """Return how fast each parameter moves with one variable p, which is 0 at their own values.

    So the second derivative in p has those in each parameter and in every pair. A parameter that p would take out of
    its domain does not move, and none does in a definition without a primitive.
    """
    if not surrogate.has_primitive():
        return {}
    paces = {name: (1.0 + 0.25 * i) * (value or 1.0) for i, (name, value) in enumerate(surrogate.numbers.items())}
    return {name: pace for name, pace in paces.items() if _stays(surrogate, name, 2 * STEP * pace)}


def _stays(surrogate: Surrogate, name: str, change: float) -> bool:
    ends = [surrogate.numbers[name] + sign * change for sign in (-1, 1)]
    return all(surrogate.rounded(name, each, "float64") == each for each in ends)


STEP = 1e-3
"""The step of the second difference in p: its rounding and what it leaves out are of one size, 1e-7."""


class Partials(NamedTuple):
    """G(x, p) at one place: the value, the slopes and the second derivatives; H stands for G."""

    value: Any
    by_x: Any
    by_p: Any
    by_xx: Any
    by_xp: Any
    by_pp: Any


@dataclasses.dataclass(frozen=True)
class Jet:
    """A number with its derivatives by (p, v) up to the second: a polynomial that +, − and · keep exact."""

    value: Any
    first: tuple[Any, Any]
    second: tuple[Any, Any, Any]
    """By pp, pv and vv."""

    __array_ufunc__ = None

    @classmethod
    def variable(cls, value: Any, which: int) -> Jet:
        zero = 0.0 * value
        return cls(value, (zero + (which == 0), zero + (which == 1)), (zero, zero, zero))

    @staticmethod
    def of(x: Any) -> Jet:
        return x if isinstance(x, Jet) else Jet(x, (0.0, 0.0), (0.0, 0.0, 0.0))

    def __add__(self, other: Any) -> Jet:
        other = Jet.of(other)
        (ap, av), (bp, bv) = self.first, other.first
        app, apv, avv = self.second
        bpp, bpv, bvv = other.second
        return Jet(self.value + other.value, (ap + bp, av + bv), (app + bpp, apv + bpv, avv + bvv))

    def __mul__(self, other: Any) -> Jet:
        other = Jet.of(other)
        a, (ap, av), (app, apv, avv) = self.value, self.first, self.second
        b, (bp, bv), (bpp, bpv, bvv) = other.value, other.first, other.second
        second = (
            app * b + 2 * ap * bp + a * bpp,
            apv * b + ap * bv + av * bp + a * bpv,
            avv * b + 2 * av * bv + a * bvv,
        )
        return Jet(a * b, (ap * b + a * bp, av * b + a * bv), second)

    __radd__, __rmul__ = __add__, __mul__

    def __sub__(self, other: Any) -> Jet:
        return self + -1.0 * other

    def __rsub__(self, other: Any) -> Jet:
        return -1.0 * self + other

    def through(self, partials: Partials) -> Jet:
        """Return the jet of G(x, p) for this jet as x, by the chain rule."""
        _, h, g, hx, hp, gp = partials
        xp, xv = self.first
        xpp, xpv, xvv = self.second
        second = (
            gp + 2 * hp * xp + hx * xp * xp + h * xpp,
            hp * xv + hx * xp * xv + h * xpv,
            hx * xv * xv + h * xvv,
        )
        return Jet(partials.value, (g + h * xp, h * xv), second)


def expected(circuit: Circuit, v: Any, partials: Callable[[Any], Partials]) -> Jet:
    """Return the jet of a circuit at p = 0 and v, from the partial derivatives of the spike function at each potential."""
    return circuit(lambda x: x.through(partials(x.value)), Jet.variable(v, 1), loop)


def differences(surrogate: Surrogate) -> Callable[[Array], Partials]:
    """Return the partial derivatives of a definition by differences: NaN at a kink, where one-sided ones differ."""
    paces = paces_of(surrogate)

    def of(x: Array, p: float, which: str) -> Array:
        moved = {name: surrogate.numbers[name] + pace * p for name, pace in paces.items()}
        return np.asarray(getattr(dataclasses.replace(surrogate, **moved), which)(x), np.float64)

    def partials(x: Array) -> Partials:
        h, small = of(x, 0.0, "derivative"), 1e-6
        by_xx = _slope(of(x - small, 0.0, "derivative"), h, of(x + small, 0.0, "derivative"), small)
        zero = np.zeros_like(h)
        spikes = np.where(x >= 0, 1.0, zero)
        if not paces:
            return Partials(spikes, h, zero, by_xx, zero, zero)
        by_p = (of(x, small, "primitive") - of(x, -small, "primitive")) / (2 * small)
        by_xp = _slope(of(x, -small, "derivative"), h, of(x, small, "derivative"), small)
        outer = [of(x, place, "primitive") for place in (-2 * STEP, -STEP, 0.0, STEP, 2 * STEP)]
        by_pp = (-outer[0] + 16 * outer[1] - 30 * outer[2] + 16 * outer[3] - outer[4]) / (12 * STEP**2)
        coarse = (outer[0] - 2 * outer[2] + outer[4]) / (4 * STEP**2)
        by_pp = np.where(np.abs(by_pp - coarse) <= 1e-2 * np.abs(by_pp) + 1e-3 * np.abs(by_pp).max(initial=1e-6), by_pp, np.nan)
        return Partials(spikes, h, by_p, by_xx, by_xp, by_pp)

    return partials


def _slope(below: Array, here: Array, above: Array, step: float) -> Array:
    left, right = (here - below) / step, (above - here) / step
    slope = (left + right) / 2
    smooth = np.abs(right - left) <= 1e-2 * np.abs(slope) + 1e-3 * np.abs(slope).max(initial=0.0)
    return np.where(smooth, slope, np.nan)


def product(side: Any, name: str, surrogate: Surrogate, circuit: Circuit, *arrays: Array) -> Array:
    """Evaluate one row of NONLINEAR in float64.

    Args:
        side: the module `conformance` of a backend.
        name: the row.
        surrogate: the one whose spikes and parameters these are.
        circuit: what the spikes go into.
        arrays: p, v, c, dp and dv, each (points,).

    Returns:
        The Hessian of sum(c · circuit) in (p, v) times (dp, dv), (2, points), or one row, the second derivative along it.
    """
    prefix, _, recipe = name.rpartition(": ")
    repeat = side.REPEATS.get(prefix, loop)
    paces = paces_of(surrogate)

    def f(p: Any, v: Any) -> Any:
        numbers = {name: surrogate.numbers[name] + pace * p for name, pace in paces.items()}
        return circuit(lambda x: side.spike(x, surrogate, **numbers), v, repeat)

    with side.double_precision():
        return side.to_numpy(spelled(recipe, product_words(side))(f)(*map(side.from_numpy, arrays)))


def second_order_rows(surrogates: Sequence[Surrogate], name: str, side: Any) -> Iterator[tuple[Surrogate, Row]]:
    """Yield for each way, surrogate and circuit whether the product of its Hessian with a direction is the chain rule's."""
    v = np.array(POINTS)
    c, dp, dv = np.random.default_rng(2).uniform(0.5, 2.0, (3, v.size))
    exact = {}
    for surrogate, (title, circuit) in itertools.product(surrogates, CIRCUITS.items()):
        pp, pv, vv = expected(circuit, v, differences(surrogate)).second
        exact[surrogate, title] = c * np.stack([pp * dp + pv * dv, pv * dp + vv * dv])
    for way, (surrogate, title) in itertools.product(side.NONLINEAR, exact):
        if side.ONE_CIRCUIT.get(way, title) == title:
            found = product(side, way, surrogate, CIRCUITS[title], np.zeros(v.size), v, c, dp, dv)
            by_p, by_v = exact[surrogate, title]
            right = np.stack([by_p, by_v] if len(found) == 2 else [by_p * dp + by_v * dv])
            yield surrogate, _row(f"{name} {way}", title, found, right)


def _row(where: str, circuit: str, found: Array, right: Array) -> Row:
    counts = np.isfinite(right)
    scale = np.abs(right[counts]).max(initial=0.0)
    off = np.abs(found[counts] - right[counts])
    passed = bool(counts.any() and (off <= 1e-4 * np.abs(right[counts]) + 1e-5 * scale + 1e-8).all())
    worst = float(off.max(initial=0.0)) if not np.isnan(off).any() else np.nan
    detail = f"worst difference {worst:.2g} at {counts.sum()} of {counts.size} values, the others are at kinks"
    return Row(where, f"second order of {circuit}", passed, detail + ("" if passed else f"; got {found}, expected {right}"))
