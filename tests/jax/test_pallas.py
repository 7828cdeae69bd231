"""Inside a Pallas kernel: interpreted for every surrogate, and lowered for a GPU, which need not be there."""

from __future__ import annotations

import contextlib
import warnings
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import every_surrogate
from jax.experimental import pallas
from jax.experimental.pallas import triton

import arcana.jax._namespace
from arcana.jax.adapters.pallas import fire, pseudo_derivative
from arcana.surrogate import FastSigmoid, Surrogate, get

V = jnp.linspace(-2, 2, 256, dtype=jnp.float32)


def spikes_and_slopes(surrogate: Surrogate, v: jax.Array, **options: Any) -> Any:
    def kernel(v: Any, spikes: Any, slopes: Any) -> None:
        spikes[...] = fire(v[...], surrogate)
        slopes[...] = pseudo_derivative(v[...], surrogate)

    shape = jax.ShapeDtypeStruct(v.shape, v.dtype)
    return pallas.pallas_call(kernel, out_shape=(shape, shape), **options)


@every_surrogate
def test_interpreted(name: str) -> None:
    """Potentials and h of the same bits, but for what XLA contracts in one of the two programs."""
    surrogate = get(name, fires_at_threshold=False)
    v = V.at[0].set(0.0)
    spikes, slopes = spikes_and_slopes(surrogate, v, interpret=True)(v)
    np.testing.assert_array_equal(np.asarray(spikes), np.asarray(surrogate(v)))
    np.testing.assert_allclose(np.asarray(slopes), np.asarray(surrogate.derivative(v)), rtol=1e-6, atol=1e-12)


FAR = [
    get("periodic_exponential", width=0.1),
    get("q_pseudo_spike", q=40.0),
    get("squarewave_fourier", period=0.7, terms=7),
    get("clipped_ste", lower=-1.5, upper=2.5),
]


@pytest.mark.parametrize("surrogate", FAR, ids=lambda each: each.name)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_a_kernel_computes_in_its_own_way(surrogate: Surrogate, dtype: str) -> None:
    """Whole and half numbers, where rounding to even shows, and what lies between and far out."""
    v = jnp.concatenate([jnp.arange(-9, 9, 0.25), jnp.linspace(-30, 30, 182), jnp.asarray([1e9, -jnp.inf])]).astype(dtype)
    slopes = jnp.asarray(spikes_and_slopes(surrogate, v, interpret=True)(v)[1], "float64")
    expected = jnp.asarray(surrogate.derivative(v), "float64")
    close = 32 * float(jnp.finfo(dtype).eps) * surrogate.peak
    np.testing.assert_allclose(slopes, expected, rtol=0, atol=close)


class Staircase(Surrogate):
    """A definition of one's own that shows which of two whole numbers a half is rounded to."""

    @staticmethod
    def derivative(v: Any, xp: Any) -> Any:
        return xp.round(v) + 100


def test_halves_are_rounded_to_even_in_a_kernel_too() -> None:
    halves = np.arange(-4.5, 5.0)
    near = np.nextafter(np.float32(0.5), np.float32([0, 1]))
    v = jnp.asarray([*halves, *near, *-near, 0.3, -0.0, 8388607.5, -8388607.5, 2.0**30, jnp.inf, -jnp.inf, jnp.nan], jnp.float32)
    slopes = spikes_and_slopes(Staircase(), v, interpret=True)(v)[1]
    np.testing.assert_array_equal(np.asarray(slopes), np.asarray(jnp.round(v) + 100))


@every_surrogate
def test_lowered_for_a_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that has one, where a quotient is had by way of float64."""
    monkeypatch.setattr(arcana.jax._namespace, "_on_gpu", lambda: True)
    call = jax.jit(spikes_and_slopes(get(name), V, compiler_params=triton.CompilerParams(num_warps=4)))
    with a_gpu(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The Pallas Triton backend is deprecated", DeprecationWarning)
        text = call.trace(jax.ShapeDtypeStruct(V.shape, V.dtype)).lower(lowering_platforms=("cuda",)).as_text()
    assert "triton" in text


def a_gpu() -> AbstractContextManager[Any]:
    """Return a context in which JAX lowers for a GPU that is not there; before 0.11 it asks for none."""
    if jax.__version_info__ < (0, 11):
        return contextlib.nullcontext()
    sharding: Any = jax.sharding
    device = sharding.AbstractDevice(device_kind="NVIDIA H100 80GB HBM3", num_cores=132, platform="gpu")
    return sharding.use_abstract_mesh(sharding.AbstractMesh((1,), ("x",), (sharding.AxisType.Explicit,), abstract_device=device))


def test_a_class_stands_for_its_defaults_and_a_name_does_not() -> None:
    assert fire(jnp.zeros(1), FastSigmoid).tolist() == [1.0]
    with pytest.raises(TypeError, match=r"^pseudo_derivative takes a Surrogate instance"):
        pseudo_derivative(jnp.zeros(1), "fast_sigmoid")  # pyright: ignore[reportArgumentType]
