"""The forecast: against an oracle that judges at the end of every day, and at its edges."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, Final

import pytest

from audits import own
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.configuration import Configuration, parse
from pulumi_ampersand_policies.evaluation import Finding, State, evaluate
from pulumi_ampersand_policies.forecast import MOST_DAYS, Upcoming, forecast, horizons
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Unverified
from pulumi_ampersand_policies.testing import NOW, at, connection, grant, inventory

TODAY: Final = NOW.date()


def look_ahead(found: Inventory, configuration: Configuration, as_of: datetime, days: int) -> tuple[Upcoming, ...]:
    """What is to come, where no rule fails."""
    found_ahead = forecast(found, configuration, as_of, days)
    assert found_ahead.crashed == ()
    return found_ahead.upcoming


def configured(settings: Any) -> Configuration:
    """A configuration."""
    return parse(json.dumps(settings), "policy-config.json")


def only_expiry(**options: Any) -> Configuration:
    """The rule ``token-expiry`` alone."""
    return configured({"all": "disabled", "token-expiry": {"enforcementLevel": "mandatory", **options}})


def expiring(name: str, when: str, **changes: Any) -> dict[str, Any]:
    """A connection whose credential expires then."""
    return connection(name, oauth2AuthorizationCode=grant(refresh=when), **changes)


def waiver(expires: str, **selectors: str) -> dict[str, str]:
    """A waiver."""
    return {"reason": "a pilot", "approvedBy": "Kim", "expires": expires, **selectors}


def dates(upcoming: tuple[Upcoming, ...]) -> dict[tuple[str, str], str]:
    """On which day each connection will break each rule."""
    found = {(item.finding.rule, item.finding.connection): item.on.isoformat() for item in upcoming}
    assert len(found) == len(upcoming)
    return found


def expiry_dates(*connections: Any, days: int = 90, as_of: datetime = NOW, **options: Any) -> dict[str, str]:
    """On which day each connection will break ``token-expiry``; with ``minDays`` 0, the one on which it expires."""
    upcoming = look_ahead(inventory(*connections), only_expiry(**{"minDays": 0, **options}), as_of, days)
    return {name: day for (_, name), day in dates(upcoming).items()}


def opened(found: Inventory, configuration: Configuration, moment: datetime) -> dict[str, Finding]:
    """The findings that are open at a moment."""
    findings = evaluate(found, configuration, moment).findings
    return {finding.fingerprint: finding for finding in findings if finding.state is State.OPEN}


def oracle(found: Inventory, configuration: Configuration, as_of: datetime, days: int) -> dict[tuple[str, str], date]:
    """The same by judging at the end of every day; what nothing could be said of isn't broken by time."""
    rules = tuple(active for active in configuration.rules if active.rule.id != "verifiable-connections")
    configuration = replace(configuration, rules=rules)
    seen = set(opened(found, configuration, as_of))
    last = as_of + timedelta(days)
    expected: dict[tuple[str, str], date] = {}
    for number in range(days + 1):
        day = as_of.astimezone(timezone.utc).date() + timedelta(number)
        moment = min(datetime.combine(day, time.max, timezone.utc), last)
        for fingerprint, finding in opened(found, configuration, moment).items():
            if fingerprint not in seen:
                seen.add(fingerprint)
                expected[finding.rule, finding.connection] = day
    return expected


def some_connections(chance: random.Random) -> Inventory:
    """Connections that break and will break rules at all times of the day."""

    def when(first: float, last: float) -> str | None:
        return chance.choice([None, *[at(seconds=chance.uniform(first, last) * 86400) for _ in range(5)]])

    def one(number: int) -> dict[str, Any]:
        refresh = chance.choice([when(-5, 60), when(-5, 60), False])
        return connection(
            f"conn_{number}",
            provider=chance.choice(["salesforce", "slack"]),
            status=chance.choice(["created", "created", "working", "bad_credentials", "new"]),
            createTime=when(-60, 0),
            updateTime=when(-60, 0),
            group={"groupRef": chance.choice(["acme", "globex"])},
            oauth2AuthorizationCode=grant(
                refresh=refresh,
                access=chance.choice([when(-1, 40), False]),
                issued=when(-400, 0),
                scopes=chance.choice([["api"], [], None]),
            ),
        )

    return inventory(*map(one, range(chance.randrange(1, 12))))


