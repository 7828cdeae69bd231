"""A call on plain eager tensors: what is the same at every call is found once, and kept with the surrogate's value."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from arcana.surrogate import Surrogate
from arcana.torch._pieces import run
from arcana.torch._program import Kept, Program, program
from arcana.torch._rule import Rule, checked, transformed


class Call:
    """A surrogate on potentials of one dtype: its comparison, what it keeps for backward, and its backward.

    Args:
        definition: the surrogate's class.
        settings: the fields that shape its formula.
        numbers: the parameters that are numbers.
        names: those that are given to each call as tensors.
        dtype: of the potential.
    """

    def __init__(
        self,
        definition: type[Surrogate],
        settings: Mapping[str, Any],
        numbers: Mapping[str, float],
        names: tuple[str, ...],
        dtype: torch.dtype,
    ) -> None:
        self.definition = definition
        self.settings = settings
        self.numbers = numbers
        self.names = names
        self.compare = torch.ge if settings["fires_at_threshold"] else torch.gt
        with torch.inference_mode(False):
            self.zero = torch.zeros((), dtype=dtype)
            rule = Rule(definition, settings, self.zero, numbers)
            self.dtype = rule.dtype
            self.one = torch.ones((), dtype=rule.dtype)
        self.program = program(definition, tuple(settings.items()), (*numbers, *names), self.dtype, keep_v=bool(names))
        self.constants = self.program.fold(rule.numbers) if self.program and not names else []

    def fires(self, v: torch.Tensor) -> torch.Tensor:
        """The spikes of v in one pass; NaN does not fire."""
        return self.compare(v, self.zero, out=torch.empty_like(v))

    def kept(self, v: torch.Tensor, spikes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What `pull` needs of the potential, to be saved: nothing, the spikes, a comparison, or v."""
        if self.program is None or self.program.kept is Kept.POTENTIAL:
            return (v,)
        if self.program.kept is Kept.MASK:
            return (run(self.program.mask, [v], torch.empty_like(v, dtype=torch.bool), self.constants, self.dtype),)
        return (spikes,) if self.program.kept is Kept.SPIKES else ()

    def pull(self, kept: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor], cotangent: torch.Tensor) -> torch.Tensor:
        """cotangent · h, in the cotangent's dtype."""
        if self.program is not None and self.program.passes:
            return cotangent
        composed = torch.is_grad_enabled() or transformed(cotangent)
        if self.program is None or (composed and self.program.kept is Kept.POTENTIAL):
            return (cotangent.to(self.dtype) * self.rule(kept[0], tensors).derivative()).to(cotangent.dtype)
        if composed:
            return (cotangent.to(self.dtype) * self._derivative(self.program, kept)).to(cotangent.dtype)
        constants = self.program.fold(self.rule(kept[0], tensors).numbers) if tensors else self.constants
        like = kept[0] if kept else cotangent
        out = torch.empty_like(like) if like.dtype is cotangent.dtype else torch.empty_like(like, dtype=cotangent.dtype)
        return run(self.program.pull, [*kept, cotangent], out, constants, self.dtype)

    def _derivative(self, program: Program, kept: Sequence[torch.Tensor]) -> torch.Tensor:
        """h where it takes constant values: it has no derivative, and the spikes must not lend it theirs."""
        with torch.no_grad():
            one = self.one.expand(kept[0].shape if kept else ())
            return run(program.pull, [*kept, one], torch.empty_like(one), self.constants, self.dtype)

    def rule(self, v: torch.Tensor, tensors: Sequence[torch.Tensor]) -> Rule:
        """The rule of this call by plain operations."""
        return Rule(self.definition, self.settings, v, {**self.numbers, **dict(zip(self.names, tensors, strict=True))})


def call_of(v: torch.Tensor, surrogate: Surrogate, parameters: Mapping[str, Any]) -> tuple[Call, tuple[torch.Tensor, ...]]:
    """The call, made once for equal arguments, and the tensors among the parameters; all checked."""
    if not parameters or all(isinstance(value, (int, float)) for value in parameters.values()):
        return _call_with_numbers(surrogate, v.dtype, **parameters), ()
    settings, values = checked(v, surrogate, parameters)
    tensors = {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}
    numbers = tuple((name, value) for name, value in values.items() if name not in tensors)
    return _call(type(surrogate), tuple(settings.items()), numbers, tuple(tensors), v.dtype), tuple(tensors.values())


# Typed, since a scale of True is an error and a scale of 1 is not.
@functools.lru_cache(maxsize=1024, typed=True)
def _call_with_numbers(surrogate: Surrogate, dtype: torch.dtype, /, **numbers: float) -> Call:
    settings, values = checked(torch.empty((), dtype=dtype), surrogate, numbers)
    return _call(type(surrogate), tuple(settings.items()), tuple(values.items()), (), dtype)


@functools.lru_cache(maxsize=1024)
def _call(
    definition: type[Surrogate],
    settings: tuple[tuple[str, Any], ...],
    numbers: tuple[tuple[str, float], ...],
    names: tuple[str, ...],
    dtype: torch.dtype,
) -> Call:
    return Call(definition, dict(settings), dict(numbers), names, dtype)
