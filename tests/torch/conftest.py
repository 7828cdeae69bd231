"""Inductor takes the vector instructions that the processor names, and does not build a program for seconds to ask for each."""

from __future__ import annotations

import os

os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")
