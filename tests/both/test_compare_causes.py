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
from arcana.testing import ComparisonError, Layer, Leaf, Run, compare
from arcana.testing._gradient_causes import _factor, causes_of
from arcana.testing._seen import CLOSE, Seen, seeing, surrogates_differ

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


def calls(*margins_and_slopes: Any, dtype: str = "float64") -> list[tuple[Any, Any]]:
    """The calls of one spike function: margins and derivatives in turn."""
    arrays = [np.asarray(each, dtype) for each in margins_and_slopes]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def differ(ours: list[list[Any]], theirs: list[list[Any]]) -> str | None:
    return surrogates_differ(Seen(None, ours), Seen(None, theirs))


def test_spike_functions_are_paired_by_their_margins() -> None:
    one, other = calls([0.5, 2.0], [1.0, 0.25]), calls([-1.0, 4.0], [0.5, 0.125])
    assert differ([one, other], [other, one]) == ""
    wrong = calls([-1.0, 4.0], [0.5, 0.25])
    told = "spike function 2: at v = 4 its derivative is 0.125 in torch and 0.25 in JAX"
    assert differ([one, other], [wrong, one]) == told
    assert differ([one, calls([9.0, 9.0], [1.0, 1.0])], [other]) is None
    # One that is called alike twice is paired twice.
    assert differ([one, one], [one, calls([0.5, 2.0], [1.0, 0.5])]) == (
        "spike function 2: at v = 2 its derivative is 0.25 in torch and 0.5 in JAX"
    )
    # Each call in turn, as many on both sides, and of one shape.
    assert differ([one + other], [one + other]) == ""
    assert "at v = 4" in str(differ([one + other], [one + wrong]))
    assert differ([one + other], [one]) is None
    assert differ([one], [calls([[0.5, 2.0]], [[1.0, 0.25]])]) is None
    # NaN on both sides is one margin, and compared is what is a number.
    assert "at v = 2" in str(differ([calls([np.nan, 2.0], [np.nan, 1.0])], [calls([np.nan, 2.0], [np.nan, 0.5])]))


def test_margins_that_rounding_sets_apart_are_paired_and_derivatives_compared_where_they_are_near() -> None:
    for by, paired in ((1.999e-3, True), (2.005e-3, False), (-1.999e-3, True), (-2.005e-3, False)):
        assert (differ([calls([1.0 + by], [1.0])], [calls([1.0], [1.0])]) is not None) == paired
    near = 1e-2 * CLOSE["float64"]
    for v, by, compared in ((0.0, near, True), (0.0, 1.005 * near, False), (-4.0, 3.98 * near, True), (-4.0, 4.02 * near, False)):
        assert bool(differ([calls([v], [1.0])], [calls([v + by], [0.5])])) == compared
        assert bool(differ([calls([v + by], [1.0])], [calls([v], [0.5])])) == compared


@pytest.mark.parametrize("dtype", CLOSE)
def test_derivatives_are_one_to_within_the_coarser_dtype(dtype: str) -> None:
    close = CLOSE[dtype]
    for by, told in ((0.99, False), (1.01, True)):
        ours = [(np.zeros(2), np.array([8.0, 1.0]))]
        theirs = [(np.zeros(2, jnp.dtype(dtype)), np.array([8.0, 1.0 - 8 * by * close]))]
        assert bool(differ([ours], [theirs])) == bool(differ([theirs], [ours])) == told
    # An infinite derivative on one side is no number to compare, nor is NaN on both; neither hides or invents a difference.
    for ours, theirs in ((np.inf, 1.0), (1.0, -np.inf), (np.nan, np.nan), (np.inf, np.inf)):
        for there, told in ((1.0, False), (0.5, True)):
            assert bool(differ([calls([0.0, 1.0], [ours, 1.0])], [calls([0.0, 1.0], [theirs, there])])) == told
    assert differ([calls([np.nan, 1.0], [np.nan, 1.0])], [calls([np.nan, 1.0], [np.nan, 1.0])]) == ""
    assert differ([calls([], [])], [calls([], [])]) == ""


