"""Two correct runs that rounding alone sets apart, as is easily taken for a bug, and bugs easily taken for rounding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from faults import NETWORKS, STEPS, Case, _level, _options
from networks import Array, Network, run

from arcana.testing import Layer, Run

Make = Callable[[str, int], Case]


def _network(title: str, seed: int) -> tuple[Network, Array, np.random.Generator]:
    generator = np.random.default_rng([seed, 11])
    return *NETWORKS[title](generator), generator


def _ordered(network: Network, inputs: Array, *, given: bool = True, **other: Any) -> tuple[Run, Run]:
    return run(network, inputs, given=given), run(dataclasses.replace(network, order="chunked", **other), inputs, given=given)


def another_order(title: str, seed: int) -> Case:
    network, inputs, _ = _network(title, seed)
    return Case(_ordered(network, inputs, given=seed % 2 == 0), bug=False, options=_options(network))


def _met(network: Network, inputs: Array) -> Network:
    """The network with the threshold of one neuron of its first layer between two potentials that rounding takes apart."""
    a, b = (each.layers["layer 1"] for each in _ordered(network, inputs))
    margins = (a.potentials, b.potentials) if a.threshold is None else (a.potentials - a.threshold, b.potentials - b.threshold)
    highest = np.maximum.accumulate(np.maximum(*margins), axis=0)
    rising = np.concatenate([np.ones_like(highest[:1], bool), np.minimum(*margins)[1:] > highest[:-1]])
    spikes = np.asarray(a.spikes)
    fired = np.cumsum(spikes, axis=0) - spikes > 0
    level = np.abs(a.potentials).mean()
    places = np.argwhere(rising & ~fired & (margins[0] != margins[1]) & (np.minimum(a.potentials, b.potentials) > level / 2))
    part = network.parts[0]
    threshold = np.broadcast_to(
        np.asarray(part.threshold, np.float32), part.weight.shape[1:2] if part.weight.ndim == 2 else part.weight.shape[:1]
    ).copy()
    off = margins[0] if a.threshold is not None else margins[0] - np.float32(part.threshold)
    # A neuron whose threshold is moved far up would leave all that it is made for.
    place = tuple(min(places, key=lambda each: abs(off[tuple(each)])))
    if part.weight.ndim == 4:
        threshold = threshold[:, None, None]
    top = max(a.potentials[place], b.potentials[place])
    if a.threshold is not None:
        top = max(each[place] for each in margins) + threshold[place[2]]
    threshold[place[2]] = top
    return network.part(0, threshold=threshold)


def spike_at_the_threshold(title: str, seed: int) -> Case:
    network, inputs, _ = _network(title, seed)
    network = _met(network, inputs)
    return Case(_ordered(network, inputs, given=seed % 2 == 0), bug=False, options=_options(network))


def _half(title: str, seed: int, **settings: Any) -> Case:
    network, inputs, _ = _network(title, seed)
    network = dataclasses.replace(network, **settings)
    options = _options(network)
    if "products" in settings and network.parts[0].norm is not None:
        # A normalization hides what the products were.
        options["dtype"] = settings["products"]
    return Case(_ordered(network, inputs), bug=False, options=options)


def chain(seed: int) -> tuple[Network, Array, np.random.Generator]:
    return _network("dense", seed)


def large_inputs(title: str, seed: int, *, given: bool = True) -> Case:
    """Inputs of mean 1000, which a bias takes off again."""
    network, inputs, _ = chain(seed)
    inputs = inputs + np.float32(1000)
    bias = -1000 * network.parts[0].weight.astype(np.float64).sum(axis=0)
    network = network.part(0, bias=bias)
    return Case(_ordered(network, inputs, given=given), bug=False, options=_options(network))


def against_float64(title: str, seed: int) -> Case:
    network, inputs, _ = _network(title, seed)
    return Case(_ordered(network, inputs, dtype="float64"), bug=False, options=_options(network))


def _with_layers(runs: tuple[Run, Run], change: Callable[[Run], Any], **fields: Any) -> tuple[Run, Run]:
    return tuple(dataclasses.replace(each, layers=change(each), **fields) for each in runs)  # type: ignore[return-value]


def sorted_layers(title: str, seed: int) -> Case:
    """As jax.jit returns a dict, on one side and on both."""
    network, inputs, _ = chain(seed)
    network = _met(network, inputs)
    names = ("hidden", "cortex")
    one, other = _with_layers(_ordered(network, inputs), lambda r: dict(zip(names, r.layers.values(), strict=True)))
    other = dataclasses.replace(other, layers=dict(sorted(other.layers.items())))
    if seed % 2:
        one = dataclasses.replace(one, layers=dict(sorted(one.layers.items())))
    return Case((one, other), bug=False, options={"threshold": {"hidden": _level(network.parts[0]), "cortex": 1.0}})


def unbatched(title: str, seed: int) -> Case:
    """One sample whose neurons have two axes, with axes named or an axis of one sample left out."""
    network, inputs, _ = _network("recurrent, adaptive, refractory, delayed", seed)
    network = _met(network, inputs[:, :1])
    runs = _ordered(network, inputs[:, :1], given=False)

    def rows(found: Run) -> dict[str, Layer]:
        def shaped(array: Array | None) -> Array:
            return np.asarray(array).reshape(STEPS, 5, -1)

        return {
            name: Layer(shaped(each.potentials), shaped(each.spikes), None if each.threshold is None else shaped(each.threshold))
            for name, each in found.layers.items()
        }

    return Case(_with_layers(runs, rows, axes=("time", "row", "column")), bug=False)


def coupled_samples(title: str, seed: int) -> Case:
    """Batch normalization in training after a layer of which one spike differs."""
    network, inputs, _ = chain(seed)
    network = network.part(1, norm=1e-5)
    network = _met(network, inputs)
    return Case(_ordered(network, inputs), bug=False, options=_options(network))


def adaptive_array(title: str, seed: int) -> Case:
    """The thresholds of one run, given for both."""
    network, inputs, _ = _network("recurrent, adaptive, refractory, delayed", seed)
    network = _met(network, inputs).every(refractory=0)
    runs = _ordered(network, inputs)
    limits = {name: (1.0 if each.threshold is None else each.threshold) for name, each in runs[0].layers.items()}
    return Case(_with_layers(runs, _without_thresholds), bug=False, options={"threshold": limits})


def _without_thresholds(found: Run) -> dict[str, Layer]:
    return {name: dataclasses.replace(each, threshold=None) for name, each in found.layers.items()}


def refractory(title: str, seed: int) -> Case:
    """Neurons above the threshold that may not fire, without a word about it."""
    network, inputs, _ = chain(seed)
    network = _met(network.every(refractory=3), inputs)
    return Case(_ordered(network, inputs), bug=False, options=_options(network))


def rounded_constant(title: str, seed: int) -> Case:
    network, inputs, _ = chain(seed)
    grid = np.float32(1 / 8)
    for i, part in enumerate(network.parts):
        network = network.part(i, weight=np.round(part.weight / grid) * grid, leak=0.5)
    other = network.every(leak=np.exp(-np.log(2) * (1 + 1e-7)))
    return Case((run(network, inputs), run(other, inputs)), bug=False, options=_options(network))


def tiny_potentials(title: str, seed: int) -> Case:
    """Potentials of 1e-3 beside the threshold 1, 0.1 % off: nothing fires."""
    network, inputs, _ = chain(seed)
    network = network.part(0, gain=1e-3)
    return Case(
        (run(network, inputs, given=False), run(network.part(0, gain=1.001e-3), inputs, given=False)), True, frozenset({"scale"})
    )


def one_far_neuron(title: str, seed: int) -> Case:
    """One neuron at −1e5, and a leak 1e-4 off in all."""
    network, inputs, _ = chain(seed)
    bias = np.zeros(60)
    bias[5] = -1e4
    network = network.part(0, bias=bias)
    other = network.part(0, leak=0.9 * (1 - 1e-4))
    return Case((run(network, inputs, given=False), run(other, inputs, given=False)), True, frozenset({"leak"}))


def readout_leak(title: str, seed: int, *, limit: float | None = None) -> Case:
    network, inputs, _ = _network("constant images, integrating readout", seed)
    runs = (run(network, inputs, given=False), run(network.part(1, leak=0.95), inputs, given=False))
    if limit is None:
        return Case(runs, True, frozenset({"leak"}))

    def limited(found: Run) -> dict[str, Layer]:
        first, second = found.layers.values()
        return {"layer 1": first, "layer 2": Layer(second.potentials, 0 * second.potentials)}

    return Case(_with_layers(runs, limited), True, frozenset({"leak"}), options={"threshold": {"layer 1": 1.0, "layer 2": limit}})


def half_with_a_fault(title: str, seed: int) -> Case:
    network, inputs, _ = chain(seed)
    network = dataclasses.replace(network, dtype="bfloat16").every(leak=0.9)
    return Case(_ordered(network.every(leak=0.8), inputs)[:1] + _ordered(network, inputs)[1:], True, frozenset({"leak"}))


def half_products_with(**change: Any) -> Make:
    """Products in bfloat16 on both sides, whose rounding is as large as the fault, and margins alone."""

    def make(title: str, seed: int) -> Case:
        network, inputs, _ = chain(seed)
        network = dataclasses.replace(network, products="bfloat16", margins=True)
        kind = {"leak": "leak", "reset": "reset", "threshold": "threshold"}[next(iter(change))]
        runs = _ordered(network, inputs, given=False)[0], _ordered(network.every(**change), inputs, given=False)[1]
        return Case(runs, True, frozenset({kind}))

    return make


TENSORFLOAT = ("tensorfloat32", "tensorfloat32, truncated")
"""How the factors of a product are shortened, which differs between the kernels of a GPU."""


def _in_turn(runs: tuple[Run, Run], seed: int) -> tuple[Run, Run]:
    return runs if seed % 2 == 0 else (runs[1], runs[0])


def tensorfloat_on_one_side(title: str, seed: int, *, given: bool = True) -> Case:
    """As a GPU beside a CPU; arrays alone do not show it."""
    network, inputs, _ = _network(title, seed)
    runs = _ordered(network, inputs, given=given, products=TENSORFLOAT[seed // 2 % 2])
    return Case(_in_turn(runs, seed), True, frozenset({"dtype"}), given, _options(network))


def tensorfloat_on_both_sides(title: str, seed: int, *, said: bool = True, **change: Any) -> Case:
    """Rounded on one side and truncated on the other, and with a change a fault besides: of a part's settings, one of them."""
    network, inputs, _ = _network(title or "dense", seed)
    given = not said or seed // 2 % 2 == 0
    options = {**_options(network), "dtype": "tensorfloat32"} if said else _options(network)
    one = run(dataclasses.replace(network, products=TENSORFLOAT[0]), inputs, given=given)
    other = run(dataclasses.replace(network.every(**change), products=TENSORFLOAT[1], order="chunked"), inputs, given=given)
    kinds = frozenset({{"gain": "scale"}.get(name, name) for name in change})
    return Case(_in_turn((one, other), seed), bool(change), kinds, options=options)


