"""The contract of a backend: what it gives, and what the checks of a call ask about its arrays."""

from __future__ import annotations

from typing import Any, Protocol


class Backend(Protocol):
    """A package `arcana.<framework>`, or a module that has been added to `BACKENDS`."""

    def spike(self, v: Any, surrogate: Any, **parameters: Any) -> Any:
        """Return the spikes of v, with the surrogate's derivative in every mode of the framework."""
        ...

    def evaluate(self, surrogate: Any, which: str, v: Any, **parameters: Any) -> Any:
        """Return h (`which` = "derivative") or G ("primitive") of v, in v's dtype and shape."""
        ...


class Arrays(Protocol):
    """The questions that the checks of a call ask about the arrays of a framework."""

    kind: str
    """The class of its arrays, for messages: `torch.Tensor`."""
    noun: str
    """What its users call one: `tensor`."""
    convert: str
    """How an array of NumPy becomes one: `torch.as_tensor(v)`."""

    def potential(self, v: Any) -> Any:
        """Return v as an array of the framework, or None if it is nothing that its own functions take."""
        ...

    def parameter(self, value: Any) -> Any:
        """Return a parameter as an array of the framework, or None if it is none."""
        ...

    def dtype(self, x: Any) -> str:
        """Return the name of an array's dtype, as NumPy has it."""
        ...

    def is_floating(self, x: Any) -> bool:
        """Whether the array is of a floating-point type."""
        ...

    def cast(self, x: Any, dtype: str) -> Any:
        """Return the array in another dtype."""
        ...

    def ends(self, x: Any) -> tuple[float, float, str] | None:
        """Return the least and the greatest value and the dtype that holds them; None where nobody can look at the values."""
        ...

    def inside(self, x: Any, low: float, high: float, dtype: str) -> Any:
        """Return values that nobody could check; one beyond a bound stands for the nearest inside."""
        ...


BACKENDS: dict[str, str] = {"torch": "arcana.torch", "jax": "arcana.jax", "jaxlib": "arcana.jax"}
"""The module of a backend, by the top-level package of its arrays' class. A backend elsewhere adds itself here."""

TITLES = {"torch": "PyTorch", "jax": "JAX"}
"""The backends that `arcana.testing` and the command line know, by name, and how their frameworks write themselves."""
