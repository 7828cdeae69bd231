"""A formula as data: traced once with symbols in the place of arrays, so that a backend can order and split its operations.

A backend learns from it what the backward pass needs to keep: nothing, the comparison that decides between constants, or v.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from arcana._core.caches import per_class_cache
from arcana._core.namespace import FUNCTIONS, SHORTCUTS, SIGNIFICANT_BITS, Namespace
from arcana._core.numpy import NAMESPACE as NUMPY

if TYPE_CHECKING:
    from arcana._core.formula import Formula

_COMPARISONS = frozenset({"at_least", "eq", "ge", "gt", "infinite", "le", "lt", "ne", "nonnegative", "positive", "truth"})
_LOGICAL = frozenset({"and_", "invert", "or_", "xor"})
NOTHING: Mapping[Any, Any] = {}
INPUTS = ("v", "cotangent", "kept")
"""Arrays of v's shape; `truth` is the comparison that `kept` stands for."""
_OPERATORS = ("add", "and_", "eq", "ge", "gt", "le", "lt", "mul", "ne", "neg", "or_", "pow", "sub", "truediv", "invert", "xor")
_REFLECTED = ("add", "and_", "mul", "or_", "pow", "sub", "truediv", "xor")
_QUESTIONS = (
    *("abs", "array", "bool", "ceil", "complex", "contains", "divmod", "float", "floor", "floordiv", "getitem", "index", "int"),
    *("iter", "len", "lshift", "matmul", "mod", "pos", "rdivmod", "rfloordiv", "rmatmul", "rmod", "round", "rshift", "trunc"),
)
"""What Python can ask of an array, besides the operators, that no symbol can answer."""


class UntraceableError(Exception):
    """A formula does with an array what no symbol can stand for."""


class Symbol:
    """One operation of a formula: its name, in `operator` or in `xp`, and its operands, symbols or numbers."""

    def __init__(self, tape: Tape, operation: str, operands: tuple[Any, ...]) -> None:
        self.tape = tape
        self.operation = operation
        self.operands = operands
        self.symbols = [each for each in operands if isinstance(each, Symbol)]
        self.moves = operation in INPUTS or any(each.moves for each in self.symbols)
        """Whether it differs from element to element; else it is a number, or an array of the parameters' shapes."""
        most_first = sorted((each.buffers for each in self.symbols), reverse=True)
        self.buffers = max([1, *(before + n for before, n in enumerate(most_first))]) if self.moves and self.symbols else 0
        """How many arrays it takes to compute it, besides the inputs (R. Sethi and J. D. Ullman, 1970)."""
        self.boolean = operation in _COMPARISONS or (operation in _LOGICAL and all(each.boolean for each in self.symbols))

    def __getattr__(self, name: str) -> Any:
        # An AttributeError, so that `hasattr` and `getattr` with a default go on; the tape knows that the answer is none.
        self._refuse()
        msg = f"a formula asks an array for its {name}"
        raise AttributeError(msg)

    @property
    def __class__(self) -> type[Symbol]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # Where isinstance looks when the type is another.
        self._refuse()
        return Symbol

    def _refuse(self) -> None:
        # Dynamo looks at a symbol that has no tape yet.
        tape = self.__dict__.get("tape")
        if tape is not None:
            tape.refused = True

    # NumPy's functions then refuse it, where they would call its operators.
    __array_ufunc__ = None
    __hash__ = object.__hash__


def _define(operation: str, method: str, reflected: bool = False) -> None:
    def apply(self: Symbol, *others: Any) -> Symbol:
        return self.tape.record(operation, *others, self) if reflected else self.tape.record(operation, self, *others)

    setattr(Symbol, method, apply)


def _refuse(method: str) -> None:
    def asked(self: Symbol, *others: Any) -> Any:
        self._refuse()
        msg = f"a formula asks an array for its {method}"
        raise UntraceableError(msg)

    setattr(Symbol, method, asked)


