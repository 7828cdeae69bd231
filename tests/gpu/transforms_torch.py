"""Every transform of `check_surrogate` on the device, and what training on a GPU adds: each beside the CPU's values."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import torch
from known_values import KNOWN
from rows import rows_of
from samples import FAMILIES
from session import Session
from torch.utils.checkpoint import checkpoint

from arcana.surrogate import get
from arcana.torch import Spike, conformance as backend, spike

SHAPE = (12, 5, 7, 3)


def main(session: Session, framework: str) -> None:
    index, count = session.settings.share
    groups: list[Callable[[Session], None]] = [conformance, training, inductor, every_parameter]
    if session.settings.small:
        groups = [functools.partial(conformance, only=("backward", "func.grad", "double backward")), training]
    for group in groups[index::count]:
        group(session)


def conformance(session: Session, only: tuple[str, ...] = (), compiler: str = "aot_eager") -> None:
    """The rows of `check_surrogate`, or those that are named."""
    device = session.settings.device
    side = types.SimpleNamespace(**vars(backend))
    side.spikes_and_gradients = functools.partial(backend.spikes_and_gradients, device=device)
    side.from_numpy = lambda array: backend.from_numpy(array).to(device)
    side.WRAPPERS = {**backend.WRAPPERS, "compile": functools.partial(backend.compiled, compiler=compiler)}
    rows_of(session, "torch", side, [get(name) for name in FAMILIES], only, "" if compiler == "aot_eager" else f", {compiler}")


def inductor(session: Session) -> None:
    """The compiled rows once more, by torch.compile's own compiler."""
    compiled = tuple(way for way in backend.FIRST if way.startswith("compile"))
    conformance(session, only=compiled, compiler="inductor")


def training(session: Session) -> None:
    device, cuda = session.settings.device, session.settings.device == "cuda"
    for name in FAMILIES:
        checks: dict[str, Callable[..., dict[str, Any]]] = {
            "parameters": parameters,
            "layouts": layouts,
            "two dtypes in turn": two_dtypes,
            "double backward": double_backward,
            "checkpoint": checkpointed,
            "saved tensor hooks": hooks,
            "autocast and GradScaler": autocast,
        }
        if cuda:
            checks |= {"CUDA graph": cuda_graph, "graphed callables": graphed_callables, "streams": streams}
        for what, check in checks.items():
            session.check(f"torch, {what}, {name}", functools.partial(check, name, device))
    if cuda:
        session.check("torch, CUDA graph of a first call", functools.partial(cuda_graph, "triangular", device, "atan"))
        session.check("torch, more than 2³¹ elements, fast_sigmoid", functools.partial(huge, device))
        for name in FAMILIES[1:]:
            session.check(f"torch, more than 2³¹ elements, {name}", functools.partial(huge, device, name))


