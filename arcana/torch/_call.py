"""A call on plain eager tensors: what is the same at every call is found once, and kept with the surrogate's value."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.fx

from arcana._core import (
    AT_ZERO,
    MOST,
    Formula,
    Kept,
    Surrogate,
    Thresholds,
    broadcasts,
    checked_call,
    checked_potential,
    per_class_cache,
)
from arcana.torch._checks import TENSORS
from arcana.torch._compat import transformed, without_function_modes
from arcana.torch._derivative import Derivative
from arcana.torch._eager.chunks import Sums, in_chunks, summed_in_chunks
from arcana.torch._eager.kernels import CompiledKernels, compiler_wanted, wanted
from arcana.torch._eager.masks import few
from arcana.torch._eager.program import (
    NEAR,
    LearnableProgram,
    Program,
    agrees,
    learnable_agrees,
    learnable_program,
    program,
    sample,
    sums_of,
)

if typing.TYPE_CHECKING:
    from arcana.torch._eager.cuda import CudaKernels

    Kernels = CompiledKernels | CudaKernels | None

REMEMBERED = 256
"""Of how many values of a call's tensors something is known at a time: of every layer of a network, with a few KiB each."""

Known = dict[Any, Any]
"""What is made of the values of a call's tensors: programs with their constants."""


