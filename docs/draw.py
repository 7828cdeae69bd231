"""Writes what the README shows of the surrogates from their definitions: python docs/draw.py

These are the pictures docs/_static/surrogates.svg and surrogates-dark.svg, and the counts in README.md; the pages of the
documentation are written when it is built. With --check nothing is written, and the exit status is 1 if a file is not the one
that the definitions give.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from pages import pictures
from pages.shapes import SAME_BITS, by_family

from arcana.surrogate import names

PICTURES = Path(__file__).parent / "_static"
README = Path(__file__).parents[1] / "README.md"


def readme() -> str:
    """The README, with how many surrogates there are, and how many have the same bits in both frameworks."""
    same = sum(len(members) for family, members in by_family().items() if family in SAME_BITS)
    text = re.sub(r"(catalogue has) \d+ (surrogates)", rf"\1 {len(names())} \2", README.read_text(encoding="utf-8"))
    return re.sub(r"\(\d+ of the(\s)\d+\)", rf"({same} of the\g<1>{len(names())})", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files that are there, write nothing")
    check = parser.parse_args().check
    written = {
        PICTURES / "surrogates.svg": pictures.catalogue(pictures.LIGHT),
        PICTURES / "surrogates-dark.svg": pictures.catalogue(pictures.DARK),
        README: readme(),
    }
    differing = 0
    for path, text in written.items():
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            print(f"{path} is not what the definitions give; write it with: python docs/draw.py")
            differing += 1
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
