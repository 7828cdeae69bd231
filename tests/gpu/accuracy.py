"""Spikes and gradients of every surrogate on the device, in every way of calling it, beside the CPU's and the exact ones."""

from __future__ import annotations

import contextlib
import functools
import importlib
import warnings
from collections.abc import Callable
from typing import Any

import judge
import numpy as np
from known_values import KNOWN, variants
from samples import FAMILIES, Sample, bounds, sample
from session import Session

from arcana import surrogate as definitions
from arcana.surrogate import Surrogate
from arcana.testing._values import Array, from_float, to_float

DTYPES = ("float32", "float16", "bfloat16", "float64")
EXACT_WAYS = ("eager", "operations", "plain", "jit")
"""Whose bits are those of the CPU on a GPU too; torch.compile's compiler divides to within 2 units there."""
EXACT_POINTS = 200

Numbers = tuple[Array, Array]
"""Spikes and gradients as bit patterns."""
Way = Callable[[list[tuple[Surrogate, Array, Array, str]]], list[Numbers]]


def main(session: Session, framework: str) -> None:
    on_cpu, ways = (_torch_ways if framework == "torch" else _jax_ways)(session)
    index, count = session.settings.share
    names = FAMILIES if session.settings.small else tuple(sorted(KNOWN))[index::count]
    count = 1 << (12 if session.settings.small else 22)
    part = _Part(session, framework, on_cpu, names, count)
    for way, (call, dtypes) in ways.items():
        for dtype in dtypes:
            part.way(way, call, dtype)
    for dtype in ("float32", "float64"):
        part.extremes(*next(iter(ways.items())), dtype)


class _Part:
    """The checks of one framework; what the CPU computes is kept, for every way compares with it."""

    def __init__(self, session: Session, framework: str, on_cpu: Way, names: tuple[str, ...], count: int) -> None:
        self.session, self.framework, self.on_cpu, self.names, self.count = session, framework, on_cpu, names, count

    @functools.cache  # noqa: B019  (one object a process)
    def given(self, name: str, dtype: str) -> Sample:
        return sample(name, dtype, self.count)

    @functools.cache  # noqa: B019
    def cpu(self, surrogate: Surrogate, dtype: str) -> tuple[Numbers, Array]:
        """The CPU's spikes and gradients, and h."""
        given = self.given(surrogate.name, dtype)
        ones = from_float(np.ones(given.v.size), dtype)
        found, h = self.on_cpu([(surrogate, given.v, given.c, dtype), (surrogate, given.v, ones, dtype)])
        return found, h[1]

    @functools.cache  # noqa: B019
    def exact(self, surrogate: Surrogate, dtype: str) -> tuple[Array, Array]:
        return judge.exact(surrogate, self.given(surrogate.name, dtype))

    def way(self, way: str, call: Way, dtype: str) -> None:
        """All surrogates of the job in one call, which is compiled once; where that fails, each by itself."""
        cases = {name: self.case(definitions.get(name), dtype) for name in self.names}
        found: dict[str, Numbers] = {}

        def together() -> dict[str, Any]:
            found.update(zip(cases, call(list(cases.values())), strict=True))
            return {}

        # Not a check of the numbers, so it is run again where one of those is missing.
        if call.__name__ != "eager":
            self.session.check(f"{self.framework} {way} {dtype}: run, {self.session.settings.share[0]}", together)
        for name, case in cases.items():
            numbers = functools.partial(self.judged, case, way, lambda name=name, case=case: found.get(name) or call([case])[0])
            self.session.check(f"{name}, {self.framework} {way}, {dtype}", numbers)

    def extremes(self, way: str, call: tuple[Way, Any], dtype: str) -> None:
        """The first set of parameters besides the defaults, which goes to the ends of the domains."""
        for name in self.names:
            for parameters in variants(name)[1:2]:
                case = self.case(definitions.get(name, **parameters), dtype)
                numbers = functools.partial(self.judged, case, way, lambda case=case: call[0]([case])[0])
                self.session.check(f"{name}, {self.framework} {way}, {dtype}, {parameters}", numbers)

    def case(self, surrogate: Surrogate, dtype: str) -> tuple[Surrogate, Array, Array, str]:
        given = self.given(surrogate.name, dtype)
        return surrogate, given.v, given.c, dtype

    def judged(self, case: tuple[Surrogate, Array, Array, str], way: str, run: Callable[[], Numbers]) -> dict[str, Any]:
        surrogate, dtype = case[0], case[3]
        given = self.given(surrogate.name, dtype)
        with warnings.catch_warnings():
            # A kernel that is not believed says so, and other operations run in its place: their numbers prove nothing of it.
            warnings.filterwarnings("error", category=RuntimeWarning, message=".*kernel")
            spikes, gradient = run()
        if surrogate.name == self.session.settings.plant:
            gradient = gradient ^ gradient.dtype.type(1)
        (_, cpu), h = self.cpu(surrogate, dtype)
        values = {"patterns": int(given.v.size), **judge.spikes(surrogate, given, spikes), **judge.bits(given, gradient, cpu, h)}
        exactly = way in EXACT_WAYS or self.session.settings.device == "cpu"
        if KNOWN[surrogate.name].bits and exactly:
            return {"ok": not values["wrong_spikes"] and not values["differ"], **values}
        values["max_ulp_from_cpu"] = values.pop("max_ulp")
        if dtype == "float64":
            values |= self.exact_float64(surrogate, given, gradient)
        else:
            values |= judge.distance(surrogate, given, gradient, *self.exact(surrogate, dtype))
        return {"ok": not values["wrong_spikes"] and judge.within(surrogate, values, self.session.settings.device), **values}

    def exact_float64(self, surrogate: Surrogate, given: Sample, gradient: Array) -> dict[str, Any]:
        """A few points beside mpmath, which has more digits than float64."""
        accuracy = bounds()
        v = to_float(given.v, "float64")
        usual = np.flatnonzero((np.abs(v) < 50) & (np.abs(v) > 1e-6))
        chosen = np.random.default_rng(7).choice(usual, min(EXACT_POINTS, usual.size), replace=False)
        truth = self._truth(surrogate, accuracy, given.v[chosen].tobytes())
        c = to_float(given.c, "float64")[chosen]
        with np.errstate(all="ignore"):
            unscaled = np.divide(to_float(gradient, "float64")[chosen], c)
        error = accuracy.error_of(unscaled, truth, "float64")
        # The division by c rounds once more.
        return {
            "out_of_bounds": int(not error.ratio <= judge.BOUND + 1),
            "max_ulp": error.ulp,
            "of_bound": error.ratio / judge.BOUND,
        }

    @functools.cache  # noqa: B019
    def _truth(self, surrogate: Surrogate, accuracy: Any, bits: bytes) -> Any:
        return accuracy.truth(surrogate, "float64", np.frombuffer(bits, np.uint64))


