"""The resident memory of this process, now and at its peak. Linux with glibc only.

The kernel counts what a call really occupies, whoever allocates it, so one instrument serves both frameworks and does not
change the path that is measured. It counts in steps of some hundred KB: use arrays of some MB and more.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import gc
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_MMAP_THRESHOLD, _SMALL = -3, 1 << 20


@contextlib.contextmanager
def counting_process() -> Iterator[concurrent.futures.Executor | None]:
    """Start a process of its own for `use_of`, in which no array is made of memory that was freed before; None if none counts."""
    try:
        _CLEAR.write_text(_RESET_PEAK)
        available = hasattr(ctypes.CDLL(None), "malloc_trim") and _read("VmHWM") > 0
    except (OSError, KeyError):
        available = False
    if not available:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context, initializer=_give_everything_back) as executor:
        yield executor


def _give_everything_back() -> None:
    """Map every array alone, and unmap it when it is freed; glibc would keep some, and more the longer it runs."""
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _SMALL)


def use_of(call: Callable[[], Any]) -> tuple[int, int, Any]:
    """Return the bytes that a call occupies at its peak, those that are left while its result is held, and the result."""
    _settle()
    before = _read("VmRSS")
    _CLEAR.write_text(_RESET_PEAK)
    result = call()
    peak = _read("VmHWM")
    _settle()
    return max(peak - before, 0), max(_read("VmRSS") - before, 0), result


def _settle() -> None:
    """Give free memory back to the kernel, so that what is used again counts again."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def _read(field: str) -> int:
    """Return a line of /proc/self/status, in bytes."""
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(lines[field].split()[0]) * 1024
