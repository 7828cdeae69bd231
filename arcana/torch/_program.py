"""The backward pass of plain eager tensors: a straight program in one buffer, made from the definition's trace.

The plain evaluation of a formula allocates a tensor an operation; for large potentials most of its time goes into fresh
memory. Here each operation writes into a tensor that is no longer needed. The functions and their order are those of
the plain evaluation, so the bits are too.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.fx

from arcana.surrogate import Surrogate
from arcana.surrogate._namespace import FUNCTIONS
from arcana.surrogate._trace import Symbol, Trace, evaluate, needed, trace
from arcana.torch._bits import choose, choose_or_constant, comparison, comparison_as_bools, constant_or_choose, truth
from arcana.torch._namespace import NAMESPACE

Function = Callable[..., Any]
Constant = Symbol | float

_NUMBERS: dict[str, Function] = {
    "abs": torch.abs,
    "add": torch.add,
    "and_": torch.bitwise_and,
    "arctan": torch.arctan,
    "cos": torch.cos,
    "divide": torch.div,
    "erf": torch.erf,
    "erfc": torch.special.erfc,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "invert": torch.bitwise_not,
    "log": torch.log,
    "log1p": torch.log1p,
    "mul": torch.mul,
    "neg": torch.neg,
    "or_": torch.bitwise_or,
    "power": torch.pow,
    "reciprocal": torch.reciprocal,
    "round": torch.round,
    "sin": torch.sin,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "sub": torch.sub,
    "xor": torch.bitwise_xor,
}
_COMPARISONS: dict[str, Function] = {each: getattr(torch, each) for each in ("eq", "ge", "gt", "le", "lt", "ne")}
_COMPARISONS |= {"nonnegative": torch.ge, "positive": torch.gt}
_BOOLS = {**_NUMBERS, **{name: comparison_as_bools(each) for name, each in _COMPARISONS.items()}, "where": torch.where}
_WORDS = {**_NUMBERS, **{name: comparison(each) for name, each in _COMPARISONS.items()}, "truth": truth, "where": choose}
"""The operations that can write into a given tensor: torch's own function for each, or one on the bits. The others are
called as they are."""

_WITH_ZERO = ("nonnegative", "positive", "truth")


class Kept(enum.Enum):
    """What the forward pass keeps for the backward pass."""

    NOTHING = "nothing"
    SPIKES = "spikes"
    MASK = "mask"
    POTENTIAL = "potential"


@dataclasses.dataclass(frozen=True)
class Program:
    """The steps of one definition in one computing dtype.

    Attributes:
        kept: what `pull` needs besides the constants.
        fold: of the parameters the constants, arrays of the parameters' shapes.
        mask: of v, the tensor to write to and the constants: the comparison that is kept, where it is that.
        pull: of what is kept, the cotangent, the tensor to write to and the constants: cotangent · h.
        passes: whether h is 1 everywhere, and the cotangent is the gradient.
    """

    kept: Kept
    fold: Callable[[Mapping[str, torch.Tensor]], list[torch.Tensor]]
    mask: Function
    pull: Function
    passes: bool


@functools.lru_cache(maxsize=1024)
def program(
    definition: type[Surrogate], settings: tuple[tuple[str, Any], ...], names: tuple[str, ...], dtype: torch.dtype, keep_v: bool
) -> Program | None:
    """The program of a definition, None where it cannot be traced; `keep_v` keeps v even if less would do."""
    traced = trace(definition, settings, names)
    if traced is None:
        return None
    kept = Kept.POTENTIAL if keep_v else _kept(traced)
    tape, kept_array, cotangent = traced.tape, traced.tape.record("kept"), traced.tape.record("cotangent")
    by = {traced.v: kept_array}
    if traced.gate is not None and kept is not Kept.POTENTIAL:
        truth = tape.record("truth", kept_array)
        by = {traced.gate: truth, **({tape.as_number(traced.gate): kept_array} if kept is Kept.SPIKES else {})}
    product = tape.record("mul", cotangent, tape.replaced(traced.h, by))
    pull = _Writer(_WORDS, [cotangent] if kept is Kept.NOTHING else [kept_array, cotangent], product)
    mask = _Writer(_BOOLS, [traced.v], traced.v if traced.gate is None else traced.gate)
    constants = pull.constants | mask.constants
    fold = functools.partial(_fold, traced, list(constants.values()), dtype)
    return Program(kept, fold, mask.function(constants), pull.function(constants), passes=traced.h is tape.one)


def _kept(traced: Trace) -> Kept:
    if not traced.h.moves:
        return Kept.NOTHING
    if traced.gate is None:
        return Kept.POTENTIAL
    return Kept.SPIKES if traced.gate_is_the_spike else Kept.MASK


def _fold(
    traced: Trace, constants: list[Constant], dtype: torch.dtype, numbers: Mapping[str, torch.Tensor]
) -> list[torch.Tensor]:
    # Constants outlive the call, so they are not made in inference mode, nor with a history.
    with torch.inference_mode(False), torch.no_grad():
        values: dict[Symbol, Any] = {symbol: numbers[name] for name, symbol in traced.parameters.items()}
        evaluate([each for each in constants if isinstance(each, Symbol)], values, NAMESPACE, torch.zeros((), dtype=dtype))
        return [values[each] if isinstance(each, Symbol) else torch.scalar_tensor(each, dtype=dtype) for each in constants]


def _key(operand: Constant) -> Symbol | str:
    """Of a number its digits, since 0.0 and −0.0 are one as keys."""
    return operand if isinstance(operand, Symbol) else repr(float(operand))


def _operands(symbol: Symbol) -> tuple[Constant, ...]:
    """The operands of torch's function, which compares with a 0 that it is given."""
    return (*symbol.operands, symbol.tape.zero) if symbol.operation in _WITH_ZERO else symbol.operands