def some_rules(chance: random.Random, waivers: list[dict[str, str]]) -> Configuration:
    """Rules that time breaks, and others, by all kinds of options."""
    tolerate = [0, 0, 1, 3, "10%", "50%"]

    def options(**own: Any) -> dict[str, Any]:
        level = chance.choice(["mandatory", "advisory"])
        given = [one for one in waivers if chance.random() < 0.6]
        return {"enforcementLevel": level, "tolerate": chance.choice(tolerate), "waivers": given, **own}

    return configured(
        {
            "token-expiry": options(minDays=chance.choice([0, 1, 7, 7.5])),
            "access-token-expiry": options(minMinutes=chance.choice([0, 10, 1440])),
            "credential-age": options(
                maxDays=chance.choice([0.5, 30, 365]), assume=chance.choice(["createTime", None])
            ),
            "idle-connections": options(maxDays=chance.choice([1, 30])),
            "no-bad-credentials": options(),
            "unique-connections": options(),
            "required-connections": {
                "enforcementLevel": "mandatory",
                "require": [{"provider": "slack", "min": chance.choice([1, 9])}],
            },
        }
    )


@pytest.mark.parametrize("seed", range(40))
def test_dates_are_those_of_judging_day_by_day(seed: int) -> None:
    """Whatever breaks by expiry, age and idleness, with tolerance or without, does so on the day that is said."""
    chance = random.Random(seed)
    found, configuration = some_connections(chance), some_rules(chance, [])
    days = chance.choice([1, 2, 30, 45])
    assert {(f.rule, f.connection): on for on, f in look_ahead(found, configuration, NOW, days)} == oracle(
        found, configuration, NOW, days
    )


@pytest.mark.parametrize("seed", range(40))
def test_dates_of_waivers_ends_are_those_of_judging_day_by_day(seed: int) -> None:
    """Likewise where waivers end, too."""
    chance = random.Random(1000 + seed)
    ends = [(TODAY + timedelta(chance.randrange(-3, 30))).isoformat() for _ in range(4)]
    selectors = [{"provider": "slack"}, {"connection": "conn_1*"}, {"group": "acme"}, {"connection": "*"}]
    waivers = [waiver(end, **select) for end, select in zip(ends, selectors, strict=True)]
    found, configuration = some_connections(chance), some_rules(chance, waivers)
    assert {(f.rule, f.connection): on for on, f in look_ahead(found, configuration, NOW, 35)} == oracle(
        found, configuration, NOW, 35
    )


def test_the_oracle_has_something_to_say() -> None:
    """Comparing would prove nothing if nothing were to come."""
    total = 0
    rules = set()
    for seed in range(40):
        chance = random.Random(seed)
        expected = oracle(some_connections(chance), some_rules(chance, []), NOW, 30)
        total += len(expected)
        rules |= {rule for rule, _ in expected}
    assert total > 100
    assert rules == {"token-expiry", "access-token-expiry", "credential-age", "idle-connections"}


def test_in_the_order_of_days_then_of_findings() -> None:
    """By day; on one day the severest first, then by rule and connection."""
    found = inventory(
        expiring("b", "2026-12-01T12:00:00Z"),
        expiring("c", "2026-11-30T12:00:00Z"),
        connection("a", oauth2AuthorizationCode=grant(issued="2025-12-01T12:00:00Z")),
        expiring("d", "2026-12-01T01:00:00Z"),
    )
    upcoming = look_ahead(found, configured({"token-expiry": {"minDays": 0}}), NOW, 30)
    assert [(item.on.isoformat(), item.finding.rule, item.finding.connection) for item in upcoming] == [
        ("2026-11-30", "token-expiry", "c"),
        ("2026-12-01", "token-expiry", "b"),
        ("2026-12-01", "token-expiry", "d"),
        ("2026-12-01", "credential-age", "a"),
    ]


def test_findings_are_those_of_that_day() -> None:
    """Message, level and remedy are what will be found then."""
    (item,) = look_ahead(inventory(expiring("conn_1", "2026-12-04T20:00:00Z")), only_expiry(), NOW, 30)
    assert item.on == date(2026, 11, 27)
    assert item.finding.message == (
        "conn_1 (salesforce, Acme Ltd): refresh token expires in 6 days, 2026-12-04T20:00:00Z; minimum 7 days"
    )
    assert item.finding.state is State.OPEN
    assert item.finding.enforcement is Enforcement.MANDATORY
    assert item.finding.remediation == "Have the customer authorise again: pulumi-ampersand reauth conn_1"


