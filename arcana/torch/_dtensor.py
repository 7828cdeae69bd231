"""A call on a DTensor: every rank calls on its own part. Imported only where there is one, since it loads torch.distributed.

An elementwise function of a part needs no other rank. A potential that is a sum still to be made (`Partial`) is made first, with
the one all-reduce that any function takes that is not linear; and the gradient of a parameter that ranks share is the sum of what
each of them finds, made once, in the parameter's own placement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard

Placements = tuple[Placement, ...]


class Placed(torch.autograd.Function):
    """A DTensor in other placements. `redistribute` has one derivative in PyTorch 2.6 and two in 2.15; this has all."""

    @staticmethod
    def forward(ctx: Any, x: DTensor, placements: Placements) -> torch.Tensor:
        ctx.placements = x.placements
        return x.view_as(x) if x.placements == placements else x.redistribute(placements=placements)

    @staticmethod
    def backward(ctx: Any, x: DTensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Placed.apply(x, _made(ctx.placements)), None


class Part(torch.autograd.Function):
    """This rank's part of a DTensor, whose gradients make a whole in the placements `gradient`; the inverse of `Whole`."""

    @staticmethod
    def forward(ctx: Any, whole: DTensor, gradient: Placements) -> torch.Tensor:
        ctx.mesh, ctx.gradient = whole.device_mesh, gradient
        ctx.shape, ctx.stride = whole.shape, whole.stride()
        part: Any = whole.to_local()
        # A collective that is still under way returns a tensor that waits.
        part = part.wait() if hasattr(part, "wait") else part
        return part.view_as(part)

    @staticmethod
    def backward(ctx: Any, part: torch.Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Whole.apply(part, ctx.mesh, ctx.gradient, ctx.shape, ctx.stride), None


class Whole(torch.autograd.Function):
    """The DTensor whose parts the ranks have."""

    @staticmethod
    def forward(
        ctx: Any, part: torch.Tensor, mesh: DeviceMesh, placements: Placements, shape: torch.Size, stride: tuple[int, ...]
    ) -> DTensor:
        ctx.placements = placements
        return DTensor.from_local(part, mesh, placements, run_check=False, shape=shape, stride=stride)

    @staticmethod
    def backward(ctx: Any, whole: DTensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Part.apply(Placed.apply(whole, _made(ctx.placements)), ctx.placements), None, None, None, None


def _made(placements: Placements) -> Placements:
    """Return the placements with every sum made: each of its terms has the gradient of the sum."""
    return tuple(Replicate() if each.is_partial() else each for each in placements)


# What is compiled is differentiated once, and Dynamo follows these methods in every version and no Function that takes a DTensor.


def _part(x: DTensor, placements: Placements, gradient: Placements) -> torch.Tensor:
    if torch.compiler.is_compiling():
        return x.redistribute(placements=placements).to_local(grad_placements=gradient)
    return Part.apply(Placed.apply(x, placements), gradient)


def _whole(x: torch.Tensor, mesh: DeviceMesh, placements: Placements, shape: torch.Size, stride: tuple[int, ...]) -> DTensor:
    if torch.compiler.is_compiling():
        return DTensor.from_local(x, mesh, placements, run_check=False, shape=shape, stride=stride)
    return Whole.apply(x, mesh, placements, shape, stride)


def by_parts(function: Callable[..., torch.Tensor], v: torch.Tensor, *values: Any) -> DTensor:
    """Return an elementwise function of v and values, called on each rank with its parts.

    Args:
        function: of v and the values.
        v: the potential, in any placement.
        values: DTensors on v's mesh and plain tensors that are the same on every rank, all of which broadcast to v; anything else
            is passed on.

    Raises:
        TypeError: v is no DTensor, and a value is one.
        ValueError: a value lies on another mesh than v.
    """
    if not isinstance(v, DTensor):
        msg = "v is a plain tensor and a parameter is a DTensor: hand over v as a DTensor, or the parameter's to_local()"
        raise TypeError(msg)
    mesh = v.device_mesh
    placements: Placements = tuple(each if type(each) in (Shard, Replicate) else Replicate() for each in v.placements)
    parts = [_part(v, placements, placements)]
    for x in values:
        if not isinstance(x, torch.Tensor):
            parts.append(x)
            continue
        if not isinstance(x, DTensor):
            x = _whole(x, mesh, (Replicate(),) * mesh.ndim, x.shape, x.stride())
        elif x.device_mesh != mesh:
            msg = f"v is a DTensor on {mesh} and a parameter one on {x.device_mesh}: put both on one mesh"
            raise ValueError(msg)
        own = tuple(_beside(each, v, x) for each in placements)
        split = zip(placements, own, strict=True)
        summed = tuple(Partial() if each.is_shard() and mine.is_replicate() else mine for each, mine in split)
        parts.append(_part(x, own, summed))
    return _whole(function(*parts), mesh, placements, v.shape, v.stride())


def _beside(placement: Placement, v: torch.Tensor, x: torch.Tensor) -> Placement:
    """Return where a parameter's part must lie beside v's: the same channels, or all of what the channels share."""
    if not isinstance(placement, Shard):
        return placement
    axis = placement.dim - (v.ndim - x.ndim)
    return Shard(axis) if axis >= 0 and x.shape[axis] > 1 else Replicate()
