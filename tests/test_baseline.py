"""The baseline: what is new, what isn't, what is fixed, and what nobody can say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import pytest

from audits import baseline, part, report
from builders import two_projects
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand_policies.audit import Part, audit
from pulumi_ampersand_policies.baseline import Baseline, BaselineError, Comparison, read_baseline
from pulumi_ampersand_policies.configuration import ActiveRule, Configuration, parse
from pulumi_ampersand_policies.evaluation import evaluate
from pulumi_ampersand_policies.report import Report, Source, SourceKind
from pulumi_ampersand_policies.reports import Look, json_report
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified
from pulumi_ampersand_policies.rules.token_expiry import RULE
from pulumi_ampersand_policies.sources import Api, Filters
from pulumi_ampersand_policies.testing import NOW, at, connection, grant, inventory

EXPIRY: Final[dict[str, Any]] = {"all": "disabled", "token-expiry": {"enforcementLevel": "mandatory"}}


def waiver(**selectors: str) -> dict[str, str]:
    """A waiver that holds for years."""
    return {"reason": "a pilot", "approvedBy": "Kim", "expires": "2099-12-31", **selectors}


def expiry(**options: Any) -> dict[str, Any]:
    """A configuration of ``token-expiry`` alone, with options."""
    return {**EXPIRY, "token-expiry": {"enforcementLevel": "mandatory", **options}}


def expired(name: str, days: float = -1, **changes: Any) -> dict[str, Any]:
    """A connection whose refresh token expires in so many days."""
    return connection(name, oauth2AuthorizationCode=grant(refresh=at(days=days)), **changes)


def fine(name: str, **changes: Any) -> dict[str, Any]:
    """A connection that breaks nothing."""
    return expired(name, 300, **changes)


def compared(later: Report) -> Comparison:
    """How a report differs from its baseline."""
    assert later.comparison is not None
    return later.comparison


def fate(earlier: Report, later: Callable[..., Report], *connections: Any, **settings: Any) -> dict[str, list[str]]:
    """What became of findings, by the IDs of connections."""
    found = later(*connections, baseline=baseline(earlier), **settings)
    comparison = compared(found)
    return {
        "new": [finding.connection for finding in found.opened if comparison.is_new(finding)],
        "unchanged": [finding.connection for finding in found.opened if not comparison.is_new(finding)],
        "fixed": [finding.connection for finding in comparison.fixed],
        "not judged": [finding.connection for finding in comparison.not_judged],
    }


def became(**what: list[str]) -> dict[str, list[str]]:
    """The whole of what became of findings."""
    return {"new": [], "unchanged": [], "fixed": [], "not judged": [], **what}


NOBODY_KNOWS: Final = "not judged"


def test_new_unchanged_and_fixed() -> None:
    """Broken before and now, now only, before only; what has kept its rule all the time isn't mentioned."""
    earlier = report(expired("old"), expired("mended"), expired("deleted"), fine("a"), configuration=EXPIRY)
    now = [expired("old"), fine("mended"), fine("a"), expired("b"), expired("c", 3)]
    assert fate(earlier, report, *now, configuration=EXPIRY) == became(
        new=["b", "c"], unchanged=["old"], fixed=["deleted", "mended"]
    )


def test_what_is_fixed_is_shown_as_it_was() -> None:
    """With the message, severity and customer of then."""
    earlier = report(expired("a"), configuration=EXPIRY)
    comparison = compared(report(fine("a"), configuration=EXPIRY, baseline=baseline(earlier)))
    (before,) = earlier.opened
    (fixed,) = comparison.fixed
    assert msgspec.structs.asdict(fixed) == {
        "rule": "token-expiry",
        "severity": "high",
        "connection": "a",
        "project": "proj_1",
        "provider": "salesforce",
        "group": "acme",
        "message": "a (salesforce, Acme Ltd): refresh token expired 1 day ago, 2026-11-23T08:00:00Z",
        "fingerprint": before.fingerprint,
        "state": "open",
        "consumer": "acme-jo",
    }
    assert comparison.as_of == "2026-11-24T08:00:00Z"


