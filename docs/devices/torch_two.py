"""Four ways to train a network that learns its slope.

torchrun --standalone --nproc-per-node 2 docs/devices/torch_two.py
"""

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from arcana.surrogate import FastSigmoid
from arcana.torch import Spike


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 16),
        Spike(FastSigmoid(), threshold=0.1, learnable="scale"),
        nn.Linear(16, 4),
    )


torch.distributed.init_process_group("gloo")  # "nccl" between GPUs
rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
mesh = init_device_mesh("cpu", (ranks,))
x = torch.linspace(-1, 1, 64).reshape(8, 8)
mine = x.chunk(ranks)[rank]

alone = network()
alone(x).square().mean().backward()

copied = nn.parallel.DistributedDataParallel(network())
copied(mine).square().mean().backward()

sharded = network()
fully_shard(sharded, mesh=mesh)
sharded(mine).square().mean().backward()

# The layer before hands its DTensor on; Spike's gradient is the sum of both ranks'.
columns = network()
parallelize_module(
    columns,
    mesh,
    {"0": ColwiseParallel(use_local_output=False), "2": RowwiseParallel()},
)
columns(x).square().mean().backward()

# The layer before hands on each rank's part; the plan says so of Spike's input.
parts = network()
parallelize_module(
    parts,
    mesh,
    {
        "0": ColwiseParallel(),
        "1": SequenceParallel(sequence_dim=-1),
        "2": RowwiseParallel(),
    },
)
parts(x).square().mean().backward()


def gradient_of(model: nn.Module) -> torch.Tensor:
    gradient = next(
        x.grad for name, x in model.named_parameters() if name.endswith("scale")
    )
    assert gradient is not None
    return gradient.full_tensor() if isinstance(gradient, DTensor) else gradient


gradients = {
    "DDP": gradient_of(copied),
    "FSDP2": gradient_of(sharded),
    "tensor parallel, DTensor": gradient_of(columns),
    "tensor parallel, parts": gradient_of(parts),
}
for name, gradient in gradients.items():
    if rank == 0:
        print(name, torch.allclose(gradient, gradient_of(alone), rtol=1e-5))
torch.distributed.destroy_process_group()
