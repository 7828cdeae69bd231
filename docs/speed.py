"""Writes docs/speed.md from what `arcana bench --json` printed: `python docs/speed.py FILE.json ... [--write docs/speed.md]`.

Several files are put together, so that the parts of a long run can be made one after the other on the same machine. Prints
every missed target at its end, and exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from arcana.bench.candidates import COPY, RELU, shown
from arcana.bench.grids import MET, MISSED, Grid, labels, number, of_imports, of_layers, of_uses
from arcana.bench.ratios import ratios
from arcana.bench.report import heading
from arcana.bench.rows import Row, tables
from arcana.bench.run import Results, from_plain
from arcana.bench.summary import missed, summary
from arcana.bench.targets import library

PAGE = """<!-- Written by `nox -s bench` (`python docs/speed.py`); edit docs/speed.py instead. -->
# Speed and memory

`arcana bench` measures every surrogate beside each installed library that has the same shape, and beside what any function
pays: `relu` of the framework, and a bare copy with a copy backward. `arcana bench --help` has its options; `nox -s bench`
installs the libraries, measures all of it, and writes this page. It was written on

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
- Where several functions of the libraries have the shape, the pair in which ours comes off the worst is shown.
- Some are quick because they do less: Norse's `tanh` is 1 − tanh², which loses the tail of h, SpikingJelly's `sigmoid` is
  PyTorch's own fused sigmoid backward, which loses it too, and Norse's `superspike` leaves its `alpha` out.

## Time of one call

A cell has our time, the library's, both in µs, and the ratio: below 1 ours is the faster. {met} and {missed} say whether the
target is met, where there is one; `arcana/bench/targets.py` has all.

{times}

## What any function pays

{floors}

{medians}

`jnp` is the surrogate's formula in plain `jnp` under the same `jax.jit`, with no rule for its gradient but a `custom_vjp` of two
expressions. The forward pass is one compiled function for all surrogates, so what its ratios in single cells differ by is chance.

## Memory

{memory}

## One layer

A linear layer over a spike train, and leaky integrate-and-fire neurons step by step, the same code with each spike function:
a plain loop in PyTorch, `lax.scan` in JAX. In compiled PyTorch the step is compiled and the loop is not, since 500 unrolled
steps take many minutes to compile. With `relu` in place of the spike function it is what all of them pay.

{layers}

## Import

{imports}

## Missed

{summary}

What stands in the way, where it is not chance (medians of one candidate differ by some percent between runs on this machine, at
1,024 elements by more):

- `squarewave_fourier` in PyTorch: the sine is most of the time of either. Ours takes first how far v/period is from a whole
  number, without which large potentials have a wrong phase and small values of h are lost.
- `step` is beside a library that fires where v > 0 and multiplies the cotangent by its spikes, so that v = 0 has no gradient.
  Ours keeps a byte of v >= 0 for it, one more operation each way; it is the only surrogate that is slower at 1,024.
- `ste` and `log_abs` at 16,777,216: there `relu` itself takes about half of the libraries' time, and ours takes that of `relu`.
- JAX outside a jit, forward: the compiled comparison takes about 5 µs of a call's 6 at 1,024 elements. The rest looks up what was
  found for the surrogate and whether anybody differentiates, and takes longer when megabytes have gone through the caches since;
  a function that is jitted as it is does without. Both passes take the time of `jax.vjp` itself, some 0.6 ms at any size.
- `squarewave_fourier` in compiled JAX at 1,024 elements: XLA splits its loop between threads, and to wake one takes longer than
  the loop; from 65,536 on ours takes 0.2 to 0.4 of the library's time.
- `torch.compile`: the kernels are one each way, as the libraries' are; Dynamo's guards on the surrogate and its numbers cost
  about 2 µs a call. A compiled `rectangular` takes as long as the library's: both wait for the bools (`docs/meaning.md`).
