"""The libraries' rules as functions of their input, the parameters with which they are compared, and where a preset differs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from arcana import presets

Array = NDArray[np.floating[Any]]


@dataclasses.dataclass(frozen=True)
class Case:
    """A preset of a rule with some parameters.

    Attributes:
        name: of the preset.
        parameters: of the rule.
        others: of the library's function besides, which the surrogate takes.
    """

    name: str
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    others: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> str:
        """The preset and the parameters, for the id of a test."""
        return f"{self.name}({', '.join(f'{key}={value}' for key, value in {**self.parameters, **self.others}.items())})"


# Thresholds that float32 holds, so that x minus one is exact.
CASES = [
    *(Case("norse.circ_dist", others={"alpha": alpha}) for alpha in (0.5, 2.0)),
    *(Case("norse.logistic", others={"k": k}) for k in (2.0, 0.75)),
    *(Case("norse.sign", others={"alpha": alpha}) for alpha in (0.25, 2.0)),
    Case("rockpool.lif"),
    Case("rockpool.lif", {"threshold": 0.75}),
    Case("rockpool.lif", {"max_spikes_per_dt": 3}),
    Case("rockpool.lif", {"threshold": 0.5, "max_spikes_per_dt": 5}),
    *(Case("sinabs.single_spike", others={"spike_threshold": threshold}) for threshold in (1.0, 0.75)),
    *(Case("sinabs.multi_spike", {"spike_threshold": threshold}) for threshold in (1.0, 0.75)),
    Case("sinabs.max_spike"),
    Case("sinabs.max_spike", {"spike_threshold": 0.75}),
    Case("sinabs.max_spike", {"max_num_spikes_per_bin": 3}),
    Case("sinabs.max_spike", {"max_num_spikes_per_bin": 5, "spike_threshold": 0.5}),
    Case("spikingjelly.multi_level_spike_count"),
    Case("spikingjelly.multi_level_spike_count", {"max_spike_count": 3}),
    Case("spikingjelly.poisson_pass"),
    Case("spikingjelly.ternary_if_node"),
    Case("spikingjelly.ternary_if_node", {"v_threshold": 0.75}),
]

IN_FLOAT32 = {"rockpool.lif", "spikingjelly.poisson_pass"}
"""Their spikes are float32 whatever x is, and Rockpool's gradient is computed from them."""

LIBRARIES = sorted({case.name.partition(".")[0] for case in CASES})


def _sinabs(spikes: str, x: Any, spike_threshold: float, **arguments: Any) -> Any:
    from sinabs import activation

    function = getattr(activation, spikes)
    function = function(**arguments) if arguments else function
    return function.apply(x, spike_threshold, activation.SingleExponential())


def _rockpool(x: Any, threshold: float, max_spikes_per_dt: int) -> Any:
    from rockpool.nn.modules.torch.lif_torch import StepPWL

    numbers = (torch.tensor(each, dtype=x.dtype) for each in (threshold, 0.5, max_spikes_per_dt))
    return StepPWL.apply(x, *numbers)


def _spikingjelly(function: str, x: Any, **parameters: Any) -> Any:
    from spikingjelly.activation_based import neuron, surrogate

    if function == "TernaryIFNode":
        return neuron.TernaryIFNode(**parameters)(x)
    return getattr(surrogate, function)(**parameters)(x)


def _norse(function: str, x: Any, *arguments: Any, **parameters: Any) -> Any:
    from norse.torch.functional import threshold

    found = getattr(threshold, function)
    return (found.apply if isinstance(found, type) else found)(x, *arguments, *parameters.values())


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "norse.circ_dist": functools.partial(_norse, "CircDist"),
    "norse.logistic": functools.partial(_norse, "Logistic"),
    "norse.sign": lambda x, alpha: _norse("sign", x, "triangle", alpha),
    "rockpool.lif": _rockpool,
    "sinabs.single_spike": functools.partial(_sinabs, "SingleSpike"),
    "sinabs.multi_spike": functools.partial(_sinabs, "MultiSpike"),
    "sinabs.max_spike": functools.partial(_sinabs, "MaxSpike"),
    "spikingjelly.multi_level_spike_count": functools.partial(_spikingjelly, "MultiLevelSpikeCount"),
    "spikingjelly.poisson_pass": functools.partial(_spikingjelly, "PoissonPass"),
    "spikingjelly.ternary_if_node": functools.partial(_spikingjelly, "TernaryIFNode"),
}
"""Spikes of x, differentiable, by the parameters of preset and case together."""


def values(case: Case) -> dict[str, Any]:
    """Return every parameter of the library's function."""
    return {**presets.defaults(case.name), **case.others, **case.parameters}


def evaluate_rule(case: Case, x: Array) -> tuple[Array, Array]:
    """Return the library's spikes and gradient; of one that draws, the probability in place of the spike."""
    given = torch.tensor(x, requires_grad=True)
    with mock.patch("torch.bernoulli", lambda probabilities: probabilities):
        spikes = FUNCTIONS[case.name](given, **values(case))
    (gradient,) = torch.autograd.grad(spikes.sum(), given)
    return spikes.detach().numpy(), gradient.numpy()


DIFFERING = {"norse.circ_dist", "norse.logistic", "norse.sign", "spikingjelly.multi_level_spike_count"}
"""The presets whose "Differs:" is written in `meant`."""


def meant(case: Case, x: Array, spikes: Array, gradient: Array) -> tuple[Array, Array]:
    """Return what a preset is to give where the library gives these."""
    if case.name == "norse.sign":
        spikes = np.where(x == 0, 0, spikes)
    elif case.name == "norse.logistic":
        gradient = gradient * (case.others["k"] / 2)
    elif case.name == "norse.circ_dist":
        gradient = gradient / (2 * case.others["alpha"])
    elif case.name == "spikingjelly.multi_level_spike_count":
        rounded_down = (x > 0) & (x < values(case)["max_spike_count"]) & (x % 2 == 0.5)
        spikes = spikes + rounded_down
    return spikes, gradient


def inputs(case: Case, grid: Array) -> Array:
    """Return the numbers of a grid that the library's function takes."""
    return grid[(grid >= 0) & (grid <= 1)] if case.name == "spikingjelly.poisson_pass" else grid
