"""A run of an unrolled network: potentials and spikes of each layer over time, from arrays, a file, or a user's step function."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arcana.testing._leaves import array_of, named_leaves, unique
from arcana.testing._rounding import UNIT
from arcana.testing._values import BITS, Array
from arcana.testing.backends import load

PARTS = ("potentials", "spikes")
OPTIONAL = ("threshold", "refractory", "margins", "dtype")
ABOUT = ("name", "axes", "coupled", "ordered")
TIME, SAMPLE = "time", "sample"
NAMES = {"torch": "torch", "jax": "JAX"}
"""What a run of a framework is called if the user says nothing."""


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One layer over time.

    Attributes:
        potentials: what the layer compares with its threshold, before the reset: (steps, neurons), or
            (steps, samples, ...) with any shape of neurons; other orders of axes are said by the run's `axes`.
        spikes: of the same shape, 0 and 1 in any dtype; None for an integrator, which has no threshold.
        threshold: this run's own, where it is not the one given to `first_divergence`: a number, or an array that broadcasts
            to the potentials, such as an adaptive threshold of each step.
        refractory: booleans that broadcast to the potentials, true where a neuron may not fire; None where all may.
        margins: whether `potentials` holds potential − threshold, as a spike function gets it. `threshold` then says what was
            taken off, and None that it is not known.
        dtype: the dtype in which the layer computes, where that of the potentials does not say it: "bfloat16" for products in
            bfloat16 that are added to a float32 potential, "tensorfloat32" for products in TensorFloat-32, as a GPU may take.

    >>> import numpy as np
    >>> potentials = np.array([[[0.4, 1.2]], [[0.8, 0.3]]])
    >>> Layer(potentials, potentials >= 1).fires, Layer(potentials).fires
    (True, False)
    """

    potentials: Array
    spikes: Array | None = None
    threshold: Any = None
    refractory: Array | None = None
    margins: bool = False
    dtype: str = ""

    def __post_init__(self) -> None:
        for part in (*PARTS, "threshold", "refractory"):
            value = getattr(self, part)
            object.__setattr__(self, part, None if value is None else array_of(part, value))

    @property
    def fires(self) -> bool:
        """Whether the layer has spikes, and so a threshold."""
        return self.spikes is not None


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """The layers of one network, in the order in which a step computes them.

    Attributes:
        layers: by name.
        inputs: what the network got, time first; None where it was not kept.
        parameters: the weights by name, in one layout for both runs; empty where they were not kept. Given nested, as Flax
            has them, each is named by its path, `Dense_0.kernel`.
        name: what the verdict calls this run: "torch", "chip", "float64"; empty for the default of `first_divergence`.
        axes: the names of the axes of layers and inputs, where time is not the first or samples are not the second of three or
            more: ("sample", "time"), or ("time", "row", "column") without samples. Every axis but "time" and "sample" is one
            of neurons, and those at the end need no name.
        coupled: whether samples act on each other, as in batch normalization that trains.
        ordered: whether the order of the layers is known to be that of a step, as `recording` knows it; otherwise their names
            say it, as jax.jit returns a dict sorted.

    >>> import numpy as np
    >>> potentials = np.array([[[0.4, 1.2]], [[0.8, 0.3]]])
    >>> run = Run({"hidden": Layer(potentials, potentials >= 1)}, name="chip")
    >>> first_divergence(run, run).verdict
    'same'
    """

    layers: Mapping[str, Layer]
    inputs: Array | None = None
    parameters: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    name: str = ""
    axes: Sequence[str] = ()
    coupled: bool = False
    ordered: bool = False

    def __post_init__(self) -> None:
        named = unique(named_leaves("", self.parameters))
        parameters = {name: array_of(f"parameter {name!r}", value) for name, value in named.items()}
        object.__setattr__(self, "parameters", parameters)
        if self.inputs is not None:
            object.__setattr__(self, "inputs", array_of("inputs", self.inputs))
        if not self.layers:
            msg = "a run needs at least one layer"
            raise ValueError(msg)
        object.__setattr__(self, "axes", _checked_axes(self.axes))
        for name, layer in self.layers.items():
            _check(name, layer, self.axes)
        time = self.axes.index(TIME) if self.axes else 0
        steps = {name: layer.potentials.shape[time] for name, layer in self.layers.items()}
        if len(set(steps.values())) > 1:
            msg = f"the layers of a run have the same number of steps, got {steps}"
            raise ValueError(msg)

    @classmethod
    def of(cls, value: Any) -> Run:
        """Make a run of a `Run`, the path of an .npz, (potentials, spikes), a list of such pairs, or a dict of them by name.

        A dict of what `Layer` takes, and a `Layer`, do for a pair, and (potentials, None) for an integrator's.
        """
        if isinstance(value, Run):
            return value
        if isinstance(value, str | Path):
            return cls.load(value)
        if isinstance(value, Mapping):
            return cls(unique((str(name), _layer(str(name), each)) for name, each in value.items()))
        if not isinstance(value, Sequence):
            kind = type(value).__qualname__
            msg = f"a run is a Run, the path of an .npz, (potentials, spikes), or a list or dict of layers; got {kind}"
            raise TypeError(msg)
        if len(value) == 2 and not isinstance(value[0], Sequence):
            return cls({"layer 1": _layer("layer 1", value)})
        return cls({f"layer {i}": _layer(f"layer {i}", each) for i, each in enumerate(value, 1)})

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Read an .npz that `save` wrote, or that holds at least `<layer>.potentials` of each layer, in order.

        `<layer>.spikes`, `.threshold`, `.refractory`, `.margins` and `.dtype` are the other parts of a `Layer`; `inputs`,
        `parameters.<name>`, `run.name`, `run.axes`, `run.coupled` and `run.ordered` those of the run.
        """
        try:
            with np.load(path) as file:
                arrays = {key: file[key] for key in file.files}
        except (zipfile.BadZipFile, ValueError, AttributeError, OSError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            msg = f"{path}: not an .npz of plain arrays ({error})"
            raise ValueError(msg) from error
        inputs = arrays.pop("inputs", None)
        parameters = {key.partition(".")[2]: arrays.pop(key) for key in list(arrays) if key.startswith("parameters.")}
        about = {key: arrays.pop(f"run.{key}").tolist() for key in ABOUT if f"run.{key}" in arrays}
        parts: dict[str, dict[str, Any]] = {}
        for key, value in arrays.items():
            name, _, part = key.rpartition(".")
            parts.setdefault(name, {})[part] = value.item() if part in ("margins", "dtype") and value.ndim == 0 else value
        if not parts or not all("potentials" in each and set(each) <= {*PARTS, *OPTIONAL} for each in parts.values()):
            held = ", ".join(arrays) or "nothing"
            msg = f"{path}: a run has <layer>.potentials and <layer>.spikes for each layer; it holds {held}"
            raise ValueError(msg)
        return cls({name or "layer 1": _layer(name, each) for name, each in parts.items()}, inputs, parameters, **about)

    def save(self, path: str | Path) -> None:
        """Write the run as an .npz that `load` reads."""
        if taken := [name for name in self.layers if name.partition(".")[0] in ("parameters", "run")]:
            msg = f"layer {taken[0]!r} cannot be written: in a file `{taken[0].partition('.')[0]}.` begins another name"
            raise ValueError(msg)
        arrays: dict[str, Any] = {}
        for name, layer in self.layers.items():
            arrays |= {f"{name}.{part}": value for part, value in _parts(layer)}
        if self.inputs is not None:
            arrays["inputs"] = self.inputs
        arrays |= {f"parameters.{name}": value for name, value in self.parameters.items()}
        arrays |= {f"run.{key}": np.asarray(getattr(self, key)) for key in ABOUT if getattr(self, key)}
        np.savez_compressed(path, allow_pickle=False, **_storable(arrays))


def record(
    step: Callable[[Any, Any], tuple[Any, Mapping[str, Any]]],
    state: Any,
    inputs: Iterable[Array],
    *,
    backend: str,
    parameters: Any = None,
    name: str = "",
    coupled: bool = False,
) -> Run:
    """Run a user's step function over time and keep what its layers do.

    Args:
        step: takes the state and one step's input, an array of the backend, and returns the next state and, by layer
            in order, (potentials as compared with the threshold, spikes). For an integrator, which never fires, the spikes
            are None. A dict of what a `Layer` takes does as well, {"potentials": v, "spikes": s, "threshold": adapted}.
        state: what the first step gets.
        inputs: arrays, one a step: an array with time first.
        backend: the name of the backend, "torch" or "jax".
        parameters: the weights, to be compared too: a state dict, a module of torch or Flax, or dicts, tuples and lists
            nested as you like, of which each array is named by its path. Give both runs one layout.
        name: what the verdict calls this run; by default the framework.
        coupled: whether samples act on each other, as in batch normalization that trains.

    Raises:
        ImportError: the backend is not installed.
        TypeError: the step returns something else, or a parameter or an input is no array or number.
        ValueError: there is no step, or two parameters have one name.

    >>> import numpy as np, torch
    >>> from arcana.torch import fast_sigmoid
    >>> def step(potential, current):
    ...     potential = 0.9 * potential + current
    ...     spikes = fast_sigmoid(potential - 1)
    ...     return potential - spikes, {"hidden": (potential, spikes)}
    >>> inputs = np.full((4, 2, 3), 0.5, np.float32)
    >>> run = record(step, torch.zeros(2, 3), inputs, backend="torch")
    >>> run.layers["hidden"].spikes.sum(axis=(1, 2)).tolist()
    [0.0, 0.0, 6.0, 0.0]
    """
    side = load(backend, "arrays")
    inputs = [array_of(f"the input of step {i}", each) for i, each in enumerate(inputs)]
    if not inputs:
        msg = "inputs hold no step: nothing would be recorded"
        raise ValueError(msg)
    records: dict[str, dict[str, list[Any]]] = {}
    for given in inputs:
        state, layers = _stepped(step, state, side.from_numpy(given))
        for layer, returned in layers.items():
            kept = records.setdefault(layer, {})
            for part, value in _returned(layer, returned).items():
                # Copies: a step may change its arrays in place.
                text = isinstance(value, str | bool)
                kept.setdefault(part, []).append(value if text else np.array(array_of(f"layer {layer!r}: {part}", value)))
    layers = {name: _stacked(name, parts, len(inputs)) for name, parts in records.items()}
    # Copies: a network that trains on may change its weights in place.
    named = unique(named_leaves("", parameters))
    kept = {name: np.array(array_of(f"parameter {name!r}", value)) for name, value in named.items()}
    if parameters is not None and not kept:
        msg = "parameters hold no array: nothing would be compared; leave them out if that is meant"
        raise ValueError(msg)
    return Run(layers, np.stack(inputs), kept, name or NAMES[backend], coupled=coupled)


def _returned(name: str, value: Any) -> dict[str, Any]:
    """Return the parts of one step's layer; None is left out."""
    if isinstance(value, Mapping):
        _known_parts(name, value)
    elif len(value) != 2:
        msg = f"a step returns (state, {{layer: (potentials, spikes)}}), got {len(value)} values for layer {name!r}"
        raise TypeError(msg)
    else:
        value = dict(zip(PARTS, value, strict=True))
    return {part: each for part, each in value.items() if each is not None}


