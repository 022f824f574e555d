"""What a check says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final, NamedTuple

SECONDS: Final = 10.0
"""How long another program, or the API, may take to answer."""


class Mark(str, Enum):
    """How a thing was found."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    PROBLEM = "problem"


class Note(NamedTuple):
    """What was found of one thing.

    Attributes:
        mark: How it was found.
        subject: The thing.
        found: What was found; a clause without a full stop. May hold hostile text.
        remedy: What mends it, a command where there is one; may be empty.
    """

    mark: Mark
    subject: str
    found: str
    remedy: str = ""


Check = Callable[[], Iterator[Note]]
