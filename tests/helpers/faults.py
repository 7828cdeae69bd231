"""What is planted in the networks of `networks`, and which verdicts on it are right: faults, and situations that are rounding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from networks import Array, Network, Part, run

from arcana.testing import Run

STEPS, SAMPLES = 30, 8


@dataclasses.dataclass(frozen=True)
class Case:
    """Two runs, and what is right about them.

    Attributes:
        runs: the two.
        bug: whether they differ by more than rounding.
        kinds: the causes that are right; one that is not among them is wrong, save "unknown".
        shown: whether the runs show the cause, so that naming none is a miss.
        options: for `first_divergence`.
    """

    runs: tuple[Run, Run]
    bug: bool
    kinds: frozenset[str] = frozenset()
    shown: bool = True
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


def dense(generator: np.random.Generator, inputs: int, outputs: int, gain: float = 2.0) -> Array:
    return (generator.uniform(-1, 1, (inputs, outputs)) * gain / np.sqrt(inputs)).astype(np.float32)


def _events(generator: np.random.Generator, inputs: int, rate: float = 0.3) -> Array:
    return (generator.random((STEPS, SAMPLES, inputs)) < rate).astype(np.float32)


def _image(generator: np.random.Generator, inputs: int) -> Array:
    """One image a sample, shown at every step."""
    return np.repeat(generator.uniform(0, 0.6, (1, SAMPLES, inputs)), STEPS, axis=0).astype(np.float32)


def _chain(generator: np.random.Generator) -> tuple[Network, Array]:
    return Network((Part(dense(generator, 60, 60)), Part(dense(generator, 60, 40, 3)))), _events(generator, 60)


def _three_current_based(generator: np.random.Generator) -> tuple[Network, Array]:
    weights = [dense(generator, a, b, g) for a, b, g in ((50, 64, 1.5), (64, 64, 2.5), (64, 20, 2.5))]
    return Network(tuple(Part(w, "current-based", reset="zero") for w in weights)), _events(generator, 50, 0.2)


def _recurrent(generator: np.random.Generator) -> tuple[Network, Array]:
    hidden = Part(dense(generator, 40, 50), "adaptive", recurrent=dense(generator, 50, 50), refractory=2, late=1, reset="late")
    return Network((hidden, Part(dense(generator, 50, 20, 3), reset="late"))), _events(generator, 40)


def _convolution(generator: np.random.Generator) -> tuple[Network, Array]:
    first = Part((generator.normal(0, 0.5, (6, 2, 3, 3))).astype(np.float32), norm=1e-5, leak=0.8)
    images = generator.uniform(0, 1, (STEPS, SAMPLES, 2, 8, 8)).astype(np.float32)
    return Network((first, Part(dense(generator, 6 * 64, 20, 2)))), images


def _readout(generator: np.random.Generator) -> tuple[Network, Array]:
    hidden = Part(dense(generator, 64, 64, 1.5), leak=0.9, reset="late")
    return Network((hidden, Part(dense(generator, 64, 10, 2), "integrator", leak=0.9))), _image(generator, 64)


def _learned(generator: np.random.Generator) -> tuple[Network, Array]:
    def part(inputs: int, outputs: int, gain: float) -> Part:
        leak = generator.uniform(0.7, 0.95, outputs).astype(np.float32)
        threshold = generator.uniform(0.7, 1.3, outputs).astype(np.float32)
        return Part(dense(generator, inputs, outputs, gain), leak=leak, threshold=threshold)

    return Network((part(50, 60, 2), part(60, 30, 3))), _events(generator, 50)


def _charging(generator: np.random.Generator) -> tuple[Network, Array]:
    parts = (
        Part(dense(generator, 48, 56, 8), "charge", leak=0.5, reset="zero"),
        Part(dense(generator, 56, 24, 8), "charge", leak=0.5, reset="zero"),
    )
    return Network(parts), _events(generator, 48)


def _izhikevich(generator: np.random.Generator) -> tuple[Network, Array]:
    drive = np.abs(dense(generator, 40, 40, 2.5))
    return Network((Part(drive, "izhikevich", threshold=30.0),)), _events(generator, 40)


def _exponential(generator: np.random.Generator) -> tuple[Network, Array]:
    drive = np.abs(dense(generator, 40, 40, 5))
    return Network((Part(drive, "exponential", threshold=0.0),)), _events(generator, 40)


def _margins(generator: np.random.Generator) -> tuple[Network, Array]:
    network, inputs = _chain(generator)
    return dataclasses.replace(network, margins=True), inputs


def _adaptive_margins(generator: np.random.Generator) -> tuple[Network, Array]:
    network, inputs = _recurrent(generator)
    return dataclasses.replace(network, margins=True), inputs


def _channels(generator: np.random.Generator) -> tuple[Network, Array]:
    """A scale and a bias of each channel, as of a batch normalization that does not train; margins alone."""
    gain = generator.uniform(0.5, 1.5, (6, 1, 1)).astype(np.float32)
    bias = generator.uniform(0, 0.3, (6, 1, 1)).astype(np.float32)
    first = Part(generator.normal(0, 0.5, (6, 2, 3, 3)).astype(np.float32), gain=gain, bias=bias)
    images = _events(generator, 128, 0.2).reshape(STEPS, SAMPLES, 2, 8, 8)
    return Network((first, Part(dense(generator, 6 * 64, 20, 2))), margins=True), images


NETWORKS: dict[str, Callable[[np.random.Generator], tuple[Network, Array]]] = {
    "dense": _chain,
    "current-based, three layers, reset to zero": _three_current_based,
    "recurrent, adaptive, refractory, delayed": _recurrent,
    "convolution, batch normalization": _convolution,
    "constant images, integrating readout": _readout,
    "learned leaks and thresholds": _learned,
    "input divided by tau": _charging,
    "Izhikevich": _izhikevich,
    "exponential": _exponential,
    "margins alone": _margins,
    "adaptive, margins alone": _adaptive_margins,
    "affine channels, margins alone": _channels,
}
AMPLIFYING = ("Izhikevich", "exponential")
HELD_OUT = ("input divided by tau", "exponential")
"""Networks on which nothing was tried while the tool was written."""

Plant = Callable[[Network, Array, np.random.Generator], tuple[Network, Array]]


def _network(change: Callable[[Network], Network]) -> Plant:
    return lambda network, inputs, generator: (change(network), inputs)


def _weights(change: Callable[[Array, np.random.Generator], Array], layer: int = -1) -> Plant:
    def plant(network: Network, inputs: Array, generator: np.random.Generator) -> tuple[Network, Array]:
        return network.part(layer % len(network.parts), weight=change(network.parts[layer].weight, generator)), inputs

    return plant


def _inputs(change: Callable[[Array, np.random.Generator], Array]) -> Plant:
    return lambda network, inputs, generator: (network, change(inputs, generator))


def _scaled(part: Part, name: str, factor: float) -> dict[str, Any]:
    return {name: np.asarray(getattr(part, name)) * factor}


def _leaks(network: Network, factor: float) -> Network:
    return dataclasses.replace(network, parts=tuple(dataclasses.replace(p, **_scaled(p, "leak", factor)) for p in network.parts))


def _reset(network: Network) -> Network:
    other = {"subtract": "zero", "zero": "subtract", "late": "zero"}
    return dataclasses.replace(network, parts=tuple(dataclasses.replace(p, reset=other[p.reset]) for p in network.parts))


def _one_threshold(network: Network) -> Network:
    threshold = np.broadcast_to(np.asarray(network.parts[0].threshold, np.float32), network.parts[0].weight.shape[1:2]).copy()
    threshold[3] *= 1.05
    return network.part(0, threshold=threshold)


def _permuted_neurons(network: Network, inputs: Array, generator: np.random.Generator) -> tuple[Network, Array]:
    """The neurons of the first layer in another order: the same weights, the output of the layer permuted."""
    part = network.parts[0]
    order = generator.permutation(part.weight.shape[1])
    return network.part(
        0, **{name: getattr(part, name)[..., order] for name in ("weight", "leak", "threshold") if np.ndim(getattr(part, name))}
    ), inputs


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault: how it is planted, which causes are right with inputs and weights in the runs and without, and where it fits.

    Attributes:
        hidden: whether the runs hold the inputs and weights of the right network on both sides, so that only what the network
            does with them differs.
        alone: the causes that are right of arrays alone; None as with what was given, empty where arrays alone do not show it.
    """

    plant: Plant
    kinds: str
    alone: str | None = None
    hidden: bool = True
    fits: Callable[[Network], bool] = lambda network: True