def _stacked(name: str, parts: dict[str, list[Any]], steps: int) -> Layer:
    """Return the layer of what was kept step by step; a threshold that is one number each step broadcasts."""
    for part, values in parts.items():
        if len(values) != steps:
            msg = f"layer {name!r}: {part} in {len(values)} of {steps} steps; a step returns the same parts each time"
            raise ValueError(msg)
    said = {part: parts.pop(part)[0] for part in ("margins", "dtype") if part in parts}
    stacked = {part: np.stack(values) for part, values in parts.items()}
    dimensions = stacked["potentials"].ndim
    for part in ("threshold", "refractory"):
        if part in stacked:
            # Time stays the first axis; the others line up at the end.
            shape = stacked[part].shape
            stacked[part] = stacked[part].reshape(shape[0], *(1,) * (dimensions - len(shape)), *shape[1:])
    return Layer(**stacked, **said)


def _stepped(step: Callable[[Any, Any], Any], state: Any, given: Any) -> tuple[Any, Mapping[str, tuple[Any, Any]]]:
    result = step(state, given)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)):
        msg = f"a step returns (state, {{layer: (potentials, spikes)}}), got {type(result).__qualname__}"
        raise TypeError(msg)
    return result


def layer_pairs(one: Run, other: Run, names: tuple[str, str]) -> Iterator[tuple[str, Layer, Layer]]:
    """Yield the layers of both runs in the order of a step; raise a ValueError if names or shapes differ.

    Where the orders differ, that which is not sorted by name is taken: jax.jit returns a dict sorted.
    """
    orders = [list(run.layers) for run in (one, other)]
    if sorted(orders[0]) != sorted(orders[1]):
        msg = f"both runs have the same layers, got {orders[0]} in {names[0]}, {orders[1]} in {names[1]}"
        raise ValueError(msg)
    if orders[0] != orders[1] and not any(order == sorted(order) for order in orders):
        msg = f"both runs have the same layers in the same order, got {orders[0]} in {names[0]}, {orders[1]} in {names[1]}"
        raise ValueError(msg)
    _same_parameters(one, other, names)
    known = next((list(run.layers) for run in (one, other) if run.ordered), None)
    for name in known or max(orders, key=lambda order: order != sorted(order)):
        ours, theirs = one.layers[name], other.layers[name]
        if one.axes == other.axes and ours.potentials.shape != theirs.potentials.shape:
            msg = f"layer {name!r} has the shape {ours.potentials.shape} in {names[0]}, {theirs.potentials.shape} in {names[1]}"
            raise ValueError(msg)
        if ours.fires != theirs.fires:
            have, lack = names if ours.fires else names[::-1]
            msg = f"layer {name!r} has spikes in {have} and none in {lack}; an integrator's are None in both"
            raise ValueError(msg)
        yield name, ours, theirs


