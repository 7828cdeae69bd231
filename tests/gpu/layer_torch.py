"""A training step's forward and backward of one Linear + LIF layer in PyTorch: plain, its step compiled, and as a CUDA graph."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import torch
from peers import contenders
from session import Session
from timing import in_turn

DECAY, THRESHOLD, RATE = 0.9, 1.0, 0.1

Spikes = Callable[[torch.Tensor], torch.Tensor]


def main(session: Session, framework: str) -> None:
    device, small = session.settings.device, session.settings.small
    steps, batch, neurons = (5, 4, 16) if small else (100, 128, 512)
    layer = Layer(steps, batch, neurons, device)
    shapes = ("fast_sigmoid",) if small else ("fast_sigmoid", "rectangular", "sigmoid")
    for shape in shapes:
        session.check(f"layer, {shape}, eager", functools.partial(measured, session, layer, shape, lambda f: layer.gradient(f)))
    if device == "cuda":
        for shape in shapes:
            session.check(f"layer, {shape}, CUDA graph", functools.partial(measured, session, layer, shape, layer.graphed))
    session.check("layer, spikingjelly.LIFNode over all steps", functools.partial(whole_node, session, layer))
    compiled = functools.partial(layer.compiled, compiler="eager" if small else "inductor")
    session.check(f"layer, {shapes[0]}, step compiled", functools.partial(measured, session, layer, shapes[0], compiled))
    if device == "cuda":
        both = functools.partial(layer.graphed, prepare=compiled)
        name = f"layer, {shapes[0]}, step compiled, CUDA graph"
        session.check(name, functools.partial(measured, session, layer, shapes[0], both))


class Layer:
    """The numbers that every network of a run starts from, and the loop; only the spike function differs."""

    def __init__(self, steps: int, batch: int, neurons: int, device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        # Twice a Glorot bound, so that the neurons fire.
        bound = 2 * (3 / neurons) ** 0.5
        shape = (steps, batch, neurons)
        self.device = device
        self.input = (torch.rand(shape, generator=generator) < RATE).float().to(device)
        self.weight = ((2 * torch.rand(neurons, neurons, generator=generator) - 1) * bound).to(device).requires_grad_()
        self.cotangent = torch.randn(shape, generator=generator).to(device)

    def network(self, step: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        potential, fired = torch.zeros_like(self.input[0]), []
        for current in self.input @ self.weight:
            potential, now = step(potential, current)
            fired.append(now)
        return torch.stack(fired)

    def gradient(self, spikes: Spikes, step: Any = None) -> Callable[[], torch.Tensor]:
        """A call of forward and backward, which gives the weight's gradient."""
        step = step or step_of(spikes)
        return lambda: torch.autograd.grad(self.network(step), self.weight, self.cotangent)[0]

    def compiled(self, spikes: Spikes, compiler: str = "inductor") -> Callable[[], torch.Tensor]:
        step = step_of(spikes)
        # What is compiled is kept with the code, which contenders would share, and each would pay for the guards of the others.
        alone = types.FunctionType(step.__code__.replace(), globals(), closure=step.__closure__)
        return self.gradient(spikes, torch.compile(alone, backend=compiler, fullgraph=True))

    def graphed(self, spikes: Spikes, prepare: Any = None) -> Callable[[], torch.Tensor]:
        """The whole of forward and backward, captured once and replayed."""
        call = (prepare or self.gradient)(spikes)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = call()

        def replay() -> torch.Tensor:
            graph.replay()
            return found

        return replay


def step_of(spikes: Spikes) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    def step(potential: torch.Tensor, current: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        potential = potential * DECAY + current
        fired = spikes(potential - THRESHOLD)
        return potential - fired.detach() * THRESHOLD, fired

    return step


def measured(
    session: Session, layer: Layer, shape: str, prepare: Callable[[Spikes], Callable[[], torch.Tensor]]
) -> dict[str, Any]:
    """Milliseconds of each contender; ours must give what it gives plainly, but for a spike or two that rounding decides."""
    functions, left_out = contenders(shape)
    calls, off = {}, 0.0
    for each in functions:
        try:
            call = prepare(each.function)
            gradient = call().clone()
            if each.label == "arcana":
                plain = layer.gradient(each.function)()
                off = float((gradient - plain).norm() / plain.norm())
            calls[each.label] = functools.partial(_one, call)
        except Exception as error:
            if each.label == "arcana":
                raise
            left_out[each.label] = f"{type(error).__name__}: {str(error)[:150]}"
    return {"ok": off < 1e-2, "off": off, "ms": _milliseconds(session, calls), "not_measured": left_out}


def whole_node(session: Session, layer: Layer) -> dict[str, Any]:
    """SpikingJelly's own kernels: its LIF node over all steps at once, in the implementation that it chooses by itself."""
    try:
        from spikingjelly.activation_based import functional, neuron, surrogate
    except Exception as error:
        return {"not_measured": {"spikingjelly": f"{type(error).__name__}: {str(error)[:150]}"}}
    settings = {"tau": 1 / (1 - DECAY), "decay_input": False, "v_threshold": THRESHOLD, "v_reset": None, "detach_reset": True}
    nodes = {"sigmoid": surrogate.Sigmoid(), "atan": surrogate.ATan(), "soft_sign": surrogate.SoftSign()}
    calls, left_out = {}, {}
    for name, function in nodes.items():
        node = neuron.LIFNode(**settings, surrogate_function=function, step_mode="m").to(layer.device)

        def call(node: Any = node) -> torch.Tensor:
            functional.reset_net(node)
            return torch.autograd.grad(node(layer.input @ layer.weight), layer.weight, layer.cotangent)[0]

        try:
            call()
            calls[f"spikingjelly.LIFNode, {name}"] = functools.partial(_one, call)
        except Exception as error:
            left_out[name] = f"{type(error).__name__}: {str(error)[:150]}"
    return {"ms": _milliseconds(session, calls) if calls else {}, "not_measured": left_out}


def _one(call: Callable[[], Any], i: int) -> Any:
    return call()


def _milliseconds(session: Session, calls: dict[str, Any]) -> dict[str, float]:
    synchronize = torch.cuda.synchronize if session.settings.device == "cuda" else _nothing
    seconds = 0.05 if session.settings.small else 1.0
    found = in_turn(calls, synchronize, seconds, turns=3 if session.settings.small else 7)
    return {label: round(microseconds / 1e3, 4) for label, microseconds in found.items()}


def _nothing() -> None:
    pass