def tensorfloat_in_one_layer(title: str, seed: int) -> Case:
    """As PyTorch takes it by itself: in a convolution and not in a matrix product."""
    network, inputs, _ = _network("affine channels, margins alone", seed)
    runs = run(network, inputs), run(dataclasses.replace(network.part(0, products=TENSORFLOAT[0]), order="chunked"), inputs)
    return Case(_in_turn(runs, seed), True, frozenset({"dtype"}), options=_options(network))


def tensorfloat_and_a_leak(title: str, seed: int) -> Case:
    network, inputs, _ = _network("margins alone", seed)
    wrong = dataclasses.replace(network.every(leak=0.88), products=TENSORFLOAT[seed // 2 % 2], order="chunked")
    return Case(_in_turn((run(network, inputs), run(wrong, inputs)), seed), True, frozenset({"leak", "dtype"}))


def later_leak_after_a_spike(title: str, seed: int) -> Case:
    """One sample: a spike differs by rounding, ten steps later the leak changes."""
    network, inputs, _ = chain(seed)
    network = _met(network, inputs[:, :1])
    wrong = dataclasses.replace(network, order="chunked", change=(20, {"leak": 0.8}))
    runs = (run(network, inputs[:, :1], given=seed % 2 == 0), run(wrong, inputs[:, :1], given=seed % 2 == 0))
    return Case(runs, True, frozenset({"leak"}), options=_options(network))


def nan_on_one_side(title: str, seed: int) -> Case:
    network, inputs, _ = chain(seed)
    runs = list(_ordered(network, inputs, given=False))
    layer = runs[1].layers["layer 1"]
    potentials = layer.potentials.copy()
    potentials[7, 1, 2] = np.nan
    spikes = np.array(layer.spikes)
    spikes[7, 1, 2] = False
    runs[1] = Run({**runs[1].layers, "layer 1": Layer(potentials, spikes)})
    return Case((runs[0], runs[1]), True, frozenset({"nan"}))


def comparison(title: str, seed: int) -> Case:
    network, inputs, _ = chain(seed)
    grid = np.float32(1 / 8)
    for i, part in enumerate(network.parts):
        network = network.part(i, weight=np.round(part.weight / grid) * grid, leak=0.5)
    inputs = inputs[:8]
    return Case((run(network, inputs), run(network.every(strict=True), inputs)), True, frozenset({"comparison"}))


EVERYWHERE: dict[str, Make] = {
    "another order": another_order,
    "a spike at the threshold": spike_at_the_threshold,
}
"""Situations of every network."""

HALF: dict[str, Make] = {
    "float16 on both sides": lambda t, s: _half(t, s, dtype="float16"),
    "bfloat16 on both sides": lambda t, s: _half(t, s, dtype="bfloat16"),
    "float16 products, float32 state": lambda t, s: _half(t, s, products="float16"),
    "bfloat16 products, float32 state": lambda t, s: _half(t, s, products="bfloat16"),
}

TENSORFLOATS: dict[str, Make] = {
    "TensorFloat-32 on one side": tensorfloat_on_one_side,
    "TensorFloat-32 on one side, arrays alone": lambda t, s: tensorfloat_on_one_side(t, s, given=False),
    "TensorFloat-32 on both sides": tensorfloat_on_both_sides,
    "TensorFloat-32 on both sides, not said": lambda t, s: tensorfloat_on_both_sides(t, s, said=False),
}
"""Situations of every network."""

ONCE: dict[str, Make] = {
    "inputs of mean 1000": large_inputs,
    "inputs of mean 1000, arrays alone": lambda t, s: large_inputs(t, s, given=False),
    "layers sorted by name": sorted_layers,
    "one sample without its axis": unbatched,
    "batch normalization in training": coupled_samples,
    "one run's adaptive thresholds for both": adaptive_array,
    "refractory neurons, not said": refractory,
    "leak 0.5 against exp(-ln 2)": rounded_constant,
    "potentials of 1e-3, 0.1 % off": tiny_potentials,
    "one neuron at -1e5, leak 1e-4 off": one_far_neuron,
    "a readout's leak": readout_leak,
    "a readout's leak, threshold 1e6": lambda t, s: readout_leak(t, s, limit=1e6),
    "bfloat16 on both sides, leak 0.8 for 0.9": half_with_a_fault,
    "bfloat16 products, leak 0.85 for 0.9": half_products_with(leak=0.85),
    "bfloat16 products, reset to zero": half_products_with(reset="zero"),
    "bfloat16 products, threshold 3 % off": half_products_with(threshold=1.03),
    "a spike by rounding, then another leak": later_leak_after_a_spike,
    "NaN on one side": nan_on_one_side,
    "`>` for `>=`": comparison,
    "TensorFloat-32 in one layer of one side": tensorfloat_in_one_layer,
    "TensorFloat-32 on one side, leak 0.88 for 0.9": tensorfloat_and_a_leak,
    "TensorFloat-32 on both sides, leak 0.89 for 0.9": lambda t, s: tensorfloat_on_both_sides(t, s, leak=0.89),
    "TensorFloat-32 on both sides, reset to zero": lambda t, s: tensorfloat_on_both_sides(t, s, reset="zero"),
    "TensorFloat-32 on both sides, threshold 1 % off": lambda t, s: tensorfloat_on_both_sides(t, s, threshold=1.01),
    "TensorFloat-32 on both sides, input 1 % larger": lambda t, s: tensorfloat_on_both_sides(t, s, gain=1.01),
    "TensorFloat-32 on both sides, bias": lambda t, s: tensorfloat_on_both_sides(t, s, bias=0.05),
}


def situations() -> Iterator[tuple[str, str, Make]]:
    """The network, the name and the case of every situation."""
    for title in NETWORKS:
        for name, make in EVERYWHERE.items():
            if name != "a spike at the threshold" or not title.endswith("margins alone"):
                yield title, name, make
        if title not in ("Izhikevich", "exponential"):
            for name, make in HALF.items():
                # In half precision a margin is rounded more coarsely than what it is of.
                if "products" in name or not title.endswith("margins alone"):
                    yield title, name, make
        for name, make in TENSORFLOATS.items():
            yield title, name, make
        if not title.endswith("margins alone"):
            yield title, "float64 against float32", against_float64
    for name, make in ONCE.items():
        yield "", name, make