for _name in _QUESTIONS:
    _refuse(f"__{_name}__")
for _name in _OPERATORS:
    _define(_name, f"__{_name.rstrip('_')}__")
for _name in _REFLECTED:
    _define(_name, f"__r{_name.rstrip('_')}__", reflected=True)


class SymbolNamespace(Namespace):
    """`xp` for symbols."""

    def __init__(self, tape: Tape) -> None:
        for name in FUNCTIONS:
            setattr(self, name, functools.partial(tape.record, name))

        self.spike = lambda x: tape.as_number(tape.record("nonnegative", x))
        # Zeros of any shape are the one number 0, which every operation broadcasts.
        self.zeros_like = lambda x: tape.zero


class Tape:
    """The operations of one formula.

    Args:
        shares: whether what is written twice is recorded once. Two arrays with the same values are two objects, and so are the
            symbols that a formula sees.

    Attributes:
        refused: whether the formula has asked for something that no symbol can answer, whatever it did with the error.
    """

    def __init__(self, shares: bool = True) -> None:
        self._shares = shares
        self._known: dict[Any, Symbol] = {}
        self.refused = False

    @property
    def zero(self) -> Symbol:
        return self.record("zero")

    @property
    def one(self) -> Symbol:
        return self.record("add", self.zero, 1)

    def record(self, operation: str, *operands: Any) -> Symbol:
        for i, each in enumerate(operands):
            if not isinstance(each, (Symbol, int, float)) or (isinstance(each, Symbol) and each.tape is not self):
                self.refused = True
                msg = f"{operation} of {type(each).__name__}"
                raise UntraceableError(msg)
            as_truth = operation in _LOGICAL or (operation == "where" and i == 0)
            if as_truth != (isinstance(each, Symbol) and each.boolean):
                self.refused = True
                msg = f"{operation} takes a comparison for a number, or a number for a comparison"
                raise UntraceableError(msg)
        # NumPy's float64 is a float of another name.
        operands = tuple(each if isinstance(each, (Symbol, int)) else float(each) for each in operands)
        if not self._shares:
            return Symbol(self, operation, operands)
        if operation == "where" and isinstance(operands[1], Symbol) and operands[1] is operands[2]:
            return operands[1]
        key = (operation, *((type(each), id(each) if isinstance(each, Symbol) else repr(each)) for each in operands))
        if key not in self._known:
            self._known[key] = Symbol(self, operation, operands)
        return self._known[key]

    def as_number(self, comparison: Symbol) -> Symbol:
        """1 where it is true, else 0."""
        return self.record("where", comparison, self.one, self.zero)

    def replaced(
        self, symbol: Symbol, by: Mapping[Symbol, Symbol] = NOTHING, record: Callable[..., Symbol] | None = None
    ) -> Symbol:
        """Return the symbol on this tape with others in the place of some that it is made of, recorded by `record`."""
        known: dict[Symbol, Symbol] = dict(by)
        for each in needed([symbol], given=by):
            operands = [known[x] if isinstance(x, Symbol) else x for x in each.operands]
            known[each] = (record or self.record)(each.operation, *operands)
        return known[symbol]


class Kept(enum.Enum):
    """The choices of what the forward pass keeps for the backward pass."""

    NOTHING = "nothing"
    SPIKES = "spikes"
    MASK = "mask"
    POTENTIAL = "potential"


