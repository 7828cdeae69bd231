"""Rules on the device in PyTorch: the spikes' bits and the gradients beside the CPU's, and how often a random rule fires."""

from __future__ import annotations

import functools
from typing import Any

import torch
from samples import FAMILIES
from session import Session
from transforms_torch import given, joined

from arcana.rules import Integer, Rule, Smooth, Stochastic, Ternary
from arcana.surrogate import get
from arcana.torch import spike

DETERMINISTIC = (Integer(4), Integer(4, repeat=False, step=0.5), Ternary())
DISTRIBUTIONS = ("fast_sigmoid", "gaussian", "sigmoid")
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def main(session: Session, framework: str) -> None:
    device, small = session.settings.device, session.settings.small
    for name in FAMILIES[:1] if small else FAMILIES:
        for rule in DETERMINISTIC:
            session.check(f"torch, {rule}, {name}", functools.partial(deterministic, name, rule, device))
        session.check(f"torch, Smooth(), {name}", functools.partial(smooth, name, device))
    for name in DISTRIBUTIONS[:1] if small else DISTRIBUTIONS:
        session.check(f"torch, Stochastic(), {name}", functools.partial(stochastic, name, device))


def spikes_and_gradient(name: str, rule: Rule, v: torch.Tensor, c: torch.Tensor, random: Any = None) -> tuple[torch.Tensor, ...]:
    v = v.detach().requires_grad_()
    spikes = spike(v, get(name).unit_area() if random is not None else get(name), rule=rule, random=random)
    return spikes.detach(), torch.autograd.grad(spikes, v, c)[0]


def deterministic(name: str, rule: Rule, device: str) -> dict[str, Any]:
    results = []
    for dtype in DTYPES:
        v, c = given(dtype)
        v = 3 * v
        v.view(-1)[:3] = torch.tensor([0.0, 1.0, -1.0])
        there = spikes_and_gradient(name, rule, v.to(device), c.to(device))
        right = spikes_and_gradient(name, rule, v, c)
        equal = torch.equal(there[0].cpu(), right[0])
        # A sum of several h is rounded at each addition.
        off = float(((there[1].cpu() - right[1]).double().abs() / right[1].double().abs().max()).max() / torch.finfo(dtype).eps)
        results.append({"ok": equal and off <= 4, "detail": f"{dtype}: spikes equal {equal}, gradient {off:.2g} roundings apart"})
    return joined(results)


def smooth(name: str, device: str) -> dict[str, Any]:
    v, c = given(torch.float64)
    found = spikes_and_gradient(name, Smooth(), v.to(device), c.to(device))
    right = spikes_and_gradient(name, Smooth(), v, c)
    off = max(float((one.cpu() - other).abs().max()) for one, other in zip(found, right, strict=True))
    return {"ok": off < 1e-13, "detail": f"{off:.2g} apart in float64"}


def stochastic(name: str, device: str) -> dict[str, Any]:
    """The share of spikes at five potentials, with the device's own generator, within 5 deviations of G."""
    count, results = 1 << 20, []
    generator = torch.Generator(device).manual_seed(3)
    for at in (-1.0, -0.1, 0.0, 0.1, 1.0):
        v = torch.full((count,), at, device=device)
        spikes, gradient = spikes_and_gradient(name, Stochastic(), v, torch.ones_like(v), generator)
        surrogate = get(name).unit_area()
        p, h = (float(f(torch.tensor(at, dtype=torch.float64).numpy())) for f in (surrogate.primitive, surrogate.derivative))
        deviation = max((p * (1 - p) / count) ** 0.5, 1 / count)
        apart = (float(spikes.double().mean()) - p) / deviation
        right = bool(((gradient - h).abs() <= 1e-5 * max(h, 1e-3)).all())
        results.append({"ok": abs(apart) <= 5 and right, "detail": f"G({at}): {apart:+.1f} deviations, gradient is h: {right}"})
    uniform = torch.rand(1000)
    v = torch.randn(1000)
    ones = torch.ones(1000)
    here, there = (spikes_and_gradient(name, Stochastic(), v.to(x), ones.to(x), uniform.to(x)) for x in ("cpu", device))
    differ = int((here[0] != there[0].cpu()).sum())
    results.append({"ok": differ <= 1, "detail": f"{differ} of 1000 spikes differ by the same numbers"})
    return joined(results)
