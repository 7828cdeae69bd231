"""Every transform of `check_surrogate` in JAX on the device, parameter gradients and dtypes: each beside the CPU's values."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rows import rows_of
from samples import FAMILIES
from session import Session

from arcana.jax import conformance, spike
from arcana.surrogate import get


def main(session: Session, framework: str) -> None:
    only = ("grad", "jit(grad)", "grad of grad") if session.settings.small else ()
    for name in FAMILIES:
        session.check(f"jax, parameters, {name}", functools.partial(parameters, session, name))
        session.check(f"jax, dtypes and empty arrays, {name}", functools.partial(dtypes, session, name))
    rows_of(session, "jax", conformance, [get(name) for name in FAMILIES], only)


def places(session: Session) -> tuple[Any, Any]:
    return jax.devices("cpu")[0], jax.devices(session.settings.device)[0]


def pulled(name: str, v: Any, c: Any, where: Any, **parameters: Any) -> Any:
    """Spikes and the gradients of v and of the parameters, computed at a place."""
    with jax.default_device(where):
        v, c = jax.device_put(v, where), jax.device_put(c, where)
        parameters = {key: jax.device_put(value, where) for key, value in parameters.items()}
        spikes, pullback = jax.vjp(lambda v, p: spike(v, get(name), **p), v, parameters)
        by_v, by_p = jax.jit(pullback)(c)
        return np.asarray(spikes), np.asarray(by_v), {key: np.asarray(each) for key, each in by_p.items()}


def parameters(session: Session, name: str) -> dict[str, Any]:
    """Gradients of a parameter that is a 0-d array, and one of each channel: 4 roundings of the sum's terms."""
    generator = np.random.default_rng(1)
    v = generator.standard_normal((64, 7, 3), np.float32)
    c = generator.uniform(0.5, 1.5, v.shape).astype(np.float32)
    worst = 0.0
    for parameter, value in get(name).numbers.items():
        for shape in ((), (7, 1)):
            p = np.full(shape, value, np.float32)
            cpu, there = (pulled(name, v, c, where, **{parameter: p})[2][parameter] for where in places(session))
            full = np.broadcast_to(p, v.shape).copy()
            terms = np.abs(pulled(name, v, c, places(session)[0], **{parameter: full})[2][parameter].astype(np.float64))
            size = terms.sum() if shape == () else terms.sum((0, 2)).reshape(shape)
            off = np.abs(cpu.astype(np.float64) - there) / np.maximum(size * np.finfo(np.float32).eps, 1e-30)
            worst = max(worst, float(off.max()))
    return {"ok": worst <= 4, "detail": f"{worst:.2g} roundings of the sum's terms at most"}


def dtypes(session: Session, name: str) -> dict[str, Any]:
    """Every dtype in turn, empty and 0-d arrays; the gradients by bits, or within 32 roundings where there is an exponential.

    On a GPU XLA divides to within two units.
    """
    allowed = {"gaussian": 32, "rectangular": 0}.get(name, 4 if session.settings.device == "cuda" else 0)
    worst, cases = 0.0, 0
    with jax.enable_x64(True):
        for dtype in ("float64", "float32", "bfloat16", "float16", "float32", "float64"):
            for shape in ((50, 7), (0, 3), ()):
                v = jnp.asarray(np.random.default_rng(3).standard_normal(shape)).astype(dtype)
                c = jnp.ones_like(v)
                right, there = (pulled(name, v, c, where) for where in places(session))
                if right[0].tobytes() != there[0].tobytes() or right[1].dtype != there[1].dtype or right[1].shape != shape:
                    return {"ok": False, "detail": f"{dtype} {shape}: other spikes, dtype or shape than the CPU's"}
                one, other = (np.asarray(each[1], np.float64) for each in (right, there))
                eps = float(jnp.finfo(dtype).eps)
                off = np.abs(one - other) / np.maximum(np.abs(one), 1e-6) / eps
                worst, cases = max(worst, float(off.max(initial=0.0))), cases + 1
    return {
        "ok": worst <= allowed,
        "detail": f"{cases} cases, {worst:.3g} roundings from the CPU's at most",
    }
