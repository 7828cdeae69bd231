"""A run of an unrolled network: potentials and spikes of each layer over time, from arrays, a file, or a user's step function."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arcana.testing._leaves import array_of, named_leaves, unique
from arcana.testing._values import BITS, Array
from arcana.testing.backends import load

PARTS = ("potentials", "spikes")


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One layer over time.

    Attributes:
        potentials: what the layer compares with its threshold, before the reset: (steps, neurons), or
            (steps, samples, ...) with any shape of neurons.
        spikes: of the same shape, 0 and 1 in any dtype; zeros for an integrator that never fires.
    """

    potentials: Array
    spikes: Array

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, array_of(field.name, getattr(self, field.name)))


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """The layers of one network, in the order in which a step computes them.

    Attributes:
        layers: by name.
        inputs: what the network got, time first; None where it was not kept.
        parameters: the weights by name, in one layout for both runs; empty where they were not kept. Given nested, as Flax
            has them, each is named by its path, `Dense_0.kernel`.
    """

    layers: Mapping[str, Layer]
    inputs: Array | None = None
    parameters: Mapping[str, Array] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        named = unique(named_leaves("", self.parameters))
        parameters = {name: array_of(f"parameter {name!r}", value) for name, value in named.items()}
        object.__setattr__(self, "parameters", parameters)
        if self.inputs is not None:
            object.__setattr__(self, "inputs", array_of("inputs", self.inputs))
        if not self.layers:
            msg = "a run needs at least one layer"
            raise ValueError(msg)
        for name, layer in self.layers.items():
            _check(name, layer)
        steps = {name: len(layer.potentials) for name, layer in self.layers.items()}
        if len(set(steps.values())) > 1:
            msg = f"the layers of a run have the same number of steps, got {steps}"
            raise ValueError(msg)

    @classmethod
    def of(cls, value: Any) -> Run:
        """Make a run of a `Run`, the path of an .npz, (potentials, spikes), a list of such pairs, or a dict of them by name."""
        if isinstance(value, Run):
            return value
        if isinstance(value, str | Path):
            return cls.load(value)
        if isinstance(value, Mapping):
            return cls(unique((str(name), _layer(str(name), each)) for name, each in value.items()))
        if isinstance(value, Sequence) and len(value) == 2 and not isinstance(value[0], Sequence):
            return cls({"layer 1": _layer("layer 1", value)})
        return cls({f"layer {i}": _layer(f"layer {i}", each) for i, each in enumerate(value, 1)})

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Read an .npz: `<layer>.potentials` and `<layer>.spikes` in order, perhaps `inputs` and `parameters.<name>`."""
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
        names = list(dict.fromkeys(key.rpartition(".")[0] for key in arrays))
        wanted = {name: [f"{name}.{part}".lstrip(".") for part in PARTS] for name in names}
        if not names or {key for pair in wanted.values() for key in pair} != set(arrays):
            held = ", ".join(arrays) or "nothing"
            msg = f"{path}: a run has <layer>.potentials and <layer>.spikes for each layer; it holds {held}"
            raise ValueError(msg)
        layers = {name or "layer 1": Layer(*(arrays[key] for key in pair)) for name, pair in wanted.items()}
        return cls(layers, inputs, parameters)

    def save(self, path: str | Path) -> None:
        """Write the run as an .npz that `load` reads."""
        if taken := [name for name in self.layers if name.partition(".")[0] == "parameters"]:
            msg = f"layer {taken[0]!r} cannot be written: in a file `parameters.` begins the name of a weight"
            raise ValueError(msg)
        arrays = {f"{name}.{part}": getattr(layer, part) for name, layer in self.layers.items() for part in PARTS}
        if self.inputs is not None:
            arrays["inputs"] = self.inputs
        arrays |= {f"parameters.{name}": value for name, value in self.parameters.items()}
        np.savez_compressed(path, allow_pickle=False, **_storable(arrays))


def record(
    step: Callable[[Any, Any], tuple[Any, Mapping[str, tuple[Any, Any]]]],
    state: Any,
    inputs: Iterable[Array],
    *,
    backend: str,
    parameters: Any = None,
) -> Run:
    """Run a user's step function over time and keep what its layers do.

    Args:
        step: takes the state and one step's input, an array of the backend, and returns the next state and, by layer
            in order, (potentials as compared with the threshold, spikes).
        state: what the first step gets.
        inputs: arrays, one a step: an array with time first.
        backend: the name of the backend, "torch" or "jax".
        parameters: the weights, to be compared too: a state dict, a module of torch or Flax, or dicts, tuples and lists
            nested as you like, of which each array is named by its path. Give both runs one layout.

    Raises:
        ImportError: the backend is not installed.
        TypeError: the step returns something else, or a parameter or an input is no array or number.
        ValueError: there is no step, or two parameters have one name.
    """
    side = load(backend, "arrays")
    inputs = [array_of(f"the input of step {i}", each) for i, each in enumerate(inputs)]
    if not inputs:
        msg = "inputs hold no step: nothing would be recorded"
        raise ValueError(msg)
    records: dict[str, tuple[list[Array], list[Array]]] = {}
    for given in inputs:
        state, layers = _stepped(step, state, side.from_numpy(given))
        for name, pair in layers.items():
            if len(pair) != 2:
                msg = f"a step returns (state, {{layer: (potentials, spikes)}}), got {len(pair)} values for layer {name!r}"
                raise TypeError(msg)
            for kept, part, value in zip(records.setdefault(name, ([], [])), PARTS, pair, strict=True):
                kept.append(np.array(array_of(f"layer {name!r}: {part}", value)))
    layers = {name: Layer(*(np.stack(each) for each in pair)) for name, pair in records.items()}
    # Copies: a network that trains on may change its weights in place.
    named = unique(named_leaves("", parameters))
    kept = {name: np.array(array_of(f"parameter {name!r}", value)) for name, value in named.items()}
    if parameters is not None and not kept:
        msg = "parameters hold no array: nothing would be compared; leave them out if that is meant"
        raise ValueError(msg)
    return Run(layers, np.stack(inputs), kept)


def _stepped(step: Callable[[Any, Any], Any], state: Any, given: Any) -> tuple[Any, Mapping[str, tuple[Any, Any]]]:
    result = step(state, given)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)):
        msg = f"a step returns (state, {{layer: (potentials, spikes)}}), got {type(result).__qualname__}"
        raise TypeError(msg)
    return result


def layer_pairs(torch_run: Run, jax_run: Run) -> Iterator[tuple[str, Layer, Layer]]:
    """Yield the layers of both runs in order; raise a ValueError if names or shapes differ."""
    if list(torch_run.layers) != list(jax_run.layers):
        names = f"{list(torch_run.layers)} in torch, {list(jax_run.layers)} in JAX"
        msg = f"both runs have the same layers in the same order, got {names}"
        raise ValueError(msg)
    _same_parameters(torch_run, jax_run)
    for name, ours in torch_run.layers.items():
        theirs = jax_run.layers[name]
        if ours.potentials.shape != theirs.potentials.shape:
            msg = f"layer {name!r} has the shape {ours.potentials.shape} in torch, {theirs.potentials.shape} in JAX"
            raise ValueError(msg)
        yield name, ours, theirs


def _same_parameters(torch_run: Run, jax_run: Run) -> None:
    """Raise a ValueError if only one of two runs that hold parameters has one: it would go by uncompared."""
    ours, theirs = torch_run.parameters, jax_run.parameters
    alone = [f"{name!r} only in torch" for name in ours if name not in theirs]
    alone += [f"{name!r} only in JAX" for name in theirs if name not in ours]
    if ours and theirs and alone:
        msg = f"both runs have the same parameters, got {', '.join(alone)}; give them one layout, or leave these out"
        raise ValueError(msg)


def _layer(name: str, value: Any) -> Layer:
    if isinstance(value, Layer):
        return value
    if isinstance(value, Mapping):
        if set(value) != set(PARTS):
            msg = f"layer {name!r} has potentials and spikes and nothing else, got {', '.join(map(str, value)) or 'nothing'}"
            raise ValueError(msg)
        value = [value[part] for part in PARTS]
    return Layer(*(array_of(f"layer {name!r}: {part}", each) for part, each in zip(PARTS, value, strict=True)))


def _check(name: str, layer: Layer) -> None:
    if layer.potentials.shape != layer.spikes.shape or layer.potentials.ndim < 2 or not layer.potentials.size:
        msg = (
            f"layer {name!r}: potentials and spikes have one shape, (steps, neurons) or (steps, samples, ...), "
            f"got {layer.potentials.shape} and {layer.spikes.shape}"
        )
        raise ValueError(msg)
    if layer.potentials.dtype.name not in BITS:
        msg = f"layer {name!r}: potentials are of {', '.join(BITS)}, got {layer.potentials.dtype.name}"
        raise TypeError(msg)
    if layer.spikes.dtype.kind == "c":
        msg = f"layer {name!r}: spikes are 0 or 1, got {layer.spikes.dtype.name}"
        raise TypeError(msg)
    if not np.isin(layer.spikes.astype(np.float64), (0.0, 1.0)).all():
        msg = f"layer {name!r}: spikes are 0 or 1, got {layer.spikes[~np.isin(layer.spikes.astype(np.float64), (0.0, 1.0))][0]}"
        raise ValueError(msg)


def _storable(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return bfloat16 as float32, which holds the same numbers: an .npz cannot hold bfloat16."""
    return {key: value.astype(np.float32) if value.dtype.name == "bfloat16" else value for key, value in arrays.items()}