"""


def merged(files: Iterable[Path]) -> Results:
    """The results of several runs on one machine."""
    first, *others = (from_plain(json.loads(file.read_text())) for file in files)
    for other in others:
        if (other.machine, other.versions) != (first.machine, first.versions):
            msg = "the files are from different machines or versions"
            raise SystemExit(msg)
        first.left_out |= other.left_out
        first.times += other.times
        first.uses += other.uses
        first.layers += other.layers
        first.imports += other.imports
    return first


def markdown(grid: Grid) -> str:
    heads = [*grid.left, *grid.right]
    rule = ["---"] * len(grid.left) + ["---:"] * len(grid.right)
    return f"{grid.title}\n\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, rule, *grid.rows])


def by_size(title: str, rows: Sequence[Row]) -> Grid:
    """A line for each surrogate that a library has too, then one for all others."""
    sizes = sorted({row.size for row in rows})
    cells: dict[str, dict[int, Row]] = {}
    for row in rows:
        cells.setdefault(row.surrogate, {})[row.size] = row
    lines = [[f"`{name}`", _libraries(of.values()), *(_cell(of.get(size)) for size in sizes)] for name, of in cells.items()]
    return Grid(title, ["surrogate", "library"], [f"{size:,}" for size in sizes], lines)


def _libraries(rows: Iterable[Row]) -> str:
    peers = [row.peer.other for row in rows if row.peer]
    return ", ".join(dict.fromkeys(shown(library(each.candidate), each.differs) for each in peers))


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    mark = "" if row.verdict is None else f" {MET if row.verdict.met else MISSED}"
    if row.peer is None:
        return number(row.ours.microseconds) + mark
    return f"{number(row.ours.microseconds)} / {number(row.peer.other.microseconds)} = {row.peer.value:.2f}{mark}"


def floors(results: Results) -> Grid:
    """The median over all surrogates' turns of relu and copy."""
    by_table: dict[tuple[str, ...], dict[int, list[float]]] = {}
    for time in results.times:
        if time.candidate in (RELU, COPY):
            key = (f"{time.framework} {time.mode}, {time.passes}", time.candidate)
            by_table.setdefault(key, {}).setdefault(time.size, []).append(time.microseconds)
    sizes = sorted({time.size for time in results.times})
    lines = [[*key, *(number(statistics.median(of[n])) if n in of else "" for n in sizes)] for key, of in by_table.items()]
    return Grid("µs, the median over all surrogates' turns", ["", "function"], [f"{size:,}" for size in sizes], lines)


def medians(results: Results) -> Grid:
    """Over all surrogates the medians of ours divided by relu, by the copy and by the plain formula."""
    by_table: dict[tuple[str, str], dict[int, list[float]]] = {}
    for pair in ratios(results.times):
        if not pair.beside_peer:
            at = pair.ours
            key = (f"{at.framework} {at.mode}, {at.passes}", pair.other.candidate)
            by_table.setdefault(key, {}).setdefault(at.size, []).append(pair.value)
    sizes = sorted({time.size for time in results.times})
    lines = [[*key, *(f"{statistics.median(of[n]):.2f}" if n in of else "" for n in sizes)] for key, of in by_table.items()]
    return Grid("Ours divided by it, the median over all surrogates", ["", "function"], [f"{n:,}" for n in sizes], lines)


def _list(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{title.capitalize()}: {len(lines) or 'none'}\n", *(f"- {line}" for line in lines)])


def page(results: Results) -> str:
    """The page, of results that have every part."""
    times = [
        by_size(f"### {table.title}, {label}", rows)
        for label in labels(results.times)
        for table, rows in tables(results.times, label).items()
    ]
    return PAGE.format(
        heading="\\\n".join(heading(results)) + ".",
        met=MET,
        missed=MISSED,
        times="\n\n".join(map(markdown, times)),
        floors=markdown(floors(results)),
        medians=markdown(medians(results)),
        memory=markdown(of_uses(results.uses)),
        layers=markdown(of_layers(results.layers)),
        imports=markdown(of_imports(results.imports)),
        summary="\n\n".join(_list(title, lines) for title, lines in summary(results).items()),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--write", type=Path, default=Path(__file__).with_name("speed.md"), metavar="PAGE")
    arguments = parser.parse_args()
    results = merged(arguments.files)
    unmeasured = [part for part in ("times", "uses", "layers", "imports") if not getattr(results, part)]
    if unmeasured:
        msg = f"the files have no {', '.join(unmeasured)}"
        raise SystemExit(msg)
    arguments.write.write_text(page(results))
    lines = missed(results)
    print("\n".join([f"missed targets: {len(lines) or 'none'}", *lines]))
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
