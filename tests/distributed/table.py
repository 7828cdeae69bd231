"""The tables of what ran past one device, from what the tests have found, and their page: docs/devices.md."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Records = list[dict[str, Any]]

HEAD = """<!-- Written by `nox -s distributed`; edit tests/distributed/table.py instead. -->
# Past one device

A spike is an elementwise function without state, so what splits arrays over devices splits it too. A spike asks no other device
for anything; the gradient of a parameter that devices share is the sum of what each of them finds, and that sum is the one
thing that is sent.

## PyTorch

`torchrun --standalone --nproc-per-node 2 docs/devices/torch_two.py` trains a layer that learns its slope in four ways, and
compares its gradient with that of one process:

```{literalinclude} devices/torch_two.py
:language: python
```

- **Copied or sharded** (`DistributedDataParallel`, `fully_shard`): `Spike` is a module like any other. Its parameters have an
  axis, which FSDP2 asks for; its threshold keeps float64 as a buffer, and follows the optimizer where it is learned.
- **Tensor parallel**: a potential that is a `DTensor` gives spikes that lie like it. A parameter may be a plain tensor that is
  the same on every rank, or a `DTensor`: replicated, or split like the potential's channels, `Shard(0)` for one value a
  channel. Its gradient is whole, and in the parameter's own placement.
- **A rank's part as a plain tensor**, which `ColwiseParallel()` hands on, does not say that it is a part. A parameter that the
  ranks share would get each rank's part of its gradient there: `Spike` warns of it where it can see it, at the output of a
  parallel layer. Hand the `DTensor` on with `use_local_output=False`, or put the layer into the plan with
  `SequenceParallel(sequence_dim=-1)`.
- **`Partial`**, a sum that is still to be made, is made before the comparison: one all-reduce, as before every function that is
  not linear.
