"""The programs of docs/devices.md in two processes each, and a gradient that would be a part says so."""

from __future__ import annotations

import re
from pathlib import Path

from launched import free_address, run, torchrun_command

FOLDER = Path(__file__).parents[2] / "docs" / "devices"


def test_torch_in_two_processes() -> None:
    (printed,) = run([[*torchrun_command(2), str(FOLDER / "torch_two.py")]])
    assert re.findall(r"^(.+) True$", printed, re.MULTILINE) == [
        "DDP",
        "FSDP2",
        "tensor parallel, DTensor",
        "tensor parallel, parts",
    ]


def test_jax_in_two_processes() -> None:
    address = free_address()
    printed = run([[str(FOLDER / "jax_two.py"), address, "2", str(rank)] for rank in range(2)])
    assert "2 processes True\n" in printed[0]
