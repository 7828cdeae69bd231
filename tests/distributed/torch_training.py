"""The digits trained in two processes, compared with one at every update: `torchrun ... torch_training.py RESULTS`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from digits import LEAK, RATE, STEPS, Comparison, batches, weights
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.utils.checkpoint import checkpoint
from torch_cases import FSDP2, whole

from arcana.surrogate import FastSigmoid
from arcana.torch import Spike

MICROBATCHES = 4


class Layer(nn.Module):
    """Leaky neurons over a sequence, (batch, steps, inputs) to spikes."""

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.weight = linear(values[f"{name}.weight"])
        threshold = nn.Parameter(torch.tensor(values[f"{name}.threshold"]))
        self.fire = Spike(FastSigmoid(scale=float(values[f"{name}.scale"][0])), threshold=threshold, learnable="scale")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        currents = self.weight(x)
        v = torch.zeros_like(currents[:, 0])
        spikes = []
        for step in range(STEPS):
            v = LEAK * v + currents[:, step]
            spikes.append(self.fire(v))
            v = v - spikes[-1]
        return torch.stack(spikes, dim=1)


class Readout(nn.Module):
    """The mean over the steps, by a matrix."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.weight = linear(values["readout.weight"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight(x.mean(dim=1))


def linear(matrix: Any) -> nn.Linear:
    layer = nn.Linear(*matrix.shape, bias=False)
    layer.weight = nn.Parameter(torch.tensor(matrix.T).contiguous())
    return layer


def network() -> nn.Sequential:
    values = weights()
    return _named({"first": Layer("first", values), "second": Layer("second", values), "readout": Readout(values)})


def _named(layers: Mapping[str, nn.Module]) -> nn.Sequential:
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    return model


def of_parameters(model: nn.Module, get: Callable[[nn.Parameter], torch.Tensor | None]) -> dict[str, torch.Tensor]:
    """What there is of each parameter, whole and under its name in the network."""
    found = {name.removeprefix("module."): get(x) for name, x in model.named_parameters()}
    return {name: whole(x.detach()) for name, x in found.items() if x is not None}


def loss_of(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(scores, labels)


Step = Callable[[torch.Tensor, torch.Tensor], None]
"""Leaves the gradients of a batch in the parameters of a model."""


def train(model: nn.Module, step: Step) -> Comparison:
    """Train it; a network in this process sees the same parameters and the whole batch at every update."""
    alone = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    own = {name for name, _ in model.named_parameters()}
    comparison = Comparison()
    for images, labels in batches():
        inputs, targets = torch.from_numpy(images)[:, None].expand(-1, STEPS, -1), torch.from_numpy(labels)
        values = gathered(of_parameters(model, lambda x: x))
        with torch.no_grad():
            for name, x in alone.named_parameters():
                x.copy_(values[name])
        alone.zero_grad()
        loss = loss_of(alone(inputs), targets)
        loss.backward()
        optimizer.zero_grad()
        step(inputs, targets)
        found = of_parameters(model, lambda x: x.grad)
        assert len(found) == len(own)
        comparison.see(loss.item(), found, of_parameters(alone, lambda x: x.grad))
        optimizer.step()
    return comparison


def gathered(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The parameters of every rank: those of its stage where the model is split into stages."""
    of_ranks: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(of_ranks, values)
    return {name: x for each in of_ranks for name, x in each.items()}


def on_my_part(model: Callable[[torch.Tensor], torch.Tensor]) -> Step:
    """A step of data-parallel training, whose gradients are averaged over the ranks."""

    def step(inputs: torch.Tensor, targets: torch.Tensor) -> None:
        ranks, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
        loss_of(model(inputs.chunk(ranks)[rank]), targets.chunk(ranks)[rank]).backward()

    return step


def ddp(_: DeviceMesh) -> Comparison:
    model = nn.parallel.DistributedDataParallel(network())
    return train(model, on_my_part(model))


def ddp_compiled(_: DeviceMesh) -> Comparison:
    model = nn.parallel.DistributedDataParallel(network())
    return train(model, on_my_part(torch.compile(model, backend="aot_eager")))


def fsdp2(mesh: DeviceMesh) -> Comparison:
    model = network()
    for layer in model:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return train(model, on_my_part(model))


def fsdp2_checkpointed(mesh: DeviceMesh) -> Comparison:
    class Checkpointed(Layer):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return checkpoint(super().forward, x, use_reentrant=False)

    values = weights()
    model = _named({"first": Checkpointed("first", values), "second": Checkpointed("second", values), "readout": Readout(values)})
    for layer in model:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return train(model, on_my_part(model))


def tensor_parallel(mesh: DeviceMesh) -> Comparison:
    model = network()
    # The first layer's potentials are shards; its spikes go on as one DTensor, and the second takes its product as a sum of two.
    parallelize_module(
        model,
        mesh,
        {"first.weight": ColwiseParallel(use_local_output=False), "second.weight": RowwiseParallel()},
    )
    return train(model, lambda inputs, targets: loss_of(model(inputs), targets).backward())


def stages(schedule: Any) -> Callable[[DeviceMesh], Comparison]:
    def pipeline(_: DeviceMesh) -> Comparison:
        ranks, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
        model = network()
        part = _named({name: layer for name, layer in model.named_children() if (name == "first") == (rank == 0)})
        stage = PipelineStage(part, rank, ranks, torch.device("cpu"))
        run = schedule(stage, n_microbatches=MICROBATCHES, loss_fn=loss_of)

        def step(inputs: torch.Tensor, targets: torch.Tensor) -> None:
            if rank == 0:
                run.step(inputs)
            else:
                run.step(target=targets)

        return train(part, step)

    return pipeline


CASES: dict[str, Callable[[DeviceMesh], Comparison]] = {
    "`DistributedDataParallel`": ddp,
    "`DistributedDataParallel`, compiled": ddp_compiled,
    "FSDP2 (`fully_shard`)": fsdp2,
    "FSDP2, checkpoints": fsdp2_checkpointed,
    "tensor parallel (`parallelize_module`)": tensor_parallel,
    "two stages, `ScheduleGPipe`": stages(ScheduleGPipe),
    "two stages, `Schedule1F1B`": stages(Schedule1F1B),
}


def main() -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    cases = {case: run for case, run in CASES.items() if FSDP2 or "FSDP2" not in case}
    records = [run(mesh).record(case) for case, run in cases.items()]
    of_ranks: list[Any] = [None] * mesh.size()
    torch.distributed.all_gather_object(of_ranks, [record["differences"] for record in records])
    for record, each in zip(records, zip(*of_ranks, strict=True), strict=True):
        record["differences"] = {name: max(x.get(name, 0.0) for x in each) for every in each for name in every}
    if torch.distributed.get_rank() == 0:
        Path(sys.argv[1]).write_text(json.dumps(records), encoding="utf-8")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
