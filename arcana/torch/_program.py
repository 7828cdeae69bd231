"""The backward pass of plain eager tensors: a straight program in one buffer, made from the definition's trace.

The plain evaluation of a formula allocates a tensor an operation; for large potentials most of its time goes into fresh
memory. Here each operation writes into a tensor that is no longer needed. The functions and their operands are those of
the plain evaluation, so the bits are too; independent ones come in the order that takes the fewest tensors.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch

from arcana.surrogate import Surrogate
from arcana.surrogate._caches import per_class_cache
from arcana.surrogate._trace import Kept, Symbol, Trace, evaluate, trace
from arcana.torch._bits import few
from arcana.torch._namespace import NAMESPACE
from arcana.torch._operations import BITS, BOOLS, PLAIN, Constant, Function, constants_of, with_numbers, written_out
from arcana.torch._writer import Writer, module


@dataclasses.dataclass(frozen=True)
class Program:
    """The steps of one definition in one computing dtype.

    Attributes:
        kept: what `pull` needs besides the constants.
        fold: of the parameters the constants, arrays of the parameters' shapes.
        mask: of v, the tensor to write to and the constants: the comparison that is kept, where it is that.
        pull_few: of what is kept, the cotangent, the tensor to write to and the constants: cotangent · h.
        pull_many: the same, quicker for many elements.
        passes: whether h is 1 everywhere, and the cotangent is the gradient.
        plain: makes two torch.fx modules for a compiler: of v and the constants the spikes, and the comparison if it is kept;
            of what is kept, the cotangent and the constants cotangent · h.
    """

    kept: Kept
    fold: Callable[[Mapping[str, torch.Tensor]], list[torch.Tensor]]
    mask: Function
    pull_few: Function
    pull_many: Function
    passes: bool
    plain: Callable[[], tuple[torch.fx.GraphModule, torch.fx.GraphModule]]

    def pull(self, *arguments: torch.Tensor) -> torch.Tensor:
        return (self.pull_few if few(arguments[0]) else self.pull_many)(*arguments)


@per_class_cache
def program(
    definition: type[Surrogate],
    settings: tuple[tuple[str, Any], ...],
    names: tuple[str, ...],
    dtype: torch.dtype,
    keep_v: bool,
    short: bool,
) -> Program | None:
    """The program of a definition, None where it cannot be traced.

    Args:
        definition: the surrogate's class.
        settings: the fields that shape its formula.
        names: its parameters.
        dtype: to compute in.
        keep_v: whether to keep v even if less would do.
        short: whether functions of `SHORTCUTS` go the short way.
    """
    traced = trace(definition, settings, names)
    if traced is None:
        return None
    kept = Kept.POTENTIAL if keep_v else traced.kept
    tape, kept_array, cotangent = traced.tape, traced.tape.record("kept"), traced.tape.record("cotangent")
    by = {traced.v: kept_array}
    if traced.gate is not None and kept is not Kept.POTENTIAL:
        truth = tape.record("truth", kept_array)
        by = {traced.gate: truth, **({tape.as_number(traced.gate): kept_array} if kept is Kept.SPIKES else {})}
    inputs = [cotangent] if kept is Kept.NOTHING else [kept_array, cotangent]
    whole = tape.record("mul", cotangent, tape.replaced(traced.h, by))
    product = written_out(whole, dtype, short=False)
    quick_product = with_numbers(written_out(whole, dtype, short))
    gate = traced.v if traced.gate is None else traced.gate
    spikes = [tape.as_number(traced.fired), *([gate] if kept is Kept.MASK else [])]
    constants = {
        **constants_of([*spikes, gate], [traced.v]),
        **constants_of([product, quick_product], inputs),
    }
    return Program(
        kept=kept,
        fold=functools.partial(_fold, traced, list(constants.values()), dtype),
        mask=Writer(BOOLS, [traced.v], gate).function(constants),
        pull_few=Writer(PLAIN, inputs, quick_product).function(constants),
        pull_many=Writer(BITS, inputs, quick_product).function(constants),
        passes=traced.passes,
        plain=lambda: (module([traced.v], spikes, constants, dtype), module(inputs, [product], constants, dtype)),
    )


def _fold(
    traced: Trace, constants: list[Constant], dtype: torch.dtype, numbers: Mapping[str, torch.Tensor]
) -> list[torch.Tensor]:
    # Constants outlive the call, so they are not made in inference mode, nor with a history.
    with torch.inference_mode(False), torch.no_grad():
        values: dict[Symbol, Any] = {symbol: numbers[name] for name, symbol in traced.parameters.items()}
        zero = torch.zeros((), dtype=dtype, device="cpu")
        evaluate([each for each in constants if isinstance(each, Symbol)], values, NAMESPACE, zero)
        number = functools.partial(torch.scalar_tensor, dtype=dtype, device="cpu")
        return [values[each] if isinstance(each, Symbol) else number(each) for each in constants]
