"""On what is measured: the machine, and the versions of what is installed."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import arcana

_CPU = Path("/proc/cpuinfo")


def machine() -> dict[str, Any]:
    """The processor, its cores that this process may use, the system and Python."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of arcana and of the packages that are installed."""
    found = {"arcana": arcana.__version__}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    if _CPU.exists():
        lines = dict(line.split(":", 1) for line in _CPU.read_text().splitlines() if ":" in line)
        named = {key.strip(): value.strip() for key, value in lines.items()}
        if "model name" in named:
            return named["model name"]
    return platform.processor() or platform.machine()
