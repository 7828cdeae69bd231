"""The presets of rules beside the libraries that count, fire downwards or draw: spikes bit for bit, and gradients."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from rule_cases import CASES, DIFFERING, FUNCTIONS, IN_FLOAT32, LIBRARIES, Case, evaluate_rule, inputs, meant
from rule_presets import described
from sinabs.activation import Gaussian, MaxSpike, MultiSpike
from spikingjelly.activation_based import neuron, surrogate as spikingjelly

from arcana import presets
from arcana.bench.libraries import plain, shipped
from arcana.rules import Integer, Smooth, Stochastic
from arcana.surrogate import Rectangular
from arcana.torch import spike

every_case = pytest.mark.parametrize("case", CASES, ids=[case.label for case in CASES])
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def grid(dtype: str) -> Any:
    """The thresholds of every case, numbers near them, and 10,000 others."""
    thresholds = np.arange(-32, 65) / 8
    beside = [thresholds + sign * 2.0**-k for sign in (-1, 1) for k in (4, 10, 16)]
    return np.unique(np.concatenate([thresholds, *beside, np.linspace(-4.0, 9.0, 10_000)]).astype(dtype))


def pulled(function: Callable[..., torch.Tensor], x: Any, cotangent: Any) -> tuple[Any, Any]:
    given = torch.tensor(x, requires_grad=True)
    spikes = function(given)
    return spikes.detach().numpy(), torch.autograd.grad(spikes, given, torch.tensor(cotangent, dtype=spikes.dtype))[0].numpy()


@every_dtype
@every_case
def test_rule_and_its_surrogate_are_the_library(case: Case, dtype: str) -> None:
    """A rule that draws gives its probability here, which `Smooth` gives of ours."""
    x = inputs(case, grid(dtype))
    found = described(case.name, case.others, **case.parameters)
    rule = Smooth() if isinstance(found.rule, Stochastic) else found.rule
    spikes, gradient = pulled(lambda x: spike(found.potential(x), found.surrogate, rule=rule), x, np.ones_like(x))
    expected, expected_gradient = meant(case, x, *evaluate_rule(case, x))
    eps = float(np.finfo("float32" if case.name in IN_FLOAT32 else dtype).eps)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=100 * eps, atol=10 * eps)
    if rule is found.rule:
        np.testing.assert_array_equal(spikes, expected)
        assert len(np.unique(spikes)) > 1
    else:
        np.testing.assert_allclose(spikes, expected, rtol=100 * eps, atol=10 * eps)
        found.rule.check(found.surrogate)


@every_case
def test_one_per_cent_off_fails(case: Case) -> None:
    """Each number of the library's function, the surrogate's among them; a whole one by one."""
    x = inputs(case, grid("float64"))
    given = {"parameters": case.parameters, "others": case.others}
    for part, values in given.items():
        for name, value in values.items():
            other = value + 1 if isinstance(value, int) else 1.01 * value
            changed = {**given, part: {**values, name: other}}
            found = described(case.name, changed["others"], **changed["parameters"])
            rule = Smooth() if isinstance(found.rule, Stochastic) else found.rule
            spikes, gradient = pulled(lambda x, f=found, r=rule: spike(f.potential(x), f.surrogate, rule=r), x, np.ones_like(x))
            expected = meant(case, x, *evaluate_rule(case, x))
            assert not (np.allclose(spikes, expected[0], rtol=1e-4) and np.allclose(gradient, expected[1], rtol=1e-4)), name


@every_case
def test_library_still_differs(case: Case) -> None:
    x = inputs(case, grid("float64"))
    theirs = evaluate_rule(case, x)
    same = all(np.allclose(*each, rtol=1e-2) for each in zip(theirs, meant(case, x, *theirs), strict=True))
    at_one = case.others in ({"k": 2.0}, {"alpha": 0.5})
    assert same == (case.name not in DIFFERING or at_one)


def test_differences_are_those_described() -> None:
    assert set(FUNCTIONS) == {name for library in LIBRARIES for name in presets.rule_names(library)}
    assert {name for name in FUNCTIONS if "\nDiffers: " in presets.describe(name)} == DIFFERING


def around(threshold: float, most: int, dtype: str) -> Any:
    """The multiples of a threshold, the next numbers on both sides, and others between them."""
    multiples = (np.arange(-3, most) * np.asarray(threshold, dtype)).astype(dtype)
    beside = [np.nextafter(multiples, np.array(end, dtype)) for end in (-np.inf, np.inf)]
    return np.concatenate([multiples, *beside, np.linspace(-3, most - 0.51, 5001, dtype=dtype) * np.asarray(threshold, dtype)])


@pytest.mark.parametrize("threshold", [0.3, 0.7, 1.3, 1e-3, 250.0])
@every_dtype
def test_counts_of_a_potential_over_its_threshold_are_the_library_s_at_any_threshold(threshold: float, dtype: str) -> None:
    """Where a difference would be rounded."""
    x = around(threshold, 300, dtype)
    surrogate = presets.sinabs.single_exponential()
    cotangent = np.cos(np.arange(x.size)).astype("float32")
    for function, rule in (
        (MultiSpike, presets.sinabs.multi_spike()),
        (MaxSpike(5), presets.sinabs.max_spike(max_num_spikes_per_bin=5)),
    ):
        theirs = importlib.import_module("sinabs.activation").SingleExponential()
        expected = pulled(lambda x, f=function, g=theirs: f.apply(x, threshold, g), x, cotangent)
        found = pulled(lambda x, r=rule: spike(x / threshold - 1, surrogate, rule=r), x, cotangent)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_allclose(found[1], expected[1], rtol=2e-4 if dtype == "float32" else 1e-9, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.7, 1.5])
def test_rockpools_two_functions_in_both_of_its_frameworks(threshold: float) -> None:
    """The counts of potential/threshold − 1, and the gradients of both; its JAX has StepPWL alone."""
    import jax
    from rockpool.nn.modules.jax.lif_jax import step_pwl
    from rockpool.nn.modules.torch.lif_torch import PeriodicExponential, StepPWL

    import arcana.jax
    from arcana.surrogate import PeriodicExponential as Periodic

    most, window = 30, 0.25
    numbers = torch.tensor(window), torch.tensor(float(most))
    x = torch.from_numpy(around(threshold, most + 1, "float32"))
    rule = presets.rockpool.lif(max_spikes_per_dt=most)
    for function, surrogate in (
        (StepPWL, presets.rockpool.step_pwl(window=window / threshold)),
        (PeriodicExponential, Periodic(width=window / threshold)),
    ):
        results = []
        for calculate in (
            lambda x, theta, f=function: f.apply(x, theta, *numbers),
            lambda x, theta, s=surrogate: spike(x / theta - 1, s, rule=rule),
        ):
            given = x.clone().requires_grad_(), torch.full_like(x, threshold).requires_grad_()
            spikes = calculate(*given)
            results.append([spikes.detach(), *torch.autograd.grad(spikes.sum(), given)])
        torch.testing.assert_close(results[0][0], results[1][0], rtol=0, atol=0)
        for one, other in zip(results[0][1:], results[1][1:], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    # A threshold that is a number would be a constant to XLA, which multiplies by its reciprocal, in Rockpool too.
    inputs, thresholds = jax.numpy.asarray(x.numpy()), jax.numpy.full(x.shape, threshold, "float32")
    with jax.numpy_dtype_promotion("standard"):
        in_jax = step_pwl(inputs, thresholds, window, float(most))
    ours = arcana.jax.spike(inputs / thresholds - 1, presets.rockpool.step_pwl(), rule=rule)
    np.testing.assert_array_equal(np.asarray(in_jax), results[0][0].numpy())
    np.testing.assert_array_equal(np.asarray(in_jax), np.asarray(ours))


@pytest.mark.parametrize("rule", ["multi_spike", "single_spike"])
def test_sinabs_with_another_surrogate(rule: str) -> None:
    found = described(f"sinabs.{rule}", {"spike_threshold": 0.75} if rule == "single_spike" else {})
    theirs = getattr(importlib.import_module("sinabs.activation"), "".join(word.title() for word in rule.split("_")))
    threshold, x = found.values["spike_threshold"], grid("float64")
    expected = pulled(lambda x: theirs.apply(x, threshold, Gaussian()), x, np.cos(x))
    ours = pulled(lambda x: spike(x - threshold, presets.sinabs.gaussian(), rule=found.rule), x, np.cos(x))
    np.testing.assert_array_equal(ours[0], expected[0])
    np.testing.assert_allclose(ours[1], expected[1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("most", [1, 4])
def test_a_sum_of_windows_is_spikingjellys_count_too(most: int) -> None:
    x = grid("float32") + np.float32(1.7e-3)
    expected = pulled(spikingjelly.MultiLevelSpikeCount(most), x, np.cos(x))
    ours = pulled(lambda x: spike(x - 0.5, Rectangular(width=1.0), rule=Integer(most)), x, np.cos(x))
    np.testing.assert_array_equal(ours[0], expected[0])
    np.testing.assert_array_equal(ours[1], expected[1])


@pytest.mark.parametrize("threshold", [0.7, 1.0])
def test_spikingjellys_ternary_node(threshold: float) -> None:
    """A node over 20 steps with SpikingJelly's own sigmoid, and the same equations with one spike of three values."""
    inputs = torch.randn(20, 64, generator=torch.Generator().manual_seed(0))
    node = neuron.TernaryIFNode(threshold, None, spikingjelly.Sigmoid(4.0), step_mode="m")
    rule = presets.spikingjelly.ternary_if_node(v_threshold=threshold)

    def ours(x: torch.Tensor) -> torch.Tensor:
        v, found = torch.zeros(64), []
        for current in x:
            v = v + current
            found.append(spike(v - threshold, presets.spikingjelly.sigmoid(), rule=rule))
            v = v - threshold * found[-1]
        return torch.stack(found)

    results = []
    for function in (node, ours):
        x = inputs.clone().requires_grad_()
        spikes = function(x)
        assert {-1.0, 0.0, 1.0} == set(spikes.unique().tolist())
        results.append((spikes.detach(), torch.autograd.grad(spikes.square().sum() + (spikes * inputs).sum(), x)[0]))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_spikingjellys_integer_neuron() -> None:
    """A layer of ILIFNode over 20 steps: its charge and reset, and the count of potential over threshold."""
    inputs = 3 * torch.rand(20, 64, generator=torch.Generator().manual_seed(0))
    node = neuron.ILIFNode(tau=2.0, v_threshold=0.75, surrogate_function=spikingjelly.MultiLevelSpikeCount(4), step_mode="m")
    found = described("spikingjelly.multi_level_spike_count", {})

    def ours(x: torch.Tensor) -> torch.Tensor:
        v, counts = torch.zeros(64), []
        for current in x:
            v = v - v / 2.0 + current
            counts.append(spike(found.potential(v / 0.75), found.surrogate, rule=found.rule))
            v = v - 0.75 * counts[-1]
        return torch.stack(counts)

    results = []
    for function in (node, ours):
        x = inputs.clone().requires_grad_()
        counts = function(x)
        results.append((counts.detach(), torch.autograd.grad((counts * inputs).sum(), x)[0]))
    assert set(results[0][0].unique().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


DRAWING = [case for case in CASES if presets.get_rule(case.name).random]


@pytest.mark.parametrize("case", DRAWING, ids=[case.label for case in DRAWING])
def test_both_fire_as_often(case: Case) -> None:
    x = torch.from_numpy(inputs(case, np.array([-1.0, -0.4, 0.0, 0.1, 0.5, 0.8, 1.0]))).expand(20_000, -1)
    found = described(case.name, case.others, **case.parameters)
    p = evaluate_rule(case, x[0].numpy())[0]
    torch.manual_seed(0)
    for spikes in (FUNCTIONS[case.name](x, **case.others), spike(found.potential(x), found.surrogate, rule=found.rule)):
        assert set(spikes.unique().tolist()) == {0.0, 1.0}
        rate = spikes.mean(0).numpy()
        assert (np.abs(rate - p) <= 5 * np.sqrt(p * (1 - p) / 2e4)).all()


def test_defaults_of_rules_are_the_library_s() -> None:
    from rockpool.nn.modules import LIFTorch
    from rockpool.nn.modules.jax.lif_jax import step_pwl
    from rockpool.nn.modules.torch.lif_torch import StepPWL

    defaults = presets.defaults("rockpool.lif")
    assert LIFTorch(1).max_spikes_per_dt == defaults["max_spikes_per_dt"]
    assert LIFTorch(1).threshold == defaults["threshold"]
    assert inspect.signature(step_pwl).parameters["max_spikes_per_dt"].default == defaults["max_spikes_per_dt"]
    assert inspect.signature(StepPWL.forward).parameters["max_spikes_per_dt"].default == defaults["max_spikes_per_dt"]
    assert presets.defaults("sinabs.max_spike")["max_num_spikes_per_bin"] is MaxSpike().max_num_spikes_per_bin is None
    layers = importlib.import_module("sinabs.layers")
    assert inspect.signature(layers.LIF).parameters["spike_threshold"].default.item() == 1.0
    assert inspect.signature(layers.LIF).parameters["spike_fn"].default is MultiSpike
    node = inspect.signature(neuron.TernaryIFNode).parameters["v_threshold"].default
    assert presets.defaults("spikingjelly.ternary_if_node")["v_threshold"] == node
    most = neuron.ILIFNode().surrogate_function.max_spike_count
    assert presets.defaults("spikingjelly.multi_level_spike_count")["max_spike_count"] == most


def functions_of(module: str) -> set[str]:
    """The autograd functions that a module defines."""
    found = vars(importlib.import_module(module)).values()
    return {
        each.__name__
        for each in found
        if inspect.isclass(each) and issubclass(each, torch.autograd.Function) and each.__module__ == module
    }


def test_what_spikes_with_other_numbers_has_a_rule() -> None:
    """A function of these modules that is added, renamed or removed fails here."""
    assert functions_of("sinabs.activation.spike_generation") == {"SingleSpike", "MultiSpike", "MaxSpikeInner"}
    assert functions_of("sinabs.activation.quantize") == {"Quantize", "StochasticRounding"}
    heaviside = {"HeaviErfc", "HeaviTanh", "HeaviCirc", "Triangle"}
    assert functions_of("norse.torch.functional.threshold") - heaviside == {"Logistic", "CircDist"}
    unspiking = {plain(name.partition(".")[2]) for name in presets.names("spikingjelly")}
    rest = {plain(name) for name in shipped("spikingjelly")} - unspiking
    assert rest == {"multilevelspikecount", "poissonpass"}
    ternary = {name for name in vars(neuron) if name.startswith("Ternary") and name.endswith("Node")}
    assert ternary == {"TernaryIFNode", "TernaryLIFNode"}