def given(dtype: torch.dtype = torch.float32, shape: tuple[int, ...] = SHAPE, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Potentials and cotangents on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    v, c = torch.randn(shape, generator=generator), torch.rand(shape, generator=generator) + 0.5
    return v.to(dtype), c.to(dtype)


def backward(name: str, v: torch.Tensor, c: torch.Tensor, function: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes and gradient, where v is."""
    v = v.detach().requires_grad_()
    spikes = (function or (lambda x: spike(x, get(name))))(v)
    return spikes.detach(), torch.autograd.grad(spikes, v, c)[0]


def same(name: str, found: tuple[torch.Tensor, ...], right: tuple[torch.Tensor, ...]) -> dict[str, Any]:
    """Spikes by bits; gradients by bits, or where there is an exponential within 32 units in the last place (v is small)."""
    roundings = 0 if KNOWN[name].bits else 32
    worst = 0.0
    for one, other in zip(found, right, strict=True):
        one = one.detach().cpu()
        if (one.dtype, one.shape) != (other.dtype, other.shape):
            return {"ok": False, "detail": f"{one.dtype} {tuple(one.shape)}, the CPU gives {other.dtype} {tuple(other.shape)}"}
        if torch.equal(one, other):
            continue
        # Where lobes cancel, roundings of what cancels are left.
        size = other.double().abs()
        size = size.clamp_min(max(torch.finfo(other.dtype).tiny, 1e-3 * float(size.max()) if roundings else 0.0))
        off = (one.double() - other.double()).abs() / size
        worst = max(worst, float(off.max() / torch.finfo(other.dtype).eps))
    return {"ok": worst <= roundings, "detail": f"{worst:.3g} roundings from the CPU's at most"}


def joined(results: list[dict[str, Any]]) -> dict[str, Any]:
    failed = [each for each in results if not each["ok"]]
    return failed[0] if failed else {"ok": True, "detail": "; ".join(dict.fromkeys(each["detail"] for each in results))}


def every_parameter(session: Session) -> None:
    """Every parameter of every surrogate as a tensor, for the kernels that take those."""
    for name in sorted(KNOWN):
        session.check(f"torch, parameters as tensors, {name}", functools.partial(parameters, name, session.settings.device))


def parameters(name: str, device: str) -> dict[str, Any]:
    """Gradients of a parameter that is a 0-d tensor, and one of each channel: 4 roundings of the sum's terms."""
    v, c = given()
    surrogate, results = get(name), []
    for parameter, value in surrogate.numbers.items():
        for shape in ((), (7, 1)):
            found = []
            for where in ("cpu", device):
                p = torch.full(shape, value, device=where, requires_grad=True)
                x = v.to(where).requires_grad_()
                by_p, by_v = torch.autograd.grad(spike(x, surrogate, **{parameter: p}), (p, x), c.to(where))
                terms = torch.autograd.grad(
                    spike(x, surrogate, **{parameter: (q := p.detach().expand(v.shape).clone().requires_grad_())}), q, c.to(where)
                )
                found.append((by_p.cpu().double(), by_v.cpu(), terms[0].cpu().double().abs()))
            (cpu, cpu_v, terms), (there, there_v, _) = found
            size = terms.sum() if shape == () else terms.sum((0, 1, 3)).reshape(shape)
            off = float(((cpu - there).abs() / (size * torch.finfo(torch.float32).eps).clamp_min(1e-30)).max())
            results.append({"ok": off <= 4, "detail": f"{parameter} {shape}: {off:.2g} roundings of the sum's terms"})
            results.append(same(name, (there_v,), (cpu_v,)))
    failed = [each for each in results if not each["ok"]]
    return failed[0] if failed else {"ok": True, "detail": "; ".join(each["detail"] for each in results[::2])}


LAYOUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "as it is": lambda x: x,
    "transposed": lambda x: x.transpose(1, 3),
    "every other": lambda x: x[:, ::2, 1::2],
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "broadcast": lambda x: x[:1].expand(9, *x.shape[1:]),
    "offset": lambda x: x.reshape(-1)[1:],
    "0-d": lambda x: x.reshape(-1)[5],
    "empty": lambda x: x[:0],
    "nothing in the middle": lambda x: x[:, :0],
}


def layouts(name: str, device: str) -> dict[str, Any]:
    results = []
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        v, c = given(dtype)
        for what, arrange in LAYOUTS.items():
            right = backward(name, arrange(v), arrange(c))
            there = backward(name, arrange(v.to(device)), arrange(c.to(device)))
            mixed = backward(name, arrange(v.to(device)), arrange(c.to(device)).contiguous())
            for found in (there, mixed):
                result = same(name, found, right)
                results.append(
                    {**result, "detail": f"{result['detail']}" if result["ok"] else f"{what}, {dtype}: {result['detail']}"}
                )
    return joined(results)


def two_dtypes(name: str, device: str) -> dict[str, Any]:
    results = []
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float64, torch.float32, torch.float16):
        v, c = given(dtype)
        results.append(same(name, backward(name, v.to(device), c.to(device)), backward(name, v, c)))
    return joined(results)


def double_backward(name: str, device: str) -> dict[str, Any]:
    """Of a loss that is not linear in the spikes, in float64: the gradient of the gradient's sum."""
    found = []
    for where in ("cpu", device):
        v, c = (each.double().to(where) for each in given())
        x = v.requires_grad_()
        (first,) = torch.autograd.grad((spike(x, get(name)) ** 2 * x * c).sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), x)[0].cpu())
    close = torch.allclose(found[1], found[0], rtol=1e-12, atol=1e-12)
    return {
        "ok": close and bool(found[0].abs().max() > 0),
        "detail": f"{float((found[1] - found[0]).abs().max()):.2g} from the CPU's",
    }


def checkpointed(name: str, device: str) -> dict[str, Any]:
    v, c = given()
    function = functools.partial(checkpoint, lambda x: spike(x, get(name)), use_reentrant=False)
    return same(name, backward(name, v.to(device), c.to(device), function), backward(name, v, c))


def hooks(name: str, device: str) -> dict[str, Any]:
    """What is kept is packed on the CPU until backward."""
    v, c = given()
    with torch.autograd.graph.save_on_cpu(pin_memory=device == "cuda"):
        found = backward(name, v.to(device), c.to(device))
    return same(name, found, backward(name, v, c))


def autocast(name: str, device: str) -> dict[str, Any]:
    """Two steps of a small network under autocast with a GradScaler: the first gradient within 10 % of the CPU's."""
    results = []
    for dtype in (torch.float16, torch.bfloat16):
        found = [_trained(name, where, dtype) for where in ("cpu", device)]
        spikes_dtype, gradient, weight = found[1]
        _, right, _ = found[0]
        off = float((gradient - right).norm() / right.norm())
        ok = spikes_dtype == dtype and off < 0.1 and bool(torch.isfinite(weight).all())
        results.append({"ok": ok, "detail": f"{dtype}: spikes {spikes_dtype}, the weights' gradient {off:.2g} from the CPU's"})
    return joined(results)


