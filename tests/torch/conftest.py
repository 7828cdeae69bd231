"""Compiling does what a program needs, and measures nothing for its log.

Inductor takes the vector instructions that the processor names, and does not build a program for seconds to ask for each.
Dynamo does not time the guards of a graph, for which it empties the processor's caches: a tenth of what a small function takes.
"""

from __future__ import annotations

import os

from torch._dynamo import guards

os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")

if hasattr(guards, "profile_guard_manager"):
    setattr(guards, "profile_guard_manager", lambda *_: 0.0)  # noqa: B010  (pyright knows no such attribute)
