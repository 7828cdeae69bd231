"""What is said to a call that is written wrongly: the same words in torch, in JAX and of an instance; what is plain is done."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from every import every_surrogate

import arcana.jax
import arcana.torch
from arcana import presets, surrogate as definitions
from arcana.jax.adapters import equinox, linen, nnx
from arcana.rules import Integer, Rule, Ternary
from arcana.surrogate import FastSigmoid, Surrogate, parameter
from arcana.torch import Spike

BACKENDS = {
    "torch": (arcana.torch, torch.tensor([-0.3, 0.0, 0.4]), "torch.Tensor", "torch.as_tensor(v)"),
    "jax": (arcana.jax, jnp.asarray([-0.3, 0.0, 0.4]), "jax.Array", "jnp.asarray(v)"),
}


@dataclasses.dataclass(frozen=True)
class Octaves(Rule):
    @property
    def thresholds(self):
        return ((0.0, 1), (1.0, 1), (3.0, 1))


class Required(Surrogate):
    width: float = parameter(above=0)

    @staticmethod
    def derivative(v, xp, *, width):
        return xp.reciprocal(xp.abs(v) + width)


TAKES = "takes a Surrogate instance, FastSigmoid(scale=25.0) say, got"
WRONG: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "no potential": (
        lambda m, v: m.fast_sigmoid(slope=25),
        "and none is given: write fast_sigmoid(v, scale=25); the object to hand over is FastSigmoid(scale=25), from",
    ),
    "nothing": (lambda m, v: m.ste(), "write ste(v); the object to hand over is STE(), from arcana.surrogate"),
    "class by position": (lambda m, v: m.FastSigmoid(25), "parameters by keyword: write FastSigmoid(scale=25)"),
    "class of v": (lambda m, v: m.FastSigmoid(v), "the spikes of v are FastSigmoid()(v)"),
    "definition of v": (lambda m, v: FastSigmoid(v, slope=2.0), "the spikes of v are FastSigmoid(scale=2.0)(v)"),
    "function by position": (
        lambda m, v: m.fast_sigmoid(v, 25),
        "fast_sigmoid takes one positional argument, the potential v: write fast_sigmoid(v, scale=25)",
    ),
    "function, several": (lambda m, v: m.triangular(v, 0.3, 2.0), "write triangular(v, scale=0.3, width=2.0)"),
    "apply by position": (lambda m, v: m.FastSigmoid.apply(v, 25), "write FastSigmoid.apply(v, scale=25)"),
    "h by position": (lambda m, v: m.FastSigmoid.pseudo_derivative(v, 25), "write FastSigmoid.pseudo_derivative(v, scale=25)"),
    "instance by position": (lambda m, v: FastSigmoid()(v, 25), "write FastSigmoid(scale=10.0)(v, scale=25)"),
    "a number for v": (lambda m, v: m.fast_sigmoid(25), "the object to hand over is FastSigmoid(scale=25)"),
    "a name": (
        lambda m, v: m.spike(v, "fast_sigmoid"),
        f"spike {TAKES} 'fast_sigmoid'; a name is looked up by arcana.surrogate.get('fast_sigmoid')",
    ),
    "exchanged": (lambda m, v: m.spike(FastSigmoid(), v), "the arguments are exchanged: write spike(v, surrogate)"),
    "function exchanged": (lambda m, v: m.spike(m.fast_sigmoid, v), "the arguments are exchanged: write spike(v, surrogate)"),
    "class exchanged": (lambda m, v: m.spike(FastSigmoid, v), "the arguments are exchanged: write spike(v, surrogate)"),
    "evaluate exchanged": (
        lambda m, v: m.evaluate(v, "derivative", FastSigmoid()),
        "the arguments are exchanged: write evaluate(surrogate, which, v)",
    ),
    "a dict": (
        lambda m, v: m.spike(v, {}),
        f"spike {TAKES} {{}}; a dict that to_dict wrote is read by arcana.surrogate.from_dict",
    ),
    "nobody": (lambda m, v: m.spike(v, None), f"spike {TAKES} None"),
    "a number": (lambda m, v: m.spike(v, 3.0), f"spike {TAKES} 3.0"),
    "a partial": (lambda m, v: m.spike(v, functools.partial(m.fast_sigmoid, scale=2)), "is an instance, not a functools.partial"),
    "a layer": (lambda m, v: m.spike(v, Spike(FastSigmoid())), "it holds one: hand over its .surrogate, or call it itself"),
    "a function of C": (lambda m, v: m.spike(v, "".join), f"spike {TAKES} builtins.builtin_function_or_method"),
    "another class": (lambda m, v: m.spike(v, dict), f"spike {TAKES} 'dict' (builtins.type)"),
    "two surrogates": (lambda m, v: m.spike(FastSigmoid(), FastSigmoid()), "the potential v comes first, the surrogate after it"),
    "a rule": (
        lambda m, v: m.spike(v, presets.sinabs.max_spike(max_num_spikes_per_bin=4)),
        "arcana.rules.Integer; that is a rule, which goes beside a surrogate: write rule=Integer(most=4, repeat=False, step=1.0)",
    ),
    "a rule of one's own": (lambda m, v: m.spike(v, Octaves()), "which goes beside a surrogate: write rule=Octaves()"),
    "a class of rules": (
        lambda m, v: m.spike(v, Integer),
        "that is a rule, which goes beside a surrogate: write rule=Integer(…)",
    ),
    "a rule for v": (lambda m, v: m.spike(Integer(4), FastSigmoid()), "v must be a {kind}, got arcana.rules.Integer"),
    "a rule by position": (
        lambda m, v: m.fast_sigmoid(v, Integer(4)),
        "write fast_sigmoid(v, rule=Integer(most=4, repeat=True, step=1.0))",
    ),
    "a rule to an instance": (
        lambda m, v: FastSigmoid()(v, 25, Ternary()),
        "write FastSigmoid(scale=10.0)(v, scale=25, rule=Ternary(gap=2.0))",
    ),
    "a preset uncalled": (lambda m, v: m.spike(v, presets.snntorch.fast_sigmoid), "that makes one: write fast_sigmoid()"),
    "a preset's name": (
        lambda m, v: m.spike(v, "snntorch.fast_sigmoid"),
        "a name is looked up by arcana.presets.get('snntorch.fast_sigmoid')",
    ),
    "a surrogate for a rule": (
        lambda m, v: m.spike(v, FastSigmoid(), rule=presets.sinabs.gaussian()),
        "and a surrogate is given before it: write spike(v, surrogate, rule=Integer(4)), got Gaussian(sigma=0.5)",
    ),
    "a function for a rule": (lambda m, v: m.spike(v, FastSigmoid(), rule=m.atan), "and a surrogate is given before it"),
    "a class for a rule": (lambda m, v: m.spike(v, FastSigmoid(), rule=m.FastSigmoid), "and a surrogate is given before it"),
    "a definition for a rule": (lambda m, v: m.spike(v, FastSigmoid(), rule=FastSigmoid), "and a surrogate is given before it"),
    "a preset of a rule uncalled": (
        lambda m, v: m.spike(v, FastSigmoid(), rule=presets.sinabs.multi_spike),
        "rule must be a rule of arcana.rules, write multi_spike(), got <function multi_spike",
    ),
    "a rule's name": (
        lambda m, v: m.spike(v, FastSigmoid(), rule="sinabs.multi_spike"),
        "write arcana.presets.get_rule('sinabs.multi_spike'), got",
    ),
    "no default": (lambda m, v: m.spike(v, Required), "Required: width has no default and must be given"),
    "foreign name": (
        lambda m, v: m.fast_sigmoid(v, slope=25),
        "FastSigmoid has no parameter 'slope'; it has scale, gain, fires_at_threshold; did you mean scale?",
    ),
    "a name of no kin": (lambda m, v: m.fast_sigmoid(v, foo=25), "it has scale, gain, fires_at_threshold; did you mean scale?"),
    "misspelt": (lambda m, v: m.spike(v, FastSigmoid(), scal=25), "did you mean scale?"),
    "a list": (lambda m, v: m.fast_sigmoid(v, scale=[1.0]), "got [1.0] (list); make a {kind} of it"),
    "text": (lambda m, v: m.fast_sigmoid(v, scale="a"), "FastSigmoid: scale must be a number or a {kind}, got 'a' (str)"),
    "truth": (lambda m, v: m.fast_sigmoid(v, scale=True), "FastSigmoid: scale must be a number or a {kind}, got True (bool)"),
    "imaginary": (
        lambda m, v: m.spike(v, FastSigmoid(), gain=1j),
        "FastSigmoid: gain must be a number or a {kind}, got 1j (complex)",
    ),
    "list for v": (
        lambda m, v: m.spike([0.5], FastSigmoid()),
        "v must be a {kind}, got builtins.list; {convert} makes one of it",
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_call_says_what_to_write(wrong: str, backend: str) -> None:
    module, v, kind, convert = BACKENDS[backend]
    call, message = WRONG[wrong]
    with pytest.raises(TypeError, match=re.escape(message.replace("{kind}", kind).replace("{convert}", convert))):
        call(module, v)


@pytest.mark.parametrize(
    ("name", "advice"), [("slope", "; did you mean scale?"), ("sigma", "; did you mean width?"), ("foo", "")]
)
def test_of_several_parameters_the_one_of_its_kin_is_meant(name: str, advice: str) -> None:
    words = f"has no parameter '{name}'; it has scale, width, gain, fires_at_threshold{advice}"
    with pytest.raises(TypeError, match=re.escape(words) + "$"):
        arcana.torch.triangular(torch.zeros(3), **{name: 25})


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_formula_has_one_of_two_names(backend: str) -> None:
    module, v, *_ = BACKENDS[backend]
    for which in ("deriv", "surrogate", None):
        with pytest.raises(ValueError, match=rf"^evaluate: which must be 'derivative' or 'primitive', got {which!r}$"):
            module.evaluate(FastSigmoid(), which, v)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Spike("fast_sigmoid"), f"Spike {TAKES} 'fast_sigmoid'; a name is looked up by arcana.surrogate.get"),
        (lambda: Spike(1.0, FastSigmoid()), "the arguments are exchanged: write Spike(surrogate, threshold)"),
        (lambda: Spike(Spike(FastSigmoid())), "it holds one: hand over its .surrogate"),
        (
            lambda: Spike(Integer(4), FastSigmoid()),
            "got arcana.rules.Integer; that is a rule, which goes beside a surrogate: write",
        ),
        (
            lambda: Spike(FastSigmoid(), 1.0, Ternary()),
            "got Ternary(gap=2.0); a rule is given by its name: write rule=Ternary(gap=2.0)",
        ),
        (lambda: Spike(FastSigmoid(), 1.0, 3), "Spike: learnable must be the names of parameters, got 3"),
        (lambda: Spike(FastSigmoid(), rule=FastSigmoid()), "and a surrogate is given before it"),
        (lambda: nnx.Spike(FastSigmoid(), rule=FastSigmoid(scale=3.0)), "write spike(v, surrogate, rule=Integer(4)), got Fast"),
        (lambda: equinox.Spike(FastSigmoid(), rule="integer"), "Integer(4), say, got 'integer'"),
        (lambda: linen.Spike(FastSigmoid(), rule=definitions.atan).init({}, jnp.zeros(3)), "rule=Integer(4)), got ATan("),
        (lambda: nnx.Spike(FastSigmoid(), 1.0, Integer(4)), "a rule is given by its name: write rule=Integer(most=4,"),
        (lambda: arcana.jax.forward_mode(Integer(4)), "got arcana.rules.Integer; that is a rule, which goes beside a surrogate"),
        (lambda: arcana.jax.forward_mode({}), f"forward_mode {TAKES} {{}}; a dict that"),
        (lambda: arcana.jax.forward_mode(jnp.tanh), f"forward_mode {TAKES} "),
    ],
)
def test_the_other_takers_of_a_surrogate_say_the_same(call, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        call()


@every_surrogate
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_plain_is_done(name: str, backend: str) -> None:
    """A class, and a function of either backend, stand for the default parameters."""
    module, v, *_ = BACKENDS[backend]
    instance = definitions.get(name)
    others = [getattr(each, x) for each in (arcana.torch, arcana.jax) for x in (name, type(instance).__name__)]
    for given in (type(instance), *others):
        np.testing.assert_array_equal(np.asarray(module.spike(v, given)), [0, 1, 1])
        ours, expected = (module.evaluate(each, "derivative", v) for each in (given, instance))
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(expected))
        assert Spike(given).surrogate == instance
        assert arcana.jax.forward_mode(given).surrogate == instance


def test_it_is_done_under_a_compiler_too() -> None:
    v = torch.tensor([-0.3, 0.0, 0.4], requires_grad=True)
    for given in (FastSigmoid, arcana.torch.FastSigmoid, arcana.torch.fast_sigmoid):
        compiled = torch.compile(lambda x, s=given: arcana.torch.spike(x, s), fullgraph=True, backend="aot_eager")
        (gradient,) = torch.autograd.grad(compiled(v).sum(), v)
        torch.testing.assert_close(gradient, 1 / (1 + 10 * v.detach().abs()) ** 2)


@pytest.mark.parametrize("number", [np.float32(25), np.int64(25), np.float64(25), np.float16(25), np.uint8(25)], ids=repr)
def test_a_numpy_number_is_one_at_a_torch_call(number) -> None:
    v = torch.tensor([-0.3, 0.0, 0.4], dtype=torch.float64, requires_grad=True)
    expected = 1 / (1 + 25 * v.detach().abs()) ** 2
    for call in (arcana.torch.fast_sigmoid, FastSigmoid(), arcana.torch.FastSigmoid.apply):
        torch.testing.assert_close(torch.autograd.grad(call(v, scale=number).sum(), v)[0], expected)
    compiled = torch.compile(lambda x, s: arcana.torch.fast_sigmoid(x, scale=s), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(torch.autograd.grad(compiled(v, number).sum(), v)[0], expected)
    for one in (torch.tensor(25), np.asarray(number)):
        torch.testing.assert_close(torch.autograd.grad(arcana.torch.fast_sigmoid(v, scale=one).sum(), v)[0], expected)

    def gradient(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return torch.func.grad(lambda y: arcana.torch.fast_sigmoid(y, scale=scale))(x)

    batched = torch.func.vmap(gradient)(v.detach(), torch.tensor([25, 25, 25]))
    torch.testing.assert_close(batched, expected)