def test_a_message_that_changes_is_no_new_finding() -> None:
    """Nor is a later time, another level, another customer name or another cause."""
    earlier = report(expired("a"), configuration=EXPIRY)
    later = report(
        expired("a", -2, group={"groupRef": "other", "groupName": "Renamed"}, provider="slack"),
        configuration=expiry(enforcementLevel="advisory", minDays=30),
        as_of=NOW + timedelta(days=5),
        baseline=baseline(earlier),
    )
    (before,), (now,) = earlier.opened, later.opened
    assert before.message != now.message
    assert before.fingerprint == now.fingerprint
    assert not later.is_new(now)
    assert compared(later).fixed == ()


def test_fingerprints_tell_rule_project_and_connection_apart() -> None:
    """And nothing else; what is about no connection has its requirement instead."""
    finding = report(expired("a"), configuration=EXPIRY).opened[0]
    others = [{"rule": "other"}, {"project": "other"}, {"connection": "other"}]
    prints = {replace(finding, **change).fingerprint for change in others}  # type: ignore[arg-type]
    assert len(prints | {finding.fingerprint}) == 4
    same = [{"message": "x"}, {"group": "x"}, {"provider": "x"}, {"consumer": "x"}, {"severity": Severity.LOW}]
    assert {replace(finding, **change).fingerprint for change in same} == {finding.fingerprint}  # type: ignore[arg-type]
    required = replace(finding, connection="", provider="slack", group="acme")
    assert len({required.fingerprint, replace(required, group="x").fingerprint, finding.fingerprint}) == 3


def test_fingerprints_stay() -> None:
    """A baseline outlives versions of this package: this one was written by the first."""
    (finding,) = report(expired("a"), configuration=EXPIRY).opened
    assert finding.fingerprint == "20278504d5eacd47be0ed69c5eb2603ec508f995af98e5acdf9c2e2c2afeaffb"


def test_waived_before_and_open_now_is_new() -> None:
    """Nobody answers for it any more."""
    earlier = report(expired("a"), expired("b"), configuration=expiry(waivers=[waiver(connection="a")]))
    assert fate(earlier, report, expired("a"), expired("b"), configuration=EXPIRY) == became(new=["a"], unchanged=["b"])


def test_waived_before_and_mended_now_is_not_fixed() -> None:
    """It wasn't on the list of what was to be mended."""
    earlier = report(expired("a"), configuration=expiry(waivers=[waiver(connection="a")]))
    assert fate(earlier, report, fine("a"), configuration=EXPIRY) == became()


def test_open_before_and_waived_now_is_neither_new_nor_fixed() -> None:
    """It is still broken, and doesn't count."""
    earlier = report(expired("a"), configuration=EXPIRY)
    assert fate(earlier, report, expired("a"), configuration=expiry(waivers=[waiver(connection="a")])) == became()


def test_tolerated_before_and_open_now_is_not_new() -> None:
    """It was known; the one that is too many is new."""
    earlier = report(expired("a"), configuration=expiry(tolerate=1))
    assert fate(earlier, report, expired("a"), expired("b"), configuration=expiry(tolerate=1)) == became(
        new=["b"], unchanged=["a"]
    )


def test_tolerated_before_and_mended_now_is_fixed() -> None:
    """It was broken."""
    earlier = report(expired("a"), configuration=expiry(tolerate=1))
    assert fate(earlier, report, fine("a"), configuration=expiry(tolerate=1)) == became(fixed=["a"])


def test_tolerated_now_is_not_new() -> None:
    """What doesn't break is no new trouble, whether it was known or not."""
    earlier = report(expired("a"), configuration=EXPIRY)
    later = report(
        expired("a"), expired("b"), configuration=expiry(tolerate=2), baseline=baseline(earlier), fail_on_new=True
    )
    assert [later.is_new(finding) for finding in later.findings] == [False, False]
    assert (compared(later).fixed, compared(later).not_judged) == ((), ())


def test_a_rule_that_is_inactive_now_fixes_nothing() -> None:
    """Disabled, or without its options."""
    both = {**EXPIRY, "required-scopes": {"enforcementLevel": "mandatory", "scopes": {"*": ["x"]}}}
    earlier = report(expired("a"), configuration=both)
    assert len(earlier.opened) == 2
    later = report(fine("a"), configuration={"all": "disabled"}, baseline=baseline(earlier))
    assert [finding.rule for finding in compared(later).not_judged] == ["required-scopes", "token-expiry"]
    assert compared(later).fixed == ()