- **Stages**: a `PipelineStage` is a module, so a layer of spikes is one. `pipeline()`, which splits by `torch.export`, keeps no
  gradient of a spike, and a warning says so: [limits](meaning.md#limits).

## JAX

Under `jit` the arrays say how they are split, by `NamedSharding`, with `AxisType.Auto` and `AxisType.Explicit` axes; inside
`jax.shard_map` each device has its part. `XLA_FLAGS=--xla_force_host_platform_device_count=8` makes eight devices of a CPU.

```python
import jax
import jax.numpy as jnp
from arcana.jax import fast_sigmoid
from jax.sharding import AxisType, NamedSharding, PartitionSpec

mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Explicit,))
with jax.set_mesh(mesh):
    split = NamedSharding(mesh, PartitionSpec("data"))
    v = jax.device_put(jnp.linspace(-1, 1, 16), split)
    gradient = jax.jit(jax.grad(lambda v: fast_sigmoid(v).sum()))(v)
print(jax.typeof(gradient).sharding.spec == PartitionSpec("data"))  # True
```

```python
import jax
import jax.numpy as jnp
from arcana.jax import fast_sigmoid
from jax.sharding import AxisType, PartitionSpec

mesh = jax.make_mesh((jax.device_count(),), ("devices",), axis_types=(AxisType.Auto,))
split, shared = PartitionSpec("devices"), PartitionSpec()
spikes = jax.shard_map(
    lambda v, scale: fast_sigmoid(v, scale=scale),
    mesh=mesh,
    in_specs=(split, shared),
    out_specs=split,
)

v = jnp.linspace(-1, 1, 16)
gradient = jax.grad(lambda scale: (v * spikes(v, scale)).sum())(jnp.float32(5))
print(gradient.shape)  # ()
```

Several processes make one mesh: `python docs/devices/jax_two.py localhost:29500 2 0` in one shell and `python
docs/devices/jax_two.py localhost:29500 2 1` in another.

```{literalinclude} devices/jax_two.py
:language: python
```

## What ran

`nox -s distributed` installs what it needs, runs `tests/distributed` and writes these tables; each row is a test. Everything
ran on one machine's CPU: two processes by `torchrun` with gloo; eight devices of one process of JAX, and two processes with
four each and gloo. **No two GPUs were used.**

"""

SURROGATES = """### Every surrogate

Each of the {count} surrogates and each of its parameters, shared and one a channel, in float64. "Difference" is the largest of
all gradients, the potential's and the parameters', from that of one process or device, of the largest gradient in its array;
the spikes have the same bits. Collectives are those that `CommDebugMode` counts in PyTorch and those in the text that XLA has
compiled.

"""

DIGITS = """
### A network that learns

Two layers of leaky neurons over eight steps, each with a slope that its neurons share and a threshold for each of them, trained
on 320 of scikit-learn's digits in float32. At every update one process computes the gradients of the whole batch at the same
parameters; "difference" is the largest over all updates, of the largest gradient in its array. The loss falls from {first:.2f}
to {last:.2f} everywhere.

"""

NOTES = """
## What is guaranteed

- Spikes have the bits of one device. Gradients differ by rounding, since sums are made in another order.
- The potential's gradient takes no collective. That of a parameter takes the all-reduce that sums it, for each axis of the mesh
  that it shares: in PyTorch one for each parameter, in JAX one for all parameters together, at every step of a `lax.scan`. There
  is none where a parameter is split like the potential.
- A gradient of a gradient, at every order, and compiled calls (`torch.compile(fullgraph=True)`) are whole too.

## What is not

- Two GPUs and several machines were not used, and NCCL on a mesh of one: [On a GPU](gpu.md) is one GPU.
- `torch.func` transforms of a `DTensor`, which PyTorch does not promise for any function, were not tried.
- FSDP2 on a CPU needs PyTorch after 2.6, and JAX 0.7.2 shards a parameter's gradient under explicit axes like the potential:
  [versions](versions.md).
"""


def markdown(lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return markdown([columns, ["---"] * len(columns), *lines]) + "\n"


def by_case(records: Records) -> dict[str, Records]:
    cases: dict[str, Records] = {}
    for record in records:
        cases.setdefault(record["case"], []).append(record)
    return cases


def number(difference: float) -> str:
    return f"{difference:.0e}" if difference else "same bits"


def collectives(records: Records) -> str:
    """What a call sends in a case, in words."""
    counted = [record for record in records if "collectives" in record]
    if not counted:
        return ""
    if isinstance(counted[0]["collectives"], list):
        forward = max(record["collectives"][0] for record in counted)
        sums = any(record["sums"] for record in counted)
        return f"{forward or 'none'} forward; backward {'one a parameter that parts share' if sums else 'none'}"
    assert not any(record["of the potential"] for record in counted)
    most = max(sum(record["collectives"].values()) for record in counted)
    return f"potential none; parameters together at most {most}"


def surrogates(framework: str, records: Records) -> list[Sequence[str]]:
    return [
        (framework, case, number(max(record["difference"] for record in found)), collectives(found))
        for case, found in by_case(records).items()
    ]


def digits(framework: str, records: Records) -> list[Sequence[str]]:
    return [(framework, record["case"], number(max(record["differences"].values()))) for record in records]


def page(found: dict[str, Records], versions: dict[str, str]) -> str:
    """Return the page."""
    torch, jax = (f"{name} {versions[name]}" for name in ("PyTorch", "JAX"))
    trainings = found["PyTorch, digits"] + found["JAX, digits"]
    counts = {record["name"] for record in found["PyTorch"]}
    text = HEAD + SURROGATES.format(count=len(counts))
    lines = surrogates(torch, found["PyTorch"]) + surrogates(jax, found["JAX"])
    text += table(("framework", "case", "difference", "collectives"), lines)
    text += DIGITS.format(first=trainings[0]["losses"][0], last=max(record["losses"][-1] for record in trainings))
    lines = digits(torch, found["PyTorch, digits"]) + digits(jax, found["JAX, digits"])
    return text + table(("framework", "case", "difference"), lines) + NOTES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("found", type=Path, help="what the tests have found")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the page")
    arguments = parser.parse_args()
    results = json.loads(arguments.found.read_text(encoding="utf-8"))
    written = page(results["found"], results["versions"])
    print(written.partition("## What ran")[2].partition("## What is guaranteed")[0])
    if arguments.write:
        arguments.write.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
