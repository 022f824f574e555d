"""Arguments that people write: which names there are, and which values can be judged yet."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from pulumi_ampersand.errors import SettingsError, plain_errors

_P = ParamSpec("_P")
_T = TypeVar("_T")


def named(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have a keyword that a function or constructor doesn't know be an error with the nearest one it knows.

    Raises:
        SettingsError: Names the argument.
    """
    names = list(inspect.signature(function).parameters)
    title = function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def checking(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        for name in kwargs:
            if name not in names:
                hint = nearest(name, names)
                with plain_errors():
                    raise SettingsError(f'{title} has no argument "{name}"{hint}; it takes {_listed(names)}')
        return function(*args, **kwargs)

    return checking


def _listed(names: list[str]) -> str:
    return ", ".join(name for name in names if name != "self")


def is_plain(value: Any) -> bool:
    """Whether a value is neither an output nor awaited nor unknown, and holds nothing like it."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return not (hasattr(value, "__await__") or type(value).__module__.startswith("pulumi."))


def nearest(name: str, valid: Iterable[str], likeness: float = 0.5) -> str:
    """`` (did you mean "x"?)`` for the valid name nearest to ``name``, or nothing where none is near.

    Args:
        name: What isn't valid.
        valid: What is.
        likeness: How near a name must be, 0 to 1; see `difflib.get_close_matches`.
    """
    by_case = {candidate.lower(): candidate for candidate in valid}
    found = difflib.get_close_matches(name.lower(), by_case, n=1, cutoff=likeness)
    return f' (did you mean "{by_case[found[0]]}"?)' if found else ""