def test_what_is_not_evaluated_now_is_not_fixed() -> None:
    """Of one connection; the others are."""
    earlier = report(expired("a"), expired("b"), configuration=EXPIRY)
    unknown = connection("a", oauth2AuthorizationCode=grant(refresh="soon"))
    assert fate(earlier, report, unknown, fine("b"), configuration=EXPIRY) == became(
        fixed=["b"], **{NOBODY_KNOWS: ["a"]}
    )


def test_the_list_that_leaves_out_tokens_fixes_nothing() -> None:
    """Unknown refresh tokens aren't mended ones."""
    earlier = report(expired("a"), configuration=EXPIRY)
    unknown = inventory(connection("a", oauth2AuthorizationCode=None), complete=False)
    parts = [Part(Source(SourceKind.PROJECT, "crm", 1), unknown)]
    assert fate(earlier, report, parts=parts, configuration=EXPIRY) == became(**{NOBODY_KNOWS: ["a"]})


def own_rule(check: Any) -> Configuration:
    """A rule of somebody's own under the ID of one of ours."""
    rule = Rule(
        id=RULE.id,
        title=RULE.title,
        severity=Severity.HIGH,
        enforcement=Enforcement.MANDATORY,
        remediation="Mend it",
        check=check,
        options=Options,
    )
    return Configuration((ActiveRule(rule, Enforcement.MANDATORY, Options()),), ())


