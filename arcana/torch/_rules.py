"""Spikes by a rule of `arcana.rules`: its numbers, with the derivative that `fired` gives. Imported when one is asked for.

The numbers are constants, and to them 0 is added: spikes minus themselves, which have the derivative. So a rule works under every
transform under which a spike does, and to every order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.fx

from arcana._core import Formula, Surrogate, checked_call, checked_potential, class_of
from arcana.rules import Firing, Heaviside, Rule, checked_rule, emitted
from arcana.torch._checks import TENSORS, distributed
from arcana.torch._compat import transformed
from arcana.torch._derivative import Derivative
from arcana.torch._eager.chunks import in_chunks
from arcana.torch._function import by_parts, fired, spike
from arcana.torch._namespace import NAMESPACES

Random = torch.Generator | torch.Tensor | None

CHUNK = 1 << 16
"""Elements that a rule looks at together: it makes an array for every operation, and larger ones are not in the cache."""


def by_rule(v: torch.Tensor, surrogate: Surrogate, rule: Any, random: Random, parameters: Mapping[str, Any]) -> torch.Tensor:
    """Return the spikes of v by a rule, which is checked."""
    rule = checked_rule(rule, random)
    if type(rule) is Heaviside:
        return fired(v, surrogate, parameters)
    if isinstance(v, torch.fx.Proxy):
        node: Any = v.tracer.create_proxy("call_function", spike, (v, surrogate), {"rule": rule, "random": random, **parameters})
        return node
    if any(map(distributed, (v, *parameters.values()))):
        return by_parts(lambda v, **values: ruled(v, surrogate, rule, random, values), v, parameters)
    return ruled(v, surrogate, rule, random, parameters)


def ruled(v: torch.Tensor, surrogate: Surrogate, rule: Rule, random: Random, parameters: Mapping[str, Any]) -> torch.Tensor:
    """Return the spikes of v by a rule that is not Heaviside's."""
    v = checked_potential(surrogate, v, TENSORS)
    formula, values = checked_call(surrogate, v, parameters, TENSORS)
    if torch.compiler.is_compiling():
        # There `numbers` is told to stay in the graph.
        import arcana.torch._dynamo  # noqa: F401
    uniform = _uniform(v, random) if rule.random else None
    constants = [x.detach() if isinstance(x, torch.Tensor) else x for x in values.values()]
    spikes = numbers(v.detach(), rule, uniform, surrogate.key, formula.settings, tuple(values), *constants)
    if not _asked(v, values):
        return spikes
    return spikes + nothing(v, surrogate, rule, parameters)


def numbers(
    v: torch.Tensor,
    rule: Rule,
    uniform: torch.Tensor | None,
    key: str,
    settings: tuple[Any, ...],
    names: tuple[str, ...],
    *values: Any,
) -> torch.Tensor:
    """Return the spikes of v by a rule, without a derivative."""
    formula, parameters = Formula(class_of(key), settings), dict(zip(names, values, strict=True))

    def spikes(v: torch.Tensor, uniform: torch.Tensor | None = None) -> torch.Tensor:
        derivative = Derivative(formula, v, parameters)
        xp = NAMESPACES[derivative.dtype]
        firing = Firing(xp, formula.fires_at_threshold, lambda: derivative.evaluate("primitive"), uniform)
        return emitted(rule, derivative.v, formula, parameters, firing)

    if transformed(v) or any(isinstance(x, torch.Tensor) for x in values):
        return spikes(v, uniform).to(v.dtype)
    arrays = [v] if uniform is None else [v, uniform]
    return in_chunks(lambda *given: given[-1].copy_(spikes(*given[:-1])), arrays, torch.empty_like(v), [], computing(v), CHUNK)


def computing(v: torch.Tensor) -> torch.dtype:
    """Return the computing dtype of a potential."""
    return torch.float64 if v.dtype is torch.float64 else torch.float32


def nothing(v: torch.Tensor, surrogate: Surrogate, rule: Rule, parameters: Mapping[str, Any]) -> torch.Tensor:
    """Return 0 with the derivative of the spikes of v."""
    spikes = fired(v, surrogate, parameters, rule.thresholds)
    return spikes - spikes.detach()


def _asked(v: torch.Tensor, values: Mapping[str, Any]) -> bool:
    """Whether somebody may ask for a derivative."""
    tensors = [v, *(x for x in values.values() if isinstance(x, torch.Tensor))]
    if torch.compiler.is_compiling() or any(map(transformed, tensors)):
        return True
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


def _uniform(v: torch.Tensor, random: Random) -> torch.Tensor:
    """Return numbers from [0, 1) in v's computing dtype: those that are given, or new ones."""
    dtype = computing(v)
    if not isinstance(random, torch.Tensor):
        return torch.rand(v.shape, dtype=dtype, device=v.device, generator=random)
    if random.shape != v.shape or not random.is_floating_point():
        msg = (
            f"Stochastic: random must be a generator, or a floating-point tensor of v's shape {tuple(v.shape)}, "
            f"got {random.dtype} of shape {tuple(random.shape)}"
        )
        raise ValueError(msg)
    return random.detach().to(dtype)
