"""Writes docs/speed.md from what `arcana bench --json` printed: `python tests/bench/page.py FILE.json ... [--write PAGE]`.

Several files are put together, so that the parts of a long run can be made one after the other on the same machine. Prints
every missed target at its end, and exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from targets import TARGETS, judged, missed

from arcana.bench.records import PARTS, Results
from arcana.bench.table import listed, summary, table, tables

PAGE = """<!-- Written by `nox -s bench` (`python tests/bench/page.py`); edit that file instead. -->
# Speed and memory

`arcana bench` measures every surrogate beside each installed library that has the same shape, and beside `relu` of the framework,
which moves the same bytes. `arcana bench --help` has its options; `nox -s bench` installs the libraries, measures all of it, and
writes this page. It was written on

{heading}

## How it is measured

- A library's function is beside ours with the same numbers: `snntorch.fast_sigmoid` beside
  `arcana.presets.get("snntorch.fast_sigmoid")`. One whose spikes or gradients are not those of its preset is not timed; one
  whose preset says that it differs (see [the presets](presets.md)) has a ≠.
- First the process allocates and frees 16 MiB once, as any that has trained a step; until then glibc gives memory back after
  every call, and the times are those of page faults. The largest size, 64 MiB an array, has them in any case.
- All candidates of a surrogate take turns in one process, in a random order, for at least five rounds, after a warm-up; a turn
  is a call or as many as take a millisecond; the number is the median of the turns. A call's output is gone before the next.
- "forward" is a call whose spikes nobody differentiates; "forward + backward" goes through `torch.autograd.grad` or `jax.vjp`.
  Compiled is `torch.compile` at that size, each candidate as if nothing else had been compiled, and `jax.jit` of both passes in
  one function. The potentials are normally distributed.
- "peak" is what a call occupies beyond its arguments, "kept" what is left of it between the passes, the potential's own bytes
  if it is kept, the spikes left out; both as the kernel counts them, in a process of their own.
- `jnp` is the surrogate's formula in plain `jnp` under `jax.jit`, with a bare `custom_vjp`.
- The layer is a linear layer over a spike train with leaky integrate-and-fire neurons, batch 16, 500 steps, the same code with
  each spike function: a plain loop in PyTorch, of which one step is compiled, and `lax.scan` in JAX.
- Some are quick because they do less: Norse's `tanh` is 1 − tanh², which loses the tail of h, SpikingJelly's `sigmoid` is
  PyTorch's own fused sigmoid backward, which loses it too, and Norse's `superspike` leaves its `alpha` out.

## Measured

A cell has ours, the other's, and the ratio: below 1 ours takes less.

{tables}
## Targets

{targets}
"""


def merged(files: Iterable[Path]) -> Results:
    """Return the results of several runs on one machine as one."""
    first, *others = (Results.from_dict(json.loads(file.read_text())) for file in files)
    for other in others:
        if other.heading() != first.heading():
            msg = "the files are from different machines or versions"
            raise SystemExit(msg)
        first.left_out |= other.left_out
        first.records += other.records
    return first


def targets(results: Results) -> str:
    """Return a table of how often each target is met, and the pair that comes off worst."""
    found, rows = judged(results.records), []
    for target in TARGETS:
        for size, most in target.at_most.items():
            pairs = [ratio for judge, ratio in found if judge is target and ratio.ours.size == size]
            if pairs:
                worst = max(pairs, key=lambda each: each.value)
                met = sum(each.value <= most for each in pairs)
                what = f"{target.framework} {target.mode}, {' and '.join(target.quantities)}, {target.shape}"
                name = f"{worst.ours.surrogate} beside {worst.other.shown}"
                rows.append([what, target.beside, f"{size:,}", f"{most:g}", f"{met} of {len(pairs)}", f"{worst.value:.2f}", name])
    return table("Ours divided by the other's", ["", "beside", "n", "at most", "met", "worst", "which"], rows)


def page(results: Results) -> str:
    """Return the page."""
    return PAGE.format(
        heading=results.heading().replace("\n", "\\\n") + ".",
        tables="\n".join(tables(results.records)),
        targets="\n".join([targets(results), listed("Missed targets", missed(results.records)), *summary(results)]).rstrip(),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--write", type=Path, default=Path(__file__).parents[2] / "docs" / "speed.md", metavar="PAGE")
    arguments = parser.parse_args()
    results = merged(arguments.files)
    if unmeasured := set(PARTS) - {each.part for each in results.records}:
        msg = f"the files have no {', '.join(sorted(unmeasured))}"
        raise SystemExit(msg)
    arguments.write.write_text(page(results))
    lines = missed(results.records)
    print("\n".join([f"missed targets: {len(lines) or 'none'}", *lines]))
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
