"""The base class of every surrogate: checked parameters, value semantics, a dict round trip, and facts."""

from __future__ import annotations

import dataclasses
import inspect
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar, cast, dataclass_transform, overload

from arcana._core import creation, dispatch, misuse, registry
from arcana._core.formula import Formula
from arcana._core.parameters import (
    FINITE,
    Bounds,
    bounds_of,
    checked_bounds,
    checked_number,
    checked_static,
)

ArrayT = TypeVar("ArrayT")

_WRITTEN_BY_PYTHON = frozenset({"__module__", "__firstlineno__", "__static_attributes__"})
"""What every class has; the last two from Python 3.13 on."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """The facts of a shape in closed form, for one set of parameters and a gain of 1.

    Attributes:
        peak: the largest value of h.
        area: the integral of h over the real line, `math.inf` where it diverges.
        support: the closed interval outside which h is 0.
        even: whether h(-v) = h(v).

    >>> from arcana.surrogate import Facts, FastSigmoid
    >>> FastSigmoid.facts(scale=25.0) == Facts(peak=1.0, area=0.08)
    True
    """

    peak: float
    area: float
    support: tuple[float, float] = (-math.inf, math.inf)
    even: bool = True


class formula:  # noqa: N801  (a decorator, like staticmethod)
    """Marks a formula of a definition: read from the class it is the formula itself, from an instance h or G of an array.

    A plain function or a `@staticmethod` does the same in a user's class; this one also tells a type checker what the
    instance takes.

    >>> from arcana.surrogate import Surrogate, formula
    >>> class Tent(Surrogate):
    ...     @formula
    ...     def derivative(v, xp):
    ...         return xp.relu(1 - xp.abs(v))
    >>> print(Tent().derivative(0.75))
    0.25
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = getattr(function, "__name__", "")
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[..., Any]: ...
    @overload
    def __get__(self, instance: Surrogate, owner: type) -> Callable[[ArrayT], ArrayT]: ...
    def __get__(self, instance: Surrogate | None, owner: type) -> Callable[..., Any]:
        if instance is None:
            return self.function
        name = self.name
        return lambda v: dispatch.of_array(v, numpy=True, caller=type(instance).__name__).evaluate(instance, name, v)


def _new_of_arrived(cls: type[Surrogate], *_: Any, **__: Any) -> Surrogate:
    """Be the `__new__` of a class that cloudpickle filled: mend what is something else in the process that it comes from."""
    cls.key = registry.key_of(cls)
    for field in cls.__dataclass_fields__.values():
        if isinstance(field.default, type(dataclasses.MISSING)):
            field.default = dataclasses.MISSING
    return object.__new__(cls)


def _no_primitive(v: Any, xp: Any, **parameters: Any) -> Any:
    """Stand where a definition gives no primitive; `Formula.evaluate` raises before this would be called."""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,))
