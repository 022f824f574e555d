"""Times relative to the start of the sandbox.

A data set that says "expires in three days" must say so on any day. So a time field of a connection may hold, instead
of an RFC 3339 time, a shift from the moment at which the sandbox starts::

    @now                                 that moment
    @now+3d     @now-2h30m               shifts: whole numbers of s, m, h, d or w
    @now-400d;fraction=6                 written with so many fraction digits (none by default, at most 9)
    @now-1h;offset=+02:00                written at that offset from UTC (``Z`` by default)

The time fields are `TIME_FIELDS`; any other text is left alone, even if it starts with ``@now``.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

TIME_FIELDS = frozenset({"createTime", "updateTime", "issuedAt", "expiresAt"})
"""The fields of a connection in which the notation is understood, at any depth."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_NOTATION = re.compile(
    r"@now(?P<shifts>(?:[+-](?:\d{1,6}[smhdw])+)*)(?:;fraction=(?P<fraction>\d))?(?:;offset=(?P<offset>[+-]\d\d:[0-5]\d))?"
)
_SHIFT = re.compile(r"(?P<sign>[+-])(?P<steps>(?:\d+[smhdw])+)")
_STEP = re.compile(r"(?P<number>\d+)(?P<unit>[smhdw])")


def resolve(text: str, now: datetime) -> str:
    """The RFC 3339 time that `text` stands for.

    Args:
        text: a time in the notation of this module; anything that doesn't start with ``@now`` is returned as it is.
        now: the moment that the shifts are counted from, with a time zone.

    Raises:
        ValueError: the text starts with ``@now`` but isn't in the notation.
    """
    if not text.startswith("@now"):
        return text
    found = _NOTATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time: write @now, @now+3d, @now-2h30m;fraction=6 or @now-1h;offset=+02:00")
    try:
        moment = now + _shift(found["shifts"])
        return write(moment, fraction=int(found["fraction"] or 0), offset=found["offset"])
    except OverflowError:
        raise ValueError(f"{text!r} lies outside the years 1 to 9999") from None


def resolve_all(value: Any, now: datetime) -> Any:
    """A copy of a JSON value with the times in its `TIME_FIELDS` resolved, at any depth.

    Raises:
        ValueError: a time field starts with ``@now`` but isn't in the notation.
    """
    if isinstance(value, Mapping):
        return {
            key: resolve(item, now) if key in TIME_FIELDS and isinstance(item, str) else resolve_all(item, now)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [resolve_all(item, now) for item in value]
    return value


def write(moment: datetime, *, fraction: int = 0, offset: str | None = None) -> str:
    """A moment as RFC 3339 text, with `fraction` digits of a second (0 to 9), at `offset` (``+02:00``) or in UTC."""
    zone = timezone.utc
    if offset is not None:
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        zone = timezone(timedelta(hours=hours, minutes=minutes) * (-1 if offset[0] == "-" else 1))
    local = moment.astimezone(zone)
    digits = f"{local.microsecond:06d}000"[:fraction]
    return f"{local:%Y-%m-%dT%H:%M:%S}{'.' if digits else ''}{digits}{offset or 'Z'}"


def _shift(text: str) -> timedelta:
    total = timedelta()
    for part in _SHIFT.finditer(text):
        steps = sum(
            (timedelta(**{_UNITS[step["unit"]]: int(step["number"])}) for step in _STEP.finditer(part["steps"])),
            timedelta(),
        )
        total += -steps if part["sign"] == "-" else steps
    return total
