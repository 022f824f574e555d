"""A forecast: which connections will break which rules, and when, if nobody does anything.

The rules themselves are judged at later times; there is no second idea of what expires when. It is assumed that a rule
which time alone breaks stays broken, as is true of every rule about expiry, age and waivers' ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    future = _Future(moments)
    single: list[ActiveRule] = []
    joint: list[ActiveRule] = []
    for active in rules:
        (joint if _depends_on_others(active) else single).append(active)
    found = [
        *future.search(inventory, replace(configuration, rules=tuple(single)), narrowing=True),
        *future.search(inventory, replace(configuration, rules=tuple(joint)), narrowing=False),
    ]
    upcoming = [Upcoming(today + timedelta(number - 1), finding) for number, finding in found]
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


_Key = tuple[str, ...]
_Open = Mapping[_Key, Finding]


class _Future:
    """The search for the moments at which findings begin.

    Args:
        moments: The moments, in order.
    """

    def __init__(self, moments: Sequence[datetime]) -> None:
        self._moments = moments
        self.crashed: dict[str, None] = {}

    def search(
        self, inventory: Inventory, configuration: Configuration, *, narrowing: bool
    ) -> Iterator[tuple[int, Finding]]:
        """What isn't found at the first moment and is later, with the number of the moment at which it first is.

        Args:
            inventory: The connections.
            configuration: The rules.
            narrowing: Whether the rules say the same of a connection whichever others there are.
        """
        if configuration.rules:
            last = len(self._moments) - 1
            before, after = (self._open(inventory, configuration, number) for number in (0, last))
            yield from self._between(0, last, before, after, inventory, configuration, narrowing)

    def _between(  # noqa: PLR0913, PLR0917 - the state of the search
        self,
        low: int,
        high: int,
        before: _Open,
        after: _Open,
        inventory: Inventory,
        configuration: Configuration,
        narrowing: bool,
    ) -> Iterator[tuple[int, Finding]]:
        fresh = {key: finding for key, finding in after.items() if key not in before}
        if not fresh:
            return
        if high - low == 1:
            for finding in fresh.values():
                yield high, finding
            return
        if narrowing:
            # So that each connection is judged a few times, however many moments there are.
            concerned = {finding.connection for finding in fresh.values()}
            inventory = inventory.where(lambda entry: one_line(entry.connection.id) in concerned)
        number = (low + high) // 2
        middle = self._open(inventory, configuration, number)
        yield from self._between(low, number, before, middle, inventory, configuration, narrowing)
        yield from self._between(number, high, {**before, **middle}, fresh, inventory, configuration, narrowing)

    def _open(self, inventory: Inventory, configuration: Configuration, number: int) -> _Open:
        evaluation = evaluate(inventory, configuration, self._moments[number])
        self.crashed |= dict.fromkeys(crashes(evaluation))
        return {_key(finding): finding for finding in evaluation.findings if finding.state is State.OPEN}


def _key(finding: Finding) -> _Key:
    """What tells findings apart, as their fingerprints do."""
    required = () if finding.connection else (finding.provider, finding.group)
    return (finding.rule, finding.project, finding.exact or finding.connection, *required)


def _depends_on_others(active: ActiveRule) -> bool:
    """Whether what a rule says of a connection depends, or may depend, on the other connections."""
    ours = any(active.rule is rule for rule in RULES)
    return not ours or active.rule.whole or bool(getattr(active.options, "tolerate", 0))
