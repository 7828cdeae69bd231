"""Which tests are slow, from measured durations: the list in tests/slow.txt, by which `-m 'not slow'` leaves them out.

`pytest -n 2 --junitxml=times.xml && python tests/helpers/slow.py times.xml` writes it again. The tests of all surrogates that
share the rest of their id are one line, since what they compile is compiled for all of them by the first.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from arcana.surrogate import names

LIST = Path(__file__).parents[1] / "slow.txt"

QUICK_SECONDS = 200.0
"""What all the others may take together, on one of the two cores that CONTRIBUTING speaks of."""

_NAME = re.compile(rf"(?<=[\[-])({'|'.join(sorted(names(), key=len, reverse=True))})(?=[\]-]).*\]")


def group_of(nodeid: str) -> str:
    """Return the id of a test with a star in the place of a surrogate's name and what follows it."""
    return _NAME.sub("*]", nodeid)


def groups() -> frozenset[str]:
    """Return the groups that are slow."""
    return frozenset(LIST.read_text(encoding="utf-8").splitlines())


def measured(times: Path) -> Counter[str]:
    """Return the seconds of each group, from what pytest has written."""
    found: Counter[str] = Counter()
    for case in ET.parse(times).getroot().iter("testcase"):
        path = case.attrib["classname"].replace(".", "/")
        found[group_of(f"{path}.py::{case.attrib['name']}")] += float(case.attrib["time"])
    return found


def slow(seconds: Counter[str]) -> list[str]:
    """Return the slowest groups, so many that the others stay within their time."""
    found, rest = [], seconds.total()
    for group, each in seconds.most_common():
        if rest <= QUICK_SECONDS:
            break
        found.append(group)
        rest -= each
    return sorted(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("times", type=Path, metavar="FILE.xml")
    seconds = measured(parser.parse_args().times)
    chosen = slow(seconds)
    LIST.write_text("\n".join(chosen) + "\n", encoding="utf-8")
    taken = sum(seconds[each] for each in chosen)
    print(f"slow: {len(chosen)} of {len(seconds)} groups, which take {taken:.0f} of {seconds.total():.0f} s")
