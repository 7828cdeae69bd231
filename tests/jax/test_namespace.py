"""What `xp` computes by itself in JAX, where XLA's own function would be slow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from known import mp, mpf

from arcana._core.namespace import FUNCTIONS
from arcana._core.numpy import NAMESPACE as NUMPY
from arcana.jax import _namespace
from arcana.jax._namespace import NAMESPACE, NAMESPACES

TURN = 2 * mp.pi
EXPONENTS = (-77.7, -3.3, -2.0, -1.0001, -0.25, 0.5, 3.0)


def units(found: jax.Array, exact: list[mpf], conditioning: np.ndarray, judged: list[int]) -> float:
    """The largest error in units in the last place, beside what rounding x and the exponent costs."""
    eps = mpf(float(jnp.finfo(found.dtype).eps))
    return float(max(abs(mpf(float(found[i])) / exact[i] - 1) / (eps * (1 + conditioning[i])) for i in judged))


def test_every_function_is_that_of_numpy() -> None:
    """At the ends too, and where the framework's own would be another, as at 0 and for a tie."""
    v = np.array([-np.inf, -1.75, -0.5, -0.0, 0.0, 0.3, 0.5, 1.0, 2.5, np.inf, np.nan])
    beside: dict[str, tuple[Any, ...]] = {
        "at_least": (0.5,),
        "compound": (3.0,),
        "decay": (2.0,),
        "divide": (3.0,),
        "fmod": (0.75,),
        "maximum": (0.5,),
        "minimum": (0.5,),
        "power": (2.5,),
        "turns": (2.0,),
        "where": (-v, 0.25),
    }

    def every(xp: Any) -> dict[str, Any]:
        first = {"where": v > 0.3, "compound": np.abs(v), "decay": np.abs(v)}
        given = {name: (first.get(name, v), *beside.get(name, ())) for name in FUNCTIONS}
        asarray = np.asarray if xp is NUMPY else jnp.asarray
        return {name: getattr(xp, name)(*map(asarray, operands)) for name, operands in given.items()}

    with np.errstate(all="ignore"):
        expected = every(NUMPY)
    for name, found in jax.jit(lambda: every(NAMESPACES["float64"]))().items():
        assert found.dtype == expected[name].dtype, name
        np.testing.assert_allclose(found, expected[name], rtol=1e-13, atol=1e-15, err_msg=name)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compound_and_its_derivatives(dtype: str, exponent: float) -> None:
    smallest, largest = (float(getattr(jnp.finfo(dtype), end)) for end in ("tiny", "max"))
    x = np.exp(np.random.default_rng(0).uniform(-40, math.log(largest), 2000)).astype(dtype)
    x = np.concatenate([x, np.array([0, 1, np.nextafter(1, 0), 2.0**64, largest / 2, largest], dtype)])
    power = jnp.asarray(exponent, dtype)
    bases = [1 + mpf(float(each)) for each in x]
    exact = [base ** mpf(float(power)) for base in bases]
    slopes = [mpf(float(power)) * y / base for y, base in zip(exact, bases, strict=True)]
    growth = [y * mp.log1p(float(each)) for y, each in zip(exact, x, strict=True)]
    conditioning = abs(exponent) * (x / (1 + x))
    value, pullback = jax.vjp(jax.jit(NAMESPACE.compound), jnp.asarray(x), jnp.full(x.shape, power))
    by_x, by_exponent = pullback(jnp.ones_like(value))
    for found, truth, more in ((value, exact, 0), (by_x, slopes, 1), (by_exponent, growth, 1)):
        normal = [
            i
            for i, pair in enumerate(zip(exact, truth, strict=True))
            if 100 * smallest < min(map(abs, pair)) <= max(pair) < largest
        ]
        assert len(normal) > 100
        assert units(found, truth, conditioning + more, normal) <= 4


