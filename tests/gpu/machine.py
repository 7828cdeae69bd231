"""The card, its driver, and the versions of what is measured."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib import metadata
from typing import Any

PACKAGES = ("torch", "triton", "jax", "jaxlib", "numpy", "snntorch", "spikingjelly")


def about(device: str) -> dict[str, Any]:
    found: dict[str, Any] = {"device": device, "python": platform.python_version(), "system": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    if device == "cuda" and shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip().splitlines()
        if answer:
            found["card"], found["driver"], found["memory"] = (each.strip() for each in answer[0].split(","))
    return found
