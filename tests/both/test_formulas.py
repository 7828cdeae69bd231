"""Random formulas, and functions of numbers alone, in PyTorch, JAX and NumPy."""

from __future__ import annotations

import importlib
import math
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from formulas import ONE, QUESTIONS, TWO, Formula, formulas
from hypothesis import HealthCheck, given, settings, strategies

import arcana.jax
import arcana.torch
from arcana._core.namespace import FUNCTIONS
from arcana._core.numpy import NAMESPACES
from arcana.jax._compat import enable_x64
from arcana.surrogate import Surrogate, parameter

GENERATOR = np.random.default_rng(0)
POTENTIALS = np.concatenate([GENERATOR.normal(size=40) * 2, GENERATOR.normal(size=10) * 20])
MOVES = ((0, 0, 0), (1, -0.7, 0.6), (-1, 0.3, -0.4), (0.5, 1, -1), (-0.3, -1, 1))


def conditioned(formula: Formula, v: np.ndarray, slope: float, width: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """h in NumPy, where it is well conditioned, and how much it changes when v and the parameters do by some hundred units."""
    kind, step = v.dtype.type, 512 * np.finfo(v.dtype).eps
    with np.errstate(all="ignore"):
        values = [
            np.broadcast_to(
                formula(
                    (v * (1 + a * step)).astype(v.dtype),
                    NAMESPACES[v.dtype.name],
                    kind(slope * (1 + b * step)),
                    kind(width * (1 + d * step)),
                ),
                v.shape,
            ).astype(np.float64)
            for a, b, d in MOVES
        ]
        spread = np.max([abs(x - values[0]) for x in values], 0)
        size = abs(values[0])
        good = ((spread <= 1e-3 * size) & (size < 1e30) & (size > 1e-30)) | ((size == 0) & (spread == 0))
    return values[0], good, spread


def ways(surrogate: Any, v: np.ndarray, arrays: bool) -> dict[str, Any]:
    """h of v in every way that a framework has."""
    ours, theirs = torch.from_numpy(v), jnp.asarray(v)
    by_tensor = {"slope": torch.tensor(surrogate.slope, dtype=ours.dtype)} if arrays else {}
    by_array = {"slope": jnp.asarray(surrogate.slope, v.dtype)} if arrays else {}
    moving = ours.clone().requires_grad_()

    def pull(x: jax.Array, given: dict[str, jax.Array]) -> jax.Array:
        return jax.vjp(lambda y: arcana.jax.spike(y, surrogate, **given), x)[1](jnp.ones_like(x))[0]

    return {
        "numpy": surrogate.derivative(v),
        "torch": surrogate.derivative(ours),
        "torch backward": torch.autograd.grad(arcana.torch.spike(moving, surrogate, **by_tensor).sum(), moving)[0],
        "torch.func": torch.func.grad(lambda x: arcana.torch.spike(x, surrogate, **by_tensor).sum())(ours),
        "jax": surrogate.derivative(theirs),
        "jax grad": pull(theirs, by_array),
        "jax jit": jax.jit(pull)(theirs, by_array),
    }


@settings(deadline=None, derandomize=True, database=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    formulas(most=8),
    strategies.sampled_from(["float64", "float32"]),
    strategies.sampled_from([(1.0, 0.75), (2.0, 0.31), (-0.5, 1.0), (0.3, 1.7)]),
    strategies.booleans(),
)
def test_a_random_formula_is_the_same_function_everywhere(
    formula: Formula, dtype: str, numbers: tuple[float, float], arrays: bool
) -> None:
    v = POTENTIALS.astype(dtype)
    expected, good, spread = conditioned(formula, v, *numbers)
    bound = np.maximum({"float32": 1e-2, "float64": 1e-6}[dtype] * abs(expected) + 1e-25, 100 * spread)
    with warnings.catch_warnings():
        # JAX casts a literal that float32 holds as infinite.
        warnings.filterwarnings("ignore", "overflow encountered in cast", RuntimeWarning)
        for way, found in ways(formula.surrogate(slope=numbers[0], width=numbers[1]), v, arrays).items():
            found = np.asarray(found)
            assert (found.dtype, found.shape) == (v.dtype, v.shape), way
            with np.errstate(invalid="ignore"):
                assert (abs(found - expected) <= bound)[good].all(), way


SPACES = {
    "torch": ("arcana.torch._namespace", lambda dtype: getattr(torch, dtype)),
    "jax": ("arcana.jax._namespace", str),
    "numpy": ("arcana._core.numpy", str),
}


def space(backend: str, dtype: str) -> Any:
    module, key = SPACES[backend]
    return importlib.import_module(module).NAMESPACES[key(dtype)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_a_function_of_numbers_alone_is_an_array_of_the_computing_dtype(function: str, dtype: str) -> None:
    """As if each number were an array without axes."""
    for given_numbers in ((0.3, 0.7), (2, 3)):
        numbers = given_numbers[: 1 if function in (*ONE, *QUESTIONS) else 2]
        truth = function in ("at_least", *QUESTIONS)
        wide = getattr(space("numpy", "float64"), function)
        for backend in SPACES:
            xp = space(backend, dtype)
            of_arrays = {"torch": torch.tensor, "jax": jnp.asarray, "numpy": np.asarray}[backend]
            kind = getattr(torch, dtype) if backend == "torch" else dtype
            if function == "where":
                mask = of_arrays([True, False])
                found, expected = xp.where(mask, *numbers), np.array(numbers)
            else:
                found, expected = getattr(xp, function)(*numbers), wide(*map(np.float64, numbers))
                as_arrays = getattr(xp, function)(*(of_arrays(float(x), dtype=kind) for x in numbers))
                np.testing.assert_array_equal(np.asarray(found), np.asarray(as_arrays))
            found = np.asarray(found)
            assert found.dtype == ("bool" if truth else dtype), backend
            tolerance = 1e-6 if dtype == "float32" else 1e-14
            # Two turns are a zero of the sine.
            zero = tolerance if function == "sin_of_turns" else 0.0
            np.testing.assert_allclose(found.astype(float), expected, rtol=tolerance, atol=zero)


@pytest.mark.parametrize("function", sorted(TWO))
def test_a_number_in_the_first_place(function: str) -> None:
    """xp.fmod(2.0, v): PyTorch itself takes no number there."""
    v = np.array([0.5, 1.5, 2.5])
    expected = getattr(space("numpy", "float64"), function)(np.float64(1.75), v)
    for backend, of_arrays in (("torch", torch.tensor), ("jax", jnp.asarray)):
        found = getattr(space(backend, "float64"), function)(1.75, of_arrays(v))
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-13, atol=1e-15)


class Box(Surrogate):
    """Numbers in both branches, as floats and as integers, and one that float32 holds as infinite."""

    width: float = parameter(0.75, above=0)

    @staticmethod
    def derivative(v, xp, *, width):
        inner = xp.where(xp.abs(v) < width, 0.7, 0.1) + xp.where(v > 1, 1, 0)
        return xp.where(v > 5, xp.exp(0.5) * xp.maximum(0.3, 0.2), xp.where(v < -5, v, inner)) + xp.reciprocal(2)


@pytest.mark.parametrize(
    ("dtype", "x64"),
    [("float64", True), *((dtype, x64) for dtype in ("float32", "float16", "bfloat16") for x64 in (True, False))],
)
def test_numbers_are_in_the_computing_dtype(dtype: str, x64: bool) -> None:
    """In JAX with x64 and without it, for a half type the computing dtype is float32."""
    computing = np.float64 if dtype == "float64" else np.float32
    values = [0.7, 1.1, math.exp(0.5) * 0.3, -6.0]
    expected = np.array([computing(x) + computing(0.5) for x in values])
    expected[2] = np.exp(computing(0.5)) * computing(0.3) + computing(0.5)
    expected[1] = computing(0.1) + computing(1) + computing(0.5)
    surrogate: Any = Box()
    with enable_x64(x64):
        v = jnp.asarray([0.0, 2.0, 6.0, -6.0], dtype)
        cotangent = jnp.ones_like(v)

        def pull(x: jax.Array) -> jax.Array:
            return jax.vjp(lambda y: arcana.jax.spike(y, surrogate), x)[1](cotangent)[0]

        found = {"grad": pull(v), "jit": jax.jit(pull)(v), "derivative": surrogate.derivative(v)}
        rounded = np.asarray(jnp.asarray(expected).astype(dtype).astype(computing))
        for way, each in found.items():
            assert each.dtype == v.dtype, way
            np.testing.assert_allclose(each.astype(computing), rounded, rtol=float(np.finfo(computing).eps), err_msg=way)


class Numbers(Surrogate):
    """Two numbers alone."""

    @staticmethod
    def derivative(v, xp):
        return xp.where(v > 1, xp.where(v > 2, 0.7, 0.1), xp.exp(0.3))


@pytest.mark.parametrize("x64", [True, False])
def test_numbers_of_a_float32_potential_are_float32(x64: bool) -> None:
    """With x64 a number by itself is a float64 in JAX, and cotangent · h was rounded from there."""
    v = np.tile(np.array([0.0, 1.5, 2.5], np.float32), 300)
    c = np.random.default_rng(2).normal(size=v.size).astype(np.float32)
    number = np.asarray(torch.exp(torch.tensor(0.3)))
    h = np.select([v > 2, v > 1], [np.float32(0.7), np.float32(0.1)], number)
    ours = torch.autograd.grad(arcana.torch.spike(x := torch.from_numpy(v).requires_grad_(), Numbers()), x, torch.from_numpy(c))
    np.testing.assert_array_equal(ours[0], c * h)
    with enable_x64(x64):
        for jit in (lambda function: function, jax.jit):
            pull = jit(lambda y, z: jax.vjp(lambda u: arcana.jax.spike(u, Numbers()), y)[1](z)[0])
            theirs = np.asarray(pull(jnp.asarray(v), jnp.asarray(c)))
            known = v > 1
            np.testing.assert_array_equal(theirs[known], (c * h)[known])
            np.testing.assert_allclose(theirs, c * h, rtol=1e-6)


class Truth(Surrogate):
    """h is a comparison, and no number."""

    level: float = parameter(0.7)

    @staticmethod
    def derivative(v, xp, *, level):
        return v > level


class Level(Truth):
    @staticmethod
    def derivative(v, xp, *, level):
        return level


class Number(Truth):
    @staticmethod
    def derivative(v, xp, *, level):
        return 0.7


@pytest.mark.parametrize("definition", [Truth, Level, Number])
def test_a_formula_that_is_no_array_of_numbers(definition: Any) -> None:
    """A cotangent of 2.5 was 1 in JAX where h is a comparison."""
    v = np.array([0.0, 2.0])
    expected = np.array([0.0, 1.0] if definition is Truth else [0.7, 0.7])
    for arrays in (False, True):
        given = {"level": jnp.asarray(0.7)} if arrays else {}
        found = jax.vjp(lambda x, given=given: arcana.jax.spike(x, definition(), **given), jnp.asarray(v))[1](jnp.full(2, 2.5))[0]
        np.testing.assert_array_equal(found, 2.5 * expected)
    for way in (v, torch.from_numpy(v), jnp.asarray(v)):
        surrogate: Any = definition()
        np.testing.assert_array_equal(np.asarray(surrogate.derivative(way)), expected)
