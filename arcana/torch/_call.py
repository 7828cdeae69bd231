"""A call on plain eager tensors: what is the same at every call is found once, and kept with the surrogate's value."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.fx

from arcana._core import AT_ZERO, MOST, Formula, Kept, Surrogate, Thresholds, checked_call, checked_potential, per_class_cache
from arcana.torch._checks import TENSORS
from arcana.torch._compat import transformed, without_function_modes
from arcana.torch._derivative import Derivative
from arcana.torch._eager.chunks import in_chunks, sum_in_chunks
from arcana.torch._eager.kernels import CompiledKernels, compiler_wanted, wanted
from arcana.torch._eager.masks import few
from arcana.torch._eager.program import Constants, Program, SlopeProgram, agrees, program, sample, slope_program, slopes_agree

if typing.TYPE_CHECKING:
    from arcana.torch._eager.cuda import CudaKernels

    Kernels = CompiledKernels | CudaKernels | None


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
        constants: Callable[[Constants], list[torch.Tensor]] | None = None,
    ) -> torch.Tensor:
        """Return cotangent · h, in the cotangent's dtype; `constants` has those of a program with tensors for parameters."""
        if self.program is not None and self.program.passes:
            return cotangent
        if self.program is None or torch.is_grad_enabled() or transformed(cotangent):
            return self.derivative(kept[0] if self.kept is Kept.POTENTIAL else cotangent, tensors).pull(kept, cotangent)
        if kernels and (pulled := kernels.pull(kept, tensors, cotangent)) is not None:
            return pulled
        numbers = constants(self.program.fold) if constants else self.constants
        if cotangent.is_meta:
            numbers = [each.to("meta") for each in numbers]
        like = kept[0] if kept else cotangent
        out = torch.empty_like(like) if like.dtype is cotangent.dtype else torch.empty_like(like, dtype=cotangent.dtype)
        return in_chunks(self.program.pull, [*kept, cotangent], out, numbers, self.dtype)

    def pull_learnable(
        self, v: torch.Tensor, tensors: Sequence[torch.Tensor], cotangent: torch.Tensor, kernels: Kernels, asked: Sequence[bool]
    ) -> list[torch.Tensor | None]:
        """Return cotangent · h, and for each tensor cotangent · dG/dparameter summed to its shape, where they are asked for."""
        derivative = self.derivative(v, tensors)

        def constants(fold: Constants) -> list[torch.Tensor]:
            return fold(derivative.parameters, {})

        for_v = self.pull([v], cotangent, kernels, tensors, constants) if asked[0] else None
        slopes = {name: self._slope(name) for name, wanted in zip(self.names, asked[1:], strict=True) if wanted}
        if None in slopes.values() or torch.is_grad_enabled() or transformed(cotangent) or cotangent.is_meta:
            recording = torch.is_grad_enabled()
            # What is made in inference mode cannot be differentiated, and the gradient of a parameter is the derivative of G.
            with torch.inference_mode(False), torch.set_grad_enabled(recording):
                return [for_v, *self.derivative(v, tensors).gradients(cotangent, self.names, tensors, asked[1:])]
        found = {
            name: sum_in_chunks(slope, [v, cotangent], constants(slope.fold), self.dtype, tensor.shape).to(tensor.dtype)
            for name, tensor in zip(self.names, tensors, strict=True)
            if (slope := slopes.get(name))
        }
        return [for_v, *(found.get(name) for name in self.names)]

    def _slope(self, name: str) -> SlopeProgram | None:
        """Return the program of cotangent · dG/dparameter, if there is one that is believed."""
        found = slope_program(self.formula, (*self.numbers, *self.names), name, self.dtype)
        if found and not found.verdict:
            try:
                found.verdict.append(self._slope_agrees(found, name))
            except Exception:
                # As for h.
                found.verdict.append(False)
        return found if found and found.verdict[0] else None

    def _slope_agrees(self, program: SlopeProgram, name: str) -> bool:
        with torch.inference_mode(False), torch.no_grad():
            v, tensors = sample(self.formula.definition, self.numbers, self.names, self.dtype)
            derivative = self.derivative(v, tensors)
            return slopes_agree(program, program.fold(derivative.parameters, {}), derivative.sensitivities([name])[0], v)

    def derivative(self, v: torch.Tensor, tensors: Sequence[torch.Tensor]) -> Derivative:
        """Return the derivative of this call by plain operations."""
        return Derivative(self.formula, v, {**self.numbers, **dict(zip(self.names, tensors, strict=True))})


def call_of(
    v: torch.Tensor, surrogate: Surrogate, parameters: Mapping[str, Any], thresholds: Thresholds = AT_ZERO
) -> tuple[Call | None, tuple[torch.Tensor, ...]]:
    """Return the call, made once for equal arguments, and the tensors among the parameters; all checked.

    There is no call for a torch.fx.Proxy.
    """
    if not parameters:
        # To hash the thresholds takes a hundredth of the time of a call.
        key = (v.dtype, v.device) if thresholds is AT_ZERO else (v.dtype, v.device, thresholds)
        if key not in surrogate._calls:
            surrogate._calls[key] = _call_with_numbers(surrogate, v.dtype, v.device, thresholds)
        return surrogate._calls[key], ()
    for value in parameters.values():
        if not isinstance(value, (int, float)):
            break
    else:
        if _call_with_numbers not in surrogate._calls:
            checked_potential(surrogate, v, TENSORS)
            # Typed, since a scale of True is an error and a scale of 1 is not.
            cached = functools.lru_cache(maxsize=MOST, typed=True)(functools.partial(_call_with_numbers, surrogate))
            surrogate._calls[_call_with_numbers] = cached
        return surrogate._calls[_call_with_numbers](v.dtype, v.device, thresholds, **parameters), ()
    if any(isinstance(value, torch.fx.Proxy) for value in parameters.values()):
        return None, ()
    checked_potential(surrogate, v, TENSORS)
    formula, values = checked_call(surrogate, v, parameters, TENSORS, thresholds)
    tensors = {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}
    numbers = tuple((name, value) for name, value in values.items() if name not in tensors)
    return _call(formula, numbers, tuple(tensors), v.dtype, v.device), tuple(tensors.values())


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
