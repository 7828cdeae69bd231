"""How often verdicts and causes are right, by fault and by situation: `python tests/helpers/rates.py --seeds 20`.

Bug or rounding is right or not, or "cannot tell"; a cause is right, none, or wrong. Networks and faults that were held out while
the tool was written are counted apart too.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import multiprocessing
import sys
from collections.abc import Callable, Iterator

import numpy as np
from faults import FAULTS, HELD_OUT, HELD_OUT_FAULTS, NETWORKS, Case, planted
from situations import situations

from arcana.testing import first_divergence

LIMITS = {"right": 0.98, "wrong cause": 0.02, "cause": 0.7, "cannot tell": 0.05}
"""What a run of all cases must reach; "cannot tell" in float32."""


@dataclasses.dataclass
class Count:
    """How many cases there were, how they were judged, and how many showed their cause."""

    cases: int = 0
    right: int = 0
    cannot: int = 0
    shown: int = 0
    cause: int = 0
    wrong: int = 0
    told: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def add(self, case: Case, verdict: str, causes: list[tuple[str, ...]]) -> None:
        self.cases += 1
        self.told[verdict] += 1
        self.cannot += verdict == "cannot tell"
        self.right += verdict not in ("cannot tell", "refused") and (verdict not in ("same", "rounding")) == case.bug
        # A cause that names others which give the same numbers is right if it names the right one.
        right = [bool(case.kinds & set(kinds)) for kinds in causes if kinds != ("unknown",)]
        self.wrong += not all(right)
        if case.bug and case.shown:
            self.shown += 1
            self.cause += bool(right) and all(right)

    def row(self, title: str) -> str:
        told = ", ".join(f"{verdict} {number}" for verdict, number in self.told.most_common(4))
        cause = f"{self.cause} of {self.shown}" if self.shown else ""
        return f"| {title} | {self.right} of {self.cases} | {self.cannot or ''} | {cause} | {self.wrong or ''} | {told} |"


def judged(case: Case) -> tuple[str, list[tuple[str, ...]]]:
    """The verdict, and the kind of each cause with its alternatives; an error counts as neither right."""
    try:
        found = first_divergence(*case.runs, **case.options)
    except ValueError:
        return "refused", []
    return found.verdict, [cause.kinds for cause in found.causes]


def cases() -> Iterator[tuple[str, str, bool, Callable[[int], Case]]]:
    """The network, the fault or situation, whether it was held out, and the case of a seed."""
    for title, network in NETWORKS.items():
        fits = [name for name, fault in FAULTS.items() if fault.fits(network(np.random.default_rng(0))[0])]
        for name in fits:
            held_out = title in HELD_OUT or name in HELD_OUT_FAULTS
            for given in (True, False):
                label = name if given else f"{name}, arrays alone"
                yield title, label, held_out, lambda seed, t=title, f=name, g=given: planted(t, f, seed, given=g)
    for title, name, make in situations():
        yield title, name, title in HELD_OUT, lambda seed, m=make, t=title: m(t, seed)


@functools.cache
def listed() -> list[tuple[str, str, bool, Callable[[int], Case]]]:
    return list(cases())


def judged_at(place: tuple[int, int]) -> tuple[Case, str, list[tuple[str, ...]]]:
    """Return the case of one place of the list and one seed, without its runs, and what is said of it."""
    number, seed = place
    case = listed()[number][3](seed)
    return dataclasses.replace(case, runs=(), options={}), *judged(case)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default="", help="a part of the name of a network, fault or situation")
    chosen = parser.parse_args()
    counts: dict[str, Count] = collections.defaultdict(Count)
    sums = {name: Count() for name in ("all", "in float32", "held out")}
    numbers = [i for i, (title, label, *_) in enumerate(listed()) if chosen.only in f"{title}: {label}"]
    places = [(number, seed) for number in numbers for seed in range(chosen.seeds)]
    with multiprocessing.get_context("spawn").Pool() as pool:
        for (number, _), found in zip(places, pool.imap(judged_at, places, chunksize=8), strict=True):
            _, label, held_out, _ = listed()[number]
            groups = [counts[label], sums["all"]]
            groups += [sums["held out"]] * held_out + [sums["in float32"]] * ("float16" not in label)
            for group in groups:
                group.add(*found)
    print("| planted | right | cannot tell | cause named | wrong cause | verdicts |\n|---|---|---|---|---|---|")
    for label, count in (*counts.items(), *sums.items()):
        print(count.row(label))
    whole = sums["all"]
    reached = {
        "right": whole.right / max(1, whole.cases - whole.cannot),
        "wrong cause": whole.wrong / max(1, whole.cases),
        "cause": whole.cause / max(1, whole.shown),
        "cannot tell": sums["in float32"].cannot / max(1, sums["in float32"].cases),
    }
    print("\n" + ", ".join(f"{name} {value:.1%}" for name, value in reached.items()))
    missed = [
        name
        for name, value in reached.items()
        if (value < LIMITS[name]) == (name in ("right", "cause")) and value != LIMITS[name]
    ]
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
