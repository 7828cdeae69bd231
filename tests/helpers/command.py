"""The command `arcana`: in a process of its own, perhaps without some packages, or in this one, where all are imported."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from unittest import mock

import pytest

from arcana import cli


def arcana_command(*arguments: str, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """`python -m arcana` with these arguments, in a process where the packages in `without` cannot be imported."""
    program = (
        "import runpy, sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name in {without!r}: raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
        f"sys.argv = ['arcana', *{arguments!r}]\n"
        "runpy.run_module('arcana', run_name='__main__', alter_sys=True)\n"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)


def arcana_here(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with streams[0], streams[1], mock.patch.object(sys, "argv", ["arcana", *arguments]), pytest.raises(SystemExit) as left:
        cli.main()
    return subprocess.CompletedProcess(arguments, int(left.value.code or 0), out.getvalue(), err.getvalue())


def assert_one_line(process: subprocess.CompletedProcess[str], status: int, *parts: str) -> None:
    assert process.returncode == status, process.stderr
    assert process.stdout == ""
    assert len(process.stderr.strip().splitlines()) == 1, process.stderr
    assert all(part in process.stderr for part in parts), process.stderr
