"""The backward pass of plain eager tensors: a straight program in one buffer, made from the definition's trace.

The plain evaluation of a formula allocates a tensor an operation; for large potentials most of its time goes into fresh
memory. Here each operation writes into a tensor that is no longer needed. The functions and their operands are those of
the plain evaluation, so the bits are too; independent ones come in the order that takes the fewest tensors.

A program is not worth being wrong. What cannot be traced or written has none, and each is run once beside the plain evaluation,
on a small sample at its first call, before it is believed (`agrees`, a tenth of the time that it takes to write it): a formula
can do what no symbol shows.

The gradient of a parameter is made in the same program (`LearnableProgram`), which shares with h what they have in common and
leaves each parameter's sum as products of two arrays. Its operations are not PyTorch's, so it is held to PyTorch's own
derivative but for roundings (`learnable_agrees`).
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
    Tape,
    needed,
    per_class_cache,
    run,
    summands,
    usual_values,
)
from arcana.torch._eager.chunks import Sums
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
    written_out_finite,
)
from arcana.torch._eager.writer import Writer, module
from arcana.torch._namespace import NAMESPACES, TorchNamespace

NEAR = 2.0**30
"""How large a potential, and its product and quotient with each parameter, may be for `LearnableProgram` to be of near ones."""


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
class Written(Pass):
    """A pass in one computing dtype, its operations those that a kernel has.

    Attributes:
        expression: the traced formula.
        dtype: to compute in.
    """

    expression: Expression
    dtype: torch.dtype


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
        written: makes one of the same two passes for a kernel that is written here, "forward" or "backward", of the names of the
            parameters that are tensors.
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
    written: Callable[[str, Iterable[str]], Written]
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
    by_kernels = {
        "forward": Pass([traced.v], [spikes[0], *([traced.mask] if kept is Kept.MASK and traced.mask is not None else [])]),
        "backward": Pass(inputs, [whole]),
    }
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
        written=lambda name, names: _written(by_kernels[name], traced, dtype, names),
    )


def _written(one_pass: Pass, traced: Expression, dtype: torch.dtype, names: Iterable[str]) -> Written:
    """Write a pass out for a kernel, to which the parameters of these names are arrays."""
    tensors = [traced.parameters[name] for name in names]
    results = [written_out(each, dtype, short=False, exact=True, tensors=tensors) for each in one_pass.results]
    return Written(one_pass.inputs, results, traced, dtype)


@dataclasses.dataclass(frozen=True)
class Term:
    """A part of cotangent · dG/dparameter: a product of two arrays, and a constant that its sum is multiplied by.

    Attributes:
        left: place of an array among the results of a `LearnableProgram`.
        right: place of another, None for 1.
        factor: place among its constants, None for 1.
    """

    left: int
    right: int | None
    factor: int | None


@dataclasses.dataclass(frozen=True)
class LearnableProgram:
    """The steps of cotangent · h, and on the way those of cotangent · dG/dparameter.

    Attributes:
        fold: makes of the parameters the constants, arrays of the parameters' shapes.
        few: takes v, the cotangent, the tensor to write cotangent · h to and the constants, and gives that and other arrays.
        many: does the same, quicker for many elements.
        bounds: which of the constants bound a maximum or a minimum, and must be neither 0 nor NaN.
        terms: of each parameter the products whose sums are added up.
        bounded: whether it is right of near potentials alone; else its sums are NaN where an infinite one needs more.
        written: makes the pass for a kernel that is written here, of the names of the parameters that are tensors: of v and the
            cotangent it gives cotangent · h and each cotangent · dG/dparameter.
        verdict: whether it agrees with PyTorch's own derivatives, once that has been looked at.
    """

    fold: Constants
    few: Function
    many: Function
    bounds: list[int]
    terms: tuple[tuple[Term, ...], ...]
    bounded: bool
    written: Callable[[Iterable[str]], Written]
    verdict: list[bool] = dataclasses.field(default_factory=list)

    def run(self, *arguments: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the arrays of the terms, the first of them cotangent · h, by the way that is quicker for so many elements."""
        if few(arguments[0]):
            return self.few(*arguments)
        return self.many(*(x.resolve_neg() for x in arguments[:2]), *arguments[2:])


@per_class_cache
def learnable_program(
    formula: Formula, names: tuple[str, ...], along: tuple[str, ...], dtype: torch.dtype, near: bool, exact: bool
) -> LearnableProgram | None:
    """Return the program of a formula whose parameters `along` are asked for; None where it cannot be traced or written.

    Args:
        formula: of a surrogate.
        names: its parameters.
        along: those whose gradients are asked for.
        dtype: to compute in.
        near: whether no potential is infinite, nor so large that a product overflows, so that nothing is chosen for those.
        exact: whether bounds that depend on the parameters may be 0 or NaN.
    """
    traced, slopes = formula.expression(names), [formula.slope(names, name, guarded=not near) for name in along]
    if traced is None or None in slopes:
        return None
    try:
        return _learnable_program(traced, [each for each in slopes if each], dtype, near, exact)
    except Exception:
        # As for h.
        return None


