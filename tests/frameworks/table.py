"""The table of what runs in each framework, from the rows that the tests have written, and its page: docs/frameworks.md."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

COLUMNS = ("framework", "handed over", "what ran", "agreement")

JAX_LAYERS = "`Spike` of `arcana.jax.adapters.nnx`, `.linen` or `.equinox`"
WAYS = [
    ("library", "where its neurons take a surrogate", "what to hand over"),
    ("---", "---", "---"),
    ("snnTorch", "`spike_grad=`", "an instance"),
    ("SpikingJelly", "`surrogate_function=`", "an instance"),
    ("", "the same, of `ComplementaryLIFNode` and of cells with two functions", "`spikingjelly.SurrogateFunction(instance)`"),
    ("", "`NeuronConfig`, `set_spiking_mode`", "`spikingjelly.SurrogateFunction(instance)`"),
    ("Norse", "`LIFParameters(method=...)`, a name", "a name, inside `with norse.methods(name=instance):`"),
    ("Sinabs", "`surrogate_grad_fn=`", "`sinabs.SurrogateGradient(instance)`"),
    ("", "`spike_fn=`", "`sinabs.SingleSpike(instance)`; `sinabs.MultiSpike(instance, most)`, which counts"),
    ("Rockpool", "`spike_generation_fn=` of `LIFTorch` and its kin", "`rockpool.SpikeGeneration(instance)`"),
    ("", "`LIFJax`", "nothing: `step_pwl` is built in"),
    ("lava-dl", "nowhere", "nothing; call the neurons inside `with lava_dl.spikes_with(instance):`"),
    ("spyx", "`activation=`", "an instance"),
    ("brainpy.state", "`spk_fun=`", "an instance"),
    ("snnax, slax", "`spike_fn=`", "an instance"),
    ("jaxsnn", "`method=`", "an instance"),
    ("Haiku, plain JAX", "any function of an array", "an instance"),
    ("Flax NNX, Flax linen, Equinox", "a module, where something is learned", JAX_LAYERS),
    ("Pallas", "the inside of a kernel", "`fire` and `pseudo_derivative` of `arcana.jax.adapters.pallas`"),
]

HEAD = """<!-- Written by `nox -s frameworks`; edit tests/frameworks/table.py instead. -->
# In every framework

A surrogate is a function of the potential minus the threshold, so a library that takes a function takes an instance or a preset
as it is. For those that ask for something else there is an adapter: `sinabs.SingleSpike` below is
`arcana.torch.adapters.sinabs.SingleSpike`, and so on. Nine of them have a page of their own:

```{{toctree}}
:maxdepth: 1

use/snntorch
use/spikingjelly
use/norse
use/sinabs
use/rockpool
use/spyx
use/brainstate
use/flax-nnx
use/equinox
```

{ways}

`arcana.torch.Spike` subtracts a threshold of its own: in a library whose neurons do that, hand over `layer.surrogate`, or
`Spike(..., threshold=0)` where a parameter is to be trained.

## What ran

`nox -s frameworks` installs the libraries, runs `tests/frameworks` and writes this table; each row is a test. In most a small
network with the library's own neurons is trained on 320 of scikit-learn's digits. At every update the gradients are computed with
the library's own surrogate too, at the same parameters; "agreement" is the largest difference of two gradients over the whole
training, of the largest gradient in its array. For the module systems and Pallas the other side is a rule written by hand.

"""

NOTES = """
lava-dl is on no package index and asks for Python 3.10: where it is not installed the row is a stand-in of its interface. The
wheel of snnax 0.0.1 lacks two modules of its own, which the test puts in empty. brainpy-state 0.1 is the last that has the
neurons of `brainpy.state`. SpikingJelly's kernels for CUDA and Triton know its own surrogates alone: another goes by plain
operations, or is refused with an error that names it (`neuron_storage=` of `PrecisionConfig`, which is for those kernels).

A layer that is saved by safetensors, orbax or `eqx.tree_serialise_leaves` is what it learned; its surrogate is in the program,
or in `to_dict()` beside it. In a graph of NIR, `metadata={"surrogate": json.dumps(surrogate.to_dict())}` of a node is written
and read back, and `from_dict(json.loads(node.metadata["surrogate"]))` is the surrogate again. Exported programs have values and
no gradients, see [the limits](meaning.md#limits).

## What was learned moves by name

`Spike` has the same names, bounds and initial values in torch, in Flax NNX, in Flax linen and in Equinox.
`reset_parameters()` sets every value as it was given, in place in torch and NNX; in Equinox it returns the layer, and in linen
it is `init`. `.surrogate` has the present values of what is learned; in linen they are asked for by
`layer.apply(variables, method="present_surrogate")`.

```python
import jax.numpy as jnp
import numpy as np
import torch
from arcana.jax.adapters import nnx as layers
from arcana.surrogate import FastSigmoid
from arcana.torch import Spike
from flax import nnx

learned = ("threshold", "scale")
theirs = Spike(FastSigmoid(scale=25.0), threshold=0.5, learnable=learned, shape=3)
with torch.no_grad():
    theirs.scale.copy_(torch.tensor([5.0, 10.0, 20.0]))

ours = layers.Spike(FastSigmoid(scale=25.0), threshold=0.5, learnable=learned, shape=3)
state = {name: jnp.asarray(value.numpy()) for name, value in theirs.state_dict().items()}
nnx.update(ours, state)
print(ours.scale[...].tolist())  # [5.0, 10.0, 20.0]

state = nnx.to_pure_dict(nnx.state(ours, nnx.Param))
back = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
print(theirs.load_state_dict(back).missing_keys)  # []
```
"""


def markdown(lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table(rows: list[dict[str, str]]) -> str:
    """Return a line a row; the test's name is left to the file of rows, since no narrow page holds it."""
    body = ([f"{row['framework']} {row['version']}".strip(), row["way"], row["ran"], row["agreement"]] for row in rows)
    return markdown([COLUMNS, ["---"] * len(COLUMNS), *body])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path, help="what the tests have written")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the page")
    arguments = parser.parse_args()
    rows = sorted(json.loads(arguments.rows.read_text(encoding="utf-8")), key=lambda row: row["framework"].lower())
    print(table(rows))
    if arguments.write:
        arguments.write.write_text(HEAD.format(ways=markdown(WAYS)) + table(rows) + "\n" + NOTES, encoding="utf-8")


if __name__ == "__main__":
    main()
