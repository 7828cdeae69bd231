"""What a job of the script is given, and where it puts what it finds: one line of JSON a check, as it is found."""

from __future__ import annotations

import dataclasses
import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every job of a run is given.

    Attributes:
        device: "cuda" or "cpu".
        small: few surrogates and small sizes, to try the script itself.
        peers: a folder with the other libraries, or None.
        plant: the surrogate whose results on the device are put off by one bit, to see that the script finds it; or None.
        share: which of how many equal jobs this is.
        deadline: the time, in seconds since the epoch, after which no check begins.
    """

    device: str
    small: bool = False
    peers: str | None = None
    plant: str | None = None
    share: tuple[int, int] = (0, 1)
    deadline: float = float("inf")


class Session:
    """The checks of one job.

    A check that raises is recorded with its message and the next one begins; one that is in `done` is not run again; and after
    the deadline the rest is recorded as left out.
    """

    def __init__(self, settings: Settings, records: Path, done: frozenset[str] = frozenset()) -> None:
        self.settings = settings
        self._records = records
        self._done = done

    def check(self, name: str, function: Callable[[], dict[str, Any]]) -> None:
        """Run a check by name; its dictionary is recorded, in which `ok` is whether it passed (no `ok`: a measurement)."""
        if name in self._done:
            return
        if self.late():
            self.record(name, {"left_out": "no time"})
            return
        begun = time.perf_counter()
        try:
            values = function()
        except Exception as error:
            values = {"ok": False, "error": first_line(error), "trace": traceback.format_exc()[-3000:]}
        self.record(name, {**values, "seconds": round(time.perf_counter() - begun, 2)})

    def late(self) -> bool:
        return time.time() > self.settings.deadline

    def record(self, name: str, values: dict[str, Any]) -> None:
        with self._records.open("a") as file:
            file.write(json.dumps({"name": name, **values}, default=str) + "\n")


def first_line(error: BaseException) -> str:
    """An error's name and the beginning of its message."""
    first = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first[0][:300]}"