@pytest.mark.parametrize(
    ("when", "day"),
    [
        ("2026-11-24T08:00:00.000001Z", "2026-11-24"),
        ("2026-11-24T08:00:01Z", "2026-11-24"),
        ("2026-11-24T23:59:59Z", "2026-11-24"),
        ("2026-11-24T23:59:59.999999Z", "2026-11-24"),
        ("2026-11-25T00:00:00.000001Z", "2026-11-25"),
        ("2026-11-25T00:00:01Z", "2026-11-25"),
        ("2026-12-01T12:00:00Z", "2026-12-01"),
        ("2026-12-01T00:30:00+02:00", "2026-11-30"),
        ("2026-11-30T23:30:00-02:00", "2026-12-01"),
        ("2026-12-01T12:00:00", "2026-12-01"),
        ("2026-12-23T23:59:59Z", "2026-12-23"),
        ("2026-12-24T07:59:59Z", "2026-12-24"),
        ("2026-12-24T08:00:00Z", "2026-12-24"),
        ("2026-12-24T08:00:00.000001Z", None),
        ("2026-12-24T08:00:01Z", None),
        ("2026-11-24T08:00:00Z", None),
        ("2026-11-24T07:59:59Z", None),
        ("9999-12-31T23:59:59.9999999Z", None),
        ("yesterday", None),
    ],
)
def test_the_day_of_an_expiry(when: str, day: str | None) -> None:
    """Thirty days ahead of 8 o'clock: to the microsecond, in UTC, what is expired now left out."""
    assert expiry_dates(expiring("conn_1", when), days=30) == ({} if day is None else {"conn_1": day})


@pytest.mark.parametrize(
    ("when", "day"),
    [
        ("2026-11-25T00:00:00Z", "2026-11-25"),
        ("2026-12-01T00:00:00Z", "2026-12-01"),
        ("2026-12-01T02:00:00+02:00", "2026-12-01"),
        ("2026-12-24T00:00:00Z", "2026-12-24"),
    ],
)
def test_what_expires_at_midnight_does_so_on_the_day_that_begins(when: str, day: str) -> None:
    """Midnight belongs to the day that begins then: until the last moment of the day before nothing is broken."""
    found = inventory(expiring("conn_1", when))
    eve = datetime.combine(date.fromisoformat(day) - timedelta(1), time.max, timezone.utc)
    assert opened(found, only_expiry(minDays=0), eve) == {}
    assert expiry_dates(expiring("conn_1", when), days=30) == {"conn_1": day}


def test_what_keeps_its_limit_at_midnight_breaks_on_the_day_that_begins() -> None:
    """Exactly seven days before it expires it still keeps the rule; a moment later it doesn't."""
    assert expiry_dates(expiring("conn_1", "2026-12-08T00:00:00Z"), minDays=7) == {"conn_1": "2026-12-01"}
    issued = connection("conn_1", oauth2AuthorizationCode=grant(issued="2025-12-01T00:00:00Z"))
    upcoming = look_ahead(inventory(issued), configured({}), NOW, 30)
    assert dates(upcoming) == {("credential-age", "conn_1"): "2026-12-01"}


@pytest.mark.parametrize(
    ("expires", "day"),
    [
        ("2026-11-23", None),
        ("2026-11-24", "2026-11-25"),
        ("2026-11-30", "2026-12-01"),
        ("2026-12-23", "2026-12-24"),
        ("2026-12-24", None),
        ("9999-12-31", None),
    ],
)
def test_the_day_after_a_waivers_last(expires: str, day: str | None) -> None:
    """Its last day belongs to a waiver: what it waives is broken from the next day on."""
    broken = expiring("conn_1", at(days=-1))
    configuration = only_expiry(waivers=[waiver(expires, connection="conn_1")])
    upcoming = look_ahead(inventory(broken), configuration, NOW, 30)
    assert [item.on.isoformat() for item in upcoming] == ([] if day is None else [day])


def test_the_finding_after_a_waivers_end_says_so() -> None:
    """As the audit of that day will."""
    configuration = only_expiry(waivers=[waiver("2026-11-30", connection="conn_1")])
    (item,) = look_ahead(inventory(expiring("conn_1", at(days=-1))), configuration, NOW, 30)
    assert item.finding.message.endswith("; its waiver expired after 2026-11-30, approved by Kim: a pilot")
    assert (item.finding.state, item.finding.waiver) == (State.OPEN, None)