def _same_parameters(one: Run, other: Run, names: tuple[str, str]) -> None:
    """Raise a ValueError if only one of two runs that hold parameters has one: it would go by uncompared."""
    ours, theirs = one.parameters, other.parameters
    alone = [f"{name!r} only in {names[0]}" for name in ours if name not in theirs]
    alone += [f"{name!r} only in {names[1]}" for name in theirs if name not in ours]
    if ours and theirs and alone:
        msg = f"both runs have the same parameters, got {', '.join(alone)}; give them one layout, or leave these out"
        raise ValueError(msg)


def _layer(name: str, value: Any) -> Layer:
    if isinstance(value, Layer):
        return value
    if not isinstance(value, Mapping):
        value = dict(zip(PARTS, value, strict=True))
    _known_parts(name, value)
    named = {part: each for part, each in value.items() if each is not None}
    arrays = {part: array_of(f"layer {name!r}: {part}", each) for part, each in named.items() if part not in ("margins", "dtype")}
    parts: dict[str, Any] = {**named, **arrays}
    return Layer(**parts)


def _known_parts(name: str, value: Mapping[str, Any]) -> None:
    if "potentials" not in value or not set(value) <= {*PARTS, *OPTIONAL}:
        held = ", ".join(map(str, value)) or "nothing"
        msg = f"layer {name!r} has potentials and spikes and nothing else, got {held}; perhaps also {', '.join(OPTIONAL)}"
        raise ValueError(msg)


