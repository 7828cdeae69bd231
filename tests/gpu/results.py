"""The file of a run: what every check found, by part and job. Written after every look, so that a cut run leaves what it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Results:
    """The results of a run, and of an earlier one that the file holds."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.content: dict[str, Any] = {"machine": {}, "parts": {}}
        if file is not None and file.exists():
            self.content = json.loads(file.read_text())

    def forget(self, part: str) -> None:
        self.content["parts"].pop(part, None)

    def part(self, part: str) -> dict[str, Any]:
        return self.content["parts"].setdefault(part, {"complete": [], "checks": {}})

    def done(self, part: str) -> list[str]:
        """The names of the checks that need not run again: those that ran and did not fail."""
        checks = self.part(part)["checks"]
        return [name for name, values in checks.items() if values.get("ok", True) and "left_out" not in values]

    def add(self, part: str, records: list[dict[str, Any]]) -> None:
        checks = self.part(part)["checks"]
        checks.update({record["name"]: {key: value for key, value in record.items() if key != "name"} for record in records})

    def complete(self, part: str, job: str) -> bool:
        return job in self.part(part)["complete"]

    def completed(self, part: str, job: str) -> None:
        # What it failed of in an earlier run.
        self.part(part)["checks"].pop(f"job {job}", None)
        if not self.complete(part, job):
            self.part(part)["complete"].append(job)

    def failures(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(part, check, values) of what failed."""
        parts = self.content["parts"].items()
        return [(part, name, each) for part, all_ in parts for name, each in all_["checks"].items() if not each.get("ok", True)]

    def left_out(self) -> list[tuple[str, str]]:
        parts = self.content["parts"].items()
        return [(part, name) for part, all_ in parts for name, each in all_["checks"].items() if "left_out" in each]

    def write(self) -> None:
        if self._file is not None:
            beside = self._file.with_name(self._file.name + ".part")
            beside.write_text(json.dumps(self.content, indent=1))
            beside.replace(self._file)