@dataclasses.dataclass(frozen=True, eq=False)
class Expression:
    """The derivative h as symbols; from `trace_slope` dG/dparameter in the place of h.

    Attributes:
        tape: where more can be recorded.
        v: the potential.
        parameters: the parameters by name.
        h: the derivative.
        mask: the comparison that is h's only way from v, if there is one: then h takes as many values as it, and one byte
            an element is enough to know h.
        fired: the comparison that the spikes are.
        stated: whether it is dG/dparameter as the definition has it, and not derived from G.
    """

    tape: Tape
    v: Symbol
    parameters: Mapping[str, Symbol]
    h: Symbol
    mask: Symbol | None
    fired: Symbol
    stated: bool = False

    @property
    def kept(self) -> Kept:
        """The least from which h can be had again."""
        if not self.h.moves:
            return Kept.NOTHING
        if self.mask is None:
            return Kept.POTENTIAL
        return Kept.SPIKES if self.mask is self.fired else Kept.MASK

    @property
    def passes(self) -> bool:
        """Whether h is 1 everywhere, and the cotangent is the gradient."""
        return self.h is self.tape.one

    def sides(self, numbers: Mapping[str, float]) -> np.ndarray:
        """Return h where the comparison is true, and where it is not, by NumPy in float64."""
        assert self.mask is not None
        values: dict[Symbol, Any] = {symbol: np.float64(numbers[name]) for name, symbol in self.parameters.items()}
        values[self.mask] = np.array([True, False])
        with np.errstate(all="ignore"):
            compute([self.h], values, NUMPY, np.float64(0))
        return values[self.h]


@per_class_cache
def trace(formula: Formula, names: tuple[str, ...]) -> Expression | None:
    """Return the derivative of a formula with parameters of these names; None where it cannot be traced.

    What a call keeps for its backward pass is read from it, so it is believed once it gives the bits of the formula, in NumPy.
    """
    try:
        tape, v, parameters, h = recorded(formula, functools.partial(formula.evaluate, "derivative"), names)
    except Exception:
        # A formula may do anything with a symbol; whatever goes wrong, it is evaluated as it is written.
        return None
    masks = [each for each in reversed(needed([h])) if each.boolean and each.moves and v not in set(needed([h], given=[each]))]
    fired = tape.record("nonnegative" if formula.fires_at_threshold else "positive", v)
    return Expression(tape, v, parameters, h, masks[0] if masks else None, fired)


def usual_values(definition: Any, names: Iterable[str]) -> dict[str, float]:
    """Return a value for each of these parameters: its default, or 1.5 where it has none."""
    defaults = {name: definition.__dataclass_fields__[name].default for name in names}
    return {name: value if isinstance(value, float) else 1.5 for name, value in defaults.items()}


def recorded(
    formula: Formula, function: Callable[[Any, Any, Any], Any], names: tuple[str, ...]
) -> tuple[Tape, Symbol, dict[str, Symbol], Symbol]:
    """Return a tape with v, the parameters and the result of h, of G or of dG/dparameter.

    Args:
        formula: of the definition.
        function: of v, `xp` and the parameters.
        names: of the parameters.

    Raises:
        UntraceableError: no symbol can stand for the result.
    """
    written = Tape(shares=False)
    arrays = {name: written.record(name) for name in ("v", *(f"parameter {name}" for name in names))}
    numbers = {name: arrays[f"parameter {name}"] for name in names}
    result = function(arrays["v"], SymbolNamespace(written), numbers)
    if written.refused or not isinstance(result, (Symbol, int, float)):
        msg = "the result is no symbol"
        raise UntraceableError(msg)
    tape = Tape()
    v = tape.record("v")
    parameters = {name: tape.record(f"parameter {name}") for name in names}
    result = tape.replaced(result) if isinstance(result, Symbol) else tape.record("add", tape.zero, result)
    result = tape.as_number(result) if result.boolean else result
    potentials, usual = sample(formula.definition, names)
    with np.errstate(all="ignore"):
        expected = np.broadcast_to(np.asarray(function(potentials, NUMPY, usual), np.float64), potentials.shape)
        found = evaluated(result, v, parameters, potentials, usual)
    same = (found.view(np.int64) == expected.view(np.int64)) | (np.isnan(found) & np.isnan(expected))
    if not same.all():
        msg = "the result is not what its symbols say"
        raise UntraceableError(msg)
    return tape, v, parameters, result


