"""Who asks for the surrogate classes hears of each one: of those there are, and of those made later."""

from __future__ import annotations

import pytest

from arcana._core import registry
from arcana.surrogate import FastSigmoid, Surrogate, Triangular


def test_an_observer_hears_of_every_class_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_OBSERVERS", list(registry._OBSERVERS))
    heard: list[type[Surrogate]] = []
    registry.observe_classes(heard.append)
    assert {FastSigmoid, Triangular} <= set(heard)
    assert len(heard) == len(set(heard)) >= 25
    before = len(heard)

    class Later(Surrogate):
        @staticmethod
        def derivative(v, xp):
            return xp.zeros_like(v)

    assert heard[before:] == [Later]
    assert Later.name == "later"


def test_two_observers_hear_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_OBSERVERS", list(registry._OBSERVERS))
    one: list[type[Surrogate]] = []
    other: list[type[Surrogate]] = []
    registry.observe_classes(one.append)
    registry.observe_classes(other.append)

    class Last(FastSigmoid):
        pass

    assert one[-1] is other[-1] is Last
    assert one == other


def test_an_observer_that_comes_while_a_class_is_told_of_hears_of_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_OBSERVERS", list(registry._OBSERVERS))
    heard: list[type[Surrogate]] = []
    registry.observe_classes(lambda cls: registry.observe_classes(heard.append) if cls.__name__ == "Told" else None)

    class Told(FastSigmoid):
        pass

    assert heard.count(Told) == 1
