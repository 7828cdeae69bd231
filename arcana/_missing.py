"""What a command says when a package it needs is not installed."""

from __future__ import annotations


class MissingDependencyError(ImportError):
    """A package is missing; the message names the extra that brings it."""

    def __init__(self, *, package: str, extra: str) -> None:
        super().__init__(f"{package} is missing: pip install 'arcana[{extra}]'")