def test_ignored_waivers_end_nowhere() -> None:
    """Where waivers don't count, what they would waive is broken now."""
    configuration = only_expiry(waivers=[waiver("2026-11-30", connection="conn_1")])
    assert look_ahead(inventory(expiring("conn_1", at(days=-1))), replace(configuration, waivers=False), NOW, 30) == ()


def test_what_is_broken_now_is_not_listed() -> None:
    """Expired, or already too near: it is in the audit; it isn't listed again when it expires."""
    now = [expiring("expired", at(days=-1)), expiring("near", at(days=3)), expiring("later", at(days=10))]
    assert expiry_dates(*now, minDays=7) == {"later": "2026-11-27"}


def test_what_is_not_evaluated_is_not_listed() -> None:
    """Neither what can't be judged now, nor that it can't."""
    unknown = connection("conn_1", oauth2AuthorizationCode=grant(refresh="soon", issued=None, scopes=None))
    found = inventory(unknown, connection("listed"), complete=False)
    assert evaluate(found, configured({"verifiable-connections": "mandatory"}), NOW).not_evaluated != ()
    assert look_ahead(found, configured({"verifiable-connections": "mandatory"}), NOW, 90) == ()


def test_what_could_not_be_read_is_not_listed() -> None:
    """It is a finding now, and time changes nothing about it."""
    found = Inventory.merge(
        [inventory(expiring("conn_1", at(days=3))), Inventory(project="lost", unread=["the API was not reachable"])]
    )
    assert dates(look_ahead(found, only_expiry(minDays=0), NOW, 30)) == {("token-expiry", "conn_1"): "2026-11-27"}


def test_each_rule_is_listed_once() -> None:
    """A connection that will break two rules is listed for each, once."""
    both = connection("conn_1", oauth2AuthorizationCode=grant(refresh=at(days=10), issued=at(days=-360)))
    assert dates(look_ahead(inventory(both), configured({}), NOW, 90)) == {
        ("token-expiry", "conn_1"): "2026-11-27",
        ("credential-age", "conn_1"): "2026-11-29",
    }


def test_what_a_count_tolerates() -> None:
    """Two of three are tolerated; with the third, all three are broken on its day."""
    three = [expiring(name, at(days=days)) for name, days in (("a", 5), ("b", 10), ("c", 20))]
    assert expiry_dates(*three, tolerate=2) == dict.fromkeys("abc", "2026-12-14")
    assert expiry_dates(*three, tolerate=3) == {}
    assert expiry_dates(*three, tolerate=2, days=15) == {}


def test_what_percent_tolerate() -> None:
    """Percent are of all connections that the rule judges, not of those that will break it."""
    two = [expiring("a", at(days=5)), expiring("b", at(days=10))]
    fine = [connection(f"fine_{number}") for number in range(8)]
    assert expiry_dates(*two, *fine, tolerate="10%") == {"a": "2026-12-04", "b": "2026-12-04"}
    assert expiry_dates(*two, *fine, tolerate="20%") == {}
    assert expiry_dates(*two, tolerate="50%") == {"a": "2026-12-04", "b": "2026-12-04"}


def test_what_is_tolerated_now_breaks_when_one_too_many_does() -> None:
    """What is tolerated now isn't broken now, so it is listed."""
    found = [expiring("a", at(days=-5)), expiring("b", at(days=5))]
    assert expiry_dates(*found, tolerate=1) == {"a": "2026-11-29", "b": "2026-11-29"}


def test_ids_that_look_alike_are_two() -> None:
    """Each has a line of its own."""
    found = inventory(expiring("a b", at(days=20)), expiring("a  b", at(days=30)))
    days = [item.on.isoformat() for item in look_ahead(found, only_expiry(), NOW, 60)]
    assert days == ["2026-12-07", "2026-12-17"]


def counting(broken: Any = None, *, whole: bool = False) -> tuple[Configuration, list[datetime]]:
    """A rule that records when it is asked, and what ``broken`` says of a connection then."""
    asked: list[datetime] = []

    def check(found: Inventory, _options: Options, now: datetime) -> Iterator[Breach | Unverified]:
        asked.append(now)
        for entry in found:
            if broken is not None and broken(found, entry, now):
                yield Breach("it is broken", entry)

    return own(check, whole=whole), asked


def test_nothing_changes() -> None:
    """A rule that says the same at the beginning and at the end is asked no third time."""
    configuration, asked = counting()
    assert look_ahead(inventory(connection()), configuration, NOW, MOST_DAYS) == ()
    assert asked == [NOW, NOW + timedelta(MOST_DAYS)]