def leaves(torch_side: Any, jax_side: Any, name: str = "output", dtype: str = "float32") -> Leaf:
    return Leaf(name, np.asarray(torch_side, dtype), np.asarray(jax_side, dtype))


def test_one_factor_is_told_by_its_value_its_median_and_what_it_leaves() -> None:
    found = _factor(leaves([2.0, -4.0, 0.0, 6.0], [1.0, -2.0, 0.0, 4.0], dtype="float64"))
    assert found is not None
    assert found.value == pytest.approx(34 / 21)
    assert found.median == 2
    assert found.spread == pytest.approx(abs(-4 + 2 * 34 / 21) / 6)
    assert found.close == 1e-11
    # The median is that of the ratios where neither is 0, and what is left is relative to the largest, of either sign.
    ratios, negative = _factor(leaves([0.0, 0.0, 4.0, 9.0], [1.0, 1.0, 2.0, 3.0])), _factor(leaves([-8.0, 2.0], [-4.0, 2.0]))
    assert ratios is not None
    assert ratios.median == 2.5
    assert negative is not None
    assert (negative.value, negative.spread) == (pytest.approx(1.8), pytest.approx(1.6 / 8))
    turned = _factor(leaves([1j, 2j], [1.0, 2.0], dtype="complex128"))
    assert turned is not None
    assert (turned.value, turned.spread) == (0, 1)
    for by in (1 + 1j, 1 - 1j):
        turned = _factor(leaves([by, 2 * by], [1.0, 2.0], dtype="complex128"))
        assert turned is not None
        assert (turned.value, turned.spread) == (pytest.approx(1), pytest.approx(np.sqrt(0.5)))
    for ours, theirs in (([0.0, 0.0], [1.0, 1.0]), ([1.0, 0.0], [0.0, 1.0]), ([np.inf, 1.0], [1.0, 1.0])):
        assert _factor(leaves(ours, theirs)) is None
    assert _factor(Leaf("output", None, np.ones(2))) is None
    assert _factor(leaves([1.0], [1.0, 2.0])) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "kind", "text"),
    [
        ([1.0, 2.0, 3.0], [2.0, 4.0, 6.0], "scale", "output: torch is 0.5 times JAX in every element"),
        ([1.0, 2.0], [2.0, 4.0], "forward", "output: torch is 0.5 times JAX"),
        ([1.0, 2.0, 3.0], [2.0, 4.0, 7.0], "forward", "output: the numbers differ"),
        # To within ten times the tolerance, 1e-4.
        ([1.0, 2.0, 3.0], [2.0, 4.0, 6.0013], "scale", "output: torch is 0.49993 times JAX in every element"),
        ([1.0, 2.0, 3.0], [2.0, 4.0, 6.0015], "forward", "output: the numbers differ"),
        ([1.0, 0.0, 1.0], [1.0, 1.0, 0.0], "spikes", "output: 2 spikes differ: the threshold, `>` for `>=`, or a potential"),
        ([1.0], [0.0], "forward", "output: the numbers differ"),
        ([1.0, 0.0], [1.0, 1.0], "spikes", "output: 1 spikes differ"),
        ([1.0], [[1.0]], "forward", "output: shape (1,) in torch, (1, 1) in JAX"),
        # Integers have no tolerance, and a factor all the same.
        (np.array([2, 4, 6]), np.array([1, 2, 3]), "scale", "output: torch is 2 times JAX in every element"),
    ],
)
def test_outputs_that_differ_are_told_by_their_numbers(ours: Any, theirs: Any, kind: str, text: str) -> None:
    dtype = "int64" if isinstance(ours, np.ndarray) else "float32"
    causes = causes_of((leaves(ours, theirs, dtype=dtype),), (), lambda leaf: [], lambda: None)
    assert isinstance(causes, tuple)
    (cause,) = causes
    assert (cause.kind, cause.where, cause.evidence[: len(text)]) == (kind, "output", text)


