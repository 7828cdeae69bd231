"""What a call costs in JAX, counted and not timed: kernels, what is kept, traces and compilations."""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
import pickle
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import every_parameter, every_surrogate
from known_values import KNOWN

from arcana import surrogate as definitions
from arcana._core.expression import Kept
from arcana.jax import forward_mode, spike
from arcana.surrogate import FastSigmoid, Surrogate, parameter
from arcana.testing._values import BITS


def gradient(surrogate: Surrogate, v: jax.Array, c: jax.Array, **parameters: Any) -> jax.Array:
    return jax.vjp(lambda x: spike(x, surrogate, **parameters), v)[1](c)[0]


def instructions(compiled: jax.stages.Compiled) -> dict[str, int]:
    """How often each instruction occurs in what runs, besides reading the arguments."""
    text = compiled.as_text()
    assert text is not None
    names = re.findall(r"^  .* ([a-z-]+)\(", text[text.index("ENTRY") :], re.MULTILINE)
    return dict(collections.Counter(name for name in names if name != "parameter"))


@every_surrogate
@pytest.mark.parametrize("dtype", BITS)
def test_one_fusion_forward_and_one_backward(name: str, dtype: str) -> None:
    surrogate, v = definitions.get(name), jax.ShapeDtypeStruct((4096,), dtype)

    def both(v: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array]:
        return spike(v, surrogate), gradient(surrogate, v, c)

    expected = {"fusion": 1, "copy": 1, "tuple": 1} if KNOWN[name].passes else {"fusion": 2, "tuple": 1}
    assert instructions(jax.jit(both).lower(v, v).compile()) == expected


@every_surrogate
def test_a_pullback_alone_is_one_fusion(name: str) -> None:
    v = jnp.linspace(-2, 2, 64, dtype=jnp.float32)
    pullback = jax.vjp(lambda x: spike(x, definitions.get(name)), v)[1]
    compiled = jax.jit(lambda pull, c: pull(c)[0]).lower(pullback, v).compile()
    assert instructions(compiled) == ({"copy": 1} if KNOWN[name].passes else {"fusion": 1})


@functools.cache
def comparison(dtype: str, fires_at_threshold: bool) -> str:
    """The program of one surrogate's call, which is one fusion and the program of every other's."""
    surrogate = definitions.STE(fires_at_threshold=fires_at_threshold)
    program = jax.jit(lambda x: surrogate(x)).lower(jax.ShapeDtypeStruct((4096,), dtype))
    assert instructions(program.compile()) == {"fusion": 1}
    return program.as_text()


@every_surrogate
@pytest.mark.parametrize("dtype", BITS)
def test_without_a_gradient_a_call_is_one_comparison(name: str, dtype: str) -> None:
    """Forward mode has it after its numbers, which nobody reads, have been dropped."""
    v = jax.ShapeDtypeStruct((4096,), dtype)
    for fires_at_threshold in (True, False):
        surrogate = definitions.get(name, fires_at_threshold=fires_at_threshold)
        # In a lambda, since jax.jit takes over what the attributes of an instance are called, `lower` too.
        assert jax.jit(lambda x, s=surrogate: s(x)).lower(v).as_text() == comparison(dtype, fires_at_threshold)
    assert instructions(jax.jit(forward_mode(surrogate)).lower(v).compile()) == {"fusion": 1}


def kept_leaves(pullback: Any, v: jax.Array, spikes: jax.Array) -> list[tuple[str, int]]:
    """Of each array that a pullback holds, whether it is v, the spikes or a new one, and its bytes."""
    owners = {v.unsafe_buffer_pointer(): "v", spikes.unsafe_buffer_pointer(): "spikes"}
    return [(owners.get(x.unsafe_buffer_pointer(), "new"), x.nbytes) for x in jax.tree.leaves(pullback)]


@every_surrogate
@pytest.mark.parametrize("fires_at_threshold", [True, False])
@pytest.mark.parametrize("dtype", BITS)
def test_no_more_is_kept_than_needed(name: str, dtype: str, fires_at_threshold: bool) -> None:
    """Called plainly, and as results of a jit, where nothing is anybody's memory but every size is the same."""
    v = jnp.linspace(-2, 2, 1000).astype(dtype)
    expected = {
        Kept.NOTHING: [],
        Kept.SPIKES: [("spikes", v.nbytes)],
        Kept.MASK: [("new", v.size)],
        Kept.POTENTIAL: [("v", v.nbytes)],
    }
    surrogate = definitions.get(name, fires_at_threshold=fires_at_threshold)
    spikes, pullback = jax.vjp(surrogate, v)
    found = kept_leaves(pullback, v, spikes)
    assert found == expected[KNOWN[name].kept_when(fires_at_threshold)]
    traced = jax.eval_shape(lambda x: jax.vjp(surrogate, x)[1], v)
    assert [x.size * x.dtype.itemsize for x in jax.tree.leaves(traced)] == [size for _, size in found]


