"""A forecast: which connections will break which rules, and when, if nobody does anything.

The rules themselves are judged at later times; there is no second idea of what expires when. It is assumed that a rule
which time alone breaks stays broken, as is true of every rule about expiry, age and waivers' ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from typing import Final, NamedTuple

from pulumi_ampersand.answers import without_collection
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.configuration import ActiveRule, Configuration
from pulumi_ampersand_policies.evaluation import Finding, State, crashes, evaluate
from pulumi_ampersand_policies.rules import RULES, verifiable_connections

MOST_DAYS: Final = 3650


@dataclass(frozen=True)
class Forecast:
    """What is to come.

    Attributes:
        upcoming: What isn't broken now and will be, by day, then in the order of findings.
        crashed: A sentence for each rule that failed at a later time, so that not all is known.
    """

    upcoming: tuple[Upcoming, ...]
    crashed: tuple[str, ...] = ()


class Upcoming(NamedTuple):
    """A connection will break a rule.

    Attributes:
        on: The day (UTC) in the course of which it does.
        finding: What will be found by the end of that day.
    """

    on: date
    finding: Finding


@without_collection()
def forecast(inventory: Inventory, configuration: Configuration, as_of: datetime, days: int) -> Forecast:
    """What will break from now on.

    Args:
        inventory: The connections as they are.
        configuration: The rules, their levels and options.
        as_of: Now.
        days: How many days to look ahead.
    """
    # What can't be judged isn't broken by time.
    rules = tuple(active for active in configuration.rules if active.rule.id != verifiable_connections.RULE.id)
    as_of = as_of.astimezone(timezone.utc)
    today = as_of.date()
    end = as_of + min(timedelta(days), datetime.max.replace(tzinfo=timezone.utc) - as_of)
    # The last moment of each day: a waiver's last day belongs to it, and what expires at midnight does so on that day.
    whole_days = [today + timedelta(n) for n in range((end.date() - today).days)]
    moments = [as_of, *(datetime.combine(day, time.max, timezone.utc) for day in whole_days), end]
    future = _Future(replace(configuration, rules=rules), moments)
    future.narrow_to_what_changes(inventory)
    first: dict[str, tuple[int, Finding]] = {}
    future.search(0, len(moments) - 1, first)
    upcoming = [Upcoming(today + timedelta(number - 1), finding) for number, finding in first.values()]
    upcoming.sort(key=lambda item: (item.on, item.finding.order))
    return Forecast(tuple(upcoming), tuple(future.crashed))


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
        self.crashed: dict[str, None] = {}

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
        part = inventory.where(lambda entry: one_line(entry.connection.id) in concerned)
        self._parts = [
            (part, replace(self._configuration, rules=tuple(single))),
            (inventory, replace(self._configuration, rules=tuple(joint))),
        ]
        self._known.clear()

    def at(self, number: int) -> Mapping[str, Finding]:
        """The open findings at a moment by fingerprint."""
        if number not in self._known:
            judged = [
                evaluate(inventory, configuration, self._moments[number])
                for inventory, configuration in self._parts
                if configuration.rules
            ]
            self.crashed |= {text: None for evaluation in judged for text in crashes(evaluation)}
            self._known[number] = {
                finding.fingerprint: finding
                for evaluation in judged
                for finding in evaluation.findings
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
    """Whether what a rule says of a connection depends, or may depend, on the other connections."""
    ours = any(active.rule is rule for rule in RULES)
    return not ours or active.rule.whole or bool(getattr(active.options, "tolerate", 0))