def _torch_ways(session: Session) -> tuple[Way, dict[str, tuple[Way, tuple[str, ...]]]]:
    import torch

    from arcana.torch import set_compiled_kernels

    torch.set_num_threads(2)
    side: Any = importlib.import_module("arcana.torch.conformance")
    device, small = session.settings.device, session.settings.small

    def eager(cases: Any) -> list[Numbers]:
        return [side.spikes_and_gradients([case], device=device)[0] for case in cases]

    def compiled(cases: Any) -> list[Numbers]:
        return side.spikes_and_gradients(cases, "compiled", "aot_eager" if small else "inductor", device)

    def operations(cases: Any) -> list[Numbers]:
        with set_compiled_kernels(False):
            return eager(cases)

    ways: dict[str, tuple[Way, tuple[str, ...]]] = {"eager": (eager, DTYPES), "compiled": (compiled, DTYPES)}
    if device == "cuda":
        operations.__name__ = "eager"
        ways["operations"] = (operations, DTYPES)
    return lambda cases: side.spikes_and_gradients(cases), ways


def _jax_ways(session: Session) -> tuple[Way, dict[str, tuple[Way, tuple[str, ...]]]]:
    import jax

    side: Any = importlib.import_module("arcana.jax.conformance")
    cpu, device = jax.devices("cpu")[0], jax.devices(session.settings.device)[0]

    def on(where: Any, mode: str) -> Way:
        def eager(cases: Any) -> list[Numbers]:
            with contextlib.ExitStack() as stack:
                stack.enter_context(jax.default_device(where))
                return [side.spikes_and_gradients([case], mode)[0] for case in cases]

        return eager

    def jit(cases: Any) -> list[Numbers]:
        with jax.default_device(device):
            return side.spikes_and_gradients(cases, "jit")

    return on(cpu, "eager"), {"plain": (on(device, "eager"), DTYPES), "jit": (jit, DTYPES)}