def crashes(found: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
    """Judge the first and crash."""
    yield Breach("it is broken", next(iter(found)))
    raise ZeroDivisionError


def refuses(_found: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
    """Judge nothing."""
    yield Unverified("it can't be said of any")


@pytest.mark.parametrize(("check", "unchanged"), [(crashes, ["a"]), (refuses, [])], ids=["crashed", "not-evaluated"])
def test_a_rule_that_judged_nothing_now_fixes_nothing(check: Any, unchanged: list[str]) -> None:
    """It crashed on the way, or could not judge at all."""
    earlier = report(expired("a"), expired("b"), configuration=EXPIRY)
    later = audit([part(fine("a"), fine("b"))], own_rule(check), NOW, baseline=baseline(earlier))
    assert [finding.connection for finding in later.opened if not later.is_new(finding)] == unchanged
    assert compared(later).fixed == ()
    assert [finding.connection for finding in compared(later).not_judged] == sorted({"a", "b"} - set(unchanged))


def unreadable(project: str, error: str = "the API was not reachable") -> Part:
    """A project that could not be read."""
    return Part(Source(SourceKind.PROJECT, project, 0, error), Inventory(project=project, unread=[error]))


def test_a_project_that_cannot_be_read_now_fixes_nothing() -> None:
    """What was found in it stays open; what was found in others is fixed."""
    in_two = expired("b", projectId="proj_2")
    earlier = report(parts=[part(expired("a")), part(in_two, project="proj_2")], configuration=EXPIRY)
    now = [part(fine("a")), unreadable("proj_2")]
    assert fate(earlier, report, parts=now, configuration=EXPIRY) == became(fixed=["a"], **{NOBODY_KNOWS: ["b"]})


def test_a_project_is_read_by_its_name_and_found_by_its_id() -> None:
    """A finding has the project's ID; which project could not be read is only known as it was asked for."""
    with Sandbox(projects=two_projects(oauth2AuthorizationCode=grant(refresh=at(days=-1)))) as sandbox:
        api = Api(sandbox.environment, Filters(), "auto", lambda _source: None)
        earlier = report(parts=api.read(["first", "second"], every=False), configuration=EXPIRY)
        assert [(finding.connection, finding.project) for finding in earlier.opened] == [("d", "proj_2")]
        sandbox.set_connections("second", [{"id": "d"}])
        now = api.read(["first", "second"], every=False)
        assert fate(earlier, report, parts=now, configuration=EXPIRY) == became(**{NOBODY_KNOWS: ["d"]})


def test_projects_that_cannot_be_listed_now_fix_nothing() -> None:
    """Which they are nobody knows."""
    with Sandbox(projects=two_projects(oauth2AuthorizationCode=grant(refresh=at(days=-1)))) as sandbox:
        api = Api(sandbox.environment, Filters(), "auto", lambda _source: None)
        earlier = report(parts=api.read([], every=True), configuration=EXPIRY)
        sandbox.faults = ["403@projects"]
        now = api.read(["first"], every=True)
        assert fate(earlier, report, parts=now, configuration=EXPIRY) == became(**{NOBODY_KNOWS: ["d"]})


def test_what_was_read_all_the_same_is_judged() -> None:
    """Where a project could be read but for some details, what is known to be mended is fixed."""
    earlier = report(expired("a"), expired("b"), configuration=EXPIRY)
    half = Inventory.merge([inventory(fine("a")), Inventory(unread=["crm.json: b: encrypted"])])
    now = [Part(Source(SourceKind.STATE, "crm.json", 1, "b: encrypted"), half)]
    found = fate(earlier, report, parts=now, configuration=EXPIRY)
    assert "b" in found["not judged"]
    assert "b" not in found["fixed"]


def test_a_file_that_cannot_be_read_now_fixes_nothing() -> None:
    """Nobody knows which projects were in it."""
    earlier = report(expired("a"), configuration=EXPIRY)
    now = [Part(Source(SourceKind.ANSWER, "crm.json", 0, "no JSON"), Inventory(unread=["crm.json: no JSON"]))]
    assert fate(earlier, report, parts=now, configuration=EXPIRY) == became(**{NOBODY_KNOWS: ["a"]})


def test_requirements() -> None:
    """Findings about no connection are compared, too."""
    require = [{"provider": name} for name in ("slack", "gong", "notion")]
    asked = {"all": "disabled", "required-connections": {"enforcementLevel": "mandatory", "require": require}}
    earlier = report(connection("a", provider="notion"), configuration=asked)
    assert [finding.provider for finding in earlier.opened] == ["gong", "slack"]
    later = report(connection("a", provider="gong"), configuration=asked, baseline=baseline(earlier))
    assert [(finding.provider, later.is_new(finding)) for finding in later.opened] == [
        ("notion", True),
        ("slack", False),
    ]
    assert [finding.provider for finding in compared(later).fixed] == ["gong"]


def test_requirements_that_cannot_be_judged_now() -> None:
    """Where a part could not be read, what isn't there may be there."""
    options = {"enforcementLevel": "mandatory", "require": [{"provider": "slack"}]}
    asked = {"all": "disabled", "required-connections": options}
    earlier = report(connection("a"), configuration=asked)
    later = report(parts=[part(connection("a")), unreadable("two")], configuration=asked, baseline=baseline(earlier))
    assert later.opened == ()
    assert [finding.provider for finding in compared(later).not_judged] == ["slack"]


def test_the_same_id_in_two_projects() -> None:
    """They are two findings."""
    here, there = expired("a"), expired("a", projectId="proj_2")
    earlier = report(parts=[part(here), part(there, project="proj_2")], configuration=EXPIRY)
    later = report(
        parts=[part(here), part(fine("a", projectId="proj_2"), project="proj_2")],
        configuration=EXPIRY,
        baseline=baseline(earlier),
    )
    assert [finding.project for finding in compared(later).fixed] == ["proj_2"]
    assert [later.is_new(finding) for finding in later.opened] == [False]


def test_an_empty_baseline() -> None:
    """Everything is new."""
    earlier = report(fine("a"), configuration=EXPIRY)
    assert fate(earlier, report, expired("a"), configuration=EXPIRY) == became(new=["a"])


def test_its_own_baseline() -> None:
    """A report compared with itself: nothing is new and nothing is fixed."""
    earlier = report()
    found = compared(report(baseline=baseline(earlier)))
    assert not [finding for finding in earlier.opened if found.is_new(finding)]
    assert (found.fixed, found.not_judged) == ((), ())


def test_only_new_findings_break() -> None:
    """With ``fail_on_new``; a level or a severity counts besides."""
    earlier = report(expired("old"), configuration=EXPIRY)
    known, fresh = [expired("old")], [expired("old"), expired("new")]
    for connections, code in ((known, 0), (fresh, 1)):
        later = report(*connections, configuration=EXPIRY, baseline=baseline(earlier), fail_on_new=True)
        assert later.exit_code == code
        assert report(*connections, configuration=EXPIRY, baseline=baseline(earlier)).exit_code == 1
    for fail_on, code in ((Severity.HIGH, 1), (Severity.CRITICAL, 0)):
        later = report(*fresh, configuration=EXPIRY, baseline=baseline(earlier), fail_on_new=True, fail_on=fail_on)
        assert later.exit_code == code


def document(earlier: Report | None = None, **changes: Any) -> bytes:
    """A JSON report, with changed fields."""
    return json.dumps({**json_report.document(earlier or report(configuration=EXPIRY)), **changes}).encode()


def test_a_report_that_shows_less_is_refused() -> None:
    """What it leaves out would look new."""
    earlier = report(least_shown=Severity.HIGH)
    with pytest.raises(BaselineError) as caught:
        baseline(earlier)
    assert str(caught.value) == "shows findings of severity high and above only; make it without --severity"


@pytest.mark.parametrize(
    "data",
    [
        document(schemaVersion=2),
        document(schemaVersion=2, asOf=5),
        document(schemaVersion=2, findings={"by": "rule"}),
        b'{"schemaVersion": 2}',
    ],
    ids=["same-fields", "other-type", "other-findings", "other-fields"],
)
def test_a_report_of_a_newer_version(data: bytes) -> None:
    """Whatever else is in it, the version says why it can't be read."""
    with pytest.raises(BaselineError) as caught:
        read_baseline(data)
    assert str(caught.value) == "is a report of a newer version; upgrade pulumi-ampersand"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no JSON",
        b"[]",
        b"5",
        b"{}",
        b'{"schemaVersion": 1}',
        document()[:-20],
        document(findings=None),
        document(findings=[5]),
        document(findings=[{"rule": "x"}]),
        document(schemaVersion="1"),
        document(schemaVersion=None),
        b"\xff",
        b"[" * 100_000,
        json.dumps([connection()]).encode(),
    ],
    ids=[
        "empty",
        "text",
        "list",
        "number",
        "no-fields",
        "version-only",
        "truncated",
        "null-findings",
        "no-finding",
        "half-a-finding",
        "version-as-text",
        "no-version",
        "no-utf-8",
        "deep",
        "answer",
    ],
)
def test_what_is_no_report(data: bytes) -> None:
    """One sentence says so, on one line."""
    with pytest.raises(BaselineError, match=r"^is no JSON report of pulumi-ampersand audit: .+$") as caught:
        read_baseline(data)
    assert "\n" not in str(caught.value)