class _Writer:
    """Writes operations as a torch.fx graph in which a tensor is written to again after its last use.

    Args:
        functions: torch's function for each operation that can write into a given tensor.
        inputs: the symbols whose values are given.
        result: the symbol to compute, in the tensor `out`.
    """

    def __init__(self, functions: Mapping[str, Function], inputs: list[Symbol], result: Symbol) -> None:
        self.functions = functions
        self.inputs = inputs
        self.result = result
        self.operations = [each for each in needed([result], given=inputs) if each.moves]
        self.uses = collections.Counter([result, *(x for each in self.operations for x in each.symbols)])
        operands = [(each, x) for each in self.operations for x in _operands(each)]
        self.constants = {result.tape.zero: result.tape.zero} | {_key(x): x for each, x in operands if self._is_constant(each, x)}
        self.values: dict[Symbol | str, torch.fx.Node] = {}
        self.free: dict[bool, list[torch.fx.Node]] = {True: [], False: []}
        self.owned: set[Symbol] = set()
        self.graph = torch.fx.Graph()

    def _is_constant(self, symbol: Symbol, operand: Constant) -> bool:
        """Whether it is handed over as a tensor; torch's power is another function for a number, and so is number / tensor."""
        if isinstance(operand, Symbol):
            return not operand.moves
        return symbol.operation in self.functions and symbol.operation != "power"

    def function(self, constants: Iterable[Symbol | str]) -> Function:
        """The written function of the inputs, the tensor to write to, and the constants."""
        for i, symbol in enumerate(self.inputs):
            self.values[symbol] = self.graph.placeholder(f"input_{i}")
        self.out = self.graph.placeholder("out")
        self.free[self.result.boolean].append(self.out)
        for i, key in enumerate(constants):
            self.values[key] = self.graph.placeholder(f"constant_{i}")
        for symbol in self.operations:
            self._write(symbol)
        self.graph.output(self.values[self.result])
        return torch.fx.GraphModule(torch.nn.Module(), self.graph).forward

    def _write(self, symbol: Symbol) -> None:
        operands: list[Any] = [self.values.get(_key(each), each) for each in _operands(symbol)]
        for each in symbol.symbols:
            self._release(each)
        function, keywords = self.functions.get(symbol.operation), {}
        if function is choose:
            function, operands, keywords = self._choice(symbol, operands)
        if function is None:
            function = getattr(NAMESPACE if symbol.operation in FUNCTIONS else operator, symbol.operation)
        elif symbol is self.result:
            keywords["out"] = self.out
        elif self.free[symbol.boolean]:
            keywords["out"] = self.free[symbol.boolean].pop()
        self.values[symbol] = self.graph.call_function(function, tuple(operands), keywords)
        self.owned.add(symbol)

    def _choice(self, symbol: Symbol, operands: list[Any]) -> tuple[Function, list[Any], dict[str, Any]]:
        """The cheapest way to choose, for arrays and constants in either place."""
        mask, *chosen = symbol.operands
        if all(isinstance(each, Symbol) and each.moves for each in chosen):
            return choose, operands, {}
        zero = self.values[symbol.tape.zero]
        without_zero = [
            operands[0],
            *(None if x is symbol.tape.zero else y for x, y in zip(chosen, operands[1:], strict=True)),
            zero,
        ]
        if isinstance(chosen[1], Symbol) and chosen[1].moves:
            dead = mask in self.owned and self.uses[mask] == 0
            return constant_or_choose, without_zero, {"scratch": operands[0]} if dead else {}
        return choose_or_constant, without_zero, {}

    def _release(self, symbol: Symbol) -> None:
        """Count one use; after the last one the tensor may be written to, unless it came from outside."""
        self.uses[symbol] -= 1
        if symbol in self.owned and self.uses[symbol] == 0:
            self.free[symbol.boolean].append(self.values[symbol])
