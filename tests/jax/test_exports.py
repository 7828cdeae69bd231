"""Exported and compiled ahead: gradients travel, for shapes that are not known yet too; layers saved by JAX's own savers."""

from __future__ import annotations

import io
import sys
import types
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.export
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint
import pytest
from every import every_surrogate
from flax import nnx

from arcana.jax import _function, spike
from arcana.jax.adapters import equinox
from arcana.jax.adapters.nnx import Spike
from arcana.surrogate import FastSigmoid, get


@every_surrogate
def test_an_export_of_any_batch_size_has_the_gradient(name: str) -> None:
    """Written to bytes and read back, then asked for another batch size than it was tried with."""
    surrogate = get(name)

    def loss(v: jax.Array, weights: jax.Array) -> jax.Array:
        return surrogate(v) * weights

    shape = jax.export.symbolic_shape("batch, 3")
    one = jax.ShapeDtypeStruct(shape, jnp.float32)
    serialized = jax.export.export(jax.jit(loss))(one, one).serialize(vjp_order=1)
    exported = jax.export.deserialize(serialized)
    v = jnp.linspace(-2, 2, 15, dtype=jnp.float32).reshape(5, 3)
    c = jnp.arange(15, dtype=jnp.float32).reshape(5, 3) - 7
    out, pullback = jax.vjp(loss, v, c)
    np.testing.assert_array_equal(np.asarray(exported.call(v, c)), np.asarray(out))
    gradients = exported.vjp().call(v, c, jnp.ones_like(v))
    np.testing.assert_allclose(np.asarray(gradients[0]), np.asarray(pullback(jnp.ones_like(v))[0]), rtol=1e-6, atol=1e-12)


def test_compiled_ahead_of_time() -> None:
    v = jnp.array([-0.1, 0.0, 0.1], jnp.float32)
    compiled = jax.jit(jax.grad(lambda v: FastSigmoid()(v).sum())).lower(v).compile()
    np.testing.assert_array_equal(np.asarray(compiled(v)), np.asarray(FastSigmoid().derivative(v)))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=["bfloat16", "float16"])
def test_a_scan_that_carries_a_half_type(dtype: Any) -> None:
    """The carry keeps its dtype, and the gradient is that of the loop written out."""

    def step(v: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        v = v * jnp.asarray(0.5, dtype) + x
        spikes = FastSigmoid(scale=2.0)(v - jnp.asarray(1, dtype))
        return v - spikes, spikes

    def scanned(inputs: jax.Array) -> jax.Array:
        return jax.lax.scan(step, jnp.zeros(3, dtype), inputs)[1].sum()

    def unrolled(inputs: jax.Array) -> jax.Array:
        v, total = jnp.zeros(3, dtype), jnp.zeros((), dtype)
        for x in inputs:
            v, spikes = step(v, x)
            total = total + spikes.sum()
        return total

    inputs = jnp.linspace(0, 2, 12, dtype=dtype).reshape(4, 3)
    one, other = jax.grad(scanned)(inputs), jax.grad(unrolled)(inputs)
    assert one.dtype == dtype
    np.testing.assert_allclose(np.asarray(one, np.float32), np.asarray(other, np.float32), rtol=float(4 * jnp.finfo(dtype).eps))


def test_equinox_saves_a_layer() -> None:
    """A model that holds a surrogate by itself too: it has no leaves, and is of the model that is loaded into."""
    model = (equinox.Spike(FastSigmoid(scale=3.0), 0.5, ("scale", "threshold"), shape=2), FastSigmoid(scale=7.0))
    moved = eqx.tree_at(lambda each: each[0].learned["scale"], model, jnp.array([5.0, 6.0], jnp.float32))
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, moved)
    file.seek(0)
    loaded = eqx.tree_deserialise_leaves(file, model)
    assert loaded[0].scale.tolist() == [5.0, 6.0]
    assert loaded[0].threshold.tolist() == [0.5, 0.5]
    assert loaded[1] == FastSigmoid(scale=7.0)


def test_orbax_saves_a_layer(tmp_path: Path) -> None:
    layer = Spike(FastSigmoid(scale=3.0), 0.5, ("scale", "threshold"), shape=2)
    layer.scale[...] = jnp.array([5.0, 6.0], jnp.float32)
    definition, state = nnx.split(layer)
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "layer", nnx.to_pure_dict(state))
        checkpointer.wait_until_finished()
        fresh = nnx.to_pure_dict(nnx.state(Spike(FastSigmoid(scale=3.0), 0.5, ("scale", "threshold"), shape=2)))
        restored = checkpointer.restore(tmp_path / "layer", fresh)
    nnx.replace_by_pure_dict(state, restored)
    assert nnx.merge(definition, state).scale[...].tolist() == [5.0, 6.0]


