"""Spiking networks of several kinds in NumPy, each a list of layers whose settings a fault changes; runs for `first_divergence`.

Two runs of one network that add up in another order stand for two frameworks: that is all that two correct ports differ by.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import ml_dtypes
import numpy as np

from arcana.testing import Layer, Run

Array = np.ndarray[Any, Any]

DTYPES: dict[str, Any] = {"bfloat16": ml_dtypes.bfloat16}


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """One layer.

    Attributes:
        weight: (inputs, neurons); (channels out, channels in, 3, 3) of a convolution with a border of zeros.
        neuron: its dynamics, a key of `NEURONS`.
        leak, synapse: how much of the potential and of the synaptic current a step keeps, numbers or one a neuron.
        threshold: a number, or one a neuron.
        reset: "subtract" before the leak, "late" after it, or to "zero".
        input_leaks: whether the leak acts on the input too.
        refractory: the number of steps after a spike in which a neuron may not fire.
        recurrent: the weights from the layer's own spikes one step before.
        late: by how many steps the input comes late.
        norm: the epsilon of a batch normalization over samples; None without one.
        start: the potential before the first step.
        products: the dtype of its products; None for the network's.
    """

    weight: Array
    neuron: str = "lif"
    leak: Any = 0.9
    synapse: Any = 0.8
    threshold: Any = 1.0
    reset: str = "subtract"
    input_leaks: bool = False
    strict: bool = False
    refractory: int = 0
    adaptation: tuple[float, float] = (0.95, 0.1)
    recurrent: Array | None = None
    late: int = 0
    gain: Any = 1.0
    bias: Any = 0.0
    norm: float | None = None
    start: Any = 0.0
    products: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """The layers in order and how they are computed.

    Attributes:
        order: in which the products of a sum are added, "matmul" or "chunked".
        dtype: of the state.
        products: the dtype of the products; None for the state's; "tensorfloat32" and "tensorfloat32, truncated" of factors that
            are so shortened to 10 bits, their sums in float32.
        fresh: the steps before which the whole state is set to zero.
        change: a step and what the first layer's settings are from then on.
        margins: whether potential − threshold is recorded.
    """

    parts: tuple[Part, ...]
    order: str = "matmul"
    dtype: str = "float32"
    products: str | None = None
    fresh: tuple[int, ...] = ()
    change: tuple[int, dict[str, Any]] | None = None
    margins: bool = False

    def part(self, index: int, **settings: Any) -> Network:
        """Return the network with other settings of one layer."""
        parts = list(self.parts)
        parts[index] = dataclasses.replace(parts[index], **settings)
        return dataclasses.replace(self, parts=tuple(parts))

    def every(self, **settings: Any) -> Network:
        """Return the network with other settings of all layers."""
        return dataclasses.replace(self, parts=tuple(dataclasses.replace(part, **settings) for part in self.parts))


def run(network: Network, inputs: Array, *, given: bool = True) -> Run:
    """Run a network; with `given` its inputs and weights are kept too."""
    kind = DTYPES.get(network.dtype, network.dtype)
    states = [_fresh(part, inputs.shape[1], kind) for part in network.parts]
    kept: list[dict[str, list[Array]]] = [{"potentials": [], "spikes": [], "threshold": []} for _ in states]
    parts = list(network.parts)
    with np.errstate(over="ignore", invalid="ignore"):
        for step, x in enumerate(inputs):
            if step in network.fresh:
                states = [_fresh(part, inputs.shape[1], kind) for part in parts]
            if network.change is not None and network.change[0] == step:
                parts[0] = dataclasses.replace(parts[0], **network.change[1])
            signal = x.astype(kind)
            for part, state, records in zip(parts, states, kept, strict=True):
                signal = _step(network, part, state, signal, kind)
                for name in records:
                    records[name].append(state[name])
    layers = {f"layer {i}": _layer(network, part, records) for i, (part, records) in enumerate(zip(parts, kept, strict=True), 1)}
    weights = {f"layer {i}.weight": part.weight.astype(kind) for i, part in enumerate(network.parts, 1)}
    coupled = any(part.norm is not None for part in network.parts)
    return Run(layers, inputs if given else None, weights if given else {}, coupled=coupled)


def _layer(network: Network, part: Part, records: dict[str, list[Array]]) -> Layer:
    arrays = {name: np.stack(values) for name, values in records.items()}
    if part.neuron == "integrator":
        return Layer(arrays["potentials"])
    if network.margins:
        return Layer(arrays["potentials"] - arrays["threshold"], arrays["spikes"], margins=True)
    own = arrays["threshold"] if part.neuron == "adaptive" or np.ndim(part.threshold) else None
    return Layer(arrays["potentials"], arrays["spikes"], own)


def _fresh(part: Part, samples: int, kind: Any) -> dict[str, Any]:
    shape = (samples, part.weight.shape[1]) if part.weight.ndim == 2 else None
    zero = np.zeros(shape, kind) if shape else np.zeros((), kind)
    start = (zero + np.asarray(part.start).astype(kind)).astype(kind)
    return {"v": start, "i": zero, "s": zero, "a": zero, "w": zero, "quiet": np.zeros(zero.shape, int), "queue": []}


def _step(network: Network, part: Part, state: dict[str, Any], signal: Array, kind: Any) -> Array:
    """Advance one layer by a step and return its spikes; an integrator's are its potentials."""

    def number(value: Any) -> Array:
        return np.asarray(value).astype(kind)

    state["queue"].append(signal)
    queue = state["queue"]
    arrived = queue[-1 - part.late] if len(queue) > part.late else 0 * signal
    if part.products is not None:
        network = dataclasses.replace(network, products=part.products)
    drive = _product(network, arrived, part.weight, kind)
    if part.norm is not None:
        axes = (0,) if drive.ndim == 2 else (0, 2, 3)
        centred = drive - _mean(drive, axes, network.order)
        drive = centred / np.sqrt(_mean(centred * centred, axes, network.order) + number(part.norm))
    if part.recurrent is not None:
        drive = drive + _product(network, state["s"] + 0 * drive, part.recurrent, kind)
    drive = (drive * number(part.gain) + number(part.bias)).astype(kind)
    potential = NEURONS[part.neuron](part, state, drive, number)
    threshold = number(part.threshold) + (state["a"] * number(part.adaptation[1]) if part.neuron == "adaptive" else number(0))
    above = potential > threshold if part.strict else potential >= threshold
    fired = above & (state["quiet"] <= 0)
    state["quiet"] = np.where(fired, part.refractory, state["quiet"] - 1)
    state.update(v=potential, s=fired.astype(kind), potentials=potential, spikes=fired)
    state["threshold"] = np.broadcast_to(threshold, potential.shape)
    return potential if part.neuron == "integrator" else state["s"]


