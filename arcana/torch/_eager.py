"""A call on plain eager tensors: what is the same at every call is found once, and kept with the surrogate's value."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.fx

from arcana.surrogate import Surrogate
from arcana.surrogate._caches import MOST, per_class_cache
from arcana.surrogate._trace import Kept
from arcana.torch._bits import few
from arcana.torch._compat import without_function_modes
from arcana.torch._kernels import Kernels, cuda_wanted as cuda_kernels_wanted, wanted as kernels_wanted
from arcana.torch._pieces import run
from arcana.torch._program import Program, agrees, program, sample
from arcana.torch._rule import Rule, checked, transformed

if typing.TYPE_CHECKING:
    from arcana.torch._cuda import CudaKernels


class Call:
    """A surrogate on potentials of one dtype: its comparison, what it keeps for backward, and its backward.

    Args:
        definition: the surrogate's class.
        settings: the fields that shape its formula.
        numbers: the parameters that are numbers.
        names: those that are given to each call as tensors.
        dtype: of the potential.
        device: of the potential.
    """

    def __init__(
        self,
        definition: type[Surrogate],
        settings: Mapping[str, Any],
        numbers: Mapping[str, float],
        names: tuple[str, ...],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.definition = definition
        self.settings = settings
        self.numbers = numbers
        self.names = names
        self.device = device
        self.compare = torch.ge if settings["fires_at_threshold"] else torch.gt
        self.record: Callable[..., torch.Tensor] | None = None
        """`apply` of the definition's Function, once it has been asked for."""
        # What is made here outlives the call; a mode around the first call must not enter it.
        with torch.inference_mode(False), without_function_modes():
            # A GPU takes the number along with the comparison; from its own memory it is half as quick.
            self.zero = torch.zeros((), dtype=dtype, device="cpu" if device.type == "cuda" else device)
            rule = Rule(definition, settings, self.zero, numbers)
            self.dtype = rule.dtype
            # On another device, looking at a number would wait for it.
            self.short = bool(rule.shortcuts) and not names and device.type == "cpu"
            shape = tuple(settings.items()), (*numbers, *names)
            self.kept = Kept.POTENTIAL if names else rule.kept
            make = functools.partial(program, definition, *shape, self.dtype, bool(names), self.short)
            self.program = make(exact=bool(names))
            self.constants: list[torch.Tensor] = []
            try:
                self._believe(make, rule)
            except Exception:
                # The plain evaluation is always right, and says what is wrong if something is.
                self.program, self.constants = None, []

    def _believe(self, make: Callable[..., Program | None], rule: Rule) -> None:
        """Find the constants of the program, and drop it unless it does as the plain evaluation does."""
        constants = self.program.fold(rule.numbers, rule.shortcuts) if self.program and not self.names else []
        if self.program and constants and any(not abs(constants[i].item()) > 0 for i in self.program.bounds):
            self.program = make(exact=True)
            constants = self.program.fold(rule.numbers, rule.shortcuts) if self.program else []
        if self.program and not self.program.verdict:
            # Once for all numbers: the steps are the same, and no symbol has a value to branch on.
            self.program.verdict.append(self._agrees(self.program))
        if self.program and not self.program.verdict[0]:
            self.program = None
        self.constants = [each.to(self.device) for each in constants]

    def _agrees(self, program: Program) -> bool:
        # On the CPU whatever the device, where looking at a number waits for nothing.
        with torch.inference_mode(False), torch.no_grad():
            v, tensors = sample(self.definition, self.numbers, self.names, self.dtype)
            rule = self.rule(v, tensors)
            rule.shortcuts = rule.shortcuts if self.short else {}
            constants = program.fold(rule.numbers, rule.shortcuts)
            return agrees(program, constants, rule.derivative, v)

    def fires(self, v: torch.Tensor) -> torch.Tensor:
        """The spikes of v in one pass; NaN does not fire."""
        return self.compare(v, self.zero, out=torch.empty_like(v))

    def fires_and_keeps(
        self, v: torch.Tensor, kernels: Kernels | CudaKernels | None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """The spikes, and what `pull` needs of the potential: nothing, the spikes, a comparison, or v."""
        spikes, *mask = (kernels.fire(v) if kernels else None) or (self.fires(v),)
        if self.kept is Kept.POTENTIAL:
            return spikes, (v,)
        if self.kept is Kept.MASK:
            return spikes, (mask[0] if mask else self._mask(v),)
        return spikes, (spikes,) if self.kept is Kept.SPIKES else ()

    def _mask(self, v: torch.Tensor) -> torch.Tensor:
        program = self.program
        if program is None:
            return self.rule(v, ()).mask()
        if few(v) and v.dtype is self.dtype:
            # Here to make the array first takes as long as the comparison.
            return program.mask(v, None, *self.constants)
        return run(program.mask, [v], torch.empty_like(v, dtype=torch.bool), self.constants, self.dtype)

    def kernels_for(self, v: torch.Tensor) -> Kernels | CudaKernels | None:
        """What runs a call on v as one kernel each way, if it is wanted and there is anything."""
        if self.program is None:
            return None
        if v.is_cuda and cuda_kernels_wanted() and self._cuda_kernels:
            return self._cuda_kernels
        return self._kernels if not self.names and kernels_wanted(v) else None

    @functools.cached_property
    def _kernels(self) -> Kernels:
        assert self.program is not None
        return Kernels(self.program, self.constants)

    @functools.cached_property
    def _cuda_kernels(self) -> CudaKernels | None:
        from arcana.torch._cuda import CudaKernels, available

        return CudaKernels(self) if available() else None

    def pull(
        self,
        kept: Sequence[torch.Tensor],
        tensors: Sequence[torch.Tensor],
        cotangent: torch.Tensor,
        kernels: Kernels | CudaKernels | None,
    ) -> torch.Tensor:
        """cotangent · h, in the cotangent's dtype."""
        if self.program is not None and self.program.passes:
            return cotangent
        if self.program is None or torch.is_grad_enabled() or transformed(cotangent):
            return self.rule(kept[0] if self.kept is Kept.POTENTIAL else cotangent, tensors).pull(kept, cotangent)
        if kernels and (pulled := kernels.pull(kept, tensors, cotangent)) is not None:
            return pulled
        constants = self.program.fold(self.rule(kept[0], tensors).numbers, {}) if tensors else self.constants
        if cotangent.is_meta:
            constants = [each.to("meta") for each in constants]
        like = kept[0] if kept else cotangent
        out = torch.empty_like(like) if like.dtype is cotangent.dtype else torch.empty_like(like, dtype=cotangent.dtype)
        return run(self.program.pull, [*kept, cotangent], out, constants, self.dtype)

    def rule(self, v: torch.Tensor, tensors: Sequence[torch.Tensor]) -> Rule:
        """The rule of this call by plain operations."""
        return Rule(self.definition, self.settings, v, {**self.numbers, **dict(zip(self.names, tensors, strict=True))})


def call_of(v: torch.Tensor, surrogate: Surrogate, parameters: Mapping[str, Any]) -> tuple[Call | None, tuple[torch.Tensor, ...]]:
    """The call, made once for equal arguments, and the tensors among the parameters; all checked. None for a torch.fx.Proxy."""
    if not parameters:
        key = v.dtype, v.device
        if not isinstance(surrogate, Surrogate) or key not in surrogate._calls:
            surrogate._calls[key] = _call_with_numbers(surrogate, *key)
        return surrogate._calls[key], ()
    if all(isinstance(value, (int, float)) for value in parameters.values()):
        try:
            with_numbers = surrogate._calls[_call_with_numbers]
        except (AttributeError, KeyError):
            checked(v, surrogate, parameters)
            # Typed, since a scale of True is an error and a scale of 1 is not.
            with_numbers = functools.lru_cache(maxsize=MOST, typed=True)(functools.partial(_call_with_numbers, surrogate))
            surrogate._calls[_call_with_numbers] = with_numbers
        return with_numbers(v.dtype, v.device, **parameters), ()
    if any(isinstance(value, torch.fx.Proxy) for value in parameters.values()):
        return None, ()
    settings, values = checked(v, surrogate, parameters)
    tensors = {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}
    numbers = tuple((name, value) for name, value in values.items() if name not in tensors)
    return _call(type(surrogate), tuple(settings.items()), numbers, tuple(tensors), v.dtype, v.device), tuple(tensors.values())


def _call_with_numbers(surrogate: Surrogate, dtype: torch.dtype, device: torch.device, /, **numbers: float) -> Call:
    settings, values = checked(torch.empty((), dtype=dtype, device=device), surrogate, numbers)
    return _call(type(surrogate), tuple(settings.items()), tuple(values.items()), (), dtype, device)


@per_class_cache
def _call(
    definition: type[Surrogate],
    settings: tuple[tuple[str, Any], ...],
    numbers: tuple[tuple[str, float], ...],
    names: tuple[str, ...],
    dtype: torch.dtype,
    device: torch.device,
) -> Call:
    return Call(definition, dict(settings), dict(numbers), names, dtype, device)
