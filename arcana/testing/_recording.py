"""Record a run from a network as it is: every spike function gets potential minus threshold, and here every call is seen."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arcana.testing._leaves import array_of, is_leaf, named_leaves, unique
from arcana.testing._places import Place, Places, is_module, plain_path
from arcana.testing._runs import NAMES, Layer, Run
from arcana.testing._values import Array
from arcana.testing.backends import BACKENDS, load


class _Calls:
    """What one layer has done so far; spikes as booleans, since they are nothing else, and none of a readout."""

    def __init__(self) -> None:
        self.margins: list[Array] = []
        self.spikes: list[Array] = []
        self.largest = 1.0

    def add(self, margins: Array, spikes: Array | None) -> None:
        self.margins.append(margins)
        if spikes is None:
            return
        self.spikes.append(spikes.astype(bool))
        odd = spikes[(spikes != 0) & (spikes != 1)]
        if odd.size:
            self.largest = float(odd.max()) if (odd == np.round(odd)).all() and odd.min() > 0 else -1.0

    def layer(self, name: str, *, whole: bool) -> Layer:
        """Return the layer, of calls with one step each or with a whole sequence.

        The calls are let go of, so that the numbers are there twice for one layer at a time.
        """
        # Sequences may be of unequal length.
        shapes = {each.shape[whole:] for each in self.margins}
        if len(shapes) > 1:
            some = " and ".join(map(str, sorted(shapes)))
            msg = (
                f"layer {name!r} has potentials of the shapes {some}: one line of code fires for several layers; "
                f"name them in the order of a step, as in recording(network, layers=['hidden', 'output'])"
            )
            raise ValueError(msg)
        join = np.concatenate if whole else np.stack
        joined: list[Any] = []
        for part in (self.margins, self.spikes):
            scalars = bool(part) and part[0].ndim == 0
            joined.append(join([each.reshape(1) for each in part] if scalars else part) if part else None)
            part.clear()
        return Layer(joined[0], joined[1], margins=joined[1] is not None)


class Recording:
    """The run of a network while `recording` is open, and `run` after it.

    Attributes:
        run: the run; there once the context is closed.

    >>> import torch
    >>> from arcana.torch import fast_sigmoid
    >>> with recording() as recorded:
    ...     for potential in torch.tensor([[0.5, 1.2], [1.1, 0.3]]):
    ...         spikes = fast_sigmoid(potential - 1)
    >>> recorded
    Recording(layer 1)
    >>> recorded.run.layers["layer 1"].spikes.tolist()
    [[False, True], [True, False]]
    """

    run: Run

    def __init__(self, places: Places, layers: Sequence[str], readouts: Sequence[str] = (), *, sequences: bool = False) -> None:
        self._places = places
        self._readouts = list(readouts)
        self._sequences = sequences
        self._names = list(layers)
        self._turn = 0
        self._calls: dict[Place | str, _Calls] = {}

    def __repr__(self) -> str:
        if hasattr(self, "run"):
            return f"Recording({', '.join(self.run.layers)})"
        return f"Recording(open, {len(self._calls)} layers so far)"

    def _place(self, v: Any, function: str) -> Place:
        if function == "arcana.rules":
            msg = (
                "a layer fires by a rule of arcana.rules, and a run holds spikes that are 1 where v >= 0 and else 0; "
                "record the network without a rule, or with Heaviside()"
            )
            raise ValueError(msg)
        place = self._places.of(v, function)
        # Here, and not where its numbers come, a layer gets its number: under jit those come later.
        self._calls.setdefault(place, _Calls())
        return place

    def _keep(self, place: Place, margins: Array, spikes: Array) -> None:
        key: Place | str = place
        if self._names:
            key = self._names[self._turn % len(self._names)]
            self._turn += 1
        self._calls.setdefault(key, _Calls()).add(margins, spikes)

    def _meet(self, path: str) -> _Calls:
        """Return a readout's calls; it gets its number among the layers where it is first met."""
        return self._calls.setdefault(path, _Calls())

    def _keep_output(self, path: str, output: Array) -> None:
        self._meet(path).add(output, None)

    def _close(self, inputs: Any, parameters: Any, name: str) -> None:
        calls = {key: each for key, each in self._calls.items() if each.margins}
        if missing := [path for path in self._readouts if path not in calls]:
            msg = f"readouts: no module of the path {missing[0]!r} was called; the network has {', '.join(self._places.named())}"
            raise ValueError(msg)
        # A function that gives a fraction once is an activation and no spike function, where it gives 0 alone too.
        odd = {key.function for key, each in calls.items() if each.largest < 0 and isinstance(key, Place)} - {"custom_gradient"}
        calls = {key: each for key, each in calls.items() if each.largest > 0 and getattr(key, "function", "") not in odd}
        named = _named(list(calls))
        for key, each in calls.items():
            if each.largest > 1:
                msg = f"layer {named[key]!r} gives {each.largest:g} spikes in a step, and a run holds 0 and 1"
                if isinstance(key, Place) and key.function.startswith("sinabs."):
                    msg += "; give the layer spike_fn=sinabs.activation.SingleSpike"
                raise ValueError(msg)
        if not calls:
            msg = (
                "no spike function was called while the recording was open. Seen are surrogates of arcana, and every "
                "torch.autograd.Function, jax.custom_vjp and jax.custom_jvp that gives 0 and 1. A function of v − threshold "
                "without one is named: recording(..., functions=[(module, 'name')]), and layers without spikes are "
                "readouts=['path']. What torch.compile makes is seen if it is made before the recording is opened"
            )
            raise ValueError(msg)
        # A layer that fires once a step does it more often than one that gets the whole sequence.
        fewest = min(len(each.margins) for each in calls.values())
        layers = {
            named[key]: each.layer(named[key], whole=self._sequences and len(each.margins) == fewest)
            for key, each in calls.items()
        }
        _check_steps(layers)
        self.run = Run(layers, None if inputs is None else array_of("inputs", inputs), parameters, name, ordered=True)