def _product(network: Network, x: Array, weight: Array, kind: Any) -> Array:
    if (network.products or "").startswith("tensorfloat32"):
        a, b = (_ten_bits(each, 0.0 if "truncated" in str(network.products) else 0.5) for each in (x, weight))
    else:
        low = DTYPES.get(network.products or "", network.products) or kind
        a, b = x.astype(low), weight.astype(low)
    if weight.ndim == 4:
        a, b, shape = _patches(a), b.reshape(len(b), -1).T, (len(x), x.shape[2], x.shape[3], len(b))
        return np.moveaxis(_sum(a, b, network.order).reshape(shape), 3, 1).astype(kind)
    return _sum(a.reshape(len(a), -1), b, network.order).astype(kind)


def _ten_bits(x: Array, half: float) -> Array:
    """The factors as a matrix unit gets them: 11 significant bits, the first of which is not stored."""
    fraction, exponent = np.frexp(x.astype(np.float64))
    whole = np.floor(np.abs(fraction) * 2**11 + half)
    return np.ldexp(np.copysign(whole, fraction) / 2**11, exponent).astype(np.float32)


def _sum(a: Array, b: Array, order: str) -> Array:
    if a.dtype.itemsize == 2:
        # As a processor multiplies half precision: sums in float32, rounded at the end.
        return _sum(a.astype(np.float32), b.astype(np.float32), order).astype(a.dtype)
    if order == "matmul":
        return _in_turn(a, b)
    edges = range(0, a.shape[-1], max(1, a.shape[-1] // 4))
    total = sum(_in_turn(a[..., i : i + edges.step][..., ::-1], b[i : i + edges.step][::-1]) for i in reversed(edges))
    return np.asarray(total)


def _in_turn(a: Array, b: Array) -> Array:
    """a @ b, added up from the first term to the last: a processor's own product rounds as that processor does."""
    total = np.zeros((*a.shape[:-1], b.shape[1]), a.dtype)
    for i, row in enumerate(b):
        total += a[..., i, None] * row
    return total


def _mean(x: Array, axes: tuple[int, ...], order: str) -> Array:
    if order == "matmul":
        return x.mean(axis=axes, keepdims=True)
    flipped = np.flip(x, axes)
    size = np.prod([x.shape[axis] for axis in axes])
    for axis in axes:
        flipped = np.add.accumulate(flipped, axis=axis).take([-1], axis=axis)
    return (flipped / x.dtype.type(size)).astype(x.dtype)


def _patches(x: Array) -> Array:
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), axis=(2, 3))
    return np.ascontiguousarray(windows.transpose(0, 2, 3, 1, 4, 5)).reshape(-1, x.shape[1] * 9)