def _parts(layer: Layer) -> Iterator[tuple[str, Any]]:
    """Yield what a file holds of a layer; a dtype that .npz does not know is named."""
    yield "potentials", layer.potentials
    for part in ("spikes", "threshold", "refractory"):
        if getattr(layer, part) is not None:
            yield part, getattr(layer, part)
    if layer.margins:
        yield "margins", np.asarray(True)
    if layer.dtype or layer.potentials.dtype.name == "bfloat16":
        yield "dtype", np.asarray(layer.dtype or "bfloat16")


def _checked_axes(axes: Sequence[str]) -> tuple[str, ...]:
    axes = tuple(axes.split() if isinstance(axes, str) else axes)
    if axes and (TIME not in axes or len(set(axes)) < len(axes)):
        msg = f"axes name each axis once, {TIME!r} among them, and {SAMPLE!r} if there is one of samples; got {axes}"
        raise ValueError(msg)
    return axes


def _check(name: str, layer: Layer, axes: Sequence[str]) -> None:
    shape = layer.potentials.shape
    if len(shape) < 2 or not layer.potentials.size or (layer.spikes is not None and layer.spikes.shape != shape):
        spikes = "no spikes" if layer.spikes is None else f"{layer.spikes.shape}"
        msg = (
            f"layer {name!r}: potentials and spikes have one shape, (steps, neurons) or (steps, samples, ...), "
            f"got {shape} and {spikes}"
        )
        raise ValueError(msg)
    if len(shape) < len(axes):
        msg = f"layer {name!r} has {len(shape)} axes, {shape}, and the run names {len(axes)}: {', '.join(axes)}"
        raise ValueError(msg)
    if layer.potentials.dtype.name not in BITS:
        msg = f"layer {name!r}: potentials are of {', '.join(BITS)}, got {layer.potentials.dtype.name}"
        raise TypeError(msg)
    if layer.dtype not in ("", *UNIT):
        msg = f"layer {name!r}: dtype is one of {', '.join(UNIT)}, got {layer.dtype!r}"
        raise ValueError(msg)
    for part in ("threshold", "refractory"):
        _broadcasts(name, part, getattr(layer, part), shape)
    if layer.spikes is not None:
        _zeros_and_ones(name, layer.spikes)


def _broadcasts(name: str, part: str, value: Array | None, shape: tuple[int, ...]) -> None:
    if value is None:
        return
    try:
        np.broadcast_to(value, shape)
    except ValueError:
        msg = f"layer {name!r}: {part} of shape {value.shape} does not broadcast to the potentials, {shape}"
        raise ValueError(msg) from None


def _zeros_and_ones(name: str, spikes: Array) -> None:
    if spikes.dtype.kind == "c":
        msg = f"layer {name!r}: spikes are 0 or 1, got {spikes.dtype.name}"
        raise TypeError(msg)
    wrong = ~np.isin(spikes.astype(np.float64), (0.0, 1.0))
    if wrong.any():
        msg = f"layer {name!r}: spikes are 0 or 1, got {spikes[wrong][0]}"
        raise ValueError(msg)


def _storable(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return bfloat16 as float32, which holds the same numbers: an .npz cannot hold bfloat16."""
    return {key: value.astype(np.float32) if value.dtype.name == "bfloat16" else value for key, value in arrays.items()}
