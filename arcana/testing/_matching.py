"""Which layer and which parameter of one network is which of another, and how the arrays are laid out: proposed, and shown."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from arcana.testing._runs import Layer, Run
from arcana.testing._table import aligned
from arcana.testing._values import Array

KINDS = {"kernel": "weight", "scale": "weight", "embedding": "weight", "running_mean": "mean", "running_var": "var"}
"""What Flax and PyTorch call the same: the last part of a parameter's name."""

CHANNELS_LAST = ("kernel",)
"""The name of a weight whose inputs and outputs are its last axes, as Flax has it; PyTorch and Equinox have them first."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """One layer or parameter under the names of both runs.

    Attributes:
        what: "layer" or "parameter".
        names: in the first run and in the other; one is empty where only the other run has it.
        layout: how the other's array becomes that of the first: "as it is", "transposed", "HWIO to OIHW", "channels first",
            "reshaped"; empty where there is nothing to compare.

    >>> Pair("layer", ("lif1", "lif_1"), "as it is").alike
    False
    """

    what: str
    names: tuple[str, str]
    layout: str

    @property
    def alike(self) -> bool:
        """Whether both runs have one name and one layout for it."""
        return self.names[0] == self.names[1] and self.layout == "as it is"


@dataclasses.dataclass(frozen=True, eq=False)
class Matching:
    """The proposal; printed, a line for each pair that differs in name or layout, and for what only one run has.

    Attributes:
        pairs: the layers in the order of the first run, then the parameters.
        runs: both runs, the other under the names and in the layouts of the first, without the parameters that only one has.

    >>> import numpy as np
    >>> potentials = np.full((3, 1, 4), 0.5)
    >>> layer = Layer(potentials, potentials >= 1)
    >>> ours = Run({"lif1": layer}, parameters={"fc.weight": np.ones((4, 2))})
    >>> theirs = Run({"lif_1": layer}, parameters={"Dense_0.kernel": np.ones((2, 4))})
    >>> list(match(ours, theirs).runs[1].parameters)
    ['fc.weight']
    """

    pairs: tuple[Pair, ...]
    runs: tuple[Run, Run]

    def __str__(self) -> str:
        rows = []
        for pair in self.pairs:
            if not pair.layout:
                side = 0 if pair.names[0] else 1
                name = self.runs[side].name or ("the first run", "the second run")[side]
                rows.append((pair.what, pair.names[side], f"only in {name}, not compared", ""))
            elif not pair.alike:
                rows.append((pair.what, pair.names[0], pair.names[1], "" if pair.layout == "as it is" else pair.layout))
        return "\n".join(aligned(rows)) if rows else ""

    def to_dict(self) -> list[dict[str, object]]:
        """Return the pairs that are not alike as plain values, for JSON."""
        return [
            {"what": pair.what, "names": [name or None for name in pair.names], "layout": pair.layout or None}
            for pair in self.pairs
            if not pair.alike
        ]


def match(run: Run, other: Run, names: Mapping[str, str] | None = None) -> Matching:
    """Propose which layer and parameter of another run is which of this one, and bring the other into names and layouts of this.

    Layers and parameters of one name are the same, whatever the spelling (`lif_1`, `lif1`); then parameters that hold the same
    numbers; the rest go by their order. A `kernel` of Flax has inputs and outputs last and is brought to the axes of a
    `weight` of PyTorch, and with a kernel of convolution so are the channels of its layers. Where a square weight was transposed
    by mistake, this still transposes: the layout follows from the names and never from the numbers.

    Args:
        run: the run whose names and layouts are kept.
        other: the run that is brought to them.
        names: pairs that are known, of layers or parameters: names in `run` to names in `other`.

    Raises:
        ValueError: `names` has a name that a run lacks.

    >>> import numpy as np
    >>> potentials = np.full((3, 1, 4), 0.5)
    >>> layer = Layer(potentials, potentials >= 1)
    >>> ours = Run({"lif1": layer}, parameters={"fc.weight": np.ones((4, 2))})
    >>> theirs = Run({"lif_1": layer}, parameters={"Dense_0.kernel": np.ones((2, 4))})
    >>> print(match(ours, theirs))
    layer      lif1       lif_1
    parameter  fc.weight  Dense_0.kernel  transposed
    """
    known = names or {}
    for name, theirs in known.items():
        for each, source in ((name, run), (theirs, other)):
            if each not in source.layers and each not in source.parameters:
                held = ", ".join([*source.layers, *source.parameters])
                msg = f"there is no layer or parameter {each!r}; there are {held}"
                raise ValueError(msg)
    layers = dict(_by_names_and_order(run.layers, other.layers, known))
    weights = dict(_parameters(run.parameters, other.parameters, known))
    last = _is_channels_last(run, weights), _is_channels_last(other, weights.values())
    pairs, brought = [], {}
    for name in run.layers:
        theirs, layout = layers.get(name, ""), ""
        if theirs:
            brought[name], layout = _laid_out(run.layers[name], other.layers[theirs], last)
        pairs.append(Pair("layer", (name, theirs), layout))
    for name in other.layers:
        if name not in layers.values():
            pairs.append(Pair("layer", ("", name), ""))
            brought[name] = other.layers[name]
    parameters: dict[str, Array] = {}
    for name, ours in run.parameters.items():
        theirs, layout = weights.get(name, ""), ""
        if theirs:
            layout, change = _layout(name, ours, theirs, other.parameters[theirs])
            parameters[name] = change(other.parameters[theirs])
        pairs.append(Pair("parameter", (name, theirs), layout))
    pairs += [Pair("parameter", ("", name), "") for name in other.parameters if name not in weights.values()]
    kept = {name: value for name, value in run.parameters.items() if name in parameters or not other.parameters}
    runs = (
        dataclasses.replace(run, parameters=kept),
        dataclasses.replace(other, layers=brought, parameters=parameters if run.parameters else other.parameters),
    )
    return Matching(tuple(pairs), runs)


def _spelled(name: str) -> str:
    """Return a name without what frameworks spell differently."""
    path, _, last = name.rpartition(".")
    return f"{re.sub(r'[._]', '', path.lower())}.{KINDS.get(last, last)}"


def _by_names_and_order(ours: Iterable[str], theirs: Iterable[str], known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of layers: known, of one name, and if as many are left on both sides, in order."""
    found = {name: known[name] for name in ours if name in known}
    left = [name for name in theirs if name not in found.values()]
    for name in ours:
        like = [each for each in left if _spelled(f"{each}.") == _spelled(f"{name}.")]
        if name not in found and len(like) == 1:
            found[name] = like[0]
            left.remove(like[0])
    rest = [name for name in ours if name not in found]
    if len(rest) == len(left):
        found |= zip(rest, left, strict=True)
    yield from found.items()