def _kept(part: Part, state: dict[str, Any], number: Any) -> tuple[Array, Array]:
    """What is left of the potential after the reset, and what a late reset takes off."""
    v, s = state["v"], state["s"]
    off = s * number(part.threshold)
    if part.reset == "zero":
        return v * (number(1) - s), 0 * off
    return (v - off, 0 * off) if part.reset == "subtract" else (v, off)


def _lif(part: Part, state: dict[str, Any], drive: Array, number: Any) -> Array:
    kept, off = _kept(part, state, number)
    if part.input_leaks:
        return number(part.leak) * (kept + drive) - off
    return number(part.leak) * kept + drive - off


def _current_based(part: Part, state: dict[str, Any], drive: Array, number: Any) -> Array:
    state["i"] = number(part.synapse) * state["i"] + drive
    return _lif(part, state, state["i"], number)


def _adaptive(part: Part, state: dict[str, Any], drive: Array, number: Any) -> Array:
    state["a"] = number(part.adaptation[0]) * state["a"] + state["s"]
    return _lif(part, state, drive, number)


def _charge(part: Part, state: dict[str, Any], drive: Array, number: Any) -> Array:
    """τ·dv/dt = −v + x as SpikingJelly has it: the input is divided by τ."""
    kept, _ = _kept(part, state, number)
    return kept + (drive - kept) * (number(1) - number(part.leak))


def _izhikevich(part: Part, state: dict[str, Any], drive: Array, number: Any) -> Array:
    """Half a millisecond a step, regular spiking, twice; fires at 30 mV."""
    fired = state["s"] > 0
    v = np.where(fired, number(-65), np.where(state["v"] == 0, number(-65), state["v"]))
    u = np.where(state["w"] == 0, number(-13), state["w"]) + state["s"] * number(8)
    for _ in range(2):
        v = v + number(0.5) * (number(0.04) * v * v + number(5) * v + number(140) - u + number(10) * drive)
    state["w"] = (u + number(0.02) * (number(0.2) * v - u)).astype(v.dtype)
    return v


def _exponential(part: Part, state: dict[str, Any], drive: Array, number: Any) -> Array:
    """The adaptive exponential neuron in millivolts, one millisecond a step; fires at 0 mV."""
    v = np.where(state["s"] > 0, number(-58), np.where(state["v"] == 0, number(-70), state["v"]))
    w = state["w"] + state["s"] * number(2)
    steep = number(2) * np.exp(np.minimum((v + number(50)) / number(2), number(6)))
    state["w"] = (w + number(0.01) * (number(0.05) * (v + number(70)) - w)).astype(v.dtype)
    return v + number(0.1) * (number(-70) - v + steep - w + number(25) * drive)


def _integrator(part: Part, state: dict[str, Any], drive: Array, number: Any) -> Array:
    return number(part.leak) * state["v"] + drive


NEURONS = {
    "lif": _lif,
    "current-based": _current_based,
    "adaptive": _adaptive,
    "charge": _charge,
    "izhikevich": _izhikevich,
    "exponential": _exponential,
    "integrator": _integrator,
}