def test_nothing_to_judge() -> None:
    """Neither connections nor rules."""
    assert look_ahead(Inventory(), configured({}), NOW, 90) == ()
    assert look_ahead(inventory(expiring("a", at(days=1))), Configuration((), ()), NOW, 90) == ()


@pytest.mark.parametrize("whole", [False, True], ids=["single", "whole"])
@pytest.mark.parametrize("breaks", [1, 5, 60])
def test_how_often_rules_are_judged(breaks: int, whole: bool) -> None:
    """Some times for each day on which something breaks, not each day of ten years."""
    ends = {f"conn_{number:02}": NOW + timedelta(days=50 * number + 3) for number in range(breaks)}
    configuration, asked = counting(lambda _found, entry, now: now >= ends[entry.connection.id], whole=whole)
    upcoming = look_ahead(inventory(*map(connection, ends)), configuration, NOW, MOST_DAYS)
    assert {item.finding.connection: item.on for item in upcoming} == {name: end.date() for name, end in ends.items()}
    assert len(asked) <= 4 + breaks * math.ceil(math.log2(MOST_DAYS + 1))


def test_how_often_rules_are_judged_when_every_day_breaks_something() -> None:
    """Then it takes about once a day, however many break."""
    ends = {f"conn_{number:03}": NOW + timedelta(hours=12 * number + 6) for number in range(120)}
    configuration, asked = counting(lambda _found, entry, now: now >= ends[entry.connection.id])
    assert len(look_ahead(inventory(*map(connection, ends)), configuration, NOW, 60)) == 120
    assert len(asked) <= 60 + 2 + 2


@pytest.mark.parametrize("name", ["a  b", "a\nb", "a\tb", " a", "a "])
def test_ids_that_findings_show_otherwise(name: str) -> None:
    """A finding's connection ID is on one line; the connection is found by it all the same."""
    upcoming = look_ahead(inventory(expiring(name, at(days=3))), only_expiry(minDays=0), NOW, 30)
    assert [(item.on.isoformat(), item.finding.connection) for item in upcoming] == [
        ("2026-11-27", " ".join(name.split()))
    ]


def test_the_same_id_in_two_projects() -> None:
    """They are two connections."""
    found = Inventory.merge(
        [
            inventory(expiring("conn_1", at(days=3), projectId="proj_1")),
            inventory(expiring("conn_1", at(days=5), projectId="proj_2")),
        ]
    )
    upcoming = look_ahead(found, only_expiry(minDays=0), NOW, 30)
    assert [(item.on.isoformat(), item.finding.project) for item in upcoming] == [
        ("2026-11-27", "proj_1"),
        ("2026-11-29", "proj_2"),
    ]


@pytest.mark.parametrize("whole", [False, True], ids=["single", "whole"])
def test_own_rules_may_compare_connections(whole: bool) -> None:
    """A rule that judges a connection by the others is shown all of them, whether or not it is over a whole stack."""
    configuration, _ = counting(
        lambda found, entry, now: entry.connection.id == "a" and len(found) > 1 and now > NOW + timedelta(9),
        whole=whole,
    )
    upcoming = look_ahead(inventory(connection("a"), connection("b")), configuration, NOW, 30)
    assert dates(upcoming) == {("own", "a"): "2026-12-03"}


def test_rules_over_the_whole_stack_when_their_waivers_end() -> None:
    """Two connections that can't be told apart: the one that is waived is broken when its waiver ends."""
    alike = [connection(name, providerWorkspaceRef="same") for name in ("a", "b")]
    options = {"enforcementLevel": "advisory", "waivers": [waiver("2026-11-30", connection="a")]}
    configuration = configured({"all": "disabled", "unique-connections": options})
    assert [item.finding.connection for item in look_ahead(inventory(*alike), configuration, NOW, 30)] == ["a"]


def test_requirements_when_their_waivers_end() -> None:
    """A finding about no connection is forecast, too."""
    require = [{"provider": "slack"}, {"provider": "gong", "groupRef": "acme"}]
    configuration = configured(
        {"required-connections": {"require": require, "waivers": [waiver("2026-11-30", provider="gong")]}}
    )
    upcoming = look_ahead(inventory(connection()), configuration, NOW, 30)
    assert [(item.finding.rule, item.finding.provider, item.finding.group) for item in upcoming] == [
        ("required-connections", "gong", "acme")
    ]


