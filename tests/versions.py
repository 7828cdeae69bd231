"""Print the versions of what a test run rests on: `python tests/versions.py`."""

from __future__ import annotations

import platform
from importlib.metadata import version

PACKAGES = ["torch", "jax", "jaxlib", "numpy", "scipy", "equinox", "flatbuffers", "flax", "optax", "orbax-checkpoint", "pytest"]

print(f"Python {platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in PACKAGES)}")