class Call:
    """A surrogate on potentials of one dtype: its comparison, what it keeps for backward, and its backward.

    Args:
        formula: of the surrogate.
        numbers: the parameters that are numbers.
        names: those that are given to each call as tensors.
        dtype: of the potential.
        device: of the potential.
    """

    def __init__(
        self,
        formula: Formula,
        numbers: Mapping[str, float],
        names: tuple[str, ...],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.formula = formula
        self.numbers = numbers
        self.names = names
        self.device = device
        self.compare = torch.ge if formula.fires_at_threshold else torch.gt
        self.record: Callable[..., torch.Tensor] | None = None
        """`apply` of the definition's Function, once it has been asked for."""
        self.known: dict[tuple[Any, ...], Known] = {}
        """By the values of its tensors, where they are few, what is made of them: a step of training asks often."""
        # What is made here outlives the call; a mode around the first call must not enter it.
        with torch.inference_mode(False), without_function_modes():
            # A GPU takes the number along with the comparison; from its own memory it is half as quick.
            self.zero = torch.zeros((), dtype=dtype, device="cpu" if device.type == "cuda" else device)
            derivative = Derivative(formula, self.zero, numbers)
            self.dtype = derivative.dtype
            # On another device, looking at a number would wait for it.
            self.short = bool(derivative.shortcuts) and not names and device.type == "cpu"
            self.kept = Kept.POTENTIAL if names else derivative.kept
            make = functools.partial(program, formula, (*numbers, *names), self.dtype, bool(names), self.short)
            self.program = make(exact=bool(names))
            self.constants: list[torch.Tensor] = []
            try:
                self._believe(make, derivative)
            except Exception:
                # The plain evaluation is always right, and says what is wrong if something is.
                self.program, self.constants = None, []

    def _believe(self, make: Callable[..., Program | None], derivative: Derivative) -> None:
        """Find the constants of the program, and drop it unless it does as the plain evaluation does."""
        given = derivative.parameters, derivative.shortcuts
        constants = self.program.fold(*given) if self.program and not self.names else []
        if self.program and constants and any(not abs(constants[i].item()) > 0 for i in self.program.bounds):
            self.program = make(exact=True)
            constants = self.program.fold(*given) if self.program else []
        if self.program and not self.program.verdict:
            # Once for all numbers: the steps are the same, and no symbol has a value to branch on.
            self.program.verdict.append(self._agrees(self.program))
        if self.program and not self.program.verdict[0]:
            self.program = None
        self.constants = [each.to(self.device) for each in constants]

    def _agrees(self, program: Program) -> bool:
        # On the CPU whatever the device, where looking at a number waits for nothing.
        with torch.inference_mode(False), torch.no_grad():
            v, tensors = sample(self.formula.definition, self.numbers, self.names, self.dtype)
            derivative = self.derivative(v, tensors)
            derivative.shortcuts = derivative.shortcuts if self.short else {}
            constants = program.fold(derivative.parameters, derivative.shortcuts)
            return agrees(program, constants, derivative.derivative, v)

    def fire(self, v: torch.Tensor) -> torch.Tensor:
        """Return the spikes of v in one pass; NaN does not fire."""
        return self.compare(v, self.zero, out=torch.empty_like(v))

    def forward(self, v: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...], Kernels]:
        """Return the spikes, what `pull` needs of the potential (nothing, the spikes, a comparison, or v), and its kernels."""
        kernels = self.kernels_for(v)
        spikes, *mask = (kernels.fire(v) if kernels else None) or (self.fire(v),)
        if self.kept is Kept.POTENTIAL:
            return spikes, (v,), kernels
        if self.kept is Kept.MASK:
            return spikes, (mask[0] if mask else self._mask(v),), kernels
        return spikes, (spikes,) if self.kept is Kept.SPIKES else (), kernels

    def _mask(self, v: torch.Tensor) -> torch.Tensor:
        program = self.program
        if program is None:
            return self.derivative(v, ()).mask()
        if few(v) and v.dtype is self.dtype:
            # Here to make the array first takes as long as the comparison.
            return program.mask(v, None, *self.constants)
        return in_chunks(program.mask, [v], torch.empty_like(v, dtype=torch.bool), self.constants, self.dtype)

    def kernels_for(self, v: torch.Tensor) -> Kernels:
        """Return what runs a call on v as one kernel each way, if it is wanted and there is anything."""
        if self.program is None or not wanted(v):
            return None
        if v.is_cuda and self._cuda_kernels:
            return self._cuda_kernels
        return self._compiled_kernels if compiler_wanted(v) else None

    @functools.cached_property
    def _compiled_kernels(self) -> CompiledKernels | None:
        return CompiledKernels(self.program, self.constants) if self.program and not self.names else None

    @functools.cached_property
    def _cuda_kernels(self) -> CudaKernels | None:
        from arcana.torch._eager.cuda import CudaKernels, available

        return CudaKernels(self) if available() else None

    def pull(
        self,
        kept: Sequence[torch.Tensor],
        cotangent: torch.Tensor,
        kernels: Kernels,
        tensors: Sequence[torch.Tensor] = (),
        known: Known | None = None,
    ) -> torch.Tensor:
        """Return cotangent · h, in the cotangent's dtype; `tensors` are the parameters that are no numbers."""
        if self.program is not None and self.program.passes:
            return cotangent
        if self.program is None or torch.is_grad_enabled() or transformed(cotangent):
            return self.derivative(kept[0] if self.kept is Kept.POTENTIAL else cotangent, tensors).pull(kept, cotangent)
        if kernels and (pulled := kernels.pull(kept, tensors, cotangent)) is not None:
            return pulled
        numbers = self.constants
        if tensors:
            numbers = self._once(known, self.program.fold, lambda fold: fold(self.derivative(kept[0], tensors).parameters, {}))
        if cotangent.is_meta:
            numbers = [each.to("meta") for each in numbers]
        like = kept[0] if kept else cotangent
        out = torch.empty_like(like) if like.dtype is cotangent.dtype else torch.empty_like(like, dtype=cotangent.dtype)
        return in_chunks(self.program.pull, [*kept, cotangent], out, numbers, self.dtype)

    def pull_learnable(
        self,
        v: torch.Tensor,
        tensors: Sequence[torch.Tensor],
        cotangent: torch.Tensor,
        kernels: CudaKernels | None,
        asked: Sequence[bool],
        known: Known,
    ) -> list[torch.Tensor | None]:
        """Return cotangent · h, and for each tensor cotangent · dG/dparameter summed to its shape, where they are asked for."""
        if any(asked[1:]) and v.numel() and not (torch.is_grad_enabled() or transformed(cotangent) or cotangent.is_meta):
            if kernels and (gradients := kernels.gradients(v, tensors, cotangent, asked[1:])):
                return gradients
            for way in _WAYS if v.is_cpu else _WAYS[-1:]:
                key = (*asked[1:], *way)
                ready = known[key] if key in known else self._once(known, key, functools.partial(self._ready, v, tensors))
                if ready and (gradients := ready.gradients(v, cotangent, asked)):
                    return gradients
        for_v = self.pull([v], cotangent, kernels, tensors, known) if asked[0] else None
        recording = torch.is_grad_enabled()
        # What is made in inference mode cannot be differentiated, and the gradient of a parameter is the derivative of G.
        with torch.inference_mode(False), torch.set_grad_enabled(recording):
            return [for_v, *self.derivative(v, tensors).gradients(cotangent, self.names, tensors, asked[1:])]

    @staticmethod
    def _once(known: Known | None, key: Any, make: Callable[[Any], Any]) -> Any:
        """Return what is made of a key, and keep it beside what else is known of the same values."""
        known = {} if known is None else known
        if key not in known:
            known[key] = make(key)
        return known[key]

    def _ready(self, v: torch.Tensor, tensors: Sequence[torch.Tensor], key: tuple[bool, ...]) -> Ready | None:
        """Return the program of the parameters that are asked for with its constants, if there is one that is believed."""
        *asked, near, exact = key
        program = self.learnable(asked, near, exact)
        limit = self._limit(tensors) if near else math.inf
        if program is None or limit == 0:
            return None
        constants = program.fold(self.derivative(v, tensors).parameters, {})
        if any(not constants[i].abs().min().item() > 0 for i in program.bounds):
            return None
        shapes = [x.shape for x, wanted in zip(tensors, asked, strict=True) if wanted]
        sums = [sums_of(terms, constants, shape) for terms, shape in zip(program.terms, shapes, strict=True)]
        return Ready(program, constants, sums, self.dtype, limit)

    def learnable(self, asked: Sequence[bool], near: bool, exact: bool) -> LearnableProgram | None:
        """Return the program of the parameters that are asked for, if there is one that is believed; see `learnable_program`."""
        along = tuple(name for name, wanted in zip(self.names, asked, strict=True) if wanted)
        program = learnable_program(self.formula, (*self.numbers, *self.names), along, self.dtype, near, exact)
        if program and not program.verdict:
            try:
                program.verdict.append(self._learnable_agrees(program, along, near))
            except Exception:
                # As for h.
                program.verdict.append(False)
        return program if program and program.verdict[0] else None

    def _learnable_agrees(self, program: LearnableProgram, along: tuple[str, ...], near: bool) -> bool:
        with torch.inference_mode(False), torch.no_grad():
            v, tensors = sample(self.formula.definition, self.numbers, self.names, self.dtype)
            derivative = self.derivative(v, tensors)
            derivative.shortcuts = {}
            slopes, limit = derivative.sensitivities(along), self._limit(tensors) if near else math.inf
            return learnable_agrees(program, program.fold(derivative.parameters, {}), derivative.derivative(), slopes, v, limit)

    def _limit(self, tensors: Sequence[torch.Tensor]) -> float:
        """Return how large a near potential may be."""
        values = [abs(each) for x in (*self.numbers.values(), *tensors) for each in _ends(x)]
        least = min((min(x, 1 / x) for x in values if x), default=1.0)
        return NEAR * least if sum(values) < math.inf else 0.0

    def derivative(self, v: torch.Tensor, tensors: Sequence[torch.Tensor]) -> Derivative:
        """Return the derivative of this call by plain operations."""
        return Derivative(self.formula, v, {**self.numbers, **dict(zip(self.names, tensors, strict=True))})


