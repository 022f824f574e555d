"""``idle-connections``: connections are used, or not kept.

Broken by a connection that is still ``created`` and whose createTime and updateTime both lie strictly more than
``maxDays`` (30) back: it was made and never used, for a token that is used is refreshed, and that changes updateTime.
Not evaluated where one of the two times isn't known and the other is old; one that is young enough settles it. A
connection with any other status keeps the rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from pydantic import Field

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.model import CREATED
from pulumi_ampersand_policies.compliance import UNUSED_ACCESS
from pulumi_ampersand_policies.grant import NOT_OBSERVED, describe_span, describe_time, known_time, plural, why_missing
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified


class IdleConnections(Options):
    """Options of ``idle-connections``."""

    max_days: float = Field(30, ge=0, le=36500, description="The most days that a connection may stay unused.")


def check(inventory: Inventory, options: IdleConnections, now: datetime) -> Iterator[Breach | Unverified]:
    """Compare both times of connections that were never used with the limit."""
    limit = timedelta(days=options.max_days)
    for entry in inventory:
        seen = entry.observation
        if seen.status is None:
            yield Unverified(NOT_OBSERVED, entry)
        if seen.status != CREATED:
            continue
        sent = {"createTime": entry.connection.create_time, "updateTime": seen.update_time}
        times = {name: known_time(text) for name, text in sent.items()}
        known = [time for time in times.values() if time is not None]
        if any(now - time <= limit for time in known):
            continue
        if unknown := [name for name, time in times.items() if time is None]:
            why = "; ".join(f"{name} is no time" if sent[name] else why_missing(entry, name) for name in unknown)
            yield Unverified(f"how long it has been unused is unknown: {why}", entry)
            continue
        latest = max(known)
        idle = f"unused for {describe_span(now - latest)}, since {describe_time(latest)}"
        yield Breach(f"still {CREATED} and {idle}; maximum {plural(options.max_days, 'day')}", entry)


RULE = Rule(
    id="idle-connections",
    title="Connections are used, or not kept",
    severity=Severity.LOW,
    enforcement=Enforcement.ADVISORY,
    remediation="Delete the connection in Ampersand if its integration isn't installed any more",
    check=check,
    options=IdleConnections,
    tags=("inventory", "lifecycle"),
    controls=UNUSED_ACCESS,
)
