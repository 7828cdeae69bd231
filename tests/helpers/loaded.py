"""What an import loads, in a process of its own."""

from __future__ import annotations

import subprocess
import sys


def loaded_by(statement: str, after: str = "pass") -> set[str]:
    """The modules that a statement loads, besides those of the standard library and those that `after` has loaded."""
    code = f"import sys; {after}; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    return {name for name in found if name.partition(".")[0] not in sys.stdlib_module_names}


def packages(modules: set[str]) -> set[str]:
    """The packages that modules belong to."""
    return {name.partition(".")[0] for name in modules}
