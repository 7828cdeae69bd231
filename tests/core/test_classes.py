"""Surrogate classes as objects of a process: their keys, threads that make and look for them, their way to other processes."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import math
import pickle
import subprocess
import sys
import threading
import weakref

import cloudpickle
import joblib
import numpy as np
import pytest
from every import every_surrogate
from known_values import KNOWN

from arcana import surrogate as definitions
from arcana._core.caches import per_class_cache
from arcana._core.parameters import Bounds
from arcana._core.registry import class_of
from arcana.surrogate import Facts, FastSigmoid, Surrogate, formula, parameter

SENT = '''
import arcana.surrogate
from arcana.surrogate import Facts, Surrogate, formula, parameter

class Plain(Surrogate):
    @staticmethod
    def derivative(v, xp):
        return xp.reciprocal(xp.abs(v) + 3)

class Full(Surrogate, name="the_full_one"):
    "All that a class can have."
    width: float = parameter(above=0, at_most=8)
    height: float = 0.5
    order: int = parameter(2, at_least=1)

    @formula
    def derivative(v, xp, *, width, height, order):
        return xp.square(xp.divide(v, width)) * (height * order)

    @formula
    def primitive(v, xp, *, width, height, order):
        return v * 0 + 0.5

    @staticmethod
    def facts(*, width, height, order):
        return Facts(peak=height, area=width, support=(-width, width))

class Child(Full):
    pass

class Mentions(Surrogate):
    """Its formula takes a constant from an instance of its own class."""
    width: float = parameter(2.0, above=0)

    @staticmethod
    def derivative(v, xp, *, width):
        return v * 0 + width + wide.width

wide = Mentions(width=5.0)

def nested():
    class Nested(Surrogate):
        class_wide = "kept"

        @staticmethod
        def derivative(v, xp):
            return v * 0 + 7.0
    return Nested
'''


@functools.cache
def sent() -> dict[str, type[Surrogate]]:
    """Classes as a script or a notebook makes them: none can be imported by another process."""
    namespace = {"__name__": "__main__"}
    exec(SENT, namespace)
    return {**{name: namespace[name] for name in ("Plain", "Full", "Child", "Mentions")}, "Nested": namespace["nested"]()}


def elsewhere(data: object, script: str) -> str:
    """What a script prints in another process, with `data` unpickled there."""
    program = f"import pickle, sys; data = pickle.load(sys.stdin.buffer); {script}"
    run = subprocess.run([sys.executable, "-c", program], input=cloudpickle.dumps(data), capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout.decode().strip()


@pytest.mark.parametrize(
    ("name", "parameters", "h"),
    [
        ("Plain", {}, 0.2),
        ("Full", {"width": 4.0}, 0.25),
        ("Child", {"width": 2.0, "order": 3}, 1.5),
        ("Nested", {"gain": 2.0}, 14.0),
        ("Mentions", {"width": 3.0}, 8.0),
    ],
)
def test_a_class_of_a_script_arrives_in_another_process(name: str, parameters: dict[str, float], h: float) -> None:
    instance = sent()[name](**parameters)
    assert instance.derivative(2.0) == h
    shown = (
        "print(repr(data), data.derivative(2.0), hash(data) == hash(type(data)(**{f: getattr(data, f) for f in data._names})))"
    )
    assert elsewhere(instance, shown) == f"{instance!r} {h} True"


def test_what_a_class_knows_arrives_with_it() -> None:
    full = sent()["Full"](width=4.0)
    script = (
        "a, b, cls = data; other = cls(width=4.0); from arcana._core.registry import class_of;"
        "print(type(a) is type(b) is cls, a == b == other, class_of(cls.key) is cls);"
        "print(cls.name, a.peak, a.support, a.primitive(1.0));"
        "import dataclasses; print(dataclasses.replace(a, width=2.0));"
        "exec('try: cls(width=9.0)\\nexcept ValueError as e: print(e)');"
        "exec('try: cls()\\nexcept TypeError as e: print(e)')"
    )
    assert elsewhere((full, sent()["Full"](width=4.0), sent()["Full"]), script).splitlines() == [
        "True True True",
        "the_full_one 0.5 (-4.0, 4.0) 0.5",
        "Full(width=2.0, height=0.5, order=2)",
        "Full: width must be > 0 and <= 8, got 9.0",
        "Full: width has no default and must be given",
    ]


def test_two_classes_of_one_name_keep_apart_where_they_arrive() -> None:
    """Each has been sent with the key that it had where it was made, and two messages know nothing of each other."""
    make = (
        "class Mine(Surrogate):\n    @staticmethod\n    def derivative(v, xp):\n        return v * 0 + {}\n"
        "import cloudpickle, sys\n"
        "sys.stdout.buffer.write(cloudpickle.dumps(Mine()))"
    )
    head = "from arcana.surrogate import Surrogate\n"
    messages = [
        subprocess.run([sys.executable, "-c", head + make.format(k)], capture_output=True, check=True).stdout for k in (2.0, 5.0)
    ]
    script = (
        "from arcana._core.registry import class_of; a, b, c = (pickle.loads(each) for each in (*data, data[0]));"
        "print(a.derivative(1.0), b.derivative(1.0), type(a) is type(c), a == c, a == b, a.key != b.key);"
        "print(all(class_of(each.key) is type(each) for each in (a, b, c)))"
    )
    assert elsewhere(messages, script).splitlines() == ["2.0 5.0 True True False True", "True"]


def test_it_arrives_in_the_process_that_sent_it() -> None:
    mine = sent()["Full"](width=3.0)
    arrived = cloudpickle.loads(cloudpickle.dumps(mine))
    assert arrived == mine
    assert type(arrived) is type(mine)
    assert class_of(arrived.key) is type(mine)


def test_joblib_sends_a_class_of_a_script() -> None:
    surrogates = [sent()["Full"](width=w) for w in (0.5, 2.0)]
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(lambda s: (s, s.derivative(1.0)))(s) for s in surrogates)
    assert found == [(surrogates[0], 4.0), (surrogates[1], 0.25)]


def test_a_class_that_stays_empty_is_asked_for_its_derivative_when_it_is_used() -> None:
    class Empty(Surrogate):
        pass

    for use in (Empty, lambda: Empty(gain=2.0)):
        with pytest.raises(TypeError, match=r"^Empty: a surrogate defines derivative\(v, xp"):
            use()
    with pytest.raises(TypeError, match=r"^Documented: a surrogate defines derivative"):
        type("Documented", (Surrogate,), {"__doc__": "A docstring and no derivative."})


@every_surrogate
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_the_class_and_plain_values(name: str, protocol: int) -> None:
    instance = definitions.get(name, gain=0.5)
    assert pickle.loads(pickle.dumps(instance, protocol)) == instance
    assert instance.__getstate__() == {each: getattr(instance, each) for each in instance.parameter_names()}
    assert copy.deepcopy(instance) == copy.copy(instance) == instance
    # As it was pickled before, and lies in files.
    assert pickle.loads(pickle.dumps(functools.partial(type(instance), **instance.__getstate__()), protocol))() == instance


def test_a_pickle_of_bad_values_is_an_error() -> None:
    data = pickle.dumps(FastSigmoid(scale=25.0), 2).replace(b"@9\0\0\0\0\0\0", b"\xc09\0\0\0\0\0\0")
    with pytest.raises(ValueError, match=r"^FastSigmoid: scale must be > 0, got -25\.0$"):
        pickle.loads(data)


def make(factor: float) -> type[Surrogate]:
    class Mine(Surrogate):
        @staticmethod
        def derivative(v, xp):
            return v * 0 + factor

    return Mine


@pytest.mark.usefixtures("quick_collection")
def test_a_key_is_never_used_again() -> None:
    """A graph that outlives a class must not find the one that was made after it."""
    keys = []
    for k in range(4):
        definition = make(float(k))
        keys.append(definition.key)
        gone = weakref.ref(definition)
        assert class_of(definition.key) is definition
        del definition
        gc.collect()
        if "jax" not in sys.modules:
            # JAX holds what is registered as a pytree for as long as it lives.
            assert gone() is None
    assert len(set(keys)) == 4


def test_classes_may_be_made_while_others_are_looked_for() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    errors: list[BaseException] = []
    keys: list[str] = []

    def make_some() -> None:
        for k in range(150):
            keys.append(make(k).key)

    def look() -> None:
        try:
            while any(each.is_alive() for each in makers):
                assert definitions.get("fast_sigmoid") == definitions.fast_sigmoid
                assert definitions.from_dict(definitions.ste.to_dict()) == definitions.ste
                assert definitions.names() == sorted(KNOWN)
        except BaseException as error:
            errors.append(error)

    makers = [threading.Thread(target=make_some) for _ in range(3)]
    watcher = threading.Thread(target=look)
    try:
        for each in (*makers, watcher):
            each.start()
        for each in (*makers, watcher):
            each.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    assert len(set(keys)) == 450


def test_bounds_know_their_ends_themselves() -> None:
    """No cache beside them, which would hold the bounds of every class that there ever was."""
    bounds = Bounds(above=1.0, at_most=2.0)
    assert bounds.representable("float32") == (1 + 2.0**-23, 2.0)
    assert bounds.representable("float64") == (1 + 2.0**-52, 2.0)
    assert Bounds(above=0).representable("float32") == (2.0**-126, (2 - 2.0**-23) * 2.0**127)
    assert Bounds(above=0).representable("float64") == (2.0**-1022, sys.float_info.max)
    assert Bounds(below=0).representable("float64") == (-sys.float_info.max, -(2.0**-1022))
    assert Bounds(at_least=-3.0, below=1.0).representable("float32") == (-3.0, 1 - 2.0**-24)
    tenths = Bounds(at_least=-0.1, at_most=0.1)
    assert (tenths.domain("float64"), tenths.domain("float32")) == ((-0.1, 0.1), (-0.10000000149011612, 0.10000000149011612))
    gone = weakref.ref(bounds)
    del bounds
    assert gone() is None


def test_bounds_are_a_value_and_hold_their_closed_ends_alone() -> None:
    opened, closed = Bounds(above=-1.0, below=2.0), Bounds(at_least=-1.0, at_most=2.0)
    assert [[bounds.holds(x) for x in (-1.5, -1.0, 0.0, 2.0, 2.5)] for bounds in (opened, closed)] == [
        [False, False, True, False, False],
        [False, True, True, True, False],
    ]
    assert [str(each) for each in (opened, closed, Bounds())] == ["> -1 and < 2", ">= -1 and <= 2", "finite"]
    assert repr(opened) == "Bounds(above=-1.0, at_least=-inf, below=2.0, at_most=inf)"
    assert len({opened, closed, Bounds(above=-1, below=2)}) == 2


def test_a_parameter_of_minus_zero_is_zero() -> None:
    """Equal surrogates are one key, and share what was made for the first."""
    assert math.copysign(1, definitions.LeakyStep(leak=-0.0).leak) == 1
    assert math.copysign(1, FastSigmoid().checked("gain", -0.0)) == 1


def test_a_whole_number_of_numpy_is_an_int_and_no_bool() -> None:
    assert type(definitions.SquarewaveFourier(terms=np.int64(3)).terms) is int
    with pytest.raises(ValueError, match=r"^SquarewaveFourier: terms must be >= 1 and <= 64, got 65$"):
        definitions.SquarewaveFourier(terms=np.int64(65))
    for given in (True, 3.0, "3"):
        with pytest.raises(TypeError, match=r"^SquarewaveFourier: terms must be of type int, got "):
            definitions.SquarewaveFourier(terms=given)  # pyright: ignore[reportArgumentType]


def test_facts_with_a_gain_and_without_facts_of_ones_own() -> None:
    class Measured(Surrogate):
        @staticmethod
        def derivative(v, xp):
            return xp.exp(-xp.abs(v)) * 3

        @staticmethod
        def primitive(v, xp):
            return xp.sign(v) * -xp.expm1(-xp.abs(v)) * 3 + 0.5

    measured = Measured(gain=-2.0)
    assert (measured.peak, measured.area, measured.even, measured.support) == (6.0, -12.0, False, (-math.inf, math.inf))
    assert measured.unit_peak().gain == pytest.approx(-1 / 3)
    assert measured.unit_area().gain == pytest.approx(1 / 6)
    rectangular = definitions.Rectangular(width=3.0, gain=-2.0)
    assert (rectangular.peak, rectangular.area, rectangular.even) == (2.0, -6.0, True)
    for rescaled in (FastSigmoid(gain=0.0).unit_peak, definitions.MultiGaussian(height=1.0).unit_area):
        with pytest.raises(ValueError, match=r" is 0\.0, so it cannot be rescaled"):
            rescaled()


def test_a_surrogate_is_frozen_and_equals_no_other_kind() -> None:
    instance = FastSigmoid()
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'gain'"):
        del instance.gain
    assert instance != instance.to_dict()
    assert instance.__eq__(3.0) is NotImplemented


def test_a_cache_is_of_one_class_and_tells_types_apart() -> None:
    calls: list[object] = []

    @per_class_cache
    def shown(definition: type[Surrogate], x: object) -> str:
        calls.append(x)
        return repr(x)

    class Child(FastSigmoid):
        pass

    assert [shown(FastSigmoid, x) for x in (1, 1.0, True, 1)] == ["1", "1.0", "True", "1"]
    assert [shown(Child, 1), len(calls)] == ["1", 4]
    assert pickle.loads(pickle.dumps(vars(Child)["_caches"])) == {}


def test_a_domain_is_of_numbers_of_its_dtype() -> None:
    low, high = definitions.Rectangular.domain("width", "float32")
    assert (low, high) == (1.0000000036274937e-15, 999999986991104.0)
    assert definitions.Rectangular.domain("width", "float64") == (1e-15, 1e15)
    assert FastSigmoid.bounded("scale")
    assert not FastSigmoid.bounded("gain")


@pytest.mark.parametrize(
    ("definition", "name", "near"),
    [
        (FastSigmoid, "slope", "scale"),
        (FastSigmoid, "alpha", "scale"),
        (FastSigmoid, "scal", "scale"),
        (FastSigmoid, "zeta", "scale"),
        (FastSigmoid, "fires_at_treshold", "fires_at_threshold"),
        (definitions.Triangular, "window", "width"),
        (definitions.Triangular, "k", "scale"),
        (definitions.Sigmoid, "beta", "slope"),
        (definitions.STE, "zeta", None),
    ],
)
def test_a_foreign_name_is_answered_with_the_nearest(definition: type[Surrogate], name: str, near: str | None) -> None:
    end = f"; did you mean {near}?" if near else "fires_at_threshold"
    with pytest.raises(TypeError) as caught:
        definition(**{name: 2.0})
    assert str(caught.value).startswith(f"{definition.__name__} has no parameter {name!r}; it has ")
    assert str(caught.value).endswith(end)


def test_a_threshold_is_no_parameter_of_a_surrogate() -> None:
    with pytest.raises(TypeError, match=r"v is the potential minus the threshold: subtract it, or use arcana\.torch\.Spike$"):
        FastSigmoid(threshold=0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: FastSigmoid(25),
            "FastSigmoid takes no positional argument, only parameters by keyword: write FastSigmoid(scale=25)",
        ),
        (lambda: FastSigmoid(np.float32(25)), "by keyword: write FastSigmoid(scale=np.float32(25.0))"),
        (lambda: FastSigmoid(np.ones(3), scale=2.0), "by keyword: the spikes of v are FastSigmoid(scale=2.0)(v)"),
        (lambda: FastSigmoid([25.0]), "by keyword: write FastSigmoid(scale=...)"),
        (lambda: FastSigmoid(25.0, 2.0), "write FastSigmoid(scale=25.0, gain=2.0)"),
        (lambda: FastSigmoid(25.0, alpha=2.0), "write FastSigmoid(scale=2.0)"),
        (lambda: FastSigmoid()(None, 25), "write FastSigmoid(scale=10.0)(v, scale=25)"),
        (lambda: definitions.Triangular(0.3, 2), "write Triangular(scale=0.3, width=2)"),
    ],
)
def test_a_positional_parameter_is_answered_with_the_keyword(call, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    assert message in str(caught.value)


def test_the_parts_of_the_script_are_the_public_ones() -> None:
    assert {Facts, formula, parameter} <= {getattr(definitions, name) for name in ("Facts", "formula", "parameter")}
    assert math.isinf(FastSigmoid().support[1])