def _learnable_program(
    traced: Expression, slopes: list[Expression], dtype: torch.dtype, near: bool, exact: bool
) -> LearnableProgram:
    tape = traced.tape
    v, cotangent = inputs = [tape.record("kept"), tape.record("cotangent")]
    write = functools.partial(written_out, dtype=dtype, short=False, exact=exact)
    symbol = tape.replaced(traced.h, {traced.v: v})
    h = write(symbol)
    product = with_numbers(tape.record("mul", cotangent, h))
    far = [tape.replaced(each.h, {each.v: v if near else tape.record("finite", v)}) for each in slopes]
    # h itself stays as it is.
    symbols = [tape.replaced(each, {symbol: symbol}, functools.partial(_of_near, tape)) for each in far] if near else far
    written = [write(each, known={symbol: h}) for each in symbols]
    # Far from the threshold another order of the factors might overflow.
    terms = [_terms(each, cotangent, h, product) if near else [(cotangent, with_numbers(each), None)] for each in written]
    every = [each for found in terms for each in found]
    results = [product, *(x for left, right, _ in every for x in (left, right) if x is not None)]
    constants = {key(factor): factor for *_, factor in every if factor is not None} | constants_of(results, inputs)
    place: dict[Any, int] = {x: i for each in (results, constants) for i, x in enumerate(each)}
    bounds = {each for result in results for each in bounds_of(result)}
    few, many = (Writer(functions, inputs, *results).function(constants) for functions in (PLAIN, BITS))

    def by_kernels() -> Pass:
        finite = written_out_finite(v, dtype)
        factors = [symbol, *(tape.replaced(each.h, {each.v: finite}) for each in slopes)]
        return Pass(inputs, [tape.record("mul", cotangent, each) for each in factors])

    return LearnableProgram(
        Constants(traced, constants.values(), dtype),
        few,
        many,
        bounds=[i for i, each in enumerate(constants) if each in bounds],
        terms=tuple(
            tuple(Term(place[a], None if b is None else place[b], None if c is None else place[key(c)]) for a, b, c in each)
            for each in terms
        ),
        bounded=any(x is not y for x, y in zip(symbols, far, strict=True)),
        written=lambda names: _written(by_kernels(), traced, dtype, names),
    )


def _of_near(tape: Tape, operation: str, *operands: Any) -> Symbol:
    """Record an operation of near potentials: none is infinite or NaN, nor has its square with a parameter's a larger number."""
    if operation == "where" and _is_of_far(operands[0]):
        return operands[2]
    return tape.record("short_sign" if operation == "sign" and operands[0].moves else operation, *operands)


def _is_of_far(mask: Symbol) -> bool:
    bound = mask.operands[-1]
    return mask.operation == "infinite" or (mask.operation == "gt" and not isinstance(bound, Symbol) and bound > NEAR * NEAR)


def _terms(slope: Symbol, cotangent: Symbol, h: Symbol, product: Symbol) -> list[tuple[Symbol, Symbol | None, Constant | None]]:
    """Return a sum of products as its terms, each times the cotangent: two arrays and a constant."""
    found = []
    for each in summands(slope, h):
        right = functools.reduce(lambda a, b: slope.tape.record("mul", a, b), each.arrays) if each.arrays else None
        found.append((product if each.of_h else cotangent, None if right is None else with_numbers(right), each.constant))
    return found


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


def learnable_agrees(
    program: LearnableProgram,
    constants: list[torch.Tensor],
    h: torch.Tensor,
    slopes: Sequence[torch.Tensor],
    v: torch.Tensor,
    limit: float,
) -> bool:
    """Whether it gives h to the bit, and PyTorch's own derivatives of G but for roundings, which differ.

    Only potentials within the limit count, and slopes that are numbers.
    """
    one, words = torch.ones_like(v), WORDS[v.dtype]
    near = v.abs() <= (limit if program.bounded else math.inf)
    for way in (program.few, program.many):
        arrays = way(v, one, torch.empty_like(v), *constants)
        same = torch.eq(arrays[0].view(words), h.view(words)) | (arrays[0].isnan() & h.isnan())
        if not same[near | (not program.bounded)].all():
            return False
        for terms, slope in zip(program.terms, slopes, strict=True):
            found = sum((product_of(each, arrays, constants) for each in terms), torch.zeros_like(v))
            close = (found - slope).abs() <= 0.01 * (found.abs() + slope.abs()) + 1e-6
            # Of these a sum that is no number tells.
            told = (v.abs() > limit) & ~found.isfinite()
            if (~(close | told) & near & slope.isfinite()).any():
                return False
    return True


def product_of(term: Term, arrays: Sequence[torch.Tensor], constants: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return a term at every element."""
    product = arrays[term.left] if term.right is None else arrays[term.left] * arrays[term.right]
    return product if term.factor is None else product * constants[term.factor]


def sums_of(terms: Iterable[Term], constants: Sequence[torch.Tensor], shape: torch.Size) -> Sums:
    """Return the gradient of a parameter of this shape."""
    single, found = shape.numel() == 1, []
    for each in terms:
        factor = None if each.factor is None else constants[each.factor]
        # A product of the parameter's shape needs no view of that shape.
        if factor is not None and single and factor.numel() == 1:
            factor = factor.reshape(shape)
        found.append((each.left, each.right, factor))
    return Sums(found, shape, single)


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