@dataclasses.dataclass(init=False, eq=False, repr=False, kw_only=True)
class Surrogate:
    """A surrogate derivative h of the Heaviside step, defined once for every framework.

    Subclass it, give each parameter as an annotated field, and write `derivative` over the array namespace `xp`:

    >>> class Cauchy(Surrogate):
    ...     width: float = parameter(1.0, above=0)
    ...     @staticmethod
    ...     def derivative(v, xp, *, width):
    ...         return xp.reciprocal(xp.square(xp.divide(v, width)) + 1)
    >>> Cauchy(width=0.5)
    Cauchy(width=0.5)

    Instances are frozen, equal and hashable by value, and picklable. Fields annotated `float` are the
    parameters: they may be replaced by an array at the call and have gradients. Fields annotated `int`,
    `bool` or `str` shape the formula and are fixed numbers.

    Args:
        gain: a factor on h, finite (default 1). The primitive becomes 1/2 + gain · (G − 1/2).
        fires_at_threshold: whether v = 0 fires (default) or not, as in snnTorch, Norse and spyx.

    A subclass may give, besides `derivative`:
        primitive: G with G′ = h and G(0) = 1/2, needed for gradients with respect to parameters.
        sensitivities: dG/dparameter by its name, from v, xp and h; not used where it disagrees with the primitive.
        facts: peak, area, support and evenness in closed form, from the parameters.
    """

    gain: float = 1.0
    fires_at_threshold: bool = True

    name: ClassVar[str]
    """The registry name, and the name of the function in each backend."""
    key: ClassVar[str]
    """A string that finds exactly this class again in this process, and no other ever, see `class_of`."""
    # Not annotated, so that a type checker takes any override: formula, staticmethod or a plain function.
    derivative = cast(Any, None)
    primitive = cast(Any, formula(_no_primitive))
    sensitivities = cast(Any, None)
    facts = cast(Any, None)
    _calls: ClassVar[dict[Any, Any]]
    """Of each instance: what a backend has found for it, by what else a call depends on; to hash its values takes longer."""
    _caches: ClassVar[dict[Any, Any]]
    """Of each class: what a backend has found for it, which so lives no longer than the class."""
    _numbers: ClassVar[dict[str, Bounds]]
    # Of every field; Dynamo before 2.12 follows no look into the fields themselves.
    _bounds: ClassVar[dict[str, Bounds]]
    _defaults: ClassVar[dict[str, Any]]
    _settings: ClassVar[tuple[str, ...]]
    _values: ClassVar[Callable[[Surrogate], tuple[Any, ...]]]
    _names: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, *, name: str | None = None, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # cloudpickle makes a class with an empty body and fills it afterwards: that one is asked when it is first used.
        filled = any(value for name, value in vars(cls).items() if name not in _WRITTEN_BY_PYTHON)
        if filled:
            cls.check_derivative()
            creation.check_body(cls, Surrogate)
        else:
            cls.__new__ = cast(Any, _new_of_arrived)
        _mark_formulas(cls)
        # What a dataclass would write and compile anew for every class is written here once: an import makes 25 of them.
        dataclasses.dataclass(init=False, eq=False, repr=False, kw_only=True)(cls)
        fields = dataclasses.fields(cls)
        cls._values = operator.attrgetter(*(f.name for f in fields))
        cls.__signature__ = inspect.Signature([_as_parameter(f) for f in fields], return_annotation=None)
        cls._bounds = {f.name: bounds_of(f) for f in fields}
        cls._defaults = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
        cls._numbers = {f.name: cls._bounds[f.name] for f in fields if f.type in (float, "float")}
        cls._settings = tuple(f.name for f in fields if f.name not in cls._numbers)
        cls._names = (*(f.name for f in fields if f.name not in _COMMON), *_COMMON)
        if filled:
            creation.check_fields(cls, Surrogate, cls._numbers)
            for formula_name, first in (*((each, ("v", "xp")) for each in creation.FORMULAS), *creation.STATIC.items()):
                given = getattr(cls, formula_name)
                if given is not None and given is not _no_primitive:
                    creation.check_formula(cls, formula_name, given, cls.own_names(), first)
        cls.name = name or registry.registry_name(cls.__name__)
        cls.key = registry.register(cls)

    def __init__(self, *positional: Any, **parameters: Any) -> None:
        definition = type(self)
        if positional:
            raise misuse.no_positional(definition, positional, parameters)
        if definition.derivative is None:
            definition.check_derivative()
        for name in parameters:
            definition.check_name(name)
        # By self, since Dynamo before 2.12 follows no look into a dict of the class.
        for name in self._bounds:
            if name not in parameters and name not in self._defaults:
                msg = f"{definition.__name__}: {name} has no default and must be given"
                raise TypeError(msg)
            object.__setattr__(self, name, parameters[name] if name in parameters else self._defaults[name])
        object.__setattr__(self, "_calls", {})
        self.__post_init__()

    def __post_init__(self) -> None:
        for name, bounds in self._bounds.items():
            value = getattr(self, name)
            if name in self._numbers:
                checked = checked_number(type(self).__name__, name, value, bounds)
            else:
                default = self._defaults.get(name, dataclasses.MISSING)
                checked = checked_static(type(self).__name__, name, value, default, bounds)
            object.__setattr__(self, name, checked)

    def __setattr__(self, name: str, value: object) -> None:
        msg = f"cannot assign to field {name!r}"
        raise dataclasses.FrozenInstanceError(msg)

    def __delattr__(self, name: str) -> None:
        msg = f"cannot delete field {name!r}"
        raise dataclasses.FrozenInstanceError(msg)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values(self) == self._values(other)

    def __hash__(self) -> int:
        return hash(self._values(self))

    # The class and a dict of plain values: what torch.load(weights_only=True) takes of a class that it is allowed.
    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        if type(self).derivative is not None:
            self.__init__(**state)
            return
        # One that a formula of its own class mentions: cloudpickle makes it before it fills the class, which knows no bounds yet.
        for name, value in {**state, "_calls": {}}.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        # torch.func.vmap asks for the name of what it maps, and so Dynamo comes here, which follows no dataclasses.fields.
        shown = [name for name in self._names if name not in _COMMON or getattr(self, name) != _COMMON[name]]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def __call__(self, v: ArrayT, *positional: Any, **parameters: Any) -> ArrayT:
        """Return the spikes of v, a torch.Tensor or a jax.Array; parameters given here replace the instance's."""
        if positional:
            raise misuse.one_positional(type(self), repr(self), positional, parameters)
        return dispatch.of_array(v, caller=type(self).__name__).spike(v, self, **parameters)

    @property
    def formula(self) -> Formula:
        """The class with the settings of this instance."""
        return Formula(type(self), tuple(self.settings.items()))

    @property
    def numbers(self) -> dict[str, float]:
        """The parameters by name, the gain only where it is not 1."""
        return {name: getattr(self, name) for name in self._numbers if name != "gain" or self.gain != 1.0}

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that shape the formula, `fires_at_threshold` among them."""
        return {name: getattr(self, name) for name in self._settings}

    @classmethod
    def parameter_names(cls) -> list[str]:
        """Return the names of all fields: the class's own first, then those that every surrogate has."""
        return list(cls._names)

    @classmethod
    def own_names(cls) -> list[str]:
        """Return the names of the class's own fields, without those that every surrogate has."""
        return list(cls._names[: -len(_COMMON)])

    @classmethod
    def check_derivative(cls) -> None:
        """Raise a TypeError if the class defines no derivative."""
        if cls.derivative is None:
            msg = f"{cls.__name__}: a surrogate defines derivative(v, xp, *, <its parameters>)"
            raise TypeError(msg)

    @classmethod
    def check_name(cls, name: str) -> None:
        """Raise a TypeError that lists the parameters, and says which is the nearest, if none has this name."""
        if name not in cls._names:
            raise misuse.unknown_name(cls, name)

    @classmethod
    def rounded(cls, name: str, value: float, dtype: str) -> float:
        """Return a parameter, moved to the nearest end of the interval that its bounds leave in a dtype if it lies outside."""
        low, high = cls.representable(name, dtype)
        return float(min(max(value, low), high))

    @classmethod
    def representable(cls, name: str, dtype: str) -> tuple[float, float]:
        """Return the ends of the interval that a parameter's bounds leave in a computing dtype."""
        return cls._numbers[name].representable(dtype)

    @classmethod
    def domain(cls, name: str, dtype: str) -> tuple[float, float]:
        """Return the ends of that interval as numbers of that dtype."""
        return cls._numbers[name].domain(dtype)

    @classmethod
    def bounded(cls, name: str) -> bool:
        """Whether a finite number can be out of a parameter's domain."""
        return cls._numbers[name] != FINITE

    @classmethod
    def checked(cls, name: str, value: float) -> float:
        """Return the value of a parameter, or raise a ValueError if it is out of its bounds."""
        return checked_bounds(cls.__name__, name, value, cls._numbers[name])

    @property
    def peak(self) -> float:
        """The largest value of h (of gain · h where a gain is set)."""
        return abs(self.gain) * self._unscaled_facts().peak

    @property
    def area(self) -> float:
        """The integral of h over the real line; `inf` where it diverges."""
        return self.gain * self._unscaled_facts().area

    @property
    def support(self) -> tuple[float, float]:
        """The closed interval outside which h is 0."""
        return self._unscaled_facts().support

    @property
    def even(self) -> bool:
        """Whether h(−v) = h(v)."""
        return self._unscaled_facts().even

    @property
    def reference(self) -> str:
        """The paper, from the docstring's `Reference:` section."""
        _, _, reference = (inspect.getdoc(type(self)) or "").partition("\nReference:")
        return " ".join(reference.split("\n\n")[0].split())

    def _unscaled_facts(self) -> Facts:
        if type(self).facts is not None:
            return type(self).facts(**{name: getattr(self, name) for name in self.own_names()})
        return _measured_facts(dataclasses.replace(self, gain=1.0))

    def unit_peak(self) -> Self:
        """Return the same shape with a peak of 1."""
        return self._rescaled("peak", self.peak)

    def unit_area(self) -> Self:
        """Return the same shape with an area of 1; a ValueError where the area is infinite or zero."""
        return self._rescaled("area", self.area)

    def unit_variance(self, mean: float = 0.0, std: float = 1.0) -> Self:
        """Return the same shape with E[h(v)²] = 1 for v normal with this mean and standard deviation.

        A layer without a leak, whose weights have a variance of 1/inputs, then passes gradients on with their variance:
        what `torch.nn.init.calculate_gain` is for an activation. The integral is numerical, within 1e-9.

        Args:
            mean: the mean of v, the potential minus the threshold; finite.
            std: its standard deviation; finite, above 0.

        Raises:
            ValueError: mean or std is out of its bounds; h is 0 wherever v comes; or h changes too often there to be integrated.

        Example:
            >>> from arcana.surrogate import Rectangular
            >>> round(Rectangular(width=2.0).unit_variance(mean=-1.0, std=0.5).gain, 9)
            1.414258354

        Reference: J. Rossbroich, J. Gygax and F. Zenke, Fluctuation-driven initialization for spiking neural network
        training, Neuromorphic Computing and Engineering 2 (2022) 044016; L. Herranz-Celotti and J. Rouat, Stabilizing
        spiking neuron training, arXiv:2202.00282 (2022).
        """
        # Here, so that an import loads neither it nor NumPy's polynomials.
        from arcana._core.integration import normal_mean

        caller = f"{type(self).__name__}.unit_variance"
        mean, std = checked_number(caller, "mean", mean, FINITE), checked_number(caller, "std", std, Bounds(above=0))
        kinks = (end for end in self.support if math.isfinite(end))
        try:
            mean_square = normal_mean(lambda v: self.derivative(v) ** 2, mean, std, kinks)
        except ValueError as error:
            msg = f"{self!r}: {error}"
            raise ValueError(msg) from None
        return self._rescaled("root mean square", math.sqrt(mean_square))

    def _rescaled(self, fact: str, value: float) -> Self:
        if not (math.isfinite(value) and value != 0.0):
            msg = f"{self!r}: its {fact} is {value}, so it cannot be rescaled to {fact} 1"
            raise ValueError(msg)
        return dataclasses.replace(self, gain=self.gain / value)

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of plain values from which `from_dict` makes an equal surrogate."""
        parameters = {name: getattr(self, name) for name in self.parameter_names()}
        return {"surrogate": registry.public_name(type(self)), "parameters": parameters}

    @classmethod
    def has_primitive(cls) -> bool:
        """Whether a primitive is given, without which parameters have no gradient."""
        return cls.primitive is not _no_primitive


_COMMON = {field.name: field.default for field in dataclasses.fields(Surrogate)}
"""The fields that every surrogate has, and their defaults."""


def _as_parameter(field: dataclasses.Field[Any]) -> inspect.Parameter:
    default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=field.type)


def _measured_facts(surrogate: Surrogate) -> Facts:
    """Facts of a definition that gives none: the value at 0, and the rise of the primitive if there is one."""
    area = math.nan
    if surrogate.has_primitive():
        area = float(surrogate.primitive(math.inf) - surrogate.primitive(-math.inf))
    return Facts(peak=float(surrogate.derivative(0.0)), area=area, even=False)


def _mark_formulas(cls: type[Surrogate]) -> None:
    """Make formulas of what a class body gives as plain functions or staticmethods, and staticmethods of the rest."""
    for name in (*creation.FORMULAS, *creation.STATIC):
        given = vars(cls).get(name)
        function = given.__func__ if isinstance(given, (staticmethod, classmethod)) else given
        if function is None or isinstance(function, formula):
            continue
        if isinstance(given, classmethod) or not callable(function):
            msg = f"{cls.__name__}: {name} must be a plain function or a staticmethod, got a {type(given).__name__}"
            raise TypeError(msg)
        marked = staticmethod(function) if name in creation.STATIC else formula(function)
        if isinstance(marked, formula):
            marked.__set_name__(cls, name)
        setattr(cls, name, marked)
