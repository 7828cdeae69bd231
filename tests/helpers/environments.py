"""Virtual environments that hold exactly what some distributions need, without an index.

What is installed beside the tests is lent: its files are linked into the new environment. Nothing is downloaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement


class Environment:
    """A new virtual environment; `Environment(folder, lent=["numpy>=2.0"])` has NumPy and what that requires."""

    def __init__(self, folder: Path, lent: Iterable[str] = ()) -> None:
        venv.create(folder, with_pip=False, symlinks=os.name != "nt")
        self.folder = folder
        self.scripts = folder / ("Scripts" if os.name == "nt" else "bin")
        self.packages = next(folder.glob("**/site-packages"))
        for distribution in _closure(lent):
            _link(distribution, self.packages)

    def pip(self, *arguments: str) -> None:
        """Run pip of the tests on this environment, without an index."""
        succeed(sys.executable, "-m", "pip", "--python", str(self.scripts / "python"), *arguments)

    def run(self, program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment in a folder that is not the checkout."""
        return run(str(self.scripts / program), *arguments, folder=folder)


def run(*command: str, folder: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command where no variable of Python or pytest says what is imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "VIRTUAL_ENV"))}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=kept | variables, check=False)


def succeed(*command: str, folder: Path | None = None, **variables: str) -> str:
    """Run a command and return what it printed."""
    process = run(*command, folder=folder, **variables)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def _closure(requirements: Iterable[str]) -> Iterator[metadata.Distribution]:
    """Yield the installed distributions that meet the requirements, and what those require, each once."""
    waiting = [(Requirement(each), "") for each in requirements]
    seen = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        distribution = metadata.distribution(requirement.name)
        for chosen in {"", *requirement.extras}:
            if (distribution.name, chosen) not in seen:
                seen.add((distribution.name, chosen))
                waiting += [(Requirement(each), chosen) for each in distribution.requires or ()]
                yield distribution


def _link(distribution: metadata.Distribution, packages: Path) -> None:
    """Link the modules and the metadata of a distribution, whose other files (scripts, manuals) lie outside."""
    for name in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
        if not (packages / name).exists():
            (packages / name).symlink_to(Path(str(distribution.locate_file(name))))