def _named(keys: Sequence[Place | str]) -> dict[Place | str, str]:
    """Return the name of each layer: the module's path, with a number where one module has several."""
    names: dict[Place | str, str] = {}
    for key in keys:
        if isinstance(key, str):
            names[key] = key
            continue
        beside = [each for each in keys if isinstance(each, Place) and each.path == key.path]
        number = beside.index(key) + 1
        names[key] = (f"{key.path}.{number}" if len(beside) > 1 else key.path) if key.path else f"layer {number}"
    return names


def _check_steps(layers: dict[str, Layer]) -> None:
    steps = {name: len(layer.potentials) for name, layer in layers.items()}
    if len(set(steps.values())) > 1:
        each = ", ".join(f"{name} {count}" for name, count in steps.items())
        msg = (
            f"every layer fires once a step, and these fired so often: {each}. A step that asks a spike function twice, or a "
            f"line that fires for several layers, is told apart by names in the order of a step: recording(network, "
            f"layers=[...]). Where layers get the whole sequence at once, sequences=True says so"
        )
        raise ValueError(msg)


def _parameters(network: Any, given: Any) -> dict[str, Array]:
    """Return copies of the arrays by name, given or the network's own: it may train on."""
    source = given
    if given is None:
        if not is_module(network):
            return {}
        source = _state(network)
    named = unique(named_leaves("", source))
    if given is None:
        # A network holds more than weights: keys of random numbers, counters, names.
        named = {plain_path(name): value for name, value in named.items() if is_leaf(value) and _is_number(value)}
    return {name: np.array(array_of(f"parameter {name!r}", value)) for name, value in named.items()}


def _state(network: Any) -> Any:
    """Return the arrays of a network of NNX, which keeps keys of random numbers among them; any other is its own state."""
    nnx = sys.modules.get("flax.nnx")
    if nnx is not None and isinstance(network, nnx.Module):
        return nnx.to_pure_dict(nnx.state(network, nnx.Not(nnx.RngState)))
    return network


def _is_number(value: Any) -> bool:
    return str(getattr(value, "dtype", "")).removeprefix("torch.").startswith(("float", "bfloat", "complex"))


