"""Inside a Pallas kernel: interpreted for every surrogate, and lowered for a GPU, which need not be there."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import every_surrogate
from jax.experimental import pallas
from jax.experimental.pallas import triton

from arcana.jax.adapters.pallas import fire, pseudo_derivative
from arcana.surrogate import FastSigmoid, Surrogate, get

NOT_LOWERED = {
    "clipped_ste": "attribute 'type'",
    "periodic_exponential": "round",
    "q_pseudo_spike": "reduce_precision",
    "squarewave_fourier": "round",
}
"""What Triton's lowering in JAX 0.10 says of the four that it cannot take."""

V = jnp.linspace(-2, 2, 256, dtype=jnp.float32)


def spikes_and_slopes(surrogate: Surrogate, **options: Any) -> Any:
    def kernel(v: Any, spikes: Any, slopes: Any) -> None:
        spikes[...] = fire(v[...], surrogate)
        slopes[...] = pseudo_derivative(v[...], surrogate)

    shape = jax.ShapeDtypeStruct(V.shape, V.dtype)
    return pallas.pallas_call(kernel, out_shape=(shape, shape), **options)


@every_surrogate
def test_interpreted(name: str) -> None:
    """Potentials and h of the same bits, but for what XLA contracts in one of the two programs."""
    surrogate = get(name, fires_at_threshold=False)
    v = V.at[0].set(0.0)
    spikes, slopes = spikes_and_slopes(surrogate, interpret=True)(v)
    np.testing.assert_array_equal(np.asarray(spikes), np.asarray(surrogate(v)))
    np.testing.assert_allclose(np.asarray(slopes), np.asarray(surrogate.derivative(v)), rtol=1e-6, atol=1e-12)


@pytest.mark.skipif(jax.__version_info__ >= (0, 11), reason="deprecated, it asks for a GPU from JAX 0.11 on")
@every_surrogate
def test_lowered_for_a_gpu(name: str) -> None:
    call = jax.jit(spikes_and_slopes(get(name), compiler_params=triton.CompilerParams(num_warps=4)))

    def lowered() -> str:
        return call.trace(V).lower(lowering_platforms=("cuda",)).as_text()

    if name in NOT_LOWERED:
        with pytest.raises((NotImplementedError, AttributeError), match=NOT_LOWERED[name]):
            lowered()
    else:
        assert "triton" in lowered()


def test_a_class_stands_for_its_defaults_and_a_name_does_not() -> None:
    assert fire(jnp.zeros(1), FastSigmoid).tolist() == [1.0]
    with pytest.raises(TypeError, match=r"^pseudo_derivative takes a Surrogate instance"):
        pseudo_derivative(jnp.zeros(1), "fast_sigmoid")  # pyright: ignore[reportArgumentType]
