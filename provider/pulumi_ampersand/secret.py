"""Text that shows itself nowhere."""

from __future__ import annotations


class Secret:
    """A text that isn't in a repr, a log, a format string or a pickle.

    Args:
        value: The text.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError(f"{type(self).__name__} is never pickled")

    def reveal(self) -> str:
        """The text itself, for the place that needs it and for nothing else."""
        return self._value
