"""The same data through a PyTorch and a JAX function: outputs and gradients, leaf by leaf."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from arcana.testing._cause import Cause
from arcana.testing._difference import Leaf
from arcana.testing._gradient_causes import causes_of
from arcana.testing._leaves import INEXACT, PARTS, array_of, holds_arrays, is_leaf, named_leaves, unique
from arcana.testing._seen import Seen, seeing
from arcana.testing._table import aligned
from arcana.testing._values import Array
from arcana.testing.backends import TITLES, load

SHOWN = 12
"""So many rows are printed unless all are asked for."""

Pullback = Callable[[dict[str, Array]], list[Array | None]]


class ComparisonError(AssertionError):
    """Two functions differ by more than the tolerance; the message holds the leaves that do, `comparison` all.

    >>> import numpy as np
    >>> import arcana.jax, arcana.torch
    >>> found = compare(
    ...     lambda v: arcana.torch.fast_sigmoid(v, scale=25.0),
    ...     arcana.jax.fast_sigmoid,
    ...     np.float32([-0.5, 0.25]),
    ... )
    >>> found.assert_close()
    Traceback (most recent call last):
        ...
    arcana.testing._compare.ComparisonError: 1 of 2 arrays differ by more than the tolerance
    """

    def __init__(self, comparison: Comparison, failing: Sequence[Leaf]) -> None:
        head = f"{len(failing)} of {len(comparison.leaves)} arrays differ by more than the tolerance"
        super().__init__("\n".join([head, *comparison._likely(), *_lines(failing, failing), *comparison.notes()]))
        self.comparison = comparison


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """The results of both functions; printed, what may have caused a difference, the worst arrays, and the settings.

    Attributes:
        outputs: the arrays that the functions return.
        gradients: the gradient of each output with respect to each floating-point or complex argument, for one fixed
            cotangent; that of a complex argument is ∂/∂real + i·∂/∂imaginary, as PyTorch has it.
        settings: by framework its version and what of its state changes numbers.
        causes: what the differences point to, most direct first.
        without_gradients: why no gradient was compared; empty where some were.

    >>> import numpy as np
    >>> import arcana.jax, arcana.torch
    >>> found = compare(
    ...     lambda v: arcana.torch.fast_sigmoid(v, scale=25.0),
    ...     arcana.jax.fast_sigmoid,
    ...     np.float32([-0.5, 0.25]),
    ... )
    >>> found.verdict, [leaf.name for leaf in found.leaves if not leaf.close()]
    ('surrogate', ['∂output/∂argument.0'])
    """

    outputs: tuple[Leaf, ...]
    gradients: tuple[Leaf, ...]
    settings: dict[str, dict[str, str]]
    causes: tuple[Cause, ...]
    without_gradients: str = ""

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        return self.outputs + self.gradients

    @property
    def close(self) -> bool:
        """Whether `assert_close()` would pass."""
        return all(leaf.close() for leaf in self.leaves)

    @property
    def verdict(self) -> str:
        """The string "same" where `close` holds, else the kind of the first cause: see `Cause`."""
        return "same" if self.close else self.causes[0].kind if self.causes else "differs"

    @property
    def explained(self) -> bool:
        """Whether nothing differs, or a spike that rounding flips explains what does."""
        return self.close or {cause.kind for cause in self.causes} == {"rounding"}

    def assert_close(self, *, relative: float | None = None, absolute: float | None = None) -> None:
        """Check |torch − JAX| ≤ absolute + relative · |JAX| for each element, and shapes and dtypes.

        NaN is equal to NaN. Integers and booleans must be equal; their widths may differ. Of a complex number the real and
        the imaginary part are compared each by itself.

        Args:
            relative: by default 1e-12 for float64, 1e-5 for float32, 5e-3 for float16 and 4e-2 for bfloat16; for a complex
                dtype that of its parts.
            absolute: by default `relative` times the largest magnitude in JAX's array: where a sum cancels, its
                rounding is that of the terms.

        Raises:
            ComparisonError: an array differs by more; an AssertionError whose message holds those that do.
        """
        failing = [leaf for leaf in self.leaves if not leaf.close(relative, absolute)]
        if failing:
            raise ComparisonError(self, failing)

    def __str__(self) -> str:
        failing = [leaf for leaf in self.leaves if not leaf.close()]
        worst = sorted(failing, key=_distance, reverse=True)[:SHOWN]
        rest = len(failing) - len(worst)
        more = f", and {rest} more of them" if rest else ""
        total = f"{len(failing)} of {len(self.leaves)} arrays differ{more}" if failing else f"{len(self.leaves)} arrays agree"
        shown = [leaf for leaf in self.leaves if leaf in worst]
        return "\n".join([*self._likely(), *(_lines(shown, shown) if shown else []), total, *self.notes()])

    def table(self) -> str:
        """Return the causes, a line for each array, and the settings."""
        failing = [leaf for leaf in self.leaves if not leaf.close()]
        return "\n".join([*self._likely(), *_lines(self.leaves, failing), *self.notes()])

    def _likely(self) -> list[str]:
        return [f"likely: {cause.evidence}" for cause in self.causes]

    def notes(self) -> list[str]:
        """Return the lines under the table: what was not compared, and the settings."""
        names = list(next(iter(self.settings.values())))
        rows = [["", *self.settings], *([name, *(side[name] for side in self.settings.values())] for name in names)]
        return [*([self.without_gradients] if self.without_gradients else []), *aligned(rows)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "verdict": self.verdict,
            "outputs": [{**leaf.to_dict(), "close": leaf.close()} for leaf in self.outputs],
            "gradients": [{**leaf.to_dict(), "close": leaf.close()} for leaf in self.gradients],
            "without_gradients": self.without_gradients,
            "causes": [dataclasses.asdict(cause) for cause in self.causes],
            "settings": self.settings,
        }


def compare(
    torch_function: Callable[..., Any], jax_function: Callable[..., Any], *arrays: Any, gradients: bool = True
) -> Comparison:
    """Run a PyTorch and a JAX function on the same data and compare what they return, and their gradients.

    Args:
        torch_function: takes tensors where `arrays` has arrays.
        jax_function: takes JAX arrays in the same places.
        arrays: the arguments: arrays of NumPy, torch or JAX, and numbers, also nested in tuples, lists and dicts; a
            state dict is one. An array is handed on as a copy, anything else as it is.
        gradients: whether to compare the gradient of each floating-point or complex output with respect to each such
            array too. The cotangents are fixed and random, so that no error cancels.

    Returns:
        The comparison; `assert_close()` on it raises if they differ.

    Raises:
        ImportError: a framework is not installed.
        TypeError: a result holds something that is no array or number, or an argument is an array that cannot be handed
            on whole: masked, of objects or strings, or of a dtype that one framework lacks.
        ValueError: the results hold no number to compare, or two of their arrays have one name.

    >>> import numpy as np
    >>> import arcana.jax, arcana.torch
    >>> v = np.float32([-0.5, 0.25])
    >>> found = compare(arcana.torch.fast_sigmoid, arcana.jax.fast_sigmoid, v)
    >>> found.verdict
    'same'
    >>> found.assert_close()
    """
    sides = {name: load(name, "arrays") for name in ("torch", "jax")}
    arguments = _Arguments(arrays, list(sides.values()), gradients)
    outputs: dict[str, dict[str, Array]] = {}
    pullbacks: dict[str, Pullback] = {}
    for (name, side), function in zip(sides.items(), (torch_function, jax_function), strict=True):
        flat = arguments.flat(function, side, TITLES[name])
        raw, pullbacks[name] = side.vjp(flat, arguments.leaves, arguments.differentiable)
        outputs[name] = {key: array_of(f"{TITLES[name]}'s {key}", value) for key, value in raw.items()}
    keys = list(dict.fromkeys([*outputs["torch"], *outputs["jax"]]))
    if not any(each.size for found in outputs.values() for each in found.values()):
        held = f"empty arrays only, {', '.join(keys)}" if keys else "no array at all"
        msg = f"nothing to compare: both functions return {held}"
        raise ValueError(msg)
    compared = tuple(Leaf(key, outputs["torch"].get(key), outputs["jax"].get(key)) for key in keys)
    slopes = tuple(_gradients(compared, arguments, pullbacks)) if gradients else ()
    run = functools.partial(_look, (torch_function, jax_function), arguments, sides, outputs)
    causes = causes_of(compared, slopes, _first_rows(compared, arguments, pullbacks), run)
    settings = {TITLES[name]: side.settings() for name, side in sides.items()}
    return Comparison(compared, slopes, settings, causes, "" if slopes else _why_none(gradients, compared, arguments))


def _why_none(asked: bool, outputs: tuple[Leaf, ...], arguments: _Arguments) -> str:
    if not asked:
        return "no gradient was asked for"
    what = "no argument" if not arguments.differentiable else "no output that both functions return in one shape"
    return f"no gradient was compared: {what} is of floating-point or complex numbers"


class _Arguments:
    """The arguments as leaves, and functions of the leaves in place of functions of the arguments."""

    def __init__(self, arrays: tuple[Any, ...], sides: Sequence[Any], gradients: bool) -> None:
        import jax

        paths, self.structure = jax.tree_util.tree_flatten_with_path(arrays)
        self.values: list[Any] = [leaf for _, leaf in paths]
        self.names = [_name("argument", path) for path, _ in paths]
        for i, leaf in enumerate(self.values):
            if isinstance(leaf, np.ndarray | np.generic) or any(side.is_array(leaf) for side in sides):
                self.values[i] = array_of(self.names[i], leaf)
            elif held := holds_arrays(leaf):
                kind = type(leaf).__qualname__
                msg = f"{self.names[i]} is a {kind} that holds an array, {held}; give arrays in tuples, lists and dicts"
                raise TypeError(msg)
        self.places = [i for i, leaf in enumerate(self.values) if isinstance(leaf, np.ndarray)]
        self.leaves = [self.values[i] for i in self.places]
        for i in self.places:
            for side in sides:
                side.check(self.names[i], self.values[i])
        # Without gradients nothing is traced, and a function may leave the framework for NumPy.
        self.differentiable = [i for i, leaf in enumerate(self.leaves) if gradients and leaf.dtype.name in INEXACT]

    def differentiable_names(self) -> list[str]:
        return [self.names[self.places[i]] for i in self.differentiable]

    def flat(self, function: Callable[..., Any], side: Any, title: str) -> Callable[[Sequence[Any]], dict[str, Any]]:
        """Return the function from leaves to its results by name: arrays of that framework, or of NumPy."""
        import jax

        def from_leaves(leaves: Sequence[Any]) -> dict[str, Any]:
            merged = list(self.values)
            for place, leaf in zip(self.places, leaves, strict=True):
                merged[place] = leaf
            result = function(*jax.tree_util.tree_unflatten(self.structure, merged))
            paths = jax.tree_util.tree_leaves_with_path(result)
            # JAX takes a dataclass or a kind of dict that nobody has registered for a leaf.
            named = unique(each for path, leaf in paths for each in named_leaves(_name("output", path), leaf))
            for name, leaf in named.items():
                if not is_leaf(leaf):
                    msg = f"{title}'s {name} is no array or number but a {type(leaf).__qualname__}"
                    raise TypeError(msg)
            # What is not the framework's is compared as it is: it may have no such dtype.
            return {key: leaf if side.is_array(leaf) else array_of(f"{title}'s {key}", leaf) for key, leaf in named.items()}

        return from_leaves


def _name(root: str, path: tuple[Any, ...]) -> str:
    import jax

    return ".".join([root, *(jax.tree_util.keystr((key,), simple=True) for key in path)])


def _cotangent(like: Array, seed: int) -> Array:
    """Draw numbers that every dtype holds exactly: n/64 with |n| from 16 to 127; complex where `like` is."""
    generator = np.random.default_rng(seed)

    def part() -> Array:
        return np.asarray(generator.integers(16, 128, like.shape) * generator.choice([-1, 1], like.shape) / 64)

    return part() + 1j * part() if like.dtype.name in PARTS else part()


def _differentiable(leaf: Leaf) -> bool:
    """Whether the output has one shape on both sides and is of floats on both, or of complex numbers on both."""
    if leaf.torch is None or leaf.jax is None or leaf.torch.shape != leaf.jax.shape:
        return False
    names = [each.dtype.name for each in (leaf.torch, leaf.jax)]
    return all(name in INEXACT for name in names) and len({name in PARTS for name in names}) == 1


def _gradients(outputs: tuple[Leaf, ...], arguments: _Arguments, pullbacks: dict[str, Pullback]) -> list[Leaf]:
    rows = []
    for seed, leaf in enumerate(outputs):
        if _differentiable(leaf) and leaf.torch is not None:
            rows += _pulled(leaf.name, _cotangent(leaf.torch, seed), arguments, pullbacks)
    return rows


def _pulled(output: str, cotangent: Array, arguments: _Arguments, pullbacks: dict[str, Pullback]) -> list[Leaf]:
    """Return the gradients of one output with respect to every argument; 0 where torch has no path."""
    ours, theirs = (pullbacks[name]({output: cotangent}) for name in ("torch", "jax"))
    rows = []
    for name, torch, jax in zip(arguments.differentiable_names(), ours, theirs, strict=True):
        note = "torch: no path" if torch is None else ""
        rows.append(Leaf(f"∂{output}/∂{name}", np.zeros_like(jax) if torch is None else torch, jax, note))
    return rows


def _look(
    functions: Sequence[Callable[..., Any]], arguments: _Arguments, sides: dict[str, Any], outputs: dict[str, dict[str, Array]]
) -> tuple[Seen, Seen] | None:
    """Run both functions once more and see their spike functions; None where one fails so, or gives something else."""
    found = []
    for (name, side), function in zip(sides.items(), functions, strict=True):
        flat = arguments.flat(function, side, TITLES[name])
        try:
            with seeing(name) as seen:
                again, _ = side.vjp(flat, arguments.leaves, arguments.differentiable)
        except Exception:
            # It has run without being watched: this is for the cause alone.
            return None
        for key, value in again.items():
            if not np.array_equal(array_of(key, value), outputs[name][key], equal_nan=outputs[name][key].dtype.kind in "fc"):
                return None
        found.append(seen())
    return found[0], found[1]


def _first_rows(outputs: tuple[Leaf, ...], arguments: _Arguments, pullbacks: dict[str, Pullback]) -> Callable[[Leaf], list[Leaf]]:
    """Return a function from an output to the gradients of its first row alone: the first step of spikes over time."""

    def of(leaf: Leaf) -> list[Leaf]:
        like = np.zeros(()) if leaf.torch is None else leaf.torch
        cotangent = _cotangent(like, outputs.index(leaf))
        if like.shape:
            cotangent[1:] = 0
        return _pulled(leaf.name, cotangent, arguments, pullbacks)

    return of


def _distance(leaf: Leaf) -> float:
    """Return how far the sides are apart, for the order of rows; what cannot be compared comes first."""
    absolute = leaf.absolute
    if leaf.mismatch or absolute is None or leaf.jax is None:
        return np.inf
    largest = float(np.abs(leaf.jax).max(initial=0.0))
    return absolute.value / largest if largest else np.inf


def _lines(leaves: Sequence[Leaf], failing: Sequence[Leaf]) -> list[str]:
    head = ["", "", "shape", "dtype", "absolute", "relative", "ULP", "where", "torch", "JAX", ""]
    failed = {id(leaf) for leaf in failing}
    return aligned([head, *(["DIFFERS" if id(leaf) in failed else "ok", *_cells(leaf)] for leaf in leaves)])


def _cells(leaf: Leaf) -> list[str]:
    array = leaf.torch if leaf.torch is not None else leaf.jax
    shape = "" if array is None else str(array.shape)
    notes = "; ".join(filter(None, [leaf.mismatch, leaf.note]))
    absolute, relative, ulp = leaf.absolute, leaf.relative, leaf.ulp
    if absolute is None or relative is None:
        return [leaf.name, shape, leaf.dtype, *[""] * 6, notes]
    count = "" if ulp is None else f"{ulp.value:.0f}" if ulp.value < 1e6 else f"{ulp.value:.1e}"
    place = ",".join(map(str, absolute.index)) if absolute.value else ""
    both = [f"{absolute.torch:.9g}", f"{absolute.jax:.9g}"] if absolute.value else ["", ""]
    return [leaf.name, shape, leaf.dtype, f"{absolute.value:.2g}", f"{relative.value:.2g}", count, place, *both, notes]
