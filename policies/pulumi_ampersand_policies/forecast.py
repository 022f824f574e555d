"""A forecast: which connections will break which rules, and when, if nobody does anything.

The rules themselves are judged at later times; there is no second idea of what expires when. It is assumed that a rule
which time alone breaks stays broken, as is true of every rule about expiry, age and waivers' ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from typing import Final, NamedTuple

from pulumi_ampersand.answers import without_collection
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.configuration import ActiveRule, Configuration
from pulumi_ampersand_policies.evaluation import Finding, State, evaluate
from pulumi_ampersand_policies.rules import verifiable_connections

MOST_DAYS: Final = 3650


class Upcoming(NamedTuple):
    """A connection will break a rule.

    Attributes:
        on: The day (UTC) on which it does, in the course of it.
        finding: What will be found by the end of that day.
    """

    on: date
    finding: Finding


@without_collection()
def forecast(inventory: Inventory, configuration: Configuration, as_of: datetime, days: int) -> tuple[Upcoming, ...]:
    """What will break from now on.

    Args:
        inventory: The connections as they are.
        configuration: The rules, their levels and options.
        as_of: Now.
        days: How many days to look ahead.

    Returns:
        What isn't broken now and will be, by day, then in the order of findings.
    """
    # What can't be judged isn't broken by time.
    rules = tuple(active for active in configuration.rules if active.rule.id != verifiable_connections.RULE.id)
    today = as_of.astimezone(timezone.utc).date()
    midnights = [datetime.combine(today + timedelta(n), time(), timezone.utc) for n in range(1, days + 1)]
    moments = [as_of, *midnights, as_of + timedelta(days)]
    future = _Future(replace(configuration, rules=rules), moments)
    future.narrow_to_what_changes(inventory)
    first: dict[str, tuple[int, Finding]] = {}
    future.search(0, len(moments) - 1, first)
    upcoming = [Upcoming(today + timedelta(number - 1), finding) for number, finding in first.values()]
    return tuple(sorted(upcoming, key=lambda item: (item.on, item.finding.order)))


def horizons(upcoming: Iterable[Upcoming], as_of: datetime, days: int) -> dict[int, int]:
    """How many findings are to come within 7, 30 and 90 days, as far as the forecast reaches, and within all of it.

    Args:
        upcoming: The forecast.
        as_of: Now.
        days: How many days it looks ahead.
    """
    today = as_of.astimezone(timezone.utc).date()
    ahead = [(item.on - today).days for item in upcoming]
    limits = sorted({limit for limit in (7, 30, 90) if limit < days} | {days})
    return {limit: sum(distance <= limit for distance in ahead) for limit in limits}


class _Future:
    """The open findings at each of some moments, judged when they are asked for."""

    def __init__(self, configuration: Configuration, moments: list[datetime]) -> None:
        self._configuration = configuration
        self._moments = moments
        self._parts: list[tuple[Inventory, Configuration]] = []
        self._known: dict[int, Mapping[str, Finding]] = {}

    def narrow_to_what_changes(self, inventory: Inventory) -> None:
        """Leave out rules that say the same at the beginning and the end, and connections that don't matter."""
        self._parts = [(inventory, self._configuration)]
        before, after = self.at(0), self.at(len(self._moments) - 1)
        fresh = [finding for name, finding in after.items() if name not in before]
        changing = {finding.rule for finding in fresh}
        concerned = {finding.connection for finding in fresh}
        single: list[ActiveRule] = []
        joint: list[ActiveRule] = []
        for active in self._configuration.rules:
            if active.rule.id in changing:
                (joint if _depends_on_others(active) else single).append(active)
        part = inventory.where(lambda entry: entry.connection.id in concerned)
        self._parts = [
            (part, replace(self._configuration, rules=tuple(single))),
            (inventory, replace(self._configuration, rules=tuple(joint))),
        ]
        self._known.clear()

    def at(self, number: int) -> Mapping[str, Finding]:
        """The open findings at a moment by fingerprint."""
        if number not in self._known:
            self._known[number] = {
                finding.fingerprint: finding
                for inventory, configuration in self._parts
                if configuration.rules
                for finding in evaluate(inventory, configuration, self._moments[number]).findings
                if finding.state is State.OPEN
            }
        return self._known[number]

    def search(self, low: int, high: int, first: dict[str, tuple[int, Finding]]) -> None:
        """Find for each finding that is there at ``high`` and not at ``low`` the first moment at which it is there."""
        before, after = self.at(low), self.at(high)
        fresh = after.keys() - before.keys()
        if not fresh:
            return
        if high - low == 1:
            first.update({name: (high, after[name]) for name in fresh if name not in first})
            return
        middle = (low + high) // 2
        self.search(low, middle, first)
        self.search(middle, high, first)


def _depends_on_others(active: ActiveRule) -> bool:
    """Whether what a rule says of a connection depends on the other connections."""
    return active.rule.whole or bool(getattr(active.options, "tolerate", 0))