_WAYS = ((True, False), (True, True), (False, True))
"""Whether potentials are near, and whether bounds may be 0: the quicker programs first. On a GPU nobody looks at values."""


@dataclasses.dataclass(frozen=True)
class Ready:
    """A program of a call whose parameters are asked for, with its constants.

    Attributes:
        program: the program.
        constants: of the tensors of one call.
        sums: of the parameters that are asked for.
        dtype: to compute in.
        limit: how large a potential may be; inf for any.
    """

    program: LearnableProgram
    constants: list[torch.Tensor]
    sums: list[Sums]
    dtype: torch.dtype
    limit: float

    def gradients(self, v: torch.Tensor, cotangent: torch.Tensor, asked: Sequence[bool]) -> list[torch.Tensor | None] | None:
        """Return the gradients that are asked for; None where a potential is larger than the program is made for."""
        out = torch.empty_like(v)
        sums = summed_in_chunks(self.program, v, cotangent, out, self.constants, self.dtype, self.sums)
        if self.limit < math.inf and not self._within(sums):
            return None
        found = iter(sums[self.program.bounded :])
        # In the computing dtype: autograd casts the gradient of a parameter to the parameter's.
        return [out if asked[0] else None, *(next(found) if wanted else None for wanted in asked[1:])]

    def _within(self, sums: Sequence[torch.Tensor]) -> bool:
        """Whether the potentials were within the limit, or where that is not asked, no infinity has met a 0."""
        if self.program.bounded:
            return sums[0].item() <= self.limit * self.limit
        return all(math.isfinite(x.item() if x.numel() == 1 else x.sum().item()) for x in sums)


def _values(tensors: Sequence[Any]) -> tuple[Any, ...] | None:
    """Return the values that the tensors hold, their dtypes and shapes, if they are few and in this process's memory.

    0.0 and −0.0 are two.
    """
    found: list[Any] = []
    for x in tensors:
        if not isinstance(x, torch.Tensor) or not x.is_cpu or transformed(x):
            return None
        count = x.numel()
        if count == 1:
            number = x.item()
            found += [number or str(number), x.dtype, x.ndim]
        elif 0 < count <= MOST and x.is_floating_point() and x.layout is torch.strided:
            # As bytes, since NumPy has no bfloat16; of a copy, since FSDP2 frees a storage that NumPy has not looked at.
            words = x.detach().resolve_neg().flatten().clone().view(torch.uint8)
            found += [words.numpy().tobytes(), x.dtype, x.shape]
        else:
            return None
    return tuple(found)