def test_compound_at_the_ends() -> None:
    x = jnp.asarray([0.0, 1e30, math.inf, math.nan], jnp.float32)
    for exponent, expected in ((-2.0, [1, 0, 0]), (0.0, [1, 1, 1]), (3.0, [1, math.inf, math.inf])):
        np.testing.assert_array_equal(NAMESPACE.compound(x, exponent)[:3], expected)
        if exponent:
            assert jnp.isnan(NAMESPACE.compound(x, exponent)[3])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sin_of_turns_and_its_derivatives(dtype: str) -> None:
    random = np.random.default_rng(0)
    x = np.concatenate(
        [random.uniform(-1.5, 1.5, 2000), random.uniform(-130, 130, 500), 10 ** random.uniform(-30, 0, 500)]
    ).astype(dtype)
    eps = float(jnp.finfo(dtype).eps)
    sine = NAMESPACE.sin_of_turns
    slope = jax.grad(sine)
    for function, term, scale in ((sine, mp.sin, 1), (slope, mp.cos, TURN), (jax.grad(slope), lambda y: -mp.sin(y), TURN**2)):
        found = jax.jit(jax.vmap(function))(jnp.asarray(x))
        exact = [term(TURN * mpf(float(each))) * scale for each in x]
        # The sine to less than a unit in the last place; a derivative to two of its largest value.
        unit = [abs(each) if scale == 1 else scale for each in exact]
        errors = [abs(mpf(float(y)) - z) / (u * mpf(eps)) for y, z, u in zip(found, exact, unit, strict=True)]
        assert max(errors) <= (0.8 if scale == 1 else 2)
        if scale == 1:
            assert max(error for error, each in zip(errors, x, strict=True) if abs(each) < 1e-3) <= 0.55


def test_sin_of_turns_at_quarters_is_exact() -> None:
    x = jnp.asarray([0, 0.25, 0.5, 0.75, 1, -0.25, 7.5, 1 / 12, 5 / 12])
    np.testing.assert_array_equal(NAMESPACE.sin_of_turns(x)[:7], [0, 1, 0, -1, 0, -1, 0])
    np.testing.assert_allclose(NAMESPACE.sin_of_turns(x)[7:], 0.5, rtol=1e-15)


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_namespace, "_on_gpu", lambda: True)


@pytest.mark.usefixtures("on_a_gpu")
@pytest.mark.parametrize("wide", [True, False], ids=["x64", "not x64"])
def test_a_quotient_on_a_gpu_is_rounded_once(wide: bool) -> None:
    """By way of float64, whether or not float64 is enabled: NumPy's bits; XLA takes subnormal results for 0 on a CPU."""
    generator = np.random.default_rng(3)
    x, y = (np.ldexp(generator.uniform(1, 2, 4096), generator.integers(-60, 60, 4096)).astype(np.float32) for _ in range(2))
    x[:6], y[:6] = (0.0, 1.0, np.inf, np.nan, -0.0, 3.0), (0.0, 0.0, np.inf, 1.0, 2.0, -np.inf)
    with _namespace.enable_x64(wide), np.errstate(all="ignore"):
        for way in (lambda f: f, jax.jit, jax.vmap):
            found = np.asarray(way(NAMESPACE.divide)(x, y))
            assert found.dtype == np.float32
            expected = x / y
            assert ((found.view(np.int32) == expected.view(np.int32)) | (np.isnan(found) & np.isnan(expected))).all()
            inverse = np.asarray(way(NAMESPACE.reciprocal)(y))
            assert (inverse.view(np.int32) == (np.float32(1) / y).view(np.int32)).all()
        assert "f64" in jax.jit(NAMESPACE.divide).lower(x, y).as_text()


@pytest.mark.usefixtures("on_a_gpu")
def test_the_derivatives_of_a_quotient_on_a_gpu() -> None:
    x, y = jnp.float32(3.0), jnp.float32(-0.7)
    for i in (0, 1):
        plain, found = (jax.jacfwd(jax.grad(f, i), (0, 1))(x, y) for f in (jnp.divide, NAMESPACE.divide))
        np.testing.assert_allclose(found, plain, rtol=3e-7)
    np.testing.assert_allclose(jax.jvp(NAMESPACE.divide, (x, y), (y, x))[1], jax.jvp(jnp.divide, (x, y), (y, x))[1], rtol=3e-7)


@pytest.mark.usefixtures("on_a_gpu")
def test_a_quotient_of_float64_on_a_gpu_is_jaxs_own() -> None:
    x = jnp.linspace(-2, 2, 101, dtype=jnp.float64)
    assert (NAMESPACES["float64"].divide(x, 3.0) == x / 3.0).all()


@pytest.mark.parametrize("way", [lambda f: f, jax.jit], ids=["plain", "jit"])
@pytest.mark.parametrize("bound", [0.5, np.float32(0.5), np.array(0.5, np.float32), 0, -1e-45])
def test_at_least_takes_a_plain_number(bound: float, way: Callable[..., Any]) -> None:
    """Of v's dtype, with float64 enabled too."""
    v = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(0)), 0.0, -0.0, -1e-45, np.nan, -np.inf, np.inf], np.float32)
    assert (way(lambda v: NAMESPACE.at_least(v, bound))(jnp.asarray(v)) == (v >= np.float32(bound))).all()
    assert (way(lambda v: NAMESPACE.at_least(bound, v))(jnp.asarray(v)) == (np.float32(bound) >= v)).all()
