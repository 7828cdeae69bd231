"""Every surrogate in two processes, compared with one: `torchrun --nproc-per-node 2 torch_cases.py RESULTS [NAME ...]`.

Writes a list of records: the case, its parameters, the surrogate, the largest difference of a gradient from that of one process
(of the largest gradient in its array), and where something was counted the collectives of the forward and the backward pass.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, SequenceParallel, parallelize_module

from arcana import surrogate as definitions
from arcana.surrogate import Surrogate
from arcana.torch import Spike, spike

Gradients = dict[str, torch.Tensor]
Parameters = Mapping[str, torch.Tensor]

_SEED = torch.Generator().manual_seed(0)
# Five rows, so that the two processes have parts of different sizes.
V = torch.randn(5, 6, generator=_SEED, dtype=torch.float64)
COTANGENT = torch.randn(5, 6, generator=_SEED, dtype=torch.float64)
INPUTS = torch.randn(4, 6, generator=_SEED, dtype=torch.float64)

PLACEMENTS: dict[str, Placement] = {"Shard(0)": Shard(0), "Shard(1)": Shard(1), "Replicate": Replicate(), "Partial": Partial()}
SHAPES = {"shared": (1,), "per channel": (6,)}
FSDP2 = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 7)
"""Whether FSDP2 runs on a CPU: PyTorch 2.6 asks for the events of a stream there."""


def whole(x: torch.Tensor) -> torch.Tensor:
    """What all ranks hold together."""
    return x.full_tensor() if isinstance(x, DTensor) else x


def difference(found: Gradients, expected: Gradients) -> float:
    assert found.keys() == expected.keys()
    sizes = {key: float(other.abs().max()) or 1.0 for key, other in expected.items()}
    return max(float((whole(found[key]) - other).abs().max()) / sizes[key] for key, other in expected.items())


def parameters_of(surrogate: Surrogate, shape: tuple[int, ...]) -> Parameters:
    return {name: torch.full(shape, value, dtype=torch.float64) for name, value in surrogate.numbers.items()}


def placed(x: torch.Tensor, mesh: DeviceMesh, placement: Placement) -> DTensor:
    """x over the mesh; as a sum that is still to be made, each rank has half."""
    if placement.is_partial():
        return DTensor.from_local(x / mesh.size(), mesh, [placement])
    return distribute_tensor(x, mesh, [placement])


def pulled(call: Callable[..., torch.Tensor], v: torch.Tensor, parameters: Parameters, cotangent: torch.Tensor) -> Gradients:
    """The gradients of v and of each parameter, by backward into leaves."""
    leaves = {"v": v, **parameters}
    for leaf in leaves.values():
        leaf.requires_grad_()
    call(v, **parameters).backward(cotangent)
    return {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}


def of_dtensors(surrogate: Surrogate, mesh: DeviceMesh) -> Iterator[dict[str, Any]]:
    """Every placement of the potential, with parameters as plain tensors and as DTensors.

    `sums` is how many gradients of a parameter are sums over the parts.
    """

    def call(v: torch.Tensor, **parameters: torch.Tensor) -> torch.Tensor:
        return spike(v, surrogate, **parameters)

    for size, shape in SHAPES.items():
        expected = pulled(call, V.clone(), parameters_of(surrogate, shape), COTANGENT)
        for label, placement in PLACEMENTS.items():
            cotangent = placed(COTANGENT, mesh, Replicate() if placement.is_partial() else placement)
            split = size == "per channel" and label == "Shard(1)"
            for kind in ("plain", "Replicate", *(["Shard"] if split else [])):
                v, parameters = placed(V, mesh, placement), parameters_of(surrogate, shape)
                if kind != "plain":
                    own = Shard(0) if kind == "Shard" else Replicate()
                    parameters = {name: placed(x, mesh, own) for name, x in parameters.items()}
                counts = []

                def counted(v: torch.Tensor, **parameters: torch.Tensor) -> torch.Tensor:
                    spikes = call(v, **parameters)
                    counts.append(counter.get_total_counts())  # noqa: B023  (called within)
                    assert torch.equal(whole(spikes.detach()), call(V))
                    counts.append(counter.get_total_counts())  # noqa: B023  (called within)
                    return spikes

                with CommDebugMode() as counter:
                    found = pulled(counted, v, parameters, cotangent)
                    total = counter.get_total_counts()
                for name, x in parameters.items():
                    gradient = found[name]
                    assert not isinstance(x, DTensor) or (isinstance(gradient, DTensor) and gradient.placements == x.placements)
                sums = len(parameters) if placement.is_shard() and kind != "Shard" else 0
                yield {
                    "case": f"DTensor, `{label}`",
                    "parameters": f"{size}, {kind}",
                    "difference": difference(found, expected),
                    "collectives": [counts[0], total - counts[1]],
                    "sums": sums,
                }


def twice(surrogate: Surrogate, mesh: DeviceMesh) -> Iterator[dict[str, Any]]:
    """The gradient of a loss made of gradients, and a compiled call."""

    def second(v: torch.Tensor, parameters: Parameters, weight: torch.Tensor) -> Gradients:
        leaves = {"v": v.requires_grad_(), **{name: x.requires_grad_() for name, x in parameters.items()}}
        spikes = spike(v, surrogate, **parameters)
        first = torch.autograd.grad((spikes * spikes * weight * v.sin()).sum(), list(leaves.values()), create_graph=True)
        losses = [(each * each).sum() for each in first]
        made = [x.redistribute(placements=[Replicate()]).to_local() if isinstance(x, DTensor) else x for x in losses]
        return dict(zip(leaves, torch.autograd.grad(sum(made), list(leaves.values())), strict=True))  # pyright: ignore[reportCallIssue, reportArgumentType]

    def compiled(v: torch.Tensor, parameters: Parameters, cotangent: torch.Tensor) -> Gradients:
        torch.compiler.reset()
        call = torch.compile(lambda v, **given: spike(v, surrogate, **given), backend="aot_eager", fullgraph=True)
        return pulled(call, v, parameters, cotangent)

    for label, way in (("the gradient of a gradient", second), ("compiled", compiled)):
        expected = way(V.clone(), parameters_of(surrogate, (6,)), COTANGENT)
        parameters = {name: placed(x, mesh, Replicate()) for name, x in parameters_of(surrogate, (6,)).items()}
        found = way(placed(V, mesh, Shard(0)), parameters, placed(COTANGENT, mesh, Shard(0)))
        yield {"case": f"DTensor, {label}", "parameters": "per channel, Replicate", "difference": difference(found, expected)}


def model_of(surrogate: Surrogate, shape: tuple[int, ...]) -> nn.Sequential:
    torch.manual_seed(0)
    fire = Spike(surrogate, threshold=0.25, learnable=["threshold", *surrogate.numbers], shape=shape)
    return nn.Sequential(nn.Linear(6, 6), fire, nn.Linear(6, 3)).double()


def gradients(model: nn.Module, inputs: torch.Tensor, ranks: int = 1) -> Gradients:
    """The gradients of a loss that is not linear in the outputs, a mean over the ranks."""
    (model(inputs).square().sum() * ranks).backward()
    return {name.removeprefix("module."): x.grad for name, x in model.named_parameters() if x.grad is not None}


PLANS: dict[str, Callable[[], dict[str, Any]]] = {
    "column-wise, a DTensor handed on": lambda: {"0": ColwiseParallel(use_local_output=False), "2": RowwiseParallel()},
    "column-wise, SequenceParallel": lambda: {
        "0": ColwiseParallel(),
        "1": SequenceParallel(sequence_dim=-1),
        "2": RowwiseParallel(),
    },
    "row-wise": lambda: {
        "0": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(0), use_local_output=False),
        "2": ColwiseParallel(input_layouts=Shard(0), output_layouts=Replicate()),
    },
}


def of_models(surrogate: Surrogate, mesh: DeviceMesh) -> Iterator[dict[str, Any]]:
    """A layer that learns everything, in a model that is split or copied."""
    ranks, rank = mesh.size(), mesh.get_local_rank()
    for size, shape in SHAPES.items():
        expected = gradients(model_of(surrogate, shape), INPUTS)
        mine = INPUTS.chunk(ranks)[rank]
        copied = nn.parallel.DistributedDataParallel(model_of(surrogate, shape))
        yield {"case": "DDP", "parameters": size, "difference": difference(gradients(copied, mine, ranks), expected)}
        if FSDP2:
            sharded = model_of(surrogate, shape)
            fully_shard(sharded[1], mesh=mesh)
            fully_shard(sharded, mesh=mesh)
            yield {"case": "FSDP2", "parameters": size, "difference": difference(gradients(sharded, mine, ranks), expected)}
        for label, plan in PLANS.items():
            split = model_of(surrogate, shape)
            parallelize_module(split, mesh, plan())
            found = difference(gradients(split, INPUTS), expected)
            yield {"case": f"tensor parallel, {label}", "parameters": size, "difference": found}


def records(names: Sequence[str], mesh: DeviceMesh) -> Iterator[dict[str, Any]]:
    for name in names:
        for cases in (of_dtensors, twice, of_models):
            for record in cases(definitions.get(name), mesh):
                yield {"name": name, **record}


def main() -> None:
    results, *names = sys.argv[1:]
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    found = list(records(names or definitions.names(), mesh))
    of_ranks: list[Any] = [None] * mesh.size()
    torch.distributed.all_gather_object(of_ranks, [record["difference"] for record in found])
    for record, each in zip(found, zip(*of_ranks, strict=True), strict=True):
        record["difference"] = max(each)
    if torch.distributed.get_rank() == 0:
        Path(results).write_text(json.dumps(found), encoding="utf-8")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
