"""Where in a network a spike function is called: the module's path, and the lines of code that lead there."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

OURS = ("arcana.torch", "arcana.jax", "arcana.testing", "arcana.surrogate", "arcana._core")
FRAMEWORKS = ("jax", "torch", "flax", "equinox", "jaxtyping", "functools", "contextlib", *OURS)
"""Packages whose frames stand between a network's own."""

COMPILER = "torch._dynamo"
"""The package whose frames stand around what torch.compile made."""


@dataclasses.dataclass(frozen=True)
class Place:
    """One layer.

    Attributes:
        path: the innermost module that calls, as the framework writes it, `hidden.lif`; empty outside every module.
        caller: the module that calls that one: several may share one.
        lines: in which code, and where in it, the calls stand, the innermost first, as far as the caller; in what torch.compile
            made the file and line of the innermost.
        function: the name of the spike function.
    """

    path: str
    caller: str
    lines: tuple[tuple[types.CodeType | str, int], ...]
    function: str


def is_module(value: Any) -> bool:
    """Whether a value is a layer or a network: each framework calls its base Module."""
    return not isinstance(value, type) and any(kind.__name__ == "Module" for kind in type(value).__mro__)


def plain_path(path: str) -> str:
    """Return the path of a module or parameter without the wrappers that torch.compile puts around what it compiles."""
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


def modules_of(module: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a module and all within, by path."""
    if hasattr(module, "named_modules"):
        yield from ((plain_path(name), each) for name, each in module.named_modules(prefix=path))
        return
    yield path, module
    for name, value in vars(module).items():
        if not name.startswith("_"):
            yield from _inside(value, f"{path}.{name}".lstrip("."))


def _inside(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str):
        entries = enumerate(value)
    else:
        entries = ()
        if is_module(value):
            yield from modules_of(value, path)
    for key, each in entries:
        yield from _inside(each, f"{path}.{key}")


class Places:
    """The places of one network.

    Args:
        network: None where it is no module.
        outside: the frame in which the recording is opened; what calls from there, calls one layer.
    """

    def __init__(self, network: Any, outside: types.FrameType) -> None:
        # By number, since a module need not be hashable; `kept` keeps them from being reused.
        self.kept = dict(modules_of(network)) if is_module(network) else {}
        self.paths = {id(module): path for path, module in self.kept.items()}
        self.outside = outside.f_code

    def named(self) -> list[str]:
        """Return the path of each module within."""
        return [path for path in self.kept if path]

    def classes(self) -> list[type]:
        """Return the class of each module."""
        return list(dict.fromkeys(type(module) for module in self.kept.values()))

    def of(self, v: Any, function: str) -> Place:
        """Return where this is called from."""
        frames = list(_frames(sys._getframe(1), self.outside))
        module = caller = None
        last = len(frames) - 1
        for i, frame in enumerate(frames):
            if module is None:
                module = _first(frame) if self._calls(frame, v) else None
            elif is_module(_first(frame)) and _first(frame) is not module:
                caller, last = _first(frame), i
                break
        path, above = ("" if each is None else self._path(each, frames) for each in (module, caller))
        own = [frame for i, frame in enumerate(frames[: last + 1]) if i == last or not _is_between(frame)]
        if any(frame.f_globals.get("__name__", "").startswith(COMPILER) for frame in frames[frames.index(own[0]) :]):
            # What Dynamo makes of a function are several, one inside the other; the line alone stays.
            return Place(path, "", ((own[0].f_code.co_filename, own[0].f_lineno),), function)
        return Place(path, above, tuple((frame.f_code, frame.f_lasti) for frame in own), function)

    def path(self, module: Any) -> str:
        """Return the name of a module from inside its call."""
        return self._path(module, list(_frames(sys._getframe(1), self.outside)))

    def _calls(self, frame: types.FrameType, v: Any) -> bool:
        """Whether a frame is of a method of a module, but not of one that is the spike function, given v itself."""
        if not is_module(_first(frame)):
            return False
        code = frame.f_code
        given = code.co_varnames[1 : code.co_argcount + bool(code.co_flags & 4) + code.co_kwonlyargcount]
        values = [frame.f_locals.get(name) for name in given]
        return not any(x is v for value in values for x in (value if isinstance(value, tuple) else (value,)))

    def _path(self, module: Any, frames: Sequence[types.FrameType]) -> str:
        if id(module) in self.paths:
            return self.paths[id(module)]
        # Linen knows its own path. Other modules are made anew by a transform, within one that is made anew with them.
        if isinstance(path := getattr(module, "path", None), tuple):
            return ".".join(path)
        for frame in reversed(frames):
            outer = _first(frame)
            if is_module(outer):
                found = {id(each): path for path, each in modules_of(outer)}
                if id(module) in found:
                    return found[id(module)]
        return type(module).__name__


def _frames(frame: types.FrameType | None, outside: types.CodeType) -> Iterator[types.FrameType]:
    """Yield the frames from one outwards, to that in which the recording was opened, or if none is between, that one."""
    inside = False
    while frame is not None and not (inside and frame.f_code is outside):
        yield frame
        inside = inside or not _is_between(frame)
        frame = frame.f_back


def _first(frame: types.FrameType) -> Any:
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None


def _is_between(frame: types.FrameType) -> bool:
    name = frame.f_globals.get("__name__", "")
    return any(name == each or name.startswith(f"{each}.") for each in FRAMEWORKS)
