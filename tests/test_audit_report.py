"""The report: verdict, exit code, headline, errors and counts, for what was found in every combination."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import pytest

from audits import CONNECTIONS, baseline, own, part, report
from pulumi_ampersand import __version__
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies import report as module
from pulumi_ampersand_policies.audit import Part, audit
from pulumi_ampersand_policies.baseline import Comparison
from pulumi_ampersand_policies.configuration import Configuration, parse
from pulumi_ampersand_policies.evaluation import Evaluation, Finding, NotEvaluated, State, evaluate
from pulumi_ampersand_policies.report import Report, Source, SourceKind, Verdict, count, moment
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Severity, Unverified
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.testing import NOW, at, connection, grant, inventory

NOTHING: Final = Configuration((), ())
GOOD: Final = Source(SourceKind.PROJECT, "crm", 2)
EXPIRY: Final = {"all": "disabled", "token-expiry": {"enforcementLevel": "mandatory"}}
"""A configuration in which one rule judges."""


def finding(
    name: str = "conn_1",
    severity: Severity = Severity.HIGH,
    enforcement: Enforcement = Enforcement.MANDATORY,
    state: State = State.OPEN,
) -> Finding:
    """A finding."""
    return Finding(
        rule="own",
        severity=severity,
        enforcement=enforcement,
        project="proj_1",
        connection=name,
        provider="slack",
        group="acme",
        consumer="jo",
        message="it is broken",
        remediation="Mend it",
        state=state,
    )


def of(
    *findings: Finding,
    sources: Sequence[Source] = (GOOD,),
    not_evaluated: Sequence[NotEvaluated] = (),
    connections: int = 2,
    **settings: Any,
) -> Report:
    """A report of these findings."""
    return Report(
        as_of=NOW,
        sources=tuple(sources),
        inventory=inventory(*(connection(f"conn_{number}") for number in range(connections))),
        configuration=NOTHING,
        evaluation=Evaluation(findings, tuple(not_evaluated)),
        **settings,
    )


def failed(name: str, error: str = "not reachable", connections: int = 0) -> Source:
    """A source that could not be read."""
    return Source(SourceKind.PROJECT, name, connections, error)


CRASH: Final = NotEvaluated("own", "", "the rule crashed with KeyError at own.py:7; report this defect", crashed=True)
UNKNOWN: Final = NotEvaluated("token-expiry", "conn_1", "its token times are unknown")


@pytest.mark.parametrize(
    ("source", "status"),
    [
        (GOOD, "complete"),
        (Source(SourceKind.ANSWER, "crm.json", 0), "complete"),
        (failed("crm"), "failed"),
        (failed("crm", connections=1), "partial"),
    ],
    ids=["complete", "complete-and-empty", "failed", "partial"],
)
def test_the_status_of_a_source(source: Source, status: str) -> None:
    """By its error and what it gave all the same."""
    assert source.status == status


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("enforcement", [Enforcement.ADVISORY, Enforcement.MANDATORY])
@pytest.mark.parametrize("state", State)
def test_which_findings_break(severity: Severity, enforcement: Enforcement, state: State) -> None:
    """Open ones of mandatory rules, or of a severity and above; with ``fail_on_new``, of these those that are new."""
    found = finding(severity=severity, enforcement=enforcement, state=state)
    order = [Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL]
    for fail_on, only_new, known in itertools.product([None, *Severity], [False, True], [False, True, None]):
        fingerprints = [found.fingerprint] if known else []
        comparison = None if known is None else Comparison("2026-11-23T08:00:00Z", fingerprints, (), ())
        shown = of(found, fail_on=fail_on, fail_on_new=only_new, comparison=comparison)
        bad_enough = (
            enforcement is Enforcement.MANDATORY if fail_on is None else severity in order[order.index(fail_on) :]
        )
        new_enough = not only_new or known is False
        expected = state is State.OPEN and bad_enough and new_enough
        assert shown.breaks(found) is expected
        assert shown.breaking == ((found,) if expected else ())
        assert shown.verdict is (Verdict.BROKEN if expected else Verdict.CLEAN)
        assert shown.exit_code == int(expected)
        assert shown.is_new(found) is (known is False and state is State.OPEN)


@pytest.mark.parametrize("broken", [False, True], ids=["nothing-breaks", "something-breaks"])
@pytest.mark.parametrize("source", [None, failed("b"), failed("b", connections=1)], ids=["read", "failed", "partial"])
@pytest.mark.parametrize("crash", [False, True], ids=["judged", "crashed"])
@pytest.mark.parametrize("unknown", [False, True], ids=["all-judged", "not-evaluated"])
@pytest.mark.parametrize("only_new", [False, True], ids=["any", "only-new"])
def test_a_failure_is_never_clean_nor_broken_only(
    broken: bool, source: Source | None, crash: bool, unknown: bool, only_new: bool
) -> None:
    """Whatever else was found, it is incomplete. What merely could not be judged is no failure."""
    shown = of(
        finding(enforcement=Enforcement.MANDATORY if broken else Enforcement.ADVISORY),
        sources=[GOOD, *([source] if source else [])],
        not_evaluated=[*([CRASH] if crash else []), *([UNKNOWN] if unknown else [])],
        fail_on_new=only_new,
        comparison=Comparison("2026-11-23T08:00:00Z", [], (), ()),
    )
    incomplete = source is not None or crash
    assert shown.verdict is (Verdict.INCOMPLETE if incomplete else Verdict.BROKEN if broken else Verdict.CLEAN)
    assert shown.exit_code == (3 if incomplete else 1 if broken else 0)
    assert len(shown.breaking) == int(broken)
    assert len(shown.errors) == (source is not None) + crash


def advice(number: int) -> list[Finding]:
    """Findings that don't break."""
    return [finding(f"conn_{n}", enforcement=Enforcement.ADVISORY) for n in range(number)]