def _unseen(x: Any) -> bool:
    """Whether a parameter is a tensor on another device, whose values nobody looks at."""
    return isinstance(x, torch.Tensor) and not x.is_cpu and x.is_floating_point() and not transformed(x)


def _fits(x: torch.Tensor, v: torch.Tensor) -> bool:
    """Whether a parameter broadcasts to v."""
    return x.ndim <= v.ndim and (x.numel() == 1 or broadcasts(x.shape, v.shape))


def _ends(x: float | torch.Tensor) -> tuple[float, ...]:
    """Return the least and the greatest of a parameter's values."""
    if not isinstance(x, torch.Tensor):
        return (x,)
    return (x.item(),) if x.numel() == 1 else tuple(each.item() for each in x.abs().aminmax())


def call_of(
    v: torch.Tensor, surrogate: Surrogate, parameters: Mapping[str, Any], thresholds: Thresholds = AT_ZERO
) -> tuple[Call | None, tuple[torch.Tensor, ...], Known | None]:
    """Return the call, made once for equal arguments, the tensors among the parameters, and what is known of those; all checked.

    There is no call for a torch.fx.Proxy.
    """
    if not parameters:
        # To hash the thresholds takes a hundredth of the time of a call.
        key = (v.dtype, v.device) if thresholds is AT_ZERO else (v.dtype, v.device, thresholds)
        if key not in surrogate._calls:
            surrogate._calls[key] = _call_with_numbers(surrogate, v.dtype, v.device, thresholds)
        return surrogate._calls[key], (), None
    for value in parameters.values():
        if not isinstance(value, (int, float)):
            break
    else:
        if _call_with_numbers not in surrogate._calls:
            checked_potential(surrogate, v, TENSORS)
            # Typed, since a scale of True is an error and a scale of 1 is not.
            cached = functools.lru_cache(maxsize=MOST, typed=True)(functools.partial(_call_with_numbers, surrogate))
            surrogate._calls[_call_with_numbers] = cached
        return surrogate._calls[_call_with_numbers](v.dtype, v.device, thresholds, **parameters), (), None
    given = tuple(parameters.values())
    numbers, key = _values(given), (v.dtype, v.device, thresholds, *parameters)
    call = surrogate._calls.get(key)
    if call and (numbers in call.known if numbers else all(map(_unseen, given))) and all(_fits(x, v) for x in given):
        return call, given, call.known[numbers] if numbers else {}
    if any(isinstance(value, torch.fx.Proxy) for value in given):
        return None, (), None
    return _call_with_tensors(v, surrogate, parameters, thresholds, key, numbers)


def _call_with_tensors(
    v: torch.Tensor,
    surrogate: Surrogate,
    parameters: Mapping[str, Any],
    thresholds: Thresholds,
    key: Any,
    values: tuple[Any, ...] | None,
) -> tuple[Call, tuple[torch.Tensor, ...], Known]:
    """Return the call and its tensors, checked; and keep what has been checked: names, and values that are few."""
    checked_potential(surrogate, v, TENSORS)
    formula, checked = checked_call(surrogate, v, parameters, TENSORS, thresholds)
    tensors = {name: value for name, value in checked.items() if isinstance(value, torch.Tensor)}
    numbers = tuple((name, value) for name, value in checked.items() if name not in tensors)
    call = _call(formula, numbers, tuple(tensors), v.dtype, v.device)
    known: Known = {}
    if tuple(tensors) == tuple(parameters):
        surrogate._calls[key] = call
        if values:
            if len(call.known) >= REMEMBERED:
                call.known.clear()
            known = call.known.setdefault(values, known)
    return call, tuple(tensors.values()), known


def _call_with_numbers(
    surrogate: Surrogate, dtype: torch.dtype, device: torch.device, thresholds: Thresholds, /, **numbers: float
) -> Call:
    v = checked_potential(surrogate, torch.empty((), dtype=dtype, device=device), TENSORS)
    formula, values = checked_call(surrogate, v, numbers, TENSORS, thresholds)
    return _call(formula, tuple(values.items()), (), dtype, device)


@per_class_cache
def _call(
    formula: Formula,
    numbers: tuple[tuple[str, float], ...],
    names: tuple[str, ...],
    dtype: torch.dtype,
    device: torch.device,
) -> Call:
    return Call(formula, dict(numbers), names, dtype, device)