def test_an_output_of_another_dtype_is_told_beside_one_of_other_numbers() -> None:
    cast = Leaf("output.0", np.ones(3, np.float32), np.ones(3, np.float16))
    causes = causes_of((cast, leaves([1.0, 2.0, 3.0], [2.0, 4.0, 6.0], "output.1")), (), lambda leaf: [], lambda: None)
    assert [(cause.kind, cause.where) for cause in causes] == [("dtype", "output.0"), ("scale", "output.1")]
    assert causes[0].evidence.startswith("output.0: float32 in torch, float16 in JAX: a dtype of the data, a cast")
    missing = causes_of((Leaf("output", np.ones(3), None),), (), lambda leaf: [], lambda: None)
    assert [(cause.kind, cause.evidence) for cause in missing] == [("forward", "output: only in torch")]


GRADIENTS = ([1.0, -2.0, 4.0], [0.5, 8.0])


def backward(factors: tuple[float, float], *, seen: bool = True, spikes: bool = False, **more: Any) -> list[tuple[str, str]]:
    """What is said where the gradients of two arguments are such multiples of JAX's, and the surrogates were seen or not."""
    output = leaves([0.0, 1.0] if spikes else [0.25, 0.5], [0.0, 1.0] if spikes else [0.25, 0.5])
    gradients = tuple(
        leaves(np.multiply(factor, each) + more.get("by", 0.0), each, f"∂output/∂argument.{i}")
        for i, (factor, each) in enumerate(zip(factors, GRADIENTS, strict=True))
    )
    sides = (Seen(None, [calls([1.0], [0.5])]), Seen(None, [calls([1.0], [0.5])]))
    first_row = more.get("first_row", lambda leaf: [])
    causes = causes_of((output,), gradients, first_row, lambda: sides if seen else None)
    assert isinstance(causes, tuple)
    return [(cause.kind, cause.evidence) for cause in causes]


def test_gradients_that_differ_are_told_by_their_factors() -> None:
    assert backward((1.0, 1.0)) == []
    told = "output: every gradient of torch is 2 times JAX's: a cotangent, or how a loss is reduced"
    assert backward((2.0, 2.0)) == backward((2.0, 2.0), seen=False) == [("scale", told)]
    ratios = "output: the gradients of torch and JAX have one ratio for each argument: 2 for argument.0, 4 for argument.1"
    on_the_way = "the surrogates are the same, so a gradient is scaled on the way"
    assert backward((2.0, 4.0)) == [("gradients", f"{ratios}; {on_the_way}")]
    assert backward((2.0, 4.0), seen=False) == [("surrogate", f"{ratios}: the height of a surrogate, which counts once a layer")]
    # One factor of the gradients of spikes is a cotangent only where the surrogates are seen to be the same.
    assert backward((2.0, 2.0), spikes=True) == [("scale", told)]
    assert [kind for kind, _ in backward((2.0, 2.0), spikes=True, seen=False)] == ["surrogate"]
    # To within ten times the tolerance the factors are one.
    assert [kind for kind, _ in backward((2.0, 2.0 * (1 - 0.99e-4)))] == ["scale"]
    assert [kind for kind, _ in backward((2.0, 2.0 * (1 - 1.01e-4)))] == ["gradients"]
    cut = "output: ∂output/∂argument.1 is 0 in torch and not in the other: that path is cut in torch"
    assert backward((1.0, 0.0)) == [("detached", cut)]
    ((kind, text),) = backward((2.0, 2.0), by=0.25)
    assert kind == "detached"
    assert text.startswith("output: the surrogates are the same in every call: a path is cut on one side")
    ((kind, text),) = backward((2.0, 2.0), by=0.25, seen=False)
    assert kind == "gradients"
    assert "No spikes are returned and no spike function was seen, so which is not known" in text