def breaking(number: int) -> list[Finding]:
    """Findings that do."""
    return [finding(f"conn_{n}") for n in range(number)]


@pytest.mark.parametrize(
    ("shown", "headline"),
    [
        (of(connections=0), "Clean, but there was nothing to judge: 0 connections."),
        (of(connections=1), "Clean: 1 connection, nothing breaks."),
        (of(connections=2), "Clean: 2 connections, nothing breaks."),
        (of(connections=1200), "Clean: 1,200 connections, nothing breaks."),
        (of(*advice(1)), "Clean: 2 connections, nothing breaks; 1 finding that doesn't break."),
        (of(*advice(2)), "Clean: 2 connections, nothing breaks; 2 findings that don't break."),
        (
            of(*advice(1), least_shown=Severity.CRITICAL),
            "Clean: 2 connections, nothing breaks; 1 finding that doesn't break.",
        ),
        (of(finding(state=State.WAIVED)), "Clean: 2 connections, nothing breaks."),
        (of(finding(state=State.TOLERATED)), "Clean: 2 connections, nothing breaks."),
        (of(*breaking(1), connections=1), "Broken: 1 finding of 1 connection breaks."),
        (of(*breaking(1)), "Broken: 1 finding of 2 connections breaks."),
        (of(*breaking(2), connections=1), "Broken: 2 findings of 1 connection break."),
        (of(*breaking(1500), *advice(3), connections=1200), "Broken: 1,500 findings of 1,200 connections break."),
        (of(sources=[failed("crm")], connections=0), "Incomplete: 1 failure."),
        (of(sources=[failed("a"), failed("b")]), "Incomplete: 2 failures."),
        (of(*advice(2), not_evaluated=[CRASH]), "Incomplete: 1 failure."),
        (of(*breaking(1), sources=[failed("a")]), "Incomplete: 1 failure; 1 finding of 2 connections breaks so far."),
        (
            of(*breaking(2), sources=[failed("a")], not_evaluated=[CRASH]),
            "Incomplete: 2 failures; 2 findings of 2 connections break so far.",
        ),
    ],
    ids=[
        "clean-none",
        "clean-one",
        "clean-two",
        "clean-many",
        "advice-one",
        "advice-two",
        "advice-hidden",
        "waived",
        "tolerated",
        "broken-one-of-one",
        "broken-one",
        "broken-two-of-one",
        "broken-many",
        "incomplete-one",
        "incomplete-two",
        "crashed",
        "incomplete-and-broken-one",
        "incomplete-and-broken-two",
    ],
)
def test_the_headline(shown: Report, headline: str) -> None:
    """The verdict in a sentence, in singular and plural."""
    assert shown.headline == headline


@pytest.mark.parametrize(
    ("fail_on", "only_new", "words"),
    [
        (None, False, "findings of mandatory rules"),
        (None, True, "new findings of mandatory rules"),
        (Severity.LOW, False, "findings of severity low and above"),
        (Severity.MEDIUM, False, "findings of severity medium and above"),
        (Severity.HIGH, True, "new findings of severity high and above"),
        (Severity.CRITICAL, False, "findings of severity critical"),
        (Severity.CRITICAL, True, "new findings of severity critical"),
    ],
)
def test_what_breaks(fail_on: Severity | None, only_new: bool, words: str) -> None:
    """In words."""
    assert of(fail_on=fail_on, fail_on_new=only_new).what_breaks == words