def test_unknown_fields_are_skipped() -> None:
    """Later versions add some, at any depth; states that aren't known yet count as broken."""
    earlier = report(expired("a"), configuration=EXPIRY)
    written = json.loads(document(earlier))
    written["more"] = {"x": [1]}
    written["findings"][0] |= {"more": 5, "state": "postponed"}
    later = report(expired("a"), configuration=EXPIRY, baseline=read_baseline(json.dumps(written).encode()))
    assert [later.is_new(finding) for finding in later.opened] == [False]


def test_a_byte_order_mark() -> None:
    """Some shells begin a file with one."""
    earlier = report(expired("a"), configuration=EXPIRY)
    assert read_baseline(b"\xef\xbb\xbf" + document(earlier)) == baseline(earlier)


def test_what_is_read_of_a_report() -> None:
    """Its time and its findings, all states included."""
    earlier = report()
    found = baseline(earlier)
    assert isinstance(found, Baseline)
    assert (found.schema_version, found.as_of, found.least_shown) == (1, "2026-11-24T08:00:00Z", "low")
    assert [finding.fingerprint for finding in found.findings] == [finding.fingerprint for finding in earlier.findings]
    assert {finding.state for finding in found.findings} == {"open", "waived", "tolerated"}


def test_a_huge_report() -> None:
    """As many findings as connections: each is compared, none twice."""
    many = 20_000
    earlier = report(*(expired(f"conn_{number:05}") for number in range(many)), configuration=EXPIRY)
    assert len(earlier.opened) == many
    later = report(
        *(expired(f"conn_{number:05}", -1 if number % 2 else 300) for number in range(1, many + 1)),
        configuration=EXPIRY,
        baseline=read_baseline("".join(json_report.render(earlier, Look())).encode()),
    )
    comparison = compared(later)
    assert len(comparison.fixed) == many // 2
    assert sum(map(comparison.is_new, later.opened)) == 0
    assert comparison.not_judged == ()
    assert len(evaluate(later.inventory, parse(json.dumps(EXPIRY), ""), NOW).findings) == many // 2
