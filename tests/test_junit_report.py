"""The JUnit report: a case for each rule and connection, failures where the gate is broken, hostile text as text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import xmlschema
from junitparser import JUnitXml

import golden
from audits import CONFIGURATION, CONNECTIONS, baseline, group, part, report
from engine.provision import EngineError
from pulumi_ampersand.inventory import Entry, Inventory
from pulumi_ampersand_policies.configuration import ActiveRule, Configuration
from pulumi_ampersand_policies.evaluation import evaluate
from pulumi_ampersand_policies.report import Report
from pulumi_ampersand_policies.reports import Look, junit_report, render
from pulumi_ampersand_policies.rule import Breach, Check, Enforcement, Options, Requirement, Rule, Severity, Unverified
from pulumi_ampersand_policies.testing import NOW, at, connection, grant
from report_cases import TEXTS, clean, compared, hostile
from validators import provide


class Case(NamedTuple):
    """A case as a reader sees it: the element that says what it came to, that one's type and message, and the text."""

    element: str
    type: str | None
    message: str | None
    text: str


def junit(shown: Report) -> str:
    """A report as JUnit XML."""
    return "".join(render("junit", shown, Look()))


def suites(shown: Report) -> dict[str, ET.Element]:
    """The suites of a report by name."""
    found = ET.fromstring(junit(shown).encode())
    named = {suite.attrib["name"]: suite for suite in found}
    assert len(named) == len(found)
    return named


def cases(shown: Report, suite: str) -> dict[str, Case | None]:
    """The cases of a suite by name; None for those of which nothing is said."""
    found: dict[str, Case | None] = {}
    for case in suites(shown)[suite].findall("testcase"):
        (said,) = [*case] or [None]
        told = None if said is None else Case(said.tag, said.get("type"), said.get("message"), said.text or "")
        found[case.attrib["name"]] = told
    return found


def elements(shown: Report, suite: str) -> dict[str, tuple[str, str | None]]:
    """What the cases of a suite came to, without the rule before their names."""
    return {
        name.removeprefix(f"{suite}: "): ("passed", None) if case is None else (case.element, case.type)
        for name, case in cases(shown, suite).items()
    }


def own(check: Check[Options], severity: Severity = Severity.HIGH) -> Rule[Options]:
    """A rule of a user's own."""
    return Rule(
        id="own",
        title="It is so",
        severity=severity,
        enforcement=Enforcement.MANDATORY,
        remediation="Mend {connection}",
        check=check,
        options=Options,
    )


def judged(rule: Rule[Options], *connections: Any, **settings: Any) -> Report:
    """A report of a user's own rule alone."""
    empty = report(*(connections or [connection("conn_a"), connection("conn_b")]), **settings)
    configuration = Configuration((ActiveRule(rule, rule.enforcement, Options()),), ())
    return replace(
        empty, configuration=configuration, evaluation=evaluate(empty.inventory, configuration, NOW), **settings
    )