@every_parameter
def test_a_parameter_that_trains_takes_one_array_more(name: str, key: str) -> None:
    """What is summed is made once, by itself, with no array for a term of it or a choice on the way."""
    v, value = jnp.zeros(4096), jnp.float32(getattr(definitions.get(name), key))

    def both(v: jax.Array, value: jax.Array, cotangent: jax.Array) -> Any:
        return jax.vjp(lambda v, value: spike(v, definitions.get(name), **{key: value}), v, value)[1](cotangent)

    planned: Any = jax.jit(both).lower(v, value, v).compile().memory_analysis()
    # The gradient of v, and what is summed.
    assert (planned.temp_size_in_bytes + planned.output_size_in_bytes) // v.nbytes == 2


def test_parameters_that_are_arrays_keep_v() -> None:
    v = jnp.linspace(-2, 2, 100, dtype=jnp.float32)
    spikes, pullback = jax.vjp(lambda x, height: spike(x, definitions.rectangular, height=height), v, jnp.float32(2))
    assert sorted(kept_leaves(pullback, v, spikes)) == [("new", 4), ("v", 400)]


@pytest.mark.parametrize("name", [name for name, known in KNOWN.items() if known.kept is not Kept.POTENTIAL])
def test_constant_pieces_have_no_second_derivative(name: str) -> None:
    """The spikes that are kept have a surrogate gradient of their own; it must not enter."""
    surrogate = definitions.get(name)
    v, c = jnp.linspace(-1, 1, 41), jnp.linspace(0.5, 2, 41)
    first, pullback = jax.vjp(lambda x, y: gradient(surrogate, x, y), v, c)
    by_v, by_c = pullback(jnp.ones_like(first))
    np.testing.assert_array_equal(by_v, jnp.zeros_like(v))
    np.testing.assert_array_equal(by_c, surrogate.derivative(v))


class Traced(Surrogate):
    """Counts how often JAX looks at its formula; the gradient of a parameter is not needed here."""

    width: float = parameter(1.0, above=0)

    @staticmethod
    def derivative(v, xp, *, width):
        TRACES.append(type(v).__name__)
        return xp.exp(-xp.abs(v * width))


TRACES: list[str] = []


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "jit"])
def test_equal_instances_and_new_values_are_traced_once(jit: bool) -> None:
    v = jnp.linspace(-1, 1, 31 + jit)
    numbers = [{"width": 1.0}, {"width": 1.0}, {"width": 2.0}, {"width": 3}]
    arrays = [{"width": jnp.full(1, x)} for x in (1.0, 2.0, 3.0)]
    call = functools.partial(gradient, Traced(), v, v)
    for given in (arrays,) if jit else (numbers, arrays):
        step = jax.jit(call) if jit else call
        before = step(**given[0])
        count = len(TRACES)
        after = [step(**each) for each in given]
        assert len(TRACES) == count
        np.testing.assert_array_equal(after[0], before)
        assert not np.array_equal(after[-1], before)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was compiled, by name, since the last time."""
    found = [re.match(r"Compiling (?:jit\()?(\w+)", record.message) for record in caplog.records]
    caplog.clear()
    return [each[1] for each in found if each]


def test_all_surrogates_share_one_comparison(caplog: pytest.LogCaptureFixture) -> None:
    """All of them together: of a new size the first compiles it, whichever that is."""
    v = jnp.linspace(-1, 1, 37, dtype=jnp.float32)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        for name in KNOWN:
            definitions.get(name)(v)
    assert messages(caplog) == ["_fire"]


@every_surrogate
def test_a_plain_call_is_compiled_functions_that_every_value_shares(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Of a new size a surrogate compiles its backward pass; no other values of its parameters compile it again."""
    surrogate, v = definitions.get(name), jnp.linspace(-1, 1, 39, dtype=jnp.float32)
    definitions.ste(v)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        gradient(surrogate, v, v)
        passes = {Kept.NOTHING: [], Kept.MASK: ["mask", "products"]}.get(KNOWN[name].kept, ["products"])
        assert messages(caplog) == passes
        other = {key: surrogate.rounded(key, 1.5 * value, "float32") for key, value in surrogate.numbers.items()}
        for each in (type(surrogate)(), type(surrogate)(**other)):
            gradient(each, v, v)
            each(v)
            forward_mode(each)(v)
        assert messages(caplog) == []


def test_calls_are_found_by_value() -> None:
    from arcana.jax._call import call_of

    v = jnp.zeros(1, jnp.float32)
    call = call_of(v, FastSigmoid(scale=25.0), {})[0]
    assert call_of(v, FastSigmoid(scale=25), {})[0] is call
    assert call_of(v, FastSigmoid(), {"scale": 25.0})[0] is call
    assert call_of(v.astype(jnp.float64), FastSigmoid(scale=25.0), {})[0] is not call


def test_what_an_instance_has_found_is_for_its_own_arguments() -> None:
    surrogate, v = FastSigmoid(scale=25.0), jnp.ones(2, jnp.float32)
    assert spike(v, surrogate).dtype == jnp.float32
    assert spike(v.astype(jnp.float16), surrogate).dtype == jnp.float16
    assert spike(np.ones(2, np.float64), surrogate).dtype == jnp.float64
    with pytest.raises(TypeError, match="v must be float64"):
        spike(v.astype(jnp.int32), surrogate)
    assert pickle.loads(pickle.dumps(surrogate))._calls == {}
    assert dataclasses.replace(surrogate, scale=10.0)._calls == {}
