"""The spike functions that two functions call, seen from outside: their margins, spikes and derivatives, call by call."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Hashable, Iterator

import numpy as np

from arcana.testing._places import Place, Places
from arcana.testing._recording import Recording
from arcana.testing._runs import Run
from arcana.testing._values import Array
from arcana.testing.backends import load

CLOSE = {"float64": 1e-6, "float32": 1e-4, "float16": 2e-2, "bfloat16": 0.1}
"""How near two derivatives are taken to be the same, relative to the largest: what a rounded potential does is far below."""


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """One side.

    Attributes:
        run: the layers; None where no spike function was seen, or the calls make no run.
        slopes: by layer in order, of each call the margins and the surrogate's derivative there.
    """

    run: Run | None
    slopes: list[list[tuple[Array, Array]]]


@contextlib.contextmanager
def seeing(backend: str) -> Iterator[Callable[[], Seen]]:
    """See the spike functions that one framework calls; the function gives what was seen once the context is closed."""
    recording = Recording(Places(None, sys._getframe(2)), ())
    slopes: dict[Hashable, list[tuple[Array, Array]]] = {}

    def keep(place: Place, margins: Array, derivative: Array) -> None:
        slopes.setdefault(place, []).append((margins, derivative))

    with load(backend, "spikes").watched(recording._place, recording._keep, keep_slopes=keep):
        yield lambda: Seen(_run(recording, backend), list(slopes.values()))


def _run(recording: Recording, backend: str) -> Run | None:
    with contextlib.suppress(ValueError):
        recording._close(None, {}, backend)
        return recording.run
    return None


def surrogates_differ(torch: Seen, jax: Seen) -> str | None:
    """Return where the derivatives differ at one margin, in words; empty if nowhere, None if no call is in both.

    One side may ask a spike function once more than the other, for the reset, so calls are paired by their margins.
    """
    left = list(jax.slopes)
    compared = False
    for number, ours in enumerate(torch.slopes, 1):
        theirs = next((each for each in left if _same_margins(ours, each)), None)
        if theirs is None:
            continue
        left = [each for each in left if each is not theirs]
        compared = True
        for (v, h), (w, g) in zip(ours, theirs, strict=True):
            if found := _apart(v, h, w, g):
                return f"spike function {number}: {found}"
    return "" if compared else None


def _same_margins(ours: list[tuple[Array, Array]], theirs: list[tuple[Array, Array]]) -> bool:
    return len(ours) == len(theirs) and all(
        v.shape == w.shape and h.shape == g.shape and np.allclose(v.astype(np.float64), w.astype(np.float64), 1e-3, 1e-3, True)
        for (v, h), (w, g) in zip(ours, theirs, strict=True)
    )


def _apart(v: Array, h: Array, w: Array, g: Array) -> str:
    coarse = max((v, w), key=lambda each: CLOSE.get(each.dtype.name, 0.0)).dtype.name
    close = CLOSE.get(coarse, CLOSE["float32"])
    v, h, w, g = (each.astype(np.float64) for each in (v, h, w, g))
    # What is infinite or NaN on one side is no number to compare, and no size.
    numbers = np.isfinite(h) & np.isfinite(g)
    with np.errstate(invalid="ignore"):
        same_place = np.abs(v - w) <= 1e-2 * close * np.maximum(np.abs(v), 1.0)
        apart = np.where(same_place & numbers, np.abs(h - g), 0.0)
    scale = float(np.maximum(np.abs(h), np.abs(g)).max(initial=0.0, where=numbers))
    if not apart.size or float(apart.max()) <= close * scale:
        return ""
    worst = np.unravel_index(int(np.argmax(apart)), apart.shape)
    return f"at v = {v[worst]:.4g} its derivative is {h[worst]:.6g} in torch and {g[worst]:.6g} in JAX"