def test_errors_name_their_source() -> None:
    """Sources first, in their order, then rules that crashed, each said once."""
    twice = replace(CRASH, connection="conn_2")
    other = NotEvaluated(
        "token-expiry", "", "the rule crashed with OverflowError at x.py:1; report this defect", crashed=True
    )
    sources = [
        failed("b"),
        GOOD,
        Source(SourceKind.ANSWER, "a.json", 0, "is no JSON: 5"),
        Source(SourceKind.STATE, "state.json", 3, "crm: its state has no connections; run: pulumi refresh"),
        Source(SourceKind.STACK, "dev", 0, "pulumi isn't on PATH; run: pulumi-ampersand doctor"),
    ]
    shown = of(sources=sources, not_evaluated=[CRASH, UNKNOWN, twice, other])
    assert shown.errors == (
        "project b: not reachable",
        "answer a.json: is no JSON: 5",
        "state state.json: crm: its state has no connections; run: pulumi refresh",
        "stack dev: pulumi isn't on PATH; run: pulumi-ampersand doctor",
        "own: the rule crashed with KeyError at own.py:7; report this defect",
        "token-expiry: the rule crashed with OverflowError at x.py:1; report this defect",
    )
    assert of(not_evaluated=[UNKNOWN]).errors == ()


MANY: Final = [
    finding(f"{severity.value}-{state.value}-{number}", severity, Enforcement.ADVISORY, state)
    for severity, numbers in (
        (Severity.CRITICAL, (1, 0, 2)),
        (Severity.HIGH, (2, 1, 0)),
        (Severity.MEDIUM, (0, 1, 1)),
        (Severity.LOW, (3, 0, 0)),
    )
    for state, several in zip((State.OPEN, State.WAIVED, State.TOLERATED), numbers, strict=True)
    for number in range(several)
]


@pytest.mark.parametrize(
    ("least", "shown", "hidden"),
    [(Severity.LOW, 11, 0), (Severity.MEDIUM, 8, 3), (Severity.HIGH, 6, 3), (Severity.CRITICAL, 3, 5)],
)
def test_what_is_shown_changes_nothing_else(least: Severity, shown: int, hidden: int) -> None:
    """Hidden are the open findings that aren't shown; counts, states and the verdict are of all."""
    found = of(*MANY, least_shown=least, fail_on=Severity.LOW)
    assert (len(found.findings), found.hidden) == (shown, hidden)
    assert all(one.severity.rank >= least.rank for one in found.findings)
    assert list(found.counts.items()) == [
        (Severity.CRITICAL, 1),
        (Severity.HIGH, 2),
        (Severity.MEDIUM, 0),
        (Severity.LOW, 3),
    ]
    assert found.states == {State.OPEN: 6, State.WAIVED: 2, State.TOLERATED: 3}
    assert [one.state for one in found.opened] == [State.OPEN] * 6
    assert len(found.breaking) == 6
    assert found.headline == "Broken: 6 findings of 2 connections break."
    assert found.exit_code == 1


def test_nothing_was_found() -> None:
    """Counts are there, and nought."""
    found = of()
    assert list(found.counts.values()) == [0, 0, 0, 0]
    assert found.states == {State.OPEN: 0, State.WAIVED: 0, State.TOLERATED: 0}
    assert (found.findings, found.opened, found.breaking, found.hidden, found.errors) == ((), (), (), 0, ())


def test_rules_are_all_listed() -> None:
    """Active or not, each once, by ID."""
    for configuration in ({}, {"all": "disabled"}, {"all": "mandatory"}):
        ids = [rule.id for rule in report(configuration=configuration).rules]
        assert ids == sorted(rule.id for rule in RULES)