def crash(inventory: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
    """Finds something, and then crashes."""
    yield Breach("it isn't", next(iter(inventory)))
    raise ZeroDivisionError


def doubt(inventory: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
    """Finds something wrong with the first connection, and can't judge any."""
    yield Breach("it isn't", next(iter(inventory)))
    for entry in inventory:
        yield Unverified("nobody knows", entry)


REPORTS: Final[dict[str, Report]] = {
    "everything": report(),
    "compared": compared(fail_on_new=True),
    "hidden": report(least_shown=Severity.CRITICAL),
    "clean": report(connection(), configuration={}),
    "empty": report(parts=[part()]),
    "crashed": judged(own(crash)),
    "doubtful": judged(own(doubt)),
    "long": report(connection("x" * 10_000, status="bad_credentials")),
    **{f"hostile-{name}": hostile(text) for name, text in TEXTS.items()},
}


@pytest.mark.parametrize(("name", "file"), [("everything", "report.xml"), ("compared", "report-baseline.xml")])
def test_golden(name: str, file: str) -> None:
    """One of everything, and a report that is compared with a baseline and incomplete."""
    golden.check(file, junit(REPORTS[name]))


@pytest.fixture(scope="module")
def schema() -> xmlschema.XMLSchema:
    """The schema of Jenkins' xUnit plugin. Without it, tests are skipped."""
    try:
        return xmlschema.XMLSchema(provide.junit_schema())
    except EngineError as error:
        pytest.skip(f"no schema of JUnit XML: {error}")


@pytest.mark.parametrize("name", REPORTS)
def test_schema(schema: xmlschema.XMLSchema, name: str) -> None:
    """It is valid by the schema of Jenkins' xUnit plugin, which refuses what isn't."""
    text = junit(REPORTS[name])
    schema.validate(text)
    assert not schema.is_valid(text.replace("<testcase ", "<testcase unknown='' ", 1))


@pytest.mark.parametrize("name", REPORTS)
def test_counts(name: str, tmp_path: Path) -> None:
    """The numbers of each suite, and of all, are those that another program counts."""
    file = tmp_path / "report.xml"
    file.write_text(junit(REPORTS[name]), encoding="utf-8")
    read = JUnitXml.fromfile(str(file))
    total: Counter[str] = Counter()
    for suite in read:
        said = Counter(type(result).__name__ for case in suite for result in case.result)
        counted = {"tests": len([*suite]), "failures": said["Failure"], "errors": said["Error"]}
        assert suite.tests == counted["tests"] > 0
        assert (suite.failures, suite.errors) == (counted["failures"], counted["errors"])
        assert suite.skipped == said["Skipped"]
        total.update(counted)
    assert (read.tests, read.failures, read.errors) == (total["tests"], total["failures"], total["errors"])


@pytest.mark.parametrize("name", REPORTS)
def test_no_two_cases_are_alike(name: str) -> None:
    """Class name and name tell cases apart, which readers drop otherwise."""
    found = [
        (case.attrib["classname"], case.attrib["name"])
        for suite in suites(REPORTS[name]).values()
        for case in suite.findall("testcase")
    ]
    assert [name for name, number in Counter(found).items() if number > 1] == []


@pytest.mark.parametrize("least_shown", Severity)
@pytest.mark.parametrize("fail_on", [None, *Severity])
@pytest.mark.parametrize(
    "connections",
    [
        pytest.param(CONNECTIONS, id="everything"),
        pytest.param(CONNECTIONS[4:7], id="no critical one"),
        pytest.param(CONNECTIONS[5:8], id="advisory ones"),
        pytest.param(CONNECTIONS[5:6], id="none"),
    ],
)
def test_a_failure_is_a_broken_gate(
    connections: Sequence[Any], fail_on: Severity | None, least_shown: Severity
) -> None:
    """There are failures if, and only if, findings break, whatever is shown of them."""
    shown = report(*connections, fail_on=fail_on, least_shown=least_shown)
    assert ("<failure" in junit(shown)) is (shown.exit_code == 1)


def test_each_state() -> None:
    """A case fails where its finding breaks, is an error where it wasn't judged, and skipped where nothing breaks."""
    fine = {f"proj_1/conn_{name}": ("passed", None) for name in ("bad", "fine", "later", "scopes")}
    passed = ("passed", None)
    assert elements(report(), "token-expiry") == {
        **fine,
        "proj_1/conn_soon": ("failure", "high"),
        "proj_1/conn_tolerated": passed,
        "proj_1/conn_unknown": passed,
        "proj_1/conn_waived": ("skipped", "waived"),
    }
    assert elements(report(), "refreshable")["proj_1/conn_tolerated"] == ("skipped", "tolerated")
    assert elements(report(), "provider-app-scopes")["proj_1/conn_unknown"] == ("error", "not evaluated")
    assert elements(report(), "verifiable-connections")["proj_1/conn_unknown"] == ("skipped", "open")
    assert elements(report(), "no-bad-credentials")["proj_1/conn_bad"] == ("failure", "critical")
    assert Counter(elements(report(), "no-bad-credentials").values())["passed", None] == len(CONNECTIONS) - 1


def test_a_failure_says_everything() -> None:
    """The message is short, the text has the remedy and what the finding is about."""
    shown = report()
    (finding,) = (finding for finding in shown.findings if finding.rule == "no-bad-credentials")
    assert cases(shown, "no-bad-credentials")["no-bad-credentials: proj_1/conn_bad"] == Case(
        "failure",
        "critical",
        "conn_bad (hubspot, Umbrella Corp): the provider refuses its credentials (status bad_credentials)",
        "conn_bad (hubspot, Umbrella Corp): the provider refuses its credentials (status bad_credentials)\n"
        "Remedy: Have the customer authorise again: pulumi-ampersand reauth conn_bad\n"
        "Severity: critical, mandatory\n"
        "Project: proj_1\n"
        "Connection: conn_bad\n"
        "Provider: hubspot\n"
        "Group: umbrella\n"
        "Consumer: acme-jo\n"
        f"Fingerprint: {finding.fingerprint}",
    )


def test_what_is_skipped_says_why() -> None:
    """Readers that show the message alone show why a case was skipped."""
    reasons = {
        ("token-expiry", "conn_waived"): "waived until 2099-12-31, approved by jo@example.com: INT-4711: conn_waived (",
        ("refreshable", "conn_tolerated"): "tolerated: conn_tolerated (",
        ("verifiable-connections", "conn_unknown"): "open, but only findings of mandatory rules break: conn_unknown (",
    }
    for (rule, name), reason in reasons.items():
        case = cases(report(), rule)[f"{rule}: proj_1/{name}"]
        assert case is not None
        assert (case.message or "").startswith(reason)
        assert case.text.startswith(f"{name} (")


def test_suites() -> None:
    """Each active rule has a suite, with what is known of it; readers group cases by class names."""
    shown = report()
    found = suites(shown)
    assert list(found) == [
        "audit",
        *sorted(active.rule.id for active in shown.configuration.rules),
        "inactive rules",
        "waivers",
    ]
    assert {suite.attrib["timestamp"] for suite in found.values()} == {"2026-11-24T08:00:00"}
    for active in shown.configuration.rules:
        suite = found[active.rule.id]
        classes = {case.attrib["classname"] for case in suite.findall("testcase")}
        assert classes == {f"pulumi-ampersand.{active.rule.id}"}
        known = {item.attrib["name"]: item.attrib["value"] for item in suite.iter("property")}
        assert known["severity"] == active.rule.severity.value
        assert known["enforcement"] == active.enforcement.value
    told = {item.attrib["name"]: item.attrib["value"] for item in found["audit"].iter("property")}
    assert told["headline"] == shown.headline
    assert told["asOf"] == "2026-11-24T08:00:00Z"


def test_what_is_not_active() -> None:
    """Inactive rules, and waivers, say why they do nothing."""
    assert cases(report(), "inactive rules")["inactive rule: forbidden-scopes"] == Case(
        "skipped", "inactive", 'it needs "scopes"', 'it needs "scopes"'
    )
    assert {name: case and (case.element, case.type) for name, case in cases(report(), "waivers").items()} == {
        "waiver: token-expiry: group globex": ("system-out", None),
        "waiver: token-expiry: group unused": ("skipped", "unused"),
        "waiver: token-expiry: group initech": ("skipped", "expired"),
    }


def test_sources() -> None:
    """A source that could not be read is an error."""
    shown = report(parts=[part(connection()), part(name="b.json", project="proj_2", error="HTTP 503")])
    assert cases(shown, "audit") == {
        "source: answer crm.json": Case("system-out", None, None, "answer crm.json: 1 connection"),
        "source: answer b.json": Case("error", "unread", "HTTP 503", "answer b.json: 0 connections; HTTP 503"),
    }
    assert elements(shown, "readable-connections") == {"project proj_2": ("failure", "critical")}


def test_a_rule_that_crashed() -> None:
    """A rule that crashed keeps its findings and has no passed cases."""
    shown = REPORTS["crashed"]
    assert elements(shown, "own") == {
        "proj_1/conn_a": ("failure", "high"),
        "no single connection, not evaluated": ("error", "crashed"),
    }
    case = cases(shown, "own")["own: no single connection, not evaluated"]
    assert case is not None
    assert case.text.startswith("the rule crashed with ZeroDivisionError at test_junit_report.py:")


def test_a_finding_and_a_doubt() -> None:
    """Where a rule finds something and could not judge something else of one connection, that is two cases."""
    assert elements(REPORTS["doubtful"], "own") == {
        "proj_1/conn_a": ("failure", "high"),
        "proj_1/conn_b": ("error", "not evaluated"),
        "proj_1/conn_a, not evaluated": ("error", "not evaluated"),
    }


def test_the_same_connection_in_two_projects() -> None:
    """Connections of one ID in several projects are several cases."""
    first = connection("same", status="bad_credentials")
    other = connection("same", projectId="proj_2", oauth2AuthorizationCode=grant(scopes=None))
    shown = report(parts=[part(first), part(other, name="b.json", project="proj_2")], configuration={})
    assert elements(shown, "no-bad-credentials") == {
        "proj_1/same": ("failure", "critical"),
        "proj_2/same": ("passed", None),
    }
    assert elements(shown, "provider-app-scopes") == {
        "proj_1/same": ("passed", None),
        "proj_2/same": ("error", "not evaluated"),
    }


def test_names_that_look_alike() -> None:
    """Names that differ in nothing that XML can hold have a number."""
    alike = [connection(name) for name in ("a\ufffe", "a\uffff", "a (2)")]
    assert list(elements(report(*alike, configuration={}), "no-bad-credentials")) == [
        "proj_1/a (2)",
        "proj_1/a\ufffd",
        "proj_1/a\ufffd (2)",
    ]


def test_a_requirement_named_like_a_connection() -> None:
    """What a rule finds of something else than a connection has a name of its own, even where it is called the same."""

    def check(inventory: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
        yield Breach("it isn't", next(iter(inventory)))
        yield Breach("nor is this", Requirement(connection="conn_a", project="proj_1"))

    assert elements(judged(own(check)), "own") == {
        "proj_1/conn_a": ("failure", "high"),
        "proj_1/conn_b": ("passed", None),
        "proj_1/conn_a (2)": ("failure", "high"),
    }


def test_required_connections() -> None:
    """What is required is a case, whether it is there or not; a requirement of a gate has no connection."""
    require = [{"provider": "slack", "groupRef": "globex"}, {"provider": "gone"}, {"groupRef": "none", "min": 2}]
    configuration = {"required-connections": {"require": require}}
    slack = connection("conn_slack", provider="slack", group=group("globex", "Globex"))
    assert elements(report(slack, configuration=configuration), "required-connections") == {
        "provider slack, group globex": ("passed", None),
        "provider gone": ("failure", "high"),
        "group none": ("failure", "high"),
    }
    unread = report(parts=[part(slack), part(error="HTTP 503", name="b")], configuration=configuration)
    found = elements(unread, "required-connections")
    assert found == {
        "no single connection, not evaluated": ("error", "not evaluated"),
        "no single connection, not evaluated (2)": ("error", "not evaluated"),
    }
    assert elements(report(slack, configuration={}), "required-connections") == {
        "Every connection that the deployment needs exists and is healthy": ("passed", None)
    }


def test_a_rule_without_connections() -> None:
    """A rule that applies to none of the connections is skipped, not left out."""
    key = connection("key", authScheme="apiKey", oauth2AuthorizationCode=None)
    assert cases(report(key), "token-expiry") == {
        "token-expiry: no single connection": Case(
            "skipped",
            "inapplicable",
            "it applies to none of 1 connection",
            "it applies to none of 1 connection",
        )
    }
    assert elements(REPORTS["empty"], "no-bad-credentials") == {"no single connection": ("skipped", "inapplicable")}


def test_hidden_rules() -> None:
    """A rule below the severity that is shown keeps what it could not judge; if its findings break, a case fails."""
    shown = report(least_shown=Severity.CRITICAL)
    assert elements(shown, "provider-app-scopes") == {"proj_1/conn_unknown, not evaluated": ("error", "not evaluated")}
    assert set(suites(shown)) == {
        "audit",
        "no-bad-credentials",
        "provider-app-scopes",
        "readable-connections",
        "inactive rules",
        "waivers",
    }
    assert cases(shown, "audit")["findings below severity critical"] == Case(
        "failure",
        "hidden",
        "3 findings below severity critical that break",
        "3 findings below severity critical that break; 4 open findings in all aren't shown",
    )
    harmless = report(*CONNECTIONS[5:8], least_shown=Severity.HIGH)
    assert elements(harmless, "audit")["findings below severity high"] == ("skipped", "hidden")
    assert list(elements(report(), "audit")) == ["source: answer crm.json"]


def test_a_baseline() -> None:
    """What the baseline knows is skipped where only new findings break; what is fixed has passed."""
    mended = [
        connection("conn_mended", provider="pipedrive", status=status) for status in ("bad_credentials", "working")
    ]
    fresh = connection("conn_new", provider="pipedrive", status="bad_credentials")
    earlier = baseline(report(*CONNECTIONS, mended[0]))
    shown = report(*CONNECTIONS, mended[1], fresh, baseline=earlier, fail_on_new=True)
    found = cases(shown, "no-bad-credentials")
    known, new = (found[f"no-bad-credentials: proj_1/{name}"] for name in ("conn_bad", "conn_new"))
    assert known is not None
    assert known[:2] == ("skipped", "known")
    assert (known.message or "").startswith("known to the baseline, and only new findings break: conn_bad (")
    assert "\nBaseline: unchanged\n" in known.text
    assert new is not None
    assert new[:2] == ("failure", "critical")
    assert "\nBaseline: new\n" in new.text
    assert cases(shown, "baseline") == {
        "baseline: no-bad-credentials: proj_1/conn_mended": Case(
            "system-out",
            None,
            None,
            "fixed: no-bad-credentials: conn_mended (pipedrive, Acme Ltd): the provider refuses its credentials "
            "(status bad_credentials)",
        )
    }
    off = {**CONFIGURATION, "no-bad-credentials": "disabled"}
    unjudged = elements(report(*CONNECTIONS, mended[1], configuration=off, baseline=earlier), "baseline")
    assert unjudged == {
        f"no-bad-credentials: proj_1/{name}": ("skipped", "not judged") for name in ("conn_bad", "conn_mended")
    }


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_text_stays_text(name: str) -> None:
    """What others wrote is read back as it is in the report, but for what XML can't hold."""
    text = clean(TEXTS[name]).replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
    shown = hostile(TEXTS[name])
    found = cases(shown, "no-bad-credentials")
    case = found[f"no-bad-credentials: proj_1/{text}"]
    assert case is not None
    for field in ("Connection", "Provider", "Group", "Consumer"):
        assert f"\n{field}: {text}\n" in case.text
    assert set(ET.fromstring(junit(shown).encode()).iter()) != set()
    tags = {element.tag for element in ET.fromstring(junit(shown).encode()).iter()}
    assert tags == {
        *("testsuites", "testsuite", "properties", "property"),
        *("testcase", "failure", "error", "skipped", "system-out"),
    }


def test_messages_are_short() -> None:
    """A message has at most so many characters; the text has all of them."""
    (finding,) = (finding for finding in REPORTS["long"].findings if finding.rule == "no-bad-credentials")
    long = report(
        connection(oauth2AuthorizationCode=grant(refresh=at(days=3))),
        configuration={
            "token-expiry": {
                "waivers": [{"group": "*", "reason": "r" * 600, "approvedBy": "jo", "expires": "2020-01-31"}]
            }
        },
    )
    (case,) = (case for case in cases(long, "token-expiry").values() if case is not None)
    assert len(case.message or "") == junit_report.MESSAGE
    assert "r" * 600 in case.text
    assert f"Connection: {'x' * 10_000}\n" in junit(REPORTS["long"])
    assert len(finding.connection) == 10_000


def test_the_same_report_gives_the_same_text() -> None:
    """Neither the order of connections nor another run changes a byte."""
    assert junit(report(*CONNECTIONS)) == junit(report(*reversed(CONNECTIONS))) == junit(report(*CONNECTIONS))


def test_it_comes_in_pieces() -> None:
    """A large report is never one string."""
    many = [connection(f"conn_{number:05}") for number in range(3_000)]
    pieces = list(render("junit", report(*many, configuration={}), Look()))
    assert max(piece.count("<testcase ") for piece in pieces) == 1_000


def test_rules_that_apply_are_asked() -> None:
    """A case is there for each connection that a rule applies to, by its options, and for no other."""
    asked: list[Mapping[str, Any]] = []

    def applies(entry: Entry, options: Options) -> bool:
        asked.append(options.model_dump())
        return entry.connection.id == "conn_b"

    shown = judged(replace(own(lambda *_: iter(())), applies=applies))
    assert elements(shown, "own") == {"proj_1/conn_b": ("passed", None)}
    assert asked