def _parameters(ours: Mapping[str, Array], theirs: Mapping[str, Array], known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of a kind and a shape that fit: known, then of one name, then of the same numbers, and then in order."""
    left = [name for name in theirs if name not in known.values()]
    found = {name: known[name] for name in ours if name in known}

    def fits(name: str, other: str) -> bool:
        kinds = [KINDS.get(last, last) for last in (each.rpartition(".")[2] for each in (name, other))]
        return kinds[0] == kinds[1] and _layout(name, ours[name], other, theirs[other])[0] != ""

    def same(name: str, other: str) -> bool:
        value = ours[name]
        change = _layout(name, value, other, theirs[other])[1]
        return value.size > 1 and (value != value.flat[0]).any() and np.array_equal(value, change(theirs[other]))

    rules: tuple[Callable[[str, str], bool], ...] = (
        lambda name, other: _spelled(name) == _spelled(other),
        same,
        lambda name, other: True,
    )
    for rule in rules:
        for name in ours:
            like = next((each for each in left if name not in found and fits(name, each) and rule(name, each)), None)
            if like is not None:
                found[name] = like
                left.remove(like)
    yield from found.items()


def _layout(name: str, ours: Array, other: str, theirs: Array) -> tuple[str, Callable[[Array], Array]]:
    """Return how the other's array is brought to ours: in words, empty where it cannot be, and as a function."""
    last = [each.rpartition(".")[2] in CHANNELS_LAST for each in (name, other)]
    if last[0] != last[1] and theirs.ndim >= 2:
        inner = range(theirs.ndim - 2)
        to_first = (theirs.ndim - 1, theirs.ndim - 2, *inner)
        axes = to_first if last[1] else (*range(2, theirs.ndim), 1, 0)
        if theirs.transpose(axes).shape == ours.shape:
            spatial = "DHW"[5 - theirs.ndim :]
            words = (f"{spatial}IO", f"OI{spatial}") if last[1] else (f"OI{spatial}", f"{spatial}IO")
            return ("transposed" if theirs.ndim == 2 else " to ".join(words)), lambda x: x.transpose(axes)
    if ours.shape == theirs.shape:
        return "as it is", lambda x: x
    if ours.size == theirs.size == 1:
        return "reshaped", lambda x: x.reshape(ours.shape)
    return "", lambda x: x


def _is_channels_last(run: Run, names: Iterable[str]) -> bool:
    return any(name.rpartition(".")[2] in CHANNELS_LAST and run.parameters[name].ndim > 2 for name in names)


def _laid_out(ours: Layer, theirs: Layer, last: tuple[bool, bool]) -> tuple[Layer, str]:
    """Return the other's layer with its channels where ours are; `last` says of both whether that is the last axis."""
    shape = theirs.potentials.shape
    for to_first, words, moved in (
        (True, "channels first", (*shape[:2], shape[-1], *shape[2:-1])),
        (False, "channels last", (*shape[:2], *shape[3:], *shape[2:3])),
    ):
        wanted = last == ((False, True) if to_first else (True, False)) or ours.potentials.shape != shape
        if len(shape) > 3 and wanted and moved == ours.potentials.shape:
            ends = (-1, 2) if to_first else (2, -1)
            parts = {part: getattr(theirs, part) for part in ("potentials", "spikes", "threshold", "refractory")}
            # A threshold of each channel has as many axes only once it is that of each neuron.
            full = {part: np.broadcast_to(each, shape) for part, each in parts.items() if each is not None}
            return dataclasses.replace(theirs, **{part: np.moveaxis(each, *ends) for part, each in full.items()}), words
    return theirs, "as it is"
