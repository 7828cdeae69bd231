"""The conformance suite as a test function for pytest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from arcana.surrogate import Surrogate
from arcana.testing._surrogate import check_surrogate
from arcana.testing.backends import BACKENDS


def conformance_test(
    *surrogates: Surrogate | type[Surrogate], backends: Sequence[str] = BACKENDS
) -> Callable[[Surrogate | type[Surrogate]], None]:
    """Return a test function that checks each of the surrogates; one line of a user's test file makes it.

    >>> from arcana.surrogate import FastSigmoid
    >>> test_surrogates = conformance_test(FastSigmoid, FastSigmoid(scale=25.0))

    Args:
        surrogates: instances, or classes whose parameters all have defaults; each is a test of its own.
        backends: as in `check_surrogate`.

    Raises:
        ImportError: pytest is not installed.
        ValueError: no surrogate is given.
    """
    import pytest

    if not surrogates:
        msg = "conformance_test takes at least one surrogate: without any, nothing would be tested"
        raise ValueError(msg)
    names = [each.__name__ if isinstance(each, type) else repr(each) for each in surrogates]

    @pytest.mark.parametrize("surrogate", surrogates, ids=names)
    def test(surrogate: Surrogate | type[Surrogate]) -> None:
        check_surrogate(surrogate, backends)

    return test