class Registered:
    """What stands for jax2onnx: the plugins by primitive, and a context in which each operation is computed at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plugins: dict[str, Any] = {}
        self.values: dict[Any, Any] = {}
        operations = types.SimpleNamespace(lower_jaxpr_eqns=self.compute)
        system = types.SimpleNamespace(PLUGIN_REGISTRY=self.plugins, PrimitiveLeafPlugin=object)
        monkeypatch.setitem(sys.modules, "jax2onnx.plugins.jax.lax._control_flow_utils", operations)
        monkeypatch.setitem(sys.modules, "jax2onnx.plugins.plugin_system", system)
        monkeypatch.delitem(sys.modules, "arcana.jax._onnx", raising=False)

    def get_value_for_var(self, variable: Any) -> Any:
        return variable.val if isinstance(variable, jax.extend.core.Literal) else self.values[variable]

    def bind_value_for_var(self, variable: Any, value: Any) -> None:
        self.values[variable] = value

    def compute(self, ctx: Registered, jaxpr: Any, source: str) -> None:
        assert source in ctx.plugins
        for equation in jaxpr.eqns:
            given = [ctx.get_value_for_var(x) for x in equation.invars]
            ctx.bind_value_for_var(equation.outvars[0], equation.primitive.bind(*given, **equation.params))


def test_what_onnx_is_told_of_a_spike_is_a_plain_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without jax2onnx, whose part a context plays that computes."""
    onnx, v = Registered(monkeypatch), jnp.array([-1.0, -0.0, 0.0, 0.4], jnp.float32)
    _function._write_as_onnx.__wrapped__()
    assert set(onnx.plugins) == {"arcana_spike", "arcana_mask", "arcana_slopes"}
    kept = dict(onnx.plugins)
    for fires in (True, False):
        (equation,) = jax.make_jaxpr(FastSigmoid(fires_at_threshold=fires))(v).jaxpr.eqns
        onnx.bind_value_for_var(equation.invars[0], v)
        onnx.plugins["arcana_spike"].lower(onnx, equation)
        found = onnx.get_value_for_var(equation.outvars[0])
        assert found.dtype == v.dtype
        assert found.tolist() == [0, fires, fires, 1]
    # What somebody has registered stays.
    _function._write_as_onnx.__wrapped__()
    assert onnx.plugins == kept


@pytest.mark.parametrize("fires", [True, False], ids=["fires_at_threshold", "does_not"])
@pytest.mark.filterwarnings("ignore")
def test_a_spike_is_a_comparison_of_onnx(fires: bool) -> None:
    """By jax2onnx at its default opset, inside a scan too; subnormal potentials are compared exactly there."""
    # It brings twenty packages, so that no session installs it.
    to_onnx = pytest.importorskip("jax2onnx").to_onnx
    onnxruntime = pytest.importorskip("onnxruntime")
    surrogate = FastSigmoid(fires_at_threshold=fires)
    v = np.array([-1.0, -1e-40, -0.0, 0.0, 1e-40, 0.4], np.float32)

    def network(v: jax.Array) -> tuple[jax.Array, jax.Array]:
        def step(potential: jax.Array, current: jax.Array) -> tuple[jax.Array, jax.Array]:
            potential = 0.5 * potential + current
            spikes = spike(potential - 1.0, surrogate, scale=jnp.arange(1.0, 7.0, dtype=jnp.float32))
            return potential - spikes, spikes

        currents = jnp.stack([v, v * 3, v * 2])
        return spike(v, surrogate), jax.lax.scan(step, jnp.zeros_like(v), currents)[1]

    session = onnxruntime.InferenceSession(
        to_onnx(network, inputs=[(6,)]).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    once, over_time = session.run(None, {session.get_inputs()[0].name: v})
    np.testing.assert_array_equal(once, v >= 0 if fires else v > 0)
    expected = np.asarray(network(jnp.asarray(v))[1])
    np.testing.assert_array_equal(over_time, expected)
    # The second of the last neuron is at the threshold.
    assert expected.sum() == 1 + fires
