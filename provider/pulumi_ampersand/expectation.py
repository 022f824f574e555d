"""What a stack expects of the connections that it reads, like a postcondition."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pulumi_ampersand.arguments import is_plain, named, nearest
from pulumi_ampersand.errors import SettingsError, plain_errors
from pulumi_ampersand.model import DETAILS_GAP, Connection, Found
from pulumi_ampersand.terminal import one_line

if TYPE_CHECKING:
    from pulumi import Input

_SHOWN = 10
"""How many connections a sentence lists."""


@dataclass(frozen=True, kw_only=True)
class Expect:
    """What must be true of the connections found, or the resource fails, in a preview, too.

    Whatever is None isn't expected. A value may be an output; as long as it isn't known, it isn't expected. A refresh
    records what is there without expecting anything.

    Attributes:
        min: At least so many connections.
        max: At most so many.
        healthy: True: each has a status with which the API accepts its credentials. False is like None.
        scopes: What each must have been granted: scopes, or lists of scopes of which one is enough. Scopes that aren't
            known count as not granted.
        workspace: A regular expression that the whole ``provider_workspace_ref`` of each must match.

    Raises:
        SettingsError: A value can't be used; names it.
    """

    min: Input[int] | None = None
    max: Input[int] | None = None
    healthy: Input[bool] | None = None
    scopes: Input[Sequence[Input[str | Sequence[Input[str]]]]] | None = None
    workspace: Input[str] | None = None

    def __post_init__(self) -> None:
        with plain_errors():
            known(self.properties())

    def properties(self) -> dict[str, Any]:
        """What is expected, as a resource's property."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


Expect.__init__ = named(Expect.__init__)  # type: ignore[method-assign]


def known(expected: Mapping[str, Any]) -> dict[str, Any]:
    """What can be expected by now. Outputs, and what a preview doesn't know yet, are looked at later.

    Raises:
        SettingsError: A value can't be used; names it.
    """
    if not isinstance(expected, Mapping):
        raise SettingsError(f"expect must be an object; it takes {', '.join(_CHECKS)}")
    values = {name: value for name, value in expected.items() if value is not None and is_plain(value)}
    for name, value in values.items():
        if name not in _CHECKS:
            raise SettingsError(f'expect has no "{name}"{nearest(name, _CHECKS)}; it takes {", ".join(_CHECKS)}')
        if not _CHECKS[name][0](value):
            raise SettingsError(f"expect: {name} must be {_CHECKS[name][1]}")
    if "min" in values and "max" in values and values["min"] > values["max"]:
        raise SettingsError("expect: min is more than max")
    return values


def _is_count(value: Any) -> bool:
    # Numbers of resources' properties are floats.
    return not isinstance(value, bool) and isinstance(value, int | float) and value >= 0 and value % 1 == 0


def _is_scopes(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(item, str) or (item and isinstance(item, list | tuple) and all(isinstance(one, str) for one in item))
        for item in value
    )


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and re.compile(value) is not None
    except (re.error, RecursionError, OverflowError):
        return False


_CHECKS = {
    "min": (_is_count, "a whole number from 0 on"),
    "max": (_is_count, "a whole number from 0 on"),
    "healthy": (lambda value: isinstance(value, bool), "True or False"),
    "scopes": (_is_scopes, 'a list of scopes, or of lists of scopes of which one is enough: ["api", ["a", "b"]]'),
    "workspace": (_is_pattern, "a regular expression"),
}


def misses(found: Sequence[Found], expected: Mapping[str, Any]) -> list[str]:
    """What isn't as expected, one clause each.

    Args:
        found: The connections, and how they were found.
        expected: What `Expect.properties` gave, outputs resolved.

    Raises:
        SettingsError: A value can't be used; names it.
    """
    values = known(expected)
    connections = [connection for connection, _ in found]
    least, most = values.get("min"), values.get("max")
    missed = []
    if least is not None and len(found) < least:
        missed.append(f"expected at least {_count(least)}, found {_found(connections)}")
    if most is not None and len(found) > most:
        missed.append(f"expected at most {_count(most)}, found {_found(connections)}")
    if values.get("healthy"):
        sick = [f"{describe(c)}: status {one_line(seen.status or '', 60)}" for c, seen in found if not c.healthy]
        missed += _each("expected healthy connections, but found", sick)
    if scopes := values.get("scopes"):
        missed += _each("expected other scopes:", filter(None, (_ungranted(pair, scopes) for pair in found)))
    if (pattern := values.get("workspace")) is not None:
        others = filter(None, (_elsewhere(connection, pattern) for connection in connections))
        # The pattern may be secret.
        missed += _each("expected other workspaces, by expect.workspace:", others)
    return missed


def not_one(connections: Sequence[Connection]) -> str | None:
    """A clause that says how many connections were found and which; None if it is one."""
    return None if len(connections) == 1 else f"expected one connection, found {_found(connections)}"


def describe(connection: Connection) -> str:
    """A connection's ID, provider and customer, on one line that is safe on a terminal."""
    who = ", ".join(filter(None, (connection.provider, connection.customer)))
    return one_line(f"{connection.id} ({who})", 120)


def _ungranted(pair: Found, scopes: Sequence[str | Sequence[str]]) -> str:
    connection, seen = pair
    if connection.scopes is None:
        why = seen.gaps.get(DETAILS_GAP) or "the API didn't send them"
        return f"{describe(connection)}: its granted scopes are unknown: {why}"
    granted = set(connection.scopes)
    choices = [[item] if isinstance(item, str) else list(item) for item in scopes]
    lacking = [" or ".join(choice) for choice in choices if granted.isdisjoint(choice)]
    return f"{describe(connection)}: not granted: {one_line(', '.join(lacking), 200)}" if lacking else ""


def _elsewhere(connection: Connection, pattern: str) -> str:
    workspace = connection.provider_workspace_ref
    if workspace is not None and re.fullmatch(pattern, workspace):
        return ""
    return f"{describe(connection)}: {'its workspace is unknown' if workspace is None else one_line(workspace, 80)}"


def _count(number: float) -> str:
    return f"{int(number)} connection{'' if number == 1 else 's'}"


def _found(connections: Sequence[Connection]) -> str:
    return f"{len(connections)}: {_listed(map(describe, connections), ', ')}" if connections else "none"


def _each(expected: str, texts: Iterable[str]) -> list[str]:
    listed = _listed(texts, "; ")
    return [f"{expected} {listed}"] if listed else []


def _listed(texts: Iterable[str], separator: str) -> str:
    every = list(texts)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return separator.join(every[:_SHOWN]) + more
