"""An output that nobody works for until somebody uses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from pulumi import Output

_T = TypeVar("_T")

_STATE: Final = frozenset({"_data", "_future", "_is_known", "_is_secret", "_resources"})
"""Where an output keeps what will become of it: the SDK's present ``_data``, and the others of its earlier versions."""


class LazyOutput(Output[_T]):
    """Becomes the output that ``make`` returns, when it is first used.

    The SDK begins the work for an output as it is made. All use of one reads its state, which this one lacks at first:
    Python then asks `__getattr__`.

    Args:
        make: Makes the output; called once at the most.
    """

    def __init__(self, make: Callable[[], Output[_T]]) -> None:
        # Not the SDK's, which begins the work.
        self.__dict__["make"] = make

    def apply(self, func: Callable[[_T], Any], run_with_unknowns: bool = False) -> Output[Any]:
        """See `pulumi.Output.apply`."""
        # The SDK would first read the state while it holds a lock that making an output needs.
        self._start()
        return super().apply(func, run_with_unknowns)

    def __getattr__(self, name: str) -> Any:
        if name not in _STATE:
            return super().__getattr__(name)
        self._start()
        return self.__dict__[name]

    def _start(self) -> None:
        make = self.__dict__.pop("make", None)
        if make is not None:
            self.__dict__.update(make().__dict__)
