"""The function `fast_sigmoid(v, *, scale=10.0)` and the class `FastSigmoid` that a backend makes of a definition."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from arcana._core import misuse
from arcana._core.surrogate import Surrogate

P = ParamSpec("P")
ArrayT = TypeVar("ArrayT")


class SurrogateFunction(Generic[ArrayT, P]):
    """The spikes of v with the gradient of one surrogate; every parameter by keyword, a number or an array.

    It is pickled and copied by its name, so a model that holds one can be saved.

    Args:
        definition: the surrogate's class.
        spike: the backend's.
        module: where the function is found.
        example: of a call, with `{}` for the name and the framework's own array.
    """

    def __init__(self, definition: Callable[P, Surrogate], spike: Callable[..., ArrayT], module: str, example: str) -> None:
        self.surrogate: Surrogate = cast(Callable[[], Surrogate], definition)()
        self._spike = spike
        self.__module__ = module
        self.__name__ = self.__qualname__ = self.surrogate.name
        v = inspect.Parameter("v", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        fields = inspect.signature(type(self.surrogate)).parameters
        self.__signature__ = inspect.Signature([v, *(fields[name] for name in type(self.surrogate).parameter_names())])
        self.__doc__ = documentation(self, example.format(self.__name__))

    @overload
    def __call__(self, v: ArrayT, *nothing: P.args, **numbers: P.kwargs) -> ArrayT: ...
    @overload
    def __call__(self, v: ArrayT, *, rule: object = None, random: object = None, **parameters: float | ArrayT) -> ArrayT: ...
    def __call__(self, v: Any = inspect.Parameter.empty, *positional: Any, **parameters: Any) -> Any:
        if positional or v is inspect.Parameter.empty:
            raise self._misused(positional, parameters)
        return self._spike(v, self.surrogate, **parameters)

    def _misused(self, positional: tuple[Any, ...], parameters: dict[str, Any]) -> TypeError:
        """Return the error for `fast_sigmoid(v, 25.0)` and `fast_sigmoid(scale=25.0)`."""
        definition = type(self.surrogate)
        if positional:
            return misuse.one_positional(definition, self.__name__, positional, parameters)
        written = misuse.written(definition, (), parameters)
        call = f"{self.__name__}({', '.join(['v', *([written] if written else [])])})"
        advice = f"the object to hand over is {definition.__name__}({written}), from arcana.surrogate"
        return TypeError(f"{self.__name__} gives the spikes of a potential v, and none is given: write {call}; {advice}")

    def __repr__(self) -> str:
        return f"<function {self.__module__}.{self.__name__}>"

    def __reduce__(self) -> str:
        return self.__name__


def documentation(function: SurrogateFunction[Any, Any], example: str) -> str:
    """Return the docstring of a function: the call, what comes back, an example, and the definition's own.

    An object that is no Python function has no signature in `help()`, so the call stands first, as in NumPy's own functions.
    """
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in function.__signature__.parameters.values()]
    call = f"{function.__name__}{inspect.Signature(plain)}"
    text = inspect.getdoc(function.surrogate) or ""
    summary, *paragraphs = [each for each in text.split("\n\n") if not each.startswith(">>>")]
    arguments = next((each for each in paragraphs if each.startswith("Args:")), "Args:")
    paragraphs = [each for each in paragraphs if each != arguments]
    # Before the facts, where a definition has its arguments.
    place = next((i for i, each in enumerate(paragraphs) if each.startswith("Shapes and dtypes:")), len(paragraphs))
    paragraphs[place:place] = [_ARGUMENTS.format(arguments.partition("\n")[2]).replace("\n\n", "\n"), _RETURNS, example]
    return "\n\n".join([call, f"Return the spikes of v, whose derivative is h. {summary}", *paragraphs])


_ARGUMENTS = """Args:
    v: potential minus threshold.
{}
    gain: a factor on h, finite (default 1).
    fires_at_threshold: whether v = 0 fires (default) or not.
    rule: of `arcana.rules`, where spikes are something else than 0 and 1; random: what it draws from."""

_RETURNS = """Returns:
    1 where v >= 0 and else 0, in v's shape and dtype."""


class DefinitionMeta(type):
    """The class of a backend's generated classes. A parameter read from one is the definition's default, and read-only."""

    definition: type[Surrogate]

    def __getattr__(cls, name: str) -> Any:
        if "definition" in cls.__dict__ and name in cls.definition.parameter_names():
            return getattr(cls.definition(), name)
        msg = f"{cls.__name__} has no attribute {name!r}"
        raise AttributeError(msg)

    def __setattr__(cls, name: str, value: Any) -> None:
        if "definition" in cls.__dict__ and name in cls.definition.parameter_names():
            msg = (
                f"{cls.__name__}.{name} is read-only, since every layer would share it; "
                f"call {cls.definition.name}(v, {name}={value!r}) or make {cls.__name__}({name}={value!r})"
            )
            raise AttributeError(msg)
        super().__setattr__(name, value)

    def __call__(cls, *positional: Any, **parameters: Any) -> Surrogate:
        """Make the definition, the same one in every backend: a generated class has no instances."""
        return cls.definition(*positional, **parameters)


class GeneratedClass(Generic[ArrayT]):
    """The methods of a backend's generated classes.

    Each has a `definition`, and the backend's `spike` and `evaluate`; the metaclass is `DefinitionMeta`.
    """

    definition: type[Surrogate]
    spike: Callable[..., Any]
    evaluate: Callable[..., Any]

    @classmethod
    def apply(cls, v: ArrayT, *positional: Any, **parameters: Any) -> ArrayT:
        """Return the spikes of v, with the definition's default parameters unless others are given by keyword."""
        if positional:
            raise misuse.one_positional(cls.definition, f"{cls.__name__}.apply", positional, parameters)
        return cls.spike(v, cls.definition(), **parameters)

    @classmethod
    def pseudo_derivative(cls, v: ArrayT, *positional: Any, **parameters: Any) -> ArrayT:
        """Return h(v), with the definition's default parameters unless others are given by keyword."""
        if positional:
            raise misuse.one_positional(cls.definition, f"{cls.__name__}.pseudo_derivative", positional, parameters)
        return cls.evaluate(cls.definition(), "derivative", v, **parameters)
