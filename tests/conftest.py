"""Which backends this run must have, and JAX under its strict settings.

ARCANA_TEST_BACKENDS names the backends that are expected, "torch,jax" when unset. An expected backend that cannot be imported
stops the run; nothing is skipped unseen.
"""

from __future__ import annotations

import importlib
import os

EXPECTED = tuple(os.environ.get("ARCANA_TEST_BACKENDS", "torch,jax").split(","))

for _name in EXPECTED:
    importlib.import_module(f"arcana.{_name}")

if "jax" in EXPECTED:
    import jax

    jax.config.update("jax_num_cpu_devices", 8)
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