def _plain(network: Network) -> bool:
    return all(part.neuron in ("lif", "integrator", "current-based", "charge") and part.norm is None for part in network.parts)


def _steady(network: Network) -> bool:
    """Whether leak, gain and reset mean what their names say."""
    return network.parts[0].neuron not in ("izhikevich", "exponential")


def _linear(network: Network) -> bool:
    return _steady(network) and network.parts[0].norm is None


def _square(network: Network) -> bool:
    return network.parts[0].weight.ndim == 2 and network.parts[0].weight.shape[0] == network.parts[0].weight.shape[1]


def _of(neuron: str) -> Callable[[Network], bool]:
    return lambda network: network.parts[0].neuron == neuron


def _leaky(network: Network) -> bool:
    return _linear(network) and network.parts[0].neuron not in ("charge",)


def _dense_first(network: Network) -> bool:
    return network.parts[0].weight.ndim == 2


def _recurrent_first(network: Network) -> bool:
    return network.parts[0].recurrent is not None


FAULTS: dict[str, Fault] = {
    "leak 0.89 of 0.9": Fault(_network(lambda n: _leaks(n, 0.8 / 0.9)), "leak", fits=_leaky),
    "leak 0.55 % off": Fault(_network(lambda n: _leaks(n, 0.9005 / 0.9)), "leak", fits=_leaky),
    "leak of the first layer alone": Fault(
        _network(lambda n: n.part(0, **_scaled(n.parts[0], "leak", 0.97))), "leak", fits=_leaky
    ),
    "leak reaches the input": Fault(
        _network(lambda n: n.part(0, input_leaks=True)),
        "leak",
        "leak|scale",
        fits=lambda n: _leaky(n) and n.parts[0].recurrent is None and np.ndim(n.parts[0].leak) == 0,
    ),
    "input doubled": Fault(_network(lambda n: n.part(0, **_scaled(n.parts[0], "gain", 2.0))), "scale", fits=_linear),
    "input 0.1 % larger": Fault(_network(lambda n: n.part(0, **_scaled(n.parts[0], "gain", 1.001))), "scale", fits=_linear),
    "input divided by 255": Fault(_network(lambda n: n.part(0, **_scaled(n.parts[0], "gain", 1 / 255))), "scale", fits=_linear),
    "bias": Fault(_network(lambda n: n.part(0, bias=np.asarray(n.parts[0].bias) + 0.05)), "bias", fits=_linear),
    "input a step late": Fault(_network(lambda n: n.part(0, late=n.parts[0].late + 1)), "delay", fits=_linear),
    "neurons permuted": Fault(_permuted_neurons, "permuted", hidden=False, fits=_dense_first),
    "samples permuted": Fault(_inputs(lambda x, g: x[:, np.roll(np.arange(x.shape[1]), 1)]), "permuted|inputs", hidden=False),
    "inputs a step late": Fault(
        _inputs(lambda x, g: np.concatenate([0 * x[:1], x[:-1]])), "delay|inputs", hidden=False, fits=_linear
    ),
    "weight transposed": Fault(_weights(lambda w, g: w.T.copy(), 0), "transposed", "", fits=_square),
    "weight transposed, as recorded": Fault(_weights(lambda w, g: w.T.copy(), 0), "transposed", "", hidden=False, fits=_square),
    "another reset": Fault(_network(_reset), "reset", fits=_steady),
    "reset after the leak": Fault(
        _network(lambda n: n.part(0, reset="late" if n.parts[0].reset == "subtract" else "subtract")),
        "reset",
        fits=lambda n: _leaky(n) and n.parts[0].reset != "zero",
    ),
    "state not reset between batches": Fault(
        _network(lambda n: dataclasses.replace(n, fresh=(STEPS // 2,))), "state", fits=_steady
    ),
    "state does not start at zero": Fault(_network(lambda n: n.part(0, start=0.3)), "state", fits=_linear),
    "refractory a step longer": Fault(
        _network(lambda n: n.part(0, refractory=n.parts[0].refractory + 1)),
        "refractory",
        fits=lambda n: n.parts[0].refractory > 0,
    ),
    "synapse": Fault(_network(lambda n: n.every(synapse=0.7)), "synapse", fits=_of("current-based")),
    "adaptation": Fault(_network(lambda n: n.part(0, adaptation=(0.95, 0.12))), "threshold", fits=_of("adaptive")),
    "threshold 1 % off": Fault(
        _network(lambda n: n.part(0, **_scaled(n.parts[0], "threshold", 1.01))), "threshold", fits=_steady
    ),
    "threshold of one neuron": Fault(
        _network(_one_threshold), "threshold", fits=lambda n: _dense_first(n) and bool(np.any(n.parts[0].threshold))
    ),
    "float16 on one side": Fault(
        _network(lambda n: dataclasses.replace(n, dtype="float16")), "dtype", hidden=False, fits=_steady
    ),
    "float16 products on one side": Fault(
        _network(lambda n: dataclasses.replace(n, products="float16")), "dtype", "", fits=_steady
    ),
    "another draw": Fault(_weights(lambda w, g: g.permutation(w.ravel()).reshape(w.shape), 0), "permuted|seed", "", hidden=False),
    "another seed": Fault(
        _weights(lambda w, g: dense(g, *w.shape) if w.ndim == 2 else g.normal(0, 0.5, w.shape).astype(np.float32), 0),
        "seed|weights",
        "",
        hidden=False,
    ),
    "weights 0.01 % smaller": Fault(
        _weights(lambda w, g: w * np.float32(1 - 1e-4), 0), "weights|scale", "scale", hidden=False, fits=_linear
    ),
    "weights permuted": Fault(_weights(lambda w, g: w[::-1].copy(), 0), "permuted", "", hidden=False),
    "one weight": Fault(_weights(lambda w, g: _one_changed(w), 0), "weights", "", hidden=False),
    "weights rounded to float16": Fault(
        _weights(lambda w, g: w.astype(np.float16).astype(np.float32), 0), "dtype", "", hidden=False
    ),
    "weights of other names, transposed inside": Fault(_weights(lambda w, g: w[:, ::-1].copy(), 0), "permuted", "permuted"),
    "leak and bias": Fault(
        _network(lambda n: n.part(0, **_scaled(n.parts[0], "leak", 0.95), bias=np.asarray(n.parts[0].bias) + 0.05)),
        "leak|bias",
        fits=_leaky,
    ),
    "float16 weights and leak": Fault(
        lambda n, x, g: (_leaks(_weights(lambda w, g: w.astype(np.float16).astype(np.float32), 0)(n, x, g)[0], 0.97), x),
        "dtype|leak",
        "leak",
        hidden=False,
        fits=_leaky,
    ),
    "leak changes on the way": Fault(
        _network(lambda n: dataclasses.replace(n, change=(STEPS // 2, _scaled(n.parts[0], "leak", 0.9)))), "leak", fits=_leaky
    ),
    "scale of each channel": Fault(
        lambda n, x, g: (n.part(0, gain=n.parts[0].gain * g.uniform(0.99, 0.999, (6, 1, 1)).astype(np.float32)), x),
        "scale",
        fits=lambda n: np.ndim(n.parts[0].gain) > 0,
    ),
    "epsilon of the normalization": Fault(
        _network(lambda n: n.part(0, norm=1e-2)), "scale", fits=lambda n: n.parts[0].norm is not None
    ),
}
HELD_OUT_FAULTS = (
    "input divided by 255",
    "weights of other names, transposed inside",
    "leak changes on the way",
    "threshold of one neuron",
)
"""Faults that were not tried while the tool was written."""


def _one_changed(weight: Array) -> Array:
    weight = weight.copy()
    weight.flat[7] += np.float32(0.2)
    return weight


def planted(title: str, fault: str, seed: int, *, given: bool) -> Case:
    """The network of a seed, and with the fault on the first or the second side in turn, in another order of summation."""
    generator = np.random.default_rng([seed, 7])
    network, inputs = NETWORKS[title](generator)
    found = FAULTS[fault]
    wrong, wrong_inputs = found.plant(network, inputs, generator)
    runs = [run(network, inputs, given=given), run(dataclasses.replace(wrong, order="chunked"), wrong_inputs, given=given)]
    if given and found.hidden:
        runs[1] = dataclasses.replace(runs[1], inputs=runs[0].inputs, parameters=runs[0].parameters)
    kinds = found.kinds if given or found.alone is None else found.alone
    shown = bool(kinds)
    right = frozenset((kinds or found.kinds).split("|"))
    return Case((runs[0], runs[1]) if seed % 2 == 0 else (runs[1], runs[0]), True, right, shown, _options(network))


def _options(network: Network) -> dict[str, Any]:
    return {"threshold": {f"layer {i}": _level(part) for i, part in enumerate(network.parts, 1)}}


def _level(part: Part) -> Any:
    threshold = np.asarray(part.threshold)
    return threshold if threshold.ndim else float(threshold)