def crashing(found: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
    """Crash after the first connection."""
    yield Breach("it is broken", next(iter(found)))
    raise KeyError("CANARY")


def test_a_rule_that_crashes_makes_an_audit_incomplete() -> None:
    """Even an advisory one; what it said before is kept, and no text of the error is shown."""
    found = audit([part(connection("a"), connection("b"))], own(crashing), NOW)
    assert (found.verdict, found.exit_code) == (Verdict.INCOMPLETE, 3)
    (error,) = found.errors
    assert error.startswith("own: the rule crashed with KeyError at test_audit_report.py:")
    assert error.endswith("; report this defect")
    assert "CANARY" not in error
    assert [one.connection for one in found.opened] == ["a"]
    assert found.headline == "Incomplete: 1 failure."


def test_a_source_that_failed_is_incomplete_whatever_the_configuration() -> None:
    """Switching off the rule that reports it changes the findings, not the verdict."""
    lost = Part(failed("crm"), Inventory(project="crm", unread=["not reachable"]))
    for configuration, rules in (({}, ["readable-connections", "verifiable-connections"]), ({"all": "disabled"}, [])):
        found = report(parts=[part(connection()), lost], configuration=configuration)
        assert found.exit_code == 3
        assert found.errors == ("project crm: not reachable",)
        assert {one.rule for one in found.opened} <= set(rules)


def test_sources_are_judged_together() -> None:
    """What two of them gave is judged once; each source keeps what it gave."""
    parts = [part(connection("a"), connection("b"), name="one.json"), part(connection("b"), name="two.json")]
    found = report(parts=parts, configuration=EXPIRY)
    assert len(found.inventory) == 2
    assert [(source.name, source.connections) for source in found.sources] == [("one.json", 2), ("two.json", 1)]


def test_rules_over_a_whole_stack_see_all_sources() -> None:
    """What one source lacks, another may have."""
    require = {"enforcementLevel": "mandatory", "require": [{"provider": "salesforce", "min": 2}]}
    configuration = {"all": "disabled", "required-connections": require}
    one, two = part(connection("a"), name="one.json"), part(connection("b"), name="two.json")
    assert report(parts=[one], configuration=configuration).exit_code == 1
    assert report(parts=[one, two], configuration=configuration).exit_code == 0


def test_nothing_was_read() -> None:
    """No source at all, and one without connections, are clean."""
    assert report(parts=[], configuration=EXPIRY).headline == "Clean, but there was nothing to judge: 0 connections."
    assert (
        report(parts=[part()], configuration=EXPIRY).headline == "Clean, but there was nothing to judge: 0 connections."
    )


def test_it_says_what_the_evaluation_says() -> None:
    """There is no second idea of what is broken."""
    configuration = parse(json.dumps(EXPIRY), "policy-config.json")
    found = report(configuration=EXPIRY)
    assert found.evaluation == evaluate(found.inventory, configuration, NOW)
    assert found.findings == found.evaluation.findings
    assert found.configuration == configuration
    assert found.as_of == NOW


def test_everything_at_once() -> None:
    """The connections that the tests of forms use."""
    found = report()
    assert found.verdict is Verdict.BROKEN
    assert found.headline == f"Broken: {len(found.breaking)} findings of {len(CONNECTIONS)} connections break."
    assert set(found.states) == {State.OPEN, State.WAIVED, State.TOLERATED}
    assert min(found.states.values()) > 0
    assert [one.order for one in found.findings] == sorted(one.order for one in found.findings)


def test_it_judges_by_the_given_time() -> None:
    """Not by the clock."""
    expiring = connection(oauth2AuthorizationCode=grant(refresh=at(days=20)))
    assert report(expiring, configuration=EXPIRY).exit_code == 0
    assert report(expiring, configuration=EXPIRY, as_of=NOW + timedelta(days=15)).exit_code == 1


def test_a_baseline_is_compared_with() -> None:
    """With one, findings are new or not; without, none is new and a gate on new ones would let all pass."""
    bad, worse = (connection(name, oauth2AuthorizationCode=grant(refresh=at(days=-1))) for name in ("a", "b"))
    earlier = report(bad, configuration=EXPIRY)
    later = report(bad, worse, configuration=EXPIRY, baseline=baseline(earlier), fail_on_new=True)
    assert [later.is_new(one) for one in later.opened] == [False, True]
    assert [one.connection for one in later.breaking] == ["b"]
    assert later.headline.startswith("Broken: 1 finding of 2 connections ")
    alone = report(bad, worse, configuration=EXPIRY)
    assert (alone.comparison, [alone.is_new(one) for one in alone.opened]) == (None, [False, False])


@pytest.mark.parametrize(
    ("number", "thing", "words"),
    [
        (0, "connection", "0 connections"),
        (1, "connection", "1 connection"),
        (2, "finding", "2 findings"),
        (1000, "failure", "1,000 failures"),
        (1_234_567, "day", "1,234,567 days"),
    ],
)
def test_counts_in_words(number: int, thing: str, words: str) -> None:
    """One is singular, and nought isn't."""
    assert count(number, thing) == words


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (NOW, "2026-11-24T08:00:00Z"),
        (NOW.replace(microsecond=999_999), "2026-11-24T08:00:00Z"),
        (datetime.fromisoformat("2026-11-24T00:30:00+05:30"), "2026-11-23T19:00:00Z"),
        (datetime.max.replace(tzinfo=timezone.utc), "9999-12-31T23:59:59Z"),
        (datetime(999, 1, 1, tzinfo=timezone.utc), "0999-01-01T00:00:00Z"),
    ],
    ids=["second", "fraction", "offset", "last", "three-digits"],
)
def test_times_are_shown_in_utc(time: datetime, text: str) -> None:
    """As RFC 3339 has them, to the second."""
    assert moment(time) == text


def test_the_tool() -> None:
    """Which version judged is the package's own."""
    assert (module.TOOL, module.version()) == ("pulumi-ampersand", __version__)
