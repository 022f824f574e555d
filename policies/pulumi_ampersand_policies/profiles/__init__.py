"""Ready configurations, to start from.

- ``baseline``: stops deployments on what is broken now, and reports everything else.
- ``strict``: stops them on everything, fails closed, and asks for a data source or a gate in every stack.
- ``soc2``: is ``baseline``, stops them on what SOC 2's criteria ask for, too, and fails closed. ``allowed-scopes``,
  which they ask for as well, starts with your list of what is needed; make it mandatory, too.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

PROFILES: Final = ("baseline", "strict", "soc2")
"""The names of all profiles."""


def profile(name: str) -> str:
    """The text of a profile, JSON.

    Args:
        name: One of `PROFILES`.
    """
    return (files(__name__) / f"{name}.json").read_text("utf-8")
