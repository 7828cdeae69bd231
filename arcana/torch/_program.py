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
from arcana.torch._namespace import NAMESPACE

Function = Callable[..., Any]
Constant = Symbol | float


def _nonnegative(x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    return torch.ge(x, 0, out=out)


def _positive(x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    return torch.gt(x, 0, out=out)


_WITH_OUT: dict[str, Function] = {
    "abs": torch.abs,
    "add": torch.add,
    "and_": torch.bitwise_and,
    "arctan": torch.arctan,
    "cos": torch.cos,
    "divide": torch.div,
    "eq": torch.eq,
    "erf": torch.erf,
    "erfc": torch.special.erfc,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "ge": torch.ge,
    "gt": torch.gt,
    "invert": torch.bitwise_not,
    "le": torch.le,
    "log": torch.log,
    "log1p": torch.log1p,
    "lt": torch.lt,
    "mul": torch.mul,
    "ne": torch.ne,
    "neg": torch.neg,
    "nonnegative": _nonnegative,
    "or_": torch.bitwise_or,
    "positive": _positive,
    "power": torch.pow,
    "reciprocal": torch.reciprocal,
    "round": torch.round,
    "sin": torch.sin,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "sub": torch.sub,
    "where": torch.where,
}
"""The operations that can write into a given tensor: torch's own function for each. The others are called as they are."""



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
        mask: of v and the constants the comparison that is kept, where it is that.
        pull: of what is kept, the cotangent and the constants, cotangent · h.
    """

    kept: Kept
    fold: Callable[[Mapping[str, torch.Tensor]], list[torch.Tensor]]
    mask: Function
    pull: Function


@functools.lru_cache(maxsize=1024)
def program(
    definition: type[Surrogate], settings: tuple[tuple[str, Any], ...], names: tuple[str, ...], dtype: torch.dtype, keep_v: bool
) -> Program | None:
    """The program of a definition, None where it cannot be traced; `keep_v` keeps v even if less would do."""
    traced = trace(definition, settings, names)
    if traced is None:
        return None
    kept = Kept.POTENTIAL if keep_v else _kept(traced, dict(settings))
    gate = traced.v if traced.gate is None else traced.gate
    start = {Kept.SPIKES: traced.spikes, Kept.MASK: gate}.get(kept, traced.v)
    pull = _Writer({start: "kept", traced.cotangent: "cotangent"}, traced.product, gate if kept is Kept.SPIKES else None)
    mask = _Writer({traced.v: "v"}, gate)
    constants = pull.constants | mask.constants
    fold = functools.partial(_fold, traced, list(constants.values()), dtype)
    return Program(kept, fold, mask.function(constants), pull.function(constants))


def _kept(traced: Trace, settings: Mapping[str, Any]) -> Kept:
    if not traced.h.moves:
        return Kept.NOTHING
    if traced.gate is None:
        return Kept.POTENTIAL
    return Kept.SPIKES if traced.gate_is_the_spike(settings) else Kept.MASK


def _fold(traced: Trace, constants: list[Constant], dtype: torch.dtype, numbers: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    # Constants outlive the call, so they are not made in inference mode, nor with a history.
    with torch.inference_mode(False), torch.no_grad():
        values: dict[Symbol, Any] = {symbol: numbers[name] for name, symbol in traced.parameters.items()}
        evaluate([each for each in constants if isinstance(each, Symbol)], values, NAMESPACE, torch.zeros((), dtype=dtype))
        return [values[each] if isinstance(each, Symbol) else torch.scalar_tensor(each, dtype=dtype) for each in constants]


def _key(operand: Constant) -> Symbol | str:
    """Of a number its digits, since 0.0 and −0.0 are one as keys."""
    return operand if isinstance(operand, Symbol) else repr(float(operand))


def _is_constant(symbol: Symbol, operand: Constant) -> bool:
    """Whether an operand is handed over as a tensor. torch's power is another function for a number, and so is number / tensor."""
    if isinstance(operand, Symbol):
        return not operand.moves
    return symbol.operation in _WITH_OUT and symbol.operation != "power" and not isinstance(operand, bool)


class _Writer:
    """Writes operations as a torch.fx graph in which a tensor is written to again after its last use."""

    def __init__(self, inputs: Mapping[Symbol, str], result: Symbol, from_spikes: Symbol | None = None) -> None:
        self.inputs = inputs
        self.result = result
        self.from_spikes = from_spikes
        given = [*inputs, *([] if from_spikes is None else [from_spikes])]
        self.operations = [each for each in needed([result], given=given) if each.moves]
        self.constants = {_key(x): x for each in self.operations for x in each.operands if _is_constant(each, x)}
        self.uses = collections.Counter([result, *(x for each in self.operations for x in each.symbols)])
        self.values: dict[Symbol | str, torch.fx.Node] = {}
        self.free: dict[bool, list[torch.fx.Node]] = {True: [], False: []}
        self.owned: set[Symbol] = set()
        self.graph = torch.fx.Graph()

    def function(self, constants: Iterable[Symbol | str]) -> Function:
        """The written function of the inputs and the constants."""
        for symbol, name in self.inputs.items():
            self.values[symbol] = self.graph.placeholder(name)
        for i, key in enumerate(constants):
            self.values[key] = self.graph.placeholder(f"constant_{i}")
        if self.from_spikes is not None and self.uses[self.from_spikes]:
            self._keep(self.from_spikes, self.graph.call_function(_positive, (self.values[next(iter(self.inputs))],)))
        for symbol in self.operations:
            self._write(symbol)
        self.graph.output(self.values[self.result])
        return torch.fx.GraphModule(torch.nn.Module(), self.graph).forward

    def _write(self, symbol: Symbol) -> None:
        operands = tuple(self.values.get(_key(each), each) for each in symbol.operands)
        for each in symbol.symbols:
            self._release(each)
        function = _WITH_OUT.get(symbol.operation)
        free = self.free[symbol.boolean]
        if function is not None:
            self._keep(symbol, self.graph.call_function(function, operands, {"out": free.pop()} if free else {}))
        else:
            space = NAMESPACE if symbol.operation in FUNCTIONS else operator
            self._keep(symbol, self.graph.call_function(getattr(space, symbol.operation), operands))

    def _keep(self, symbol: Symbol, value: torch.fx.Node) -> None:
        self.values[symbol] = value
        self.owned.add(symbol)

    def _release(self, symbol: Symbol) -> None:
        """Count one use; after the last one the tensor may be written to, unless it came from outside."""
        self.uses[symbol] -= 1
        if symbol in self.owned and self.uses[symbol] == 0:
            self.free[symbol.boolean].append(self.values[symbol])
