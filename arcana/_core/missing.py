"""The error of a command when a package it needs is not installed."""

from __future__ import annotations


class MissingDependencyError(ImportError):
    """A package is missing; the message names what to install: the package itself, which is right under any name of ours."""

    def __init__(self, *, package: str, install: str) -> None:
        super().__init__(f"{package} is missing: pip install {install}")
