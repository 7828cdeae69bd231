"""The card, its driver, and the versions of what is measured."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from importlib import metadata
from typing import Any

PACKAGES = ("torch", "triton", "jax", "jaxlib", "numpy", "snntorch", "spikingjelly")


def about(device: str, peers: str | None) -> dict[str, Any]:
    """What the machine has; the other libraries may be in a folder of their own."""
    found: dict[str, Any] = {"device": device, "python": platform.python_version(), "system": platform.platform()}
    where = [*sys.path, *([peers] if peers else [])]
    for package in PACKAGES:
        for distribution in metadata.distributions(name=package, path=where):
            found.setdefault(package, distribution.version)
    if device == "cuda" and shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip().splitlines()
        if answer:
            found["card"], found["driver"], found["memory"] = (each.strip() for each in answer[0].split(","))
    return found
