"""The causes that `compare` names on what people pass: a loss, rates, logits, spikes, a whole training step.

Two layers, recurrent, over eight steps, in both frameworks; each fault is planted in the port.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import arcana.jax
import arcana.torch
from arcana.surrogate import FastSigmoid
from arcana.testing import ComparisonError, compare
from arcana.testing._seen import seeing

STEPS, SAMPLES = 4, 6
generator = np.random.default_rng(0)
WEIGHTS = {
    "hidden": generator.normal(0, 0.5, (12, 8)).astype(np.float32),
    "recurrent": generator.normal(0, 0.2, (12, 12)).astype(np.float32),
    "output": generator.normal(0, 0.4, (5, 12)).astype(np.float32),
    "readout": generator.normal(0, 0.4, (3, 5)).astype(np.float32),
}
X = generator.normal(0.4, 0.6, (STEPS, SAMPLES, 8)).astype(np.float32)
TARGET = generator.uniform(0, 1, (SAMPLES, 3)).astype(np.float32)


def network(backend: str, fault: str = "") -> Callable[..., Any]:
    """The spikes of the last layer and the logits, as a function of weights and inputs."""
    torch_side = backend == "torch"
    fire = arcana.torch.fast_sigmoid if torch_side else arcana.jax.fast_sigmoid
    triangle = arcana.torch.triangular if torch_side else arcana.jax.triangular
    stop = torch.Tensor.detach if torch_side else jax.lax.stop_gradient
    stack = torch.stack if torch_side else jnp.stack

    def run(weights: Any, x: Any) -> tuple[Any, Any]:
        v = z = 0 * x[0, :, :1] @ weights["hidden"][:, :1].T
        u = 0 * v @ weights["output"].T
        out = []
        for current in x:
            before = stop(z) if fault == "cut recurrence" else z
            v = 0.9 * v + current @ weights["hidden"].T + before @ weights["recurrent"].T
            if fault == "height":
                z = triangle(v - 1.0, scale=0.6)
            elif fault in ("triangular", "none, triangular"):
                z = triangle(v - 1.0)
            else:
                z = fire(v - 1.0, scale=11.0 if "slope" in fault else 10.0)
            v = v - (z if fault == "reset" else stop(z))
            u = 0.8 * u + (stop(z) if "cut layers" in fault else z) @ weights["output"].T
            s = fire(u - 0.5, scale=10.0)
            u = u - 0.5 * stop(s)
            out.append(s)
        spikes = stack(out)
        return spikes, spikes.mean(0) @ weights["readout"].T

    return run


def outputs_of(what: str, run: Callable[..., Any], backend: str, fault: str) -> Callable[..., Any]:
    def loss(weights: Any, x: Any) -> Any:
        error = (run(weights, x)[1] - (torch.from_numpy(TARGET) if backend == "torch" else TARGET)) ** 2
        value = error.sum() if fault == "sum for mean" else error.mean()
        if fault == "cotangent":
            value = 0.5 * value + 0.5 * (value.detach() if backend == "torch" else jax.lax.stop_gradient(value))
        return value

    def step(weights: Any, x: Any) -> Any:
        if backend == "jax":
            slopes = jax.grad(loss)(weights, x)
        else:
            weights = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
            slopes = dict(zip(weights, torch.autograd.grad(loss(weights, x), list(weights.values())), strict=True))
        return {name: weight - 0.1 * slopes[name] for name, weight in weights.items()}

    ways = {
        "loss": loss,
        "rates": lambda weights, x: run(weights, x)[0].mean(0),
        "logits": lambda weights, x: run(weights, x)[1],
        "spikes": lambda weights, x: run(weights, x)[0],
        "training step": step,
    }
    return ways[what]


def compared(what: str, fault: str, weights: Any = WEIGHTS, like: str = "") -> Any:
    sides = [outputs_of(what, network(side, each), side, each) for side, each in (("torch", like), ("jax", fault))]
    return compare(*sides, weights, X, gradients=what != "training step")


FAULTS = {
    "none": ("same", ""),
    "slope": ("surrogate", "spike function 1: at v = "),
    "height": ("surrogate", "spike function 1: at v = "),
    "reset": ("detached", "the surrogates are the same in every call: a path is cut on one side"),
    "cut layers": ("detached", "/∂argument.0.hidden is 0 in JAX and not in the other: that path is cut in JAX"),
}
CASES = [("loss", fault) for fault in FAULTS] + [
    (what, fault) for what in ("rates", "training step") for fault in ("slope", "reset")
]


@pytest.mark.parametrize(("what", "fault"), CASES, ids=[", ".join(case) for case in CASES])
def test_a_fault_behind_each_output(what: str, fault: str) -> None:
    kind, words = FAULTS[fault]
    like = "triangular" if fault == "height" else ""
    found = compared(what, fault, like=like)
    if what == "training step" and kind == "detached":
        # Returned are the weights after the step, which differ, and their spikes, which do not.
        assert found.verdict == "forward"
        assert "the spikes on the way are the same in every call" in found.causes[0].evidence
        return
    assert found.verdict == kind, str(found)
    assert len(found.causes) == (kind != "same")
    assert all(words in cause.evidence for cause in found.causes)
    assert all("spikes' gradients" not in cause.evidence for cause in found.causes)


@pytest.mark.parametrize("what", ["logits", "spikes"])
def test_a_cut_recurrence_is_a_cut_path(what: str) -> None:
    assert compared(what, "cut recurrence").verdict == "detached"


def test_a_cut_path_beside_another_surrogate_is_named_too() -> None:
    found = compared("loss", "slope, cut layers")
    assert [cause.kind for cause in found.causes] == ["surrogate", "detached"]
    assert "/∂argument.0.hidden is 0 in JAX" in found.causes[1].evidence
    assert [cause.kind for cause in compared("loss", "slope").causes] == ["surrogate"]


def test_a_cotangent_and_a_reduction_are_one_factor() -> None:
    found = compared("loss", "cotangent")
    assert (found.verdict, found.causes[0].where) == ("scale", "output")
    assert "every gradient of torch is 2 times JAX's: a cotangent, or how a loss is reduced" in found.causes[0].evidence
    found = compared("loss", "sum for mean")
    assert found.verdict == "forward"
    assert found.causes[0].evidence == "output: torch is 0.0555556 times JAX; the spikes on the way are the same in every call"


def test_a_scaled_output_is_a_scale() -> None:
    found = compare(lambda x: x * 2, lambda x: x * 5, X)
    assert found.verdict == "scale"
    assert found.causes[0].evidence == "output: torch is 0.4 times JAX in every element"


def test_what_was_not_seen_is_not_claimed() -> None:
    """A spike function that nothing can look into, and no spikes returned."""

    def ours(x: torch.Tensor) -> torch.Tensor:
        soft = torch.sigmoid(5 * x)
        return (soft + ((x >= 0).float() - soft).detach()).sum() + x.sum()

    def theirs(x: jax.Array) -> jax.Array:
        soft = jax.nn.sigmoid(7 * x)
        return (soft + jax.lax.stop_gradient((x >= 0).astype(x.dtype) - soft)).sum() + x.sum()

    found = compare(ours, theirs, X[0])
    assert found.verdict == "gradients"
    assert "No spikes are returned and no spike function was seen, so which is not known" in found.causes[0].evidence


def test_gradients_that_grow_with_depth_are_a_surrogate() -> None:
    """Of straight-through gradients, which no spike function shows: each layer counts its height once."""

    def side(height: float, stop: Callable[[Any], Any], step: Callable[[Any], Any]) -> Callable[..., Any]:
        def spike(v: Any) -> Any:
            return height * v + stop(step(v) - height * v)

        return lambda a, b, c, x: (spike(spike(x @ a) @ b) @ c).mean()

    weights = [generator.normal(0, 1, (8, 8)).astype(np.float32) for _ in range(3)]
    ours = side(0.5, torch.Tensor.detach, lambda v: (v >= 0).to(v.dtype))
    theirs = side(0.25, jax.lax.stop_gradient, lambda v: (v >= 0).astype(v.dtype))
    found = compare(ours, theirs, *weights, X[0])
    assert found.verdict == "surrogate"
    assert "one ratio for each argument: 4 for argument.0, 2 for argument.1, 1 for argument.2" in found.causes[0].evidence


def summed(products: Any, last_first: bool) -> Any:
    """The sum over the last axis, in one order or the other."""
    terms = [products[..., i] for i in range(products.shape[-1])]
    return functools.reduce(operator.add, terms[::-1] if last_first else terms)


def test_a_spike_that_the_order_of_a_sum_flips_is_rounding() -> None:
    weights = generator.normal(0, 1, (20, 24)).astype(np.float32)
    x = generator.normal(0, 1, (10, 24)).astype(np.float32)
    both = [summed(x[:, None] * weights, last_first) for last_first in (False, True)]
    place = np.unravel_index(int(np.argmax(np.abs(both[0] - both[1]))), both[0].shape)
    threshold = float(max(each[place] for each in both))
    found = compare(
        lambda weights, x: arcana.torch.fast_sigmoid(summed(x[:, None] * weights[None], False) - threshold),
        lambda weights, x: arcana.jax.fast_sigmoid(summed(x[:, None] * weights[None], True) - threshold),
        weights,
        x,
    )
    assert found.outputs[0].differing > 0
    assert found.verdict == "rounding", str(found)
    assert found.explained
    assert not found.close
    assert "spikes differ first at step 0" in found.causes[0].evidence
    with pytest.raises(ComparisonError):
        found.assert_close()


def test_a_potential_that_is_off_is_no_rounding() -> None:
    found = compared("rates", "", weights=WEIGHTS)
    assert found.verdict == "same"
    run = network("jax")
    off = compare(network("torch"), lambda weights, x: run({**weights, "hidden": weights["hidden"] * 1.01}, x), WEIGHTS, X)
    assert off.verdict == "forward"
    assert not off.explained
    assert off.causes[0].evidence.startswith("the outputs agree, and the potentials behind them do not: ")


def test_a_function_that_does_not_repeat_itself_gives_no_evidence() -> None:
    calls = [0]

    def ours(x: torch.Tensor) -> torch.Tensor:
        calls[0] += 1
        return arcana.torch.fast_sigmoid(x).sum() * calls[0]

    found = compare(ours, lambda x: 2 * arcana.jax.fast_sigmoid(x).sum(), X[0])
    assert found.causes[0].evidence == "output: torch is 0.5 times JAX"


@pytest.mark.parametrize("result", [None, {}, [], ()])
def test_nothing_compared_is_an_error(result: Any) -> None:
    with pytest.raises(ValueError, match="nothing to compare: both functions return no array at all"):
        compare(lambda x: result, lambda x: result, X)


def test_numbers_and_numpy_results() -> None:
    found = compare(
        lambda x: {"a": float(x.detach().sum()), "b": x.detach().numpy()},
        lambda x: {"a": 0.5, "b": np.asarray(x)},
        X,
        gradients=False,
    )
    assert [(leaf.name, leaf.close()) for leaf in found.outputs] == [("output.a", False), ("output.b", True)]


def test_a_complex_state() -> None:
    z = (generator.normal(size=(3, 4)) + 1j * generator.normal(size=(3, 4))).astype(np.complex64)
    sides = [
        lambda z, fire=fire, scale=scale: fire((z * (0.9 + 0.3j)).imag - 0.5, scale=scale)
        for fire, scale in ((arcana.torch.fast_sigmoid, 5.0), (arcana.jax.fast_sigmoid, 9.0))
    ]
    found = compare(*sides, z)
    assert found.verdict == "surrogate"
    assert len(found.gradients) == 1


def test_no_gradient_is_said() -> None:
    found = compare(lambda x: x > 0, lambda x: x > 0, X)
    assert found.without_gradients in str(found)
    assert (
        found.without_gradients
        == "no gradient was compared: no output that both functions return in one shape is of floating-point or complex numbers"
    )
    assert compare(lambda x: x, lambda x: x, np.arange(3)).without_gradients.startswith("no gradient was compared: no argument")
    assert compare(lambda x: x, lambda x: x, X).without_gradients == ""


def test_the_causes_come_first_then_the_worst_rows() -> None:
    names = [f"{letter}{i}" for letter in "ab" for i in range(20)]
    found = compare(
        lambda x: dict.fromkeys(names, x),
        lambda x: {name: x * (1 + 0.01 * i) for i, name in enumerate(names)},
        X,
        gradients=False,
    )
    lines = str(found).splitlines()
    assert lines[0].startswith("likely: ")
    rows = [line.split()[1] for line in lines if line.startswith("DIFFERS")]
    assert set(rows) == {f"output.b{i}" for i in range(8, 20)}
    assert "39 of 40 arrays differ, and 27 more of them" in str(found)
    assert sum(line.startswith(("DIFFERS", "ok")) for line in found.table().splitlines()) == 40


@pytest.mark.parametrize("gain", [1e-3, 1.0, 1e3])
def test_another_surrogate_is_seen_whatever_its_height(gain: float) -> None:
    v = np.linspace(-1, 1, 40, dtype=np.float32)
    found = compare(
        lambda v: torch.tanh(arcana.torch.fast_sigmoid(v, scale=5.0, gain=gain).mean()),
        lambda v: jnp.tanh(arcana.jax.fast_sigmoid(v, scale=5.1, gain=gain).mean()),
        v,
    )
    assert [cause.kind for cause in found.causes] == ["surrogate"]


def test_a_surrogate_that_no_spike_function_shows_is_told_from_the_spikes() -> None:
    def in_torch(v: torch.Tensor) -> torch.Tensor:
        smooth = torch.sigmoid(4.0 * v)
        return (v >= 0).float() + (smooth - smooth.detach())

    def in_jax(v: jax.Array) -> jax.Array:
        smooth = jax.nn.sigmoid(5.0 * v)
        return (v >= 0).astype(v.dtype) + (smooth - jax.lax.stop_gradient(smooth))

    found = compare(in_torch, in_jax, np.linspace(-1, 1, 41, dtype=np.float32))
    (cause,) = found.causes
    assert cause.kind == "surrogate"
    # The first row is the potential −1.
    ratio = 4 / 5 * float(np.cosh(2.5) / np.cosh(2)) ** 2
    assert f"its gradients differ from the first row on: the surrogate (torch/JAX is {ratio:.4g} in the median" in cause.evidence


class Own(torch.autograd.Function):
    """A spike function that somebody wrote, which returns the potential after the reset too."""

    @staticmethod
    def forward(ctx: Any, v: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.save_for_backward(v)
        ctx.scale = scale
        spikes = (v >= 0).to(v.dtype)
        return spikes, v - spikes

    @staticmethod
    def backward(ctx: Any, c: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, None]:
        (v,) = ctx.saved_tensors
        return c / (1 + ctx.scale * v.abs()) ** 2, None


class Apart(torch.autograd.Function):
    """The same with a setup_context, so that forward gets no context, and with the number first."""

    @staticmethod
    def forward(scale: int, v: torch.Tensor) -> torch.Tensor:
        return (v >= 0).to(v.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[int, torch.Tensor], output: torch.Tensor) -> None:
        ctx.scale = inputs[0]
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, c: torch.Tensor) -> tuple[None, torch.Tensor]:
        (v,) = ctx.saved_tensors
        return None, c / (1 + ctx.scale * v.abs()) ** 2


class Between(Apart):
    """The same with a context, and with a number before and after."""

    @staticmethod
    def forward(ctx: Any, scale: int, v: torch.Tensor, times: int) -> torch.Tensor:
        Apart.setup_context(ctx, (scale, v), v)
        return (v >= 0).to(v.dtype) * times

    setup_context = torch.autograd.Function.setup_context

    @staticmethod
    def backward(ctx: Any, c: torch.Tensor) -> tuple[None, torch.Tensor, None]:
        return *Apart.backward(ctx, c), None


@jax.custom_vjp
def own(v: jax.Array) -> jax.Array:
    return (v >= 0).astype(v.dtype)


own.defvjp(lambda v: (own(v), v), lambda v, c: (c / (1 + 3.0 * jnp.abs(v)) ** 2,))


SEEN: dict[str, Callable[[Any], Any]] = {
    "torch, ours": lambda v: arcana.torch.fast_sigmoid(v, scale=3.0),
    "torch, somebody's": lambda v: Own.apply(v, 3.0),
    "torch, somebody's of the number first": lambda v: Apart.apply(3, v),
    "torch, somebody's of a number before and after": lambda v: Between.apply(3, v, 1),
    "jax, ours": lambda v: arcana.jax.fast_sigmoid(v, scale=3.0),
    "jax, ours under a transform": lambda v: jax.vjp(lambda x: arcana.jax.fast_sigmoid(x, scale=3.0), v),
    "jax, somebody's": own,
}


@pytest.mark.parametrize("way", SEEN)
def test_the_derivative_of_each_call_is_seen(way: str) -> None:
    backend = way.partition(",")[0]
    v = np.array([-0.3, 0.0, 0.7, 2.0])
    with seeing(backend) as seen:
        SEEN[way](torch.from_numpy(v) if backend == "torch" else jnp.asarray(v))
    (((margins, slopes),),) = seen().slopes
    np.testing.assert_array_equal(margins, v)
    np.testing.assert_allclose(slopes, FastSigmoid(scale=3.0).derivative(v), rtol=1e-7)


def test_a_derivative_that_is_the_same_for_the_whole_batch_is_seen_at_each_of_its_elements() -> None:
    v = np.array([-0.3, 0.0, 0.7])
    with seeing("jax") as seen:
        jax.vmap(arcana.jax.ste)(jnp.asarray(v))
    (((margins, slopes),),) = seen().slopes
    np.testing.assert_array_equal(margins, v)
    np.testing.assert_array_equal(slopes, [1.0, 1.0, 1.0])