def test_the_first_row_tells_a_surrogate_from_a_cut_path() -> None:
    rows = leaves([3.0, 6.0, 12.0, 0.0], [1.0, 2.0, 4.0, 0.0], "∂output/∂argument.0")
    ((kind, text),) = backward((2.0, 2.0), by=0.25, seen=False, spikes=True, first_row=lambda leaf: [rows])
    told = "output: its gradients differ from the first row on: the surrogate"
    assert (kind, text) == ("surrogate", f"{told} (torch/JAX is 3 in the median of ∂output/∂argument.0)")
    same = leaves([1.0], [1.0], "∂output/∂argument.1")
    for first_row in ([rows, same], [], [leaves([0.0], [0.0], "∂output/∂argument.1")]):
        ((kind, text),) = backward((2.0, 2.0), by=0.25, seen=False, spikes=True, first_row=lambda leaf, rows=first_row: rows)
        assert kind == "detached"
        assert text.endswith("a detached reset or state, or the surrogate of an earlier layer")


def test_the_gradients_of_returned_spikes_tell_of_those_of_another_output() -> None:
    """Where no spike function was seen: the spikes' gradients agree, or do not from the first row on, or in part."""
    right, wrong = [1.0, 2.0, 4.0], [1.0, 2.5, 4.0]
    outputs = (leaves([0.0, 1.0], [0.0, 1.0], "output.0"), leaves([0.25, 0.5], [0.25, 0.5], "output.1"))

    def told(of_spikes: list[float], first: list[float]) -> list[tuple[str, str | None, str]]:
        gradients = (
            leaves(of_spikes, right, "∂output.0/∂argument.0"),
            leaves(wrong, right, "∂output.1/∂argument.0"),
        )
        rows = [leaves(first, right, "∂output.0/∂argument.0")]
        causes = causes_of(outputs, gradients, lambda leaf: rows if leaf is outputs[0] else [], lambda: None)
        return [(cause.kind, cause.where, cause.evidence) for cause in causes]

    reset = "a path is cut on one side: a detached reset or state"
    alone = f"output.1: the spikes' gradients agree and these do not: {reset}"
    assert told(right, right) == [("detached", "output.1", alone)]
    in_part = f"output.0: the spikes' gradients agree in part: {reset}, or the surrogate of an earlier layer"
    assert told(wrong, right) == [("detached", "output.0", in_part)]
    ((kind, where, text),) = told(wrong, wrong)
    assert (kind, where) == ("surrogate", "output.0")
    assert text.startswith("output.0: its gradients differ from the first row on: the surrogate")


MARGINS = np.random.default_rng(1).normal(0, 0.5, (6, 3, 5)).astype(np.float32)


def run_of(margins: Any) -> Run:
    return Run({"hidden": Layer(margins, margins >= 0, margins=True)})


def changed(by: float, step: int = 2) -> Any:
    """The margins from a step on with a change of one neuron, which is just below its threshold without."""
    margins = MARGINS.copy()
    margins[step, 0, 1] = -1e-8 + by
    return margins


def told_of(ours: Run | None, theirs: Run | None, outputs: Leaf, *, derivative: float = 0.5) -> list[tuple[str, str]]:
    """What is said of an output that differs, where two runs and the derivatives of their spike functions were seen."""
    sides = (Seen(ours, [calls([1.0], [0.5])]), Seen(theirs, [calls([1.0], [derivative])]))
    return [(cause.kind, cause.evidence) for cause in causes_of((outputs,), (), lambda leaf: [], lambda: sides)]


