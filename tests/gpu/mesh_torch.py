"""DTensor, data parallel training and FSDP2 with the device's own collectives, on a mesh of one: each beside the plain call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed
from samples import FAMILIES
from session import Session
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.nn.parallel import DistributedDataParallel

from arcana.surrogate import get
from arcana.torch import Spike, spike

PLACEMENTS = (Shard(0), Shard(1), Replicate(), Partial())


def main(session: Session, framework: str) -> None:
    device = session.settings.device
    backend = "nccl" if device == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        for name in FAMILIES:
            session.check(f"torch, DTensor with {backend}, {name}", functools.partial(placed, name, device))
        for name, wrap in WRAPPED.items():
            session.check(f"torch, {name} with {backend}, a scale that trains", functools.partial(trained, wrap, device))
    finally:
        torch.distributed.destroy_process_group()


def placed(name: str, device: str) -> dict[str, Any]:
    """Spikes and gradients by bits, and the gradient of a parameter for each channel within 4 roundings, in every placement."""
    surrogate, mesh = get(name), init_device_mesh(device, (1,))
    parameter = next(each for each in surrogate.numbers if each != "gain")
    generator = torch.Generator(device).manual_seed(0)
    v = torch.randn(64, 32, device=device, generator=generator)
    value = torch.full((32,), surrogate.numbers[parameter], device=device)

    def gradients(v: torch.Tensor, value: torch.Tensor) -> list[torch.Tensor]:
        leaves = v.detach().requires_grad_(), value.detach().requires_grad_()
        spikes = spike(leaves[0], surrogate, **{parameter: leaves[1]})
        found = spikes, *torch.autograd.grad((spikes * spikes.detach().cos()).sum(), leaves)
        return [x.full_tensor() if isinstance(x, DTensor) else x for x in found]

    right, wrong = gradients(v, value), []
    for placement in PLACEMENTS:
        found = gradients(DTensor.from_local(v, mesh, [placement]), DTensor.from_local(value, mesh, [Replicate()]))
        near = torch.allclose(found[2], right[2], rtol=4 * torch.finfo(torch.float32).eps, atol=1e-6)
        if not (torch.equal(found[0], right[0]) and torch.equal(found[1], right[1]) and near):
            wrong.append(str(placement))
    return {"ok": not wrong, "detail": f"other than the plain call: {', '.join(wrong) or 'none'}"}


def network(device: str) -> torch.nn.Module:
    torch.manual_seed(0)
    spikes = Spike(get("fast_sigmoid"), threshold=0.1, learnable=["scale"])
    return torch.nn.Sequential(torch.nn.Linear(32, 64), spikes, torch.nn.Linear(64, 8)).to(device)


def sharded(module: torch.nn.Module) -> torch.nn.Module:
    for each in module.children():
        fully_shard(each)
    return fully_shard(module)


WRAPPED: dict[str, Callable[[torch.nn.Module], torch.nn.Module]] = {"DDP": DistributedDataParallel, "FSDP2": sharded}


def trained(wrap: Callable[[torch.nn.Module], torch.nn.Module], device: str) -> dict[str, Any]:
    """Three steps of SGD: the weights and the scale end where those of the plain network end."""
    ends = []
    for prepare in (lambda module: module, wrap):
        module = prepare(network(device))
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        generator = torch.Generator(device).manual_seed(1)
        for _ in range(3):
            x = torch.randn(16, 32, device=device, generator=generator)
            optimizer.zero_grad()
            module(x).square().sum().backward()
            optimizer.step()
        ends.append([(x.full_tensor() if isinstance(x, DTensor) else x).detach() for x in module.parameters()])
    off = max(float((one - other).abs().max()) for one, other in zip(*ends, strict=True))
    moved = any(
        bool((x - y).abs().max() > 1e-4) for x, y in zip(ends[0], network(device).parameters(), strict=True) if x.numel() == 1
    )
    return {"ok": off < 1e-5 and moved, "detail": f"{off:.2g} from the plain network's, the scale moved: {moved}"}