def _trained(name: str, device: str, dtype: torch.dtype) -> tuple[torch.dtype, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(32, 64), Spike(get(name), threshold=0.1), torch.nn.Linear(64, 8))
    network = network.to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler(device, init_scale=2.0**8)
    v, target = given(shape=(16, 32))[0].to(device), given(shape=(16, 8), seed=2)[0].to(device)
    first, dtypes = None, []
    network[1].register_forward_hook(lambda module, inputs, output: dtypes.append(output.dtype))
    for _ in range(2):
        optimizer.zero_grad()
        with torch.autocast(device, dtype=dtype):
            loss = torch.nn.functional.mse_loss(network(v).float(), target)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        weight = network[0].weight
        assert weight.grad is not None
        first = weight.grad.detach().cpu().clone() if first is None else first
        scaler.step(optimizer)
        scaler.update()
    assert first is not None
    return dtypes[0], first, network[0].weight.detach().cpu()


def cuda_graph(name: str, device: str, warm: str = "") -> dict[str, Any]:
    """Forward and backward captured once; replayed for other potentials and cotangents that are copied in.

    `warm` is the surrogate that is called before, if it is another one.
    """
    v, c = (each.to(device) for each in given(seed=3))
    v.requires_grad_()

    def both(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        spikes = spike(v, get(name))
        return spikes, torch.autograd.grad(spikes, v, c)[0]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            both(warm or name)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = both(name)
    results = []
    for seed in (4, 5):
        other, cotangent = given(seed=seed)
        with torch.no_grad():
            v.copy_(other)
            c.copy_(cotangent)
        for each in found:
            each.detach().fill_(float("nan"))
        graph.replay()
        torch.cuda.synchronize()
        results.append(same(name, tuple(each.detach() for each in found), backward(name, other, cotangent)))
    return joined(results)


def graphed_callables(name: str, device: str) -> dict[str, Any]:
    module = Spike(get(name)).to(device)
    v, c = given(seed=6)
    graphed = torch.cuda.make_graphed_callables(module, (torch.randn(SHAPE, device=device, requires_grad=True),))
    found = backward(name, v.to(device), c.to(device), graphed)
    return same(name, found, backward(name, v, c, Spike(get(name))))


def streams(name: str, device: str) -> dict[str, Any]:
    """Four streams at once, each with its own potentials, which were made on it."""
    makers = [torch.cuda.Stream() for _ in range(4)]
    found, right = [], []
    for k, stream in enumerate(makers):
        v, c = given(shape=(256, 1024), seed=10 + k)
        right.append(backward(name, v, c))
        with torch.cuda.stream(stream):
            for _ in range(20):
                last = backward(name, v.to(device), c.to(device))
            found.append(last)
    torch.cuda.synchronize()
    return joined([same(name, one, other) for one, other in zip(found, right, strict=True)])


def huge(device: str, name: str = "fast_sigmoid") -> dict[str, Any]:
    """float16, 2³¹ + 4,096 elements: the head and the tail, where a 32-bit index would have come round."""
    n = 2**31 + 4096
    if torch.cuda.mem_get_info()[0] < 60 * 2**30:
        return {"detail": "too little memory is free"}
    v = torch.empty(n, dtype=torch.float16, device=device)
    v.fill_(0.25)
    ends, cotangents = given(torch.float16, (8192,))
    places = {"head": slice(0, 8192), "before 2³¹": slice(2**31 - 8192, 2**31), "tail": slice(n - 8192, n)}
    for place in places.values():
        v[place] = ends.to(device)
    v.requires_grad_()
    spikes = spike(v, get(name))
    c = torch.ones(1, dtype=torch.float16, device=device).expand(n).contiguous()
    for place in places.values():
        c[place] = cotangents.to(device)
    (gradient,) = torch.autograd.grad(spikes, v, c)
    right = backward(name, ends, cotangents)
    # The tail overlaps what lies before 2³¹.
    whole = {key: place for key, place in places.items() if key != "before 2³¹"}
    results = [same(name, (spikes[place].detach(), gradient[place]), right) for place in whole.values()]
    middle = backward(name, torch.full((64,), 0.25, dtype=torch.float16), torch.ones(64, dtype=torch.float16))
    results.append(same(name, (spikes[10**9 : 10**9 + 64].detach(), gradient[10**9 : 10**9 + 64]), middle))
    counted = int(spikes.detach()[8192 : 2**31 - 8192].sum(dtype=torch.float64).item())
    results.append({"ok": counted == 2**31 - 16384, "detail": f"{counted} spikes between"})
    del v, spikes, c, gradient
    torch.cuda.empty_cache()
    return joined(results)