def sample(definition: Any, names: Iterable[str]) -> tuple[np.ndarray, dict[str, np.float64]]:
    """Return some potentials in float64, and the parameters' defaults."""
    usual = usual_values(definition, names)
    numbers = {name: np.float64(definition.rounded(name, value, "float64")) for name, value in usual.items()}
    edges = [x * factor for x in usual.values() for factor in (0.5, 1.0, 2.0)]
    single = [0.0, math.inf, 5e-324, 2.2250738585072014e-308, 1e300, 0.5, 1.0, 2.0]
    half = np.array([*single, *edges, *np.linspace(0, 8, 33) ** 3 / 64])
    return np.concatenate([half, -half, [math.nan]]), numbers


def evaluated(
    result: Symbol, v: Symbol, parameters: Mapping[str, Symbol], potentials: np.ndarray, numbers: Mapping[str, np.float64]
) -> np.ndarray:
    """Return the result at each of the potentials, by NumPy in float64."""
    values: dict[Symbol, Any] = {symbol: numbers[name] for name, symbol in parameters.items()} | {v: potentials}
    with np.errstate(all="ignore"):
        compute([result], values, NUMPY, np.float64(0))
    return np.broadcast_to(np.asarray(values[result], np.float64), potentials.shape)


@per_class_cache
def shortcuts(formula: Formula, numbers: tuple[tuple[str, float], ...], dtype: str) -> dict[str, float]:
    """Return the last operand of each function in h that may go the short way with these numbers; none if one may not."""
    digits = SIGNIFICANT_BITS[dtype]
    traced = trace(formula, tuple(name for name, _ in numbers))
    calls = [each for each in needed([traced.h]) if each.operation in SHORTCUTS] if traced is not None else []
    doubtful = len({each.operation for each in calls}) < len(calls) or any(_moves(each.operands[-1]) for each in calls)
    if traced is None or not calls or doubtful:
        return {}
    values: dict[Symbol, Any] = {traced.parameters[name]: _rounded(value, digits) for name, value in numbers}
    operands = {each.operation: each.operands[-1] for each in calls}
    try:
        with np.errstate(all="ignore"):
            compute([each for each in operands.values() if isinstance(each, Symbol)], values, NUMPY, 0.0)
    except Exception:
        # The short way is only quicker.
        return {}
    found = {name: _rounded(values[each] if isinstance(each, Symbol) else each, digits) for name, each in operands.items()}
    return found if all(SHORTCUTS[name](value) for name, value in found.items()) else {}


def _moves(operand: Any) -> bool:
    return isinstance(operand, Symbol) and operand.moves


def _rounded(value: float, digits: int) -> float:
    """To so many significant bits, in plain Python, which torch.compile can follow."""
    if not math.isfinite(value):
        return value
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(math.ldexp(mantissa, digits)), exponent - digits)


def needed(results: Iterable[Symbol], given: Iterable[Symbol] = ()) -> list[Symbol]:
    """Return the operations that the results need beyond those given, operands first, in an order that takes few arrays."""
    order = dict.fromkeys(given)
    skipped = len(order)

    def visit(symbol: Symbol) -> None:
        if symbol not in order:
            for each in sorted(symbol.symbols, key=lambda each: -each.buffers):
                visit(each)
            order[symbol] = None

    for result in results:
        visit(result)
    return list(order)[skipped:]


def compute(results: Iterable[Symbol], values: dict[Symbol, Any], xp: Any, zero: Any) -> None:
    """Add the values of the results, and of all they need, to those that are given, in one backend."""
    run(needed(results, given=list(values)), values, xp, zero)


def run(operations: Iterable[Symbol], values: dict[Any, Any], xp: Any, zero: Any) -> None:
    """Add the values of operations, one after the other."""
    for symbol in operations:
        if symbol.operation == "zero":
            values[symbol] = zero
        else:
            space = xp if symbol.operation in FUNCTIONS else operator
            operands = [values[each] if isinstance(each, Symbol) else each for each in symbol.operands]
            values[symbol] = getattr(space, symbol.operation)(*operands)