@pytest.mark.parametrize(
    ("as_of", "days", "expected"),
    [
        ("2026-11-24T23:30:00-05:00", 1, {}),
        ("2026-11-24T23:30:00-05:00", 7, {"conn_1": "2026-12-01"}),
        ("2026-11-30T22:00:00-05:00", 1, {"conn_1": "2026-12-01"}),
        ("2026-12-01T13:59:59+02:00", 1, {"conn_1": "2026-12-01"}),
        ("2026-12-01T14:00:00+02:00", 1, {}),
        ("2026-12-01T00:00:00+00:00", 1, {"conn_1": "2026-12-01"}),
        ("2026-11-30T12:00:00+00:00", 1, {"conn_1": "2026-12-01"}),
        ("2026-11-30T11:59:59+00:00", 1, {}),
    ],
)
def test_now_with_an_offset(as_of: str, days: int, expected: dict[str, str]) -> None:
    """Days are UTC's, whatever the offset of the time to begin with."""
    now = datetime.fromisoformat(as_of)
    assert expiry_dates(expiring("conn_1", "2026-12-01T12:00:00Z"), as_of=now, days=days) == expected


def test_ten_years() -> None:
    """The furthest that can be asked for."""
    assert expiry_dates(
        expiring("last", at(days=MOST_DAYS)),
        expiring("beyond", at(days=MOST_DAYS, seconds=1)),
        expiring("leap-day", "2028-02-29T12:00:00Z"),
        days=MOST_DAYS,
    ) == {"leap-day": "2028-02-29", "last": (TODAY + timedelta(MOST_DAYS)).isoformat()}


@pytest.mark.parametrize("days", [1, 90, MOST_DAYS])
def test_the_end_of_the_calendar(days: int) -> None:
    """There is no day after the last of the year 9999: it is looked ahead as far as there are days."""
    as_of = datetime(9999, 12, 30, 8, tzinfo=timezone.utc)
    found = expiry_dates(expiring("conn_1", "9999-12-31T07:00:00Z"), as_of=as_of, days=days)
    assert found == {"conn_1": "9999-12-31"}


def items(*distances: int) -> list[Upcoming]:
    """What is to come so many days ahead."""
    (item,) = look_ahead(inventory(expiring("conn_1", at(days=3))), only_expiry(minDays=0), NOW, 30)
    return [Upcoming(TODAY + timedelta(distance), item.finding) for distance in distances]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (1, {1: 2}),
        (6, {6: 2}),
        (7, {7: 3}),
        (8, {7: 3, 8: 4}),
        (30, {7: 3, 30: 5}),
        (90, {7: 3, 30: 5, 90: 7}),
        (365, {7: 3, 30: 5, 90: 7, 365: 9}),
    ],
)
def test_horizons(days: int, expected: dict[int, int]) -> None:
    """Within 7, 30 and 90 days, each with those before, as far as the forecast reaches, and within all of it."""
    upcoming = [item for item in items(0, 1, 7, 8, 30, 31, 90, 91, 365) if (item.on - TODAY).days <= days]
    assert horizons(upcoming, NOW, days) == expected


def test_horizons_of_nothing() -> None:
    """Nothing is to come within each."""
    assert horizons([], NOW, 90) == {7: 0, 30: 0, 90: 0}


def test_horizons_count_days_of_utc() -> None:
    """As the forecast does, whatever the offset of the time to begin with."""
    late = datetime.fromisoformat("2026-11-23T23:00:00-05:00")
    assert horizons(items(7), late, 30) == {7: 1, 30: 1}


def test_looking_ahead_changes_nothing() -> None:
    """The same forecast twice, and the same findings now."""
    chance = random.Random(7)
    found, configuration = some_connections(chance), some_rules(chance, [])
    before = evaluate(found, configuration, NOW)
    first = look_ahead(found, configuration, NOW, 30)
    assert look_ahead(found, configuration, NOW, 30) == first != ()
    assert evaluate(found, configuration, NOW) == before


def test_fast_connections_are_forecast_alike() -> None:
    """What was read for rules alone is forecast as what was read for programs."""
    entries = [expiring(f"conn_{number}", at(days=number)) for number in range(1, 20)]
    data = json.dumps(entries).encode()
    slow, fast = (
        look_ahead(read(data), only_expiry(), NOW, 30) for read in (Inventory.from_answer, Inventory.for_rules)
    )
    assert fast == slow
    assert len(fast) == 13