@contextlib.contextmanager
def recording(
    network: Any = None,
    path: str | Path | None = None,
    *,
    inputs: Any = None,
    parameters: Any = None,
    layers: Sequence[str] = (),
    functions: Sequence[tuple[Any, str]] = (),
    readouts: Sequence[str] = (),
    sequences: bool = False,
    name: str = "",
) -> Iterator[Recording]:
    """Record a run from a network as it is, in PyTorch or JAX, whatever library its neurons are from.

    While the context is open, every call of a spike function is seen: those of arcana, and every `torch.autograd.Function`,
    `jax.custom_vjp` and `jax.custom_jvp` that gives 0 and 1. What the function gets is potential minus threshold, and so the
    layers of the run hold margins. A layer is called by the path of its module. Under `jax.jit`, in `jax.lax.scan`, and
    under grad, vmap and checkpoint each step is recorded once and in its order. What torch.compile has made before is compiled
    anew while the context is open, with the spike functions outside its graphs, and once more after it. Nothing is kept of the
    graph: of each step potentials, and spikes as booleans.

    Args:
        network: the module that runs (torch, snnTorch, SpikingJelly, Norse, Sinabs, Flax, spyx, Equinox); None for plain
            functions, whose layers are then called "layer 1", "layer 2" in the order in which a step first fires.
        path: where the run is written, an .npz for `first_divergence` and `arcana diverge`; None for nowhere.
        inputs: what the network gets, time first, to be compared too.
        parameters: the weights, to be compared too: a state dict, or dicts, tuples and lists as `record` takes them; by default
            those of the network as they are when the context opens. Linen's are given: `variables["params"]`.
        layers: the names of the layers in the order in which a step fires, where one line of code fires for several.
        functions: plain functions of v − threshold without a surrogate gradient, each as the object that it hangs on and its
            name there: `[(model, "spike")]`.
        readouts: the paths of modules without spikes, such as an integrator or a last linear layer: what each returns, the first
            array of several, is kept as the potentials of a layer without a threshold.
        sequences: whether layers get the whole sequence in one call, time first, as a parallel spiking neuron does; layers that
            are called more often get one step each.
        name: what a verdict calls this run; by default the framework.

    Raises:
        ValueError: nothing fired, no module of a readout's path was called, layers fired unequally often, a layer gives more
            than one spike a step, or one line of code fires for layers of several shapes; each error says what to give.

    >>> import torch
    >>> from arcana.surrogate import FastSigmoid
    >>> from arcana.torch import Spike
    >>> network = torch.nn.Sequential(torch.nn.Linear(3, 2), Spike(FastSigmoid()))
    >>> with torch.no_grad(), recording(network) as recorded:
    ...     for x in torch.rand(5, 4, 3):
    ...         spikes = network(x)
    >>> {name: layer.potentials.shape for name, layer in recorded.run.layers.items()}
    {'1': (5, 4, 2)}
    >>> list(recorded.run.parameters)
    ['0.weight', '0.bias', '1.threshold']
    """
    # Two frames further out: this generator is resumed by contextlib.
    outside = sys._getframe(2)
    places = Places(network, outside)
    found = Recording(places, layers, readouts, sequences=sequences)
    kept = _parameters(network, parameters)
    present = [each for each in BACKENDS if each in sys.modules]
    with contextlib.ExitStack() as stack:
        for backend in present:
            more = {"modules": places.classes(), "path": places.path} if backend == "jax" else {"modules": places.kept}
            outputs = (readouts, found._meet, found._keep_output) if readouts else None
            stack.enter_context(load(backend, "spikes").watched(found._place, found._keep, functions, outputs=outputs, **more))
        yield found
    found._close(inputs, kept, name or _framework(network, present))
    if path is not None:
        found.run.save(path)


def _framework(network: Any, present: Sequence[str]) -> str:
    """Return the name of the framework that a network is from, or of the only one there is."""
    bases = {kind.__module__.partition(".")[0] for kind in type(network).__mro__}
    if "torch" in bases:
        return NAMES["torch"]
    if is_module(network):
        return NAMES["jax"]
    return NAMES[present[0]] if len(present) == 1 else ""
