"""A run of an unrolled network: potentials and spikes of each layer over time, from arrays, a file, or a user's step function."""

from __future__ import annotations

import dataclasses
import importlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from arcana.testing._values import BITS, Array


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


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """The layers of one network, in the order in which a step computes them.

    Attributes:
        layers: by name.
        inputs: what the network got, time first; None where it was not kept.
        parameters: the weights by name, in one layout for both runs; empty where they were not kept.
    """

    layers: Mapping[str, Layer]
    inputs: Array | None = None
    parameters: Mapping[str, Array] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
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
        """A run from a `Run`, the path of an .npz, (potentials, spikes), a list of such pairs, or a dict of them by name."""
        if isinstance(value, Run):
            return value
        if isinstance(value, str | Path):
            return cls.load(value)
        if isinstance(value, Mapping):
            return cls({str(name): _layer(each) for name, each in value.items()})
        if isinstance(value, Sequence) and len(value) == 2 and not isinstance(value[0], Sequence):
            return cls({"layer 1": _layer(value)})
        return cls({f"layer {i}": _layer(each) for i, each in enumerate(value, 1)})

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """The run of an .npz: `<layer>.potentials` and `<layer>.spikes` in order, perhaps `inputs` and `parameters.<name>`."""
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
        wanted = {name: [f"{name}.{part}".lstrip(".") for part in ("potentials", "spikes")] for name in names}
        if not names or {key for pair in wanted.values() for key in pair} != set(arrays):
            held = ", ".join(arrays) or "nothing"
            msg = f"{path}: a run has <layer>.potentials and <layer>.spikes for each layer; it holds {held}"
            raise ValueError(msg)
        layers = {name or "layer 1": Layer(*(arrays[key] for key in pair)) for name, pair in wanted.items()}
        return cls(layers, inputs, parameters)

    def save(self, path: str | Path) -> None:
        """Write the run as an .npz that `load` reads."""
        arrays = {
            f"{name}.{part}": getattr(layer, part) for name, layer in self.layers.items() for part in ("potentials", "spikes")
        }
        if self.inputs is not None:
            arrays["inputs"] = self.inputs
        arrays |= {f"parameters.{name}": value for name, value in self.parameters.items()}
        np.savez_compressed(path, allow_pickle=False, **_storable(arrays))


def record(
    step: Callable[[Any, Any], tuple[Any, Mapping[str, tuple[Any, Any]]]],
    state: Any,
    inputs: Iterable[Array],
    *,
    backend: Literal["torch", "jax"],
    parameters: Mapping[str, Any] | None = None,
) -> Run:
    """Run a user's step function over time and keep what its layers do.

    Args:
        step: takes the state and one step's input, an array of the backend, and returns the next state and, by layer
            in order, (potentials as compared with the threshold, spikes).
        state: what the first step gets.
        inputs: NumPy arrays, one a step: an array with time first.
        backend: "torch" or "jax".
        parameters: the weights by name, to be compared too; a state dict is one. Give both runs one layout.

    Raises:
        ImportError: the backend is not installed.
        TypeError: the step returns something else.
    """
    importlib.import_module(f"arcana.{backend}")
    side = importlib.import_module(f"arcana.testing._{backend}_side")
    inputs = [np.asarray(each) for each in inputs]
    records: dict[str, tuple[list[Array], list[Array]]] = {}
    for given in inputs:
        state, layers = _stepped(step, state, side.from_numpy(given))
        for name, pair in layers.items():
            for kept, value in zip(records.setdefault(name, ([], [])), pair, strict=True):
                kept.append(np.array(side.to_numpy(value)))
    layers = {name: Layer(*(np.stack(each) for each in pair)) for name, pair in records.items()}
    kept = {name: np.array(side.to_numpy(value)) for name, value in (parameters or {}).items()}
    return Run(layers, np.stack(inputs), kept)


def _stepped(step: Callable[[Any, Any], Any], state: Any, given: Any) -> tuple[Any, Mapping[str, tuple[Any, Any]]]:
    result = step(state, given)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)):
        msg = f"a step returns (state, {{layer: (potentials, spikes)}}), got {type(result).__qualname__}"
        raise TypeError(msg)
    return result


def layer_pairs(torch_run: Run, jax_run: Run) -> Iterator[tuple[str, Layer, Layer]]:
    """The layers of both, in order; a ValueError where names or shapes differ."""
    if list(torch_run.layers) != list(jax_run.layers):
        names = f"{list(torch_run.layers)} in torch, {list(jax_run.layers)} in JAX"
        msg = f"both runs have the same layers in the same order, got {names}"
        raise ValueError(msg)
    for name, ours in torch_run.layers.items():
        theirs = jax_run.layers[name]
        if ours.potentials.shape != theirs.potentials.shape:
            msg = f"layer {name!r} has the shape {ours.potentials.shape} in torch, {theirs.potentials.shape} in JAX"
            raise ValueError(msg)
        yield name, ours, theirs


def _layer(value: Any) -> Layer:
    if isinstance(value, Layer):
        return value
    if isinstance(value, Mapping):
        return Layer(np.asarray(value["potentials"]), np.asarray(value["spikes"]))
    potentials, spikes = value
    return Layer(np.asarray(potentials), np.asarray(spikes))


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
    if not np.isin(layer.spikes.astype(np.float64), (0.0, 1.0)).all():
        msg = f"layer {name!r}: spikes are 0 or 1, got {layer.spikes[~np.isin(layer.spikes.astype(np.float64), (0.0, 1.0))][0]}"
        raise ValueError(msg)


def _storable(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """bfloat16 as float32, which holds the same numbers: an .npz cannot hold bfloat16."""
    return {key: value.astype(np.float32) if value.dtype.name == "bfloat16" else value for key, value in arrays.items()}