def test_outputs_that_differ_are_told_by_the_spikes_on_the_way() -> None:
    halved, other = leaves([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]), leaves([1.0, 2.0, 3.0], [2.0, 4.0, 7.0])
    one, scale = run_of(changed(0.0)), "output: torch is 0.5 times JAX in every element"
    same = "the spikes on the way are the same in every call"
    assert told_of(one, one, halved) == [("scale", f"{scale}; {same}")]
    assert told_of(one, one, other) == [("forward", f"{same}, and what is made of them differs")]
    ((kind, text),) = told_of(one, one, other, derivative=0.25)
    assert kind == "surrogate"
    assert text.startswith("the spikes on the way are the same and the surrogates are not: spike function 1: at v = 1")
    # Of one side alone, or of layers that are no pair, nothing can be said.
    short = Run({"hidden": Layer(MARGINS[:4], MARGINS[:4] >= 0, margins=True)})
    for sides in ((None, None), (one, None), (None, one), (one, short)):
        assert told_of(*sides, halved) == [("scale", scale)]
        assert told_of(*sides, other) == [("forward", "output: the numbers differ")]
    place = "spikes differ first at step 2, layer 'hidden', neuron (0, 1): "
    ((kind, text),) = told_of(one, run_of(changed(3e-8)), halved)
    assert (kind, text) == ("rounding", f"{place}rounding explains it, with margins of -1e-08 and 2e-08")
    # Of a spike that rounding explains and one that it does not, the second is told.
    both = changed(3e-8)
    both[4, 1, 2] = -MARGINS[4, 1, 2]
    ((kind, text),) = told_of(one, run_of(both), halved)
    assert kind == "forward"
    assert text.startswith("spikes differ first at step 4, layer 'hidden', neuron (1, 2): ")
    spikes = leaves([1.0, 0.0], [1.0, 1.0])
    for output, kind in ((halved, "forward"), (spikes, "spikes")):
        ((found, text),) = told_of(one, run_of(changed(0.5)), output)
        assert found == kind
        assert text.startswith(place)
        assert text.endswith("; record both runs for more (arcana.testing.recording, arcana diverge)")


def test_gradients_that_differ_are_told_by_the_potentials_on_the_way() -> None:
    one, shifted = run_of(changed(0.0)), run_of(changed(0.0) * np.float32(1.01))
    output, gradient = leaves([0.25, 0.5], [0.25, 0.5]), leaves([2.0, 4.0], [1.0, 2.0], "∂output/∂argument.0")

    def told(*runs: Run | None) -> tuple[str, str]:
        sides = [Seen(run, [calls([1.0], [0.5])]) for run in runs]
        (cause,) = causes_of((output,), (gradient,), lambda leaf: [], lambda: (sides[0], sides[1]))
        return cause.kind, cause.evidence

    scale = "output: every gradient of torch is 2 times JAX's: a cotangent, or how a loss is reduced"
    for runs in ((one, one), (one, None), (None, shifted)):
        assert told(*runs) == ("scale", scale)
    kind, text = told(one, shifted)
    assert kind == "forward"
    assert text.startswith("the outputs agree, and the potentials behind them do not: ")


def test_a_cut_path_shows_beside_another_surrogate_where_no_derivative_is_zero() -> None:
    outputs = tuple(leaves([0.25, 0.5], [0.25, 0.5], f"output.{i}") for i in range(2))

    def told(derivative: float, *factors: float) -> list[tuple[str, str | None]]:
        gradients = tuple(
            leaves(np.multiply(factor, [1.0, 2.0]), [1.0, 2.0], f"∂output.{i // 2}/∂argument.{i % 2}")
            for i, factor in enumerate(factors)
        )
        sides = (Seen(None, [calls([1.0, 2.0], [0.5, 0.5])]), Seen(None, [calls([1.0, 2.0], [0.25, derivative])]))
        causes = causes_of(outputs, gradients, lambda leaf: [], lambda: sides)
        return [(cause.kind, cause.where) for cause in causes]

    surrogate = ("surrogate", None)
    assert told(0.5, 2.0, 2.0, 2.0, 2.0) == [surrogate]
    assert told(0.5, 2.0, 2.0, 2.0, 0.0) == [surrogate, ("detached", "output.1")]
    # It is said once, of the first output that shows it, and not where a surrogate's own 0 may be what is seen.
    assert told(0.5, 2.0, 0.0, 2.0, 0.0) == [surrogate, ("detached", "output.0")]
    assert told(0.0, 2.0, 0.0, 2.0, 0.0) == [surrogate]


def test_one_cause_of_two_outputs_is_said_once() -> None:
    outputs = tuple(leaves([0.25, 0.5], [0.25, 0.5], f"output.{i}") for i in range(2))
    gradients = tuple(leaves([2.0, 4.0], [1.0, 2.0], f"∂output.{i}/∂argument.0") for i in range(2))
    causes = causes_of(outputs, gradients, lambda leaf: [], lambda: None)
    assert [(cause.kind, cause.where) for cause in causes] == [("scale", "output.0")]
