"""Whether `first_divergence` tells rounding from a bug between the CPU and the device, and between the frameworks there."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from device_runs import Where, numbers, run_of
from session import Session

from arcana.testing import first_divergence

KINDS = ("dense", "convolution")


def main(session: Session, framework: str) -> None:
    for kind in KINDS[:1] if session.settings.small else KINDS:
        of_kind(session, kind)


def of_kind(session: Session, kind: str) -> None:
    device, small = session.settings.device, session.settings.small
    given = numbers(kind, steps=12 if small else 60, samples=2 if small else 8, width=16 if small else 256)
    run = functools.cache(functools.partial(run_of, given=given))
    torch_cpu, torch_there = Where("torch", "cpu"), Where("torch", device)
    jax_cpu, jax_there = Where("jax", "cpu"), Where("jax", device)
    rounding = {
        "PyTorch, CPU and device": (torch_cpu, torch_there),
        "JAX, CPU and device": (jax_cpu, jax_there),
        "PyTorch and JAX on the device": (torch_there, jax_there),
        "PyTorch on the CPU and JAX on the device": (torch_cpu, jax_there),
        "PyTorch in float64 on the CPU and float32 on the device": (dataclasses.replace(torch_cpu, dtype="float64"), torch_there),
        "PyTorch on the device, compiled and not": (torch_there, dataclasses.replace(torch_there, compiled=True)),
        "PyTorch in bfloat16, CPU and device": tuple(dataclasses.replace(x, dtype="bfloat16") for x in (torch_cpu, torch_there)),
        "PyTorch under autocast, CPU and device": tuple(dataclasses.replace(x, autocast=True) for x in (torch_cpu, torch_there)),
    }
    if small:
        del rounding["PyTorch on the device, compiled and not"]
    for what, pair in rounding.items():
        session.check(f"{what}, {kind}", functools.partial(judged, run, pair, {"same", "rounding"}))
    faults = {"leak": {"leak": 0.95}, "reset": {"reset": "zero"}}
    for cause, fault in faults.items():
        pair = (torch_cpu, dataclasses.replace(jax_there, **fault))
        session.check(f"another {cause} on the device, {kind}", functools.partial(judged, run, pair, {cause}))
    # By themselves a GPU may take fewer bits or not, by the library, the layer and its size.
    reduced = {
        f"{where.framework}, {what}": (where, dataclasses.replace(where, tf32=tf32))
        for where in (torch_there, jax_there)
        for what, tf32 in (("TensorFloat-32", True), ("products as they are by default", None))
    }
    reduced["PyTorch and JAX on the device, TensorFloat-32"] = (
        dataclasses.replace(torch_there, tf32=True),
        dataclasses.replace(jax_there, tf32=True),
    )
    for what, pair in reduced.items():
        session.check(f"{what}, {kind}", functools.partial(judged, run, pair, {"same", "rounding", "dtype"}))
        said = functools.partial(judged, run, pair, {"same", "rounding"}, "tensorfloat32")
        session.check(f"{what}, as dtype says, {kind}", said)
    pair = (torch_cpu, dataclasses.replace(jax_there, tf32=None, leak=0.95))
    session.check(f"another leak on the device with its default, {kind}", functools.partial(judged, run, pair, {"leak"}))


def judged(run: Any, pair: tuple[Where, Where], verdicts: set[str], dtype: str | None = None) -> dict[str, Any]:
    """Return the verdict, its cause, and how far the potentials of the first step are apart."""
    one, other = (run(where) for where in pair)
    found = first_divergence(one, other, dtype=dtype)
    first = max(float(abs(layer.potentials[0] - other.layers[name].potentials[0]).max()) for name, layer in one.layers.items())
    fired = {name: float(layer.spikes.mean()) for name, layer in one.layers.items()}
    values = {"causes": [each.kind for each in found.causes], "first step apart": first, "fired": fired}
    values |= {"verdict": found.verdict, "differing": found.differing, "detail": str(found)[:600]}
    return {"ok": found.verdict in verdicts, **values}
