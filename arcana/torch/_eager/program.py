"""The backward pass of plain eager tensors: a straight program in one buffer, made from the definition's trace.

The plain evaluation of a formula allocates a tensor an operation; for large potentials most of its time goes into fresh
memory. Here each operation writes into a tensor that is no longer needed. The functions and their operands are those of
the plain evaluation, so the bits are too; independent ones come in the order that takes the fewest tensors.

A program is not worth being wrong. What cannot be traced or written has none, and each is run once beside the plain evaluation,
on a small sample at its first call, before it is believed (`agrees`, a tenth of the time that it takes to write it): a formula
can do what no symbol shows.

The gradient of a parameter is a program too, of cotangent · dG/dparameter. Its operations are those of the chain rule on the
trace of G and not PyTorch's, so it is held to PyTorch's own derivative but for roundings (`slopes_agree`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from arcana._core import (
    Expression,
    Formula,
    Kept,
    Surrogate,
    Symbol,
    needed,
    per_class_cache,
    run,
    usual_values,
)
from arcana.torch._eager.masks import WORDS, few
from arcana.torch._eager.operations import (
    BITS,
    BOOLS,
    COMPARISONS,
    PLAIN,
    Constant,
    Function,
    bounds_of,
    constants_of,
    depending,
    key,
    with_numbers,
    written_out,
)
from arcana.torch._eager.writer import Writer, module
from arcana.torch._namespace import NAMESPACES, TorchNamespace


@dataclasses.dataclass(frozen=True)
class Pass:
    """The forward or the backward pass of a formula.

    Attributes:
        inputs: arrays of v's shape.
        results: what is computed of them, each of v's shape too.
    """

    inputs: list[Symbol]
    results: list[Symbol]


@dataclasses.dataclass(frozen=True)
class Written:
    """Both passes of a traced formula in one computing dtype, their operations in the order in which they are computed."""

    expression: Expression
    dtype: torch.dtype
    forward: Pass
    backward: Pass


@dataclasses.dataclass(frozen=True)
class Program:
    """The steps of one definition in one computing dtype.

    Attributes:
        kept: what `pull` needs besides the constants.
        fold: makes of the parameters and the shortcuts the constants, arrays of the parameters' shapes.
        bounds: which of the constants bound a maximum or a minimum, and must be neither 0 nor NaN.
        mask: takes v, the tensor to write to and the constants, and gives the comparison that is kept, where it is that.
        pull_few: takes what is kept, the cotangent, the tensor to write to and the constants, and gives cotangent · h.
        pull_many: does the same, quicker for many elements.
        fires: torch.ge or torch.gt, of v and 0.
        passes: whether h is 1 everywhere, and the cotangent is the gradient.
        plain: makes two torch.fx modules for a compiler. One takes v and the constants, and gives the spikes and the comparison
            if it is kept; the other takes what is kept, the cotangent and the constants, and gives cotangent · h.
        written: makes the same two passes for a kernel that is written here, of the names of the parameters that are tensors.
        verdict: whether it agrees with the plain evaluation, once that has been looked at.
        kernels: what has been compiled for a device.
    """

    kept: Kept
    fold: Constants
    bounds: list[int]
    mask: Function
    pull_few: Function
    pull_many: Function
    fires: Function
    passes: bool
    plain: Callable[[], tuple[torch.fx.GraphModule, torch.fx.GraphModule]]
    written: Callable[[Iterable[str]], Written]
    verdict: list[bool] = dataclasses.field(default_factory=list)
    kernels: dict[Any, Any] = dataclasses.field(default_factory=dict)

    def pull(self, *arguments: torch.Tensor) -> torch.Tensor:
        """Return cotangent · h, by the way that is quicker for so many elements."""
        if few(arguments[0]):
            return self.pull_few(*arguments)
        # What is seen as bits must have its sign in memory; only the arrays can lack it.
        return self.pull_many(*(x.resolve_neg() for x in arguments[:2]), *arguments[2:])


@per_class_cache
def program(
    formula: Formula,
    names: tuple[str, ...],
    dtype: torch.dtype,
    keep_v: bool,
    short: bool,
    exact: bool,
) -> Program | None:
    """Return the program of a formula, None where it cannot be traced or written.

    Args:
        formula: of a surrogate.
        names: its parameters.
        dtype: to compute in.
        keep_v: whether to keep v even if less would do.
        short: whether functions of `SHORTCUTS` go the short way.
        exact: whether bounds that depend on the parameters may be 0 or NaN.
    """
    traced = formula.expression(names)
    try:
        return None if traced is None else _program(traced, dtype, keep_v, short, exact)
    except Exception:
        # Whatever it is that cannot be written: the formula is evaluated as it is.
        return None


def _program(traced: Expression, dtype: torch.dtype, keep_v: bool, short: bool, exact: bool) -> Program:
    kept = Kept.POTENTIAL if keep_v else traced.kept
    tape, kept_array, cotangent = traced.tape, traced.tape.record("kept"), traced.tape.record("cotangent")
    by = {traced.v: kept_array}
    if traced.mask is not None and kept is not Kept.POTENTIAL:
        truth = tape.record("truth", kept_array)
        by = {traced.mask: truth, **({tape.as_number(traced.mask): kept_array} if kept is Kept.SPIKES else {})}
    inputs = [cotangent] if kept is Kept.NOTHING else [kept_array, cotangent]
    whole = tape.record("mul", cotangent, tape.replaced(traced.h, by))
    product = written_out(whole, dtype, short=False, exact=exact)
    quick_product = with_numbers(written_out(whole, dtype, short, exact))
    quick_mask = traced.v if traced.mask is None else written_out(traced.mask, dtype, short, exact)
    mask = traced.v if traced.mask is None else written_out(traced.mask, dtype, short=False, exact=exact)
    spikes = [tape.as_number(traced.fired), *([mask] if kept is Kept.MASK else [])]
    constants = {
        **constants_of([*spikes, mask, quick_mask], [traced.v]),
        **constants_of([product, quick_product], inputs),
    }
    bounds = {each for result in (mask, quick_mask, product, quick_product) for each in bounds_of(result)}
    return Program(
        kept=kept,
        fold=Constants(traced, constants.values(), dtype),
        bounds=[i for i, each in enumerate(constants) if each in bounds],
        mask=Writer(BOOLS, [traced.v], quick_mask).function(constants),
        pull_few=Writer(PLAIN, inputs, quick_product).function(constants),
        pull_many=Writer(BITS, inputs, quick_product).function(constants),
        fires=COMPARISONS[traced.fired.operation],
        passes=traced.passes,
        plain=lambda: (module([traced.v], spikes, constants, dtype), module(inputs, [product], constants, dtype)),
        written=lambda names: _written(traced, dtype, inputs, [spikes[0], *(traced.mask for _ in spikes[1:])], whole, names),
    )


def _written(
    traced: Expression, dtype: torch.dtype, inputs: list[Symbol], forward: list[Any], backward: Symbol, names: Iterable[str]
) -> Written:
    tensors = [traced.parameters[name] for name in names]
    write = functools.partial(written_out, dtype=dtype, short=False, exact=True, tensors=tensors)
    return Written(traced, dtype, Pass([traced.v], [write(each) for each in forward]), Pass(inputs, [write(backward)]))


@dataclasses.dataclass(frozen=True)
class SlopeProgram:
    """The steps of cotangent · dG/dparameter at every element.

    Attributes:
        fold: makes of the parameters the constants, arrays of the parameters' shapes.
        few: takes v, the cotangent, the tensor to write to and the constants.
        many: does the same, quicker for many elements.
        verdict: whether it agrees with PyTorch's own derivative of G, once that has been looked at.
    """

    fold: Constants
    few: Function
    many: Function
    verdict: list[bool] = dataclasses.field(default_factory=list)

    def __call__(self, *arguments: torch.Tensor) -> torch.Tensor:
        if few(arguments[0]):
            return self.few(*arguments)
        return self.many(*(x.resolve_neg() for x in arguments[:2]), *arguments[2:])


@per_class_cache
def slope_program(formula: Formula, names: tuple[str, ...], along: str, dtype: torch.dtype) -> SlopeProgram | None:
    """Return the program of cotangent · dG/dparameter along one of the parameters; None where it cannot be traced or written."""
    traced = formula.slope(names, along)
    if traced is None:
        return None
    tape, inputs = traced.tape, [traced.tape.record("kept"), traced.tape.record("cotangent")]
    try:
        finite = tape.replaced(traced.h, {traced.v: tape.record("finite", inputs[0])})
        product = with_numbers(written_out(tape.record("mul", inputs[1], finite), dtype, short=False, exact=True))
        constants = constants_of([product], inputs)
        few, many = (Writer(functions, inputs, product).function(constants) for functions in (PLAIN, BITS))
    except Exception:
        # As for h.
        return None
    return SlopeProgram(Constants(traced, constants.values(), dtype), few, many)


class Constants:
    """Makes the constants of a program of the parameters and the shortcuts of a call: tensors of the parameters' shapes.

    Args:
        traced: the formula.
        constants: what the program needs besides its inputs.
        dtype: to compute in.
    """

    def __init__(self, traced: Expression, constants: Iterable[Constant], dtype: torch.dtype) -> None:
        self._parameters = traced.parameters
        self._constants = list(constants)
        self._dtype = dtype
        symbols = [each for each in self._constants if isinstance(each, Symbol)]
        varying = depending(symbols, traced.parameters.values())
        self._order = [each for each in needed(symbols, given=traced.parameters.values()) if each in varying]
        self._fixed = [each for each in needed(symbols, given=traced.parameters.values()) if each not in varying]

    @functools.cached_property
    def _known(self) -> dict[Symbol | str, torch.Tensor]:
        """The values that no parameter changes."""
        with torch.inference_mode(False), torch.no_grad():
            xp = NAMESPACES[self._dtype]
            known: dict[Any, torch.Tensor] = {key(x): xp.number(x) for x in self._constants if not isinstance(x, Symbol)}
            run(self._fixed, known, xp, xp.number(0))
            return known

    def __call__(self, numbers: Mapping[str, torch.Tensor], shortcuts: Mapping[str, float]) -> list[torch.Tensor]:
        values: dict[Any, Any] = dict(self._known)
        # Constants outlive the call, so they are not made in inference mode, nor with a history.
        with torch.inference_mode(False), torch.no_grad():
            for name, symbol in self._parameters.items():
                if name in numbers:
                    values[symbol] = numbers[name].resolve_neg()
            xp = TorchNamespace(self._dtype, shortcuts) if shortcuts else NAMESPACES[self._dtype]
            run(self._order, values, xp, None)
        return [values[key(each)] for each in self._constants]


def sample(
    definition: type[Surrogate], numbers: Mapping[str, float], names: Sequence[str], dtype: torch.dtype
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return potentials on which formulas differ most easily, in eight rows, and tensors for the parameters, one value a row."""
    named = str(dtype).removeprefix("torch.")
    values = usual_values(definition, names)
    around = [sign * x * factor for x in (*numbers.values(), *values.values()) for sign in (1, -1) for factor in (0.5, 1, 2)]
    tiny, huge = torch.finfo(dtype).smallest_normal, torch.finfo(dtype).max
    single = [0.0, -0.0, math.inf, -math.inf, math.nan, tiny, -tiny, tiny / 8, -tiny / 8, huge, -huge, 1.0, -1.0, 0.5, -0.5, 2.0]
    spread = [1.7 * i * i * i / 4096 for i in range(-40, 41)]
    every = [*single, *around, *spread]
    v = torch.tensor(every[: len(every) // 8 * 8], dtype=torch.float64, device="cpu").to(dtype).view(8, -1)
    rows = [0.5, 0.75, 0.9, 1.0, 1.0, 1.1, 1.25, 1.5]
    tensors = [[[definition.rounded(name, value * factor, named)] for factor in rows] for name, value in values.items()]
    return v, [torch.tensor(each, dtype=dtype, device="cpu") for each in tensors]


def slopes_agree(program: SlopeProgram, constants: list[torch.Tensor], plain: torch.Tensor, v: torch.Tensor) -> bool:
    """Whether it gives PyTorch's own derivative of G but for roundings, which differ, wherever that is a number."""
    one = torch.ones_like(v)
    for found in (each(v, one, torch.empty_like(v), *constants) for each in (program.few, program.many)):
        apart = (found - plain).abs() > 0.01 * (found.abs() + plain.abs()) + 1e-6
        if (apart & plain.isfinite()).any():
            return False
    return True


def agrees(program: Program, constants: list[torch.Tensor], plain: Callable[[], torch.Tensor], v: torch.Tensor) -> bool:
    """Whether it gives the bits of cotangent · h by the plain evaluation, for few elements and for many."""
    cotangent = torch.linspace(-2, 2, v.numel(), dtype=v.dtype, device="cpu").view(v.shape)
    expected = cotangent * plain()
    words = WORDS[v.dtype]
    for pull, out in ((program.pull_few, None), (program.pull_many, torch.empty(v.shape, dtype=torch.bool, device="cpu"))):
        kept = {
            Kept.POTENTIAL: lambda: [v],
            Kept.MASK: lambda out=out: [program.mask(v, out, *constants)],
            Kept.SPIKES: lambda: [program.fires(v, 0).to(v.dtype)],
            Kept.NOTHING: list,
        }[program.kept]()
        found = pull(*kept, cotangent, torch.empty_like(v), *constants)
        same = torch.eq(found.view(words), expected.view(words)) | (found.isnan() & expected.isnan())
        if not same.all():
            return False
    return True
