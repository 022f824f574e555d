"""The SARIF report: what GitHub takes, what a validator says of it, and that hostile text stays text."""

from __future__ import annotations

import gzip
import json
import os
import platform
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

import golden
from audits import CONNECTIONS, baseline, part, report
from engine.provision import EngineError
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies import documentation
from pulumi_ampersand_policies.audit import audit
from pulumi_ampersand_policies.configuration import parse
from pulumi_ampersand_policies.evaluation import State
from pulumi_ampersand_policies.report import Report
from pulumi_ampersand_policies.reports import Look, render, sarif_notifications
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.testing import NOW, connection
from report_cases import TEXTS, clean, compared, hostile
from validators import provide

GITHUB_BYTES: Final = 10 * 1000 * 1000
LEVELS: Final = {"error", "warning", "note"}
PLACEHOLDER: Final = re.compile(r"(?<!\{)(?:\{\{)*\{(?!\{)")
"""A brace that isn't doubled."""


def sarif(shown: Report, path: str = "Pulumi.yaml") -> str:
    """A report as SARIF."""
    return "".join(render("sarif", shown, Look(sarif_path=path)))


def run(shown: Report, path: str = "Pulumi.yaml") -> dict[str, Any]:
    """The one run of a report."""
    log = json.loads(sarif(shown, path))
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    found: dict[str, Any] = log["runs"][0]
    return found


def results(shown: Report) -> dict[tuple[str, str], dict[str, Any]]:
    """The results of a report, by rule and connection."""
    found = run(shown)["results"]
    named = {(result["ruleId"], result["properties"]["connection"]): result for result in found}
    assert len(named) == len(found)
    return named


def notifications(shown: Report) -> dict[str, list[tuple[str, str]]]:
    """The notifications of a report, level and text, by kind."""
    return told_by(run(shown))


def told_by(found: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """The notifications of a run."""
    told: dict[str, list[tuple[str, str]]] = {}
    (invocation,) = found["invocations"]
    kinds = found["tool"]["driver"]["notifications"]
    for notice in invocation["toolExecutionNotifications"] + invocation["toolConfigurationNotifications"]:
        kind = notice["descriptor"]
        assert kinds[kind["index"]]["id"] == kind["id"]
        told.setdefault(kind["id"], []).append((notice["level"], notice["message"]["text"]))
    return told


def rules(shown: Report) -> dict[str, dict[str, Any]]:
    """The rules of a report."""
    return {rule["id"]: rule for rule in run(shown)["tool"]["driver"]["rules"]}


def strings(value: Any) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, dict):
        yield from (text for item in value.values() for text in strings(item))
    elif isinstance(value, list):
        yield from (text for item in value for text in strings(item))
    elif isinstance(value, str):
        yield value


def read(message: str) -> str:
    """What a reader makes of a message."""
    assert PLACEHOLDER.search(message) is None
    return message.replace("{{", "{").replace("}}", "}")


def own(title: str = "Everything is fine", tags: tuple[str, ...] = (), *, crashes: bool = False) -> Rule[Options]:
    """A rule of a user's own, which breaks for every connection, or crashes after the first."""

    def check(inventory: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
        for entry in inventory:
            yield Breach("it isn't", entry)
            if crashes:
                raise ZeroDivisionError

    return Rule(
        id="own",
        title=title,
        severity=Severity.LOW,
        enforcement=Enforcement.MANDATORY,
        remediation="Mend {connection}",
        check=check,
        options=Options,
        tags=tags,
    )


def with_own(rule: Rule[Options], *connections: Any) -> Report:
    """A report of a user's own rule alone."""
    configuration = {"all": "disabled", "own": "mandatory"}
    judged = part(*(connections or [connection("conn_a"), connection("conn_b")]))
    return audit([judged], parse(json.dumps(configuration), "policy-config.json", [*RULES, rule]), NOW)


def bad(count: int) -> list[dict[str, Any]]:
    """Connections with bad credentials."""
    return [connection(f"conn_{number:05}", status="bad_credentials") for number in range(count)]


REPORTS: Final[dict[str, Report]] = {
    "everything": report(),
    "compared": compared(fail_on_new=True),
    "hidden": report(least_shown=Severity.CRITICAL),
    "clean": report(connection(), configuration={}),
    "empty": report(parts=[part()]),
    "own": with_own(own(tags=("a", "b"))),
    "crashed": with_own(own(crashes=True)),
    "long": report(connection("x" * 10_000, status="bad_credentials")),
    **{f"hostile-{name}": hostile(text) for name, text in TEXTS.items()},
}


VALIDATED: Final = [
    *(name for name in REPORTS if not name.startswith("hostile-")),
    *(f"hostile-{name}" for name in ("escapes", "surrogates", "html", "markdown", "rich", "noncharacters")),
]
"""Reports that other programs are shown. They take a second for each."""


def without_pages(text: str) -> str:
    """A report without its rules' pages, each of which has to be in it once."""
    for rule in RULES:
        page = json.dumps(documentation.page(rule), ensure_ascii=False)
        assert text.count(page) == 1
        text = text.replace(page, json.dumps(f"<the page of {rule.id}>"))
    return text


@pytest.mark.parametrize(("name", "file"), [("everything", "report.sarif"), ("compared", "report-baseline.sarif")])
def test_golden(name: str, file: str) -> None:
    """One of everything, and a report that is compared with a baseline and incomplete."""
    golden.check(file, without_pages(sarif(REPORTS[name])))


@pytest.fixture(scope="module")
def multitool() -> Path:
    """The folder of a validator of SARIF. Without one, tests are skipped."""
    try:
        return provide.sarif_multitool()
    except EngineError as error:
        pytest.skip(f"no validator of SARIF: {error}")


@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="the validator is a program for x86-64")
def test_a_validator_has_nothing_to_say(multitool: Path, tmp_path: Path) -> None:
    """Microsoft's validator finds nothing by the standard and GitHub's rules, but that the tool has no home page."""
    for name in VALIDATED:
        (tmp_path / f"{name}.sarif").write_text(sarif(REPORTS[name], "infra/my stack.yaml"), encoding="utf-8")
    (tmp_path / "broken.sarif").write_text(sarif(report()).replace('"startColumn": 1', '"startColumn": 0'))
    command = [str(multitool / "Sarif.Multitool"), "validate", "*.sarif", "--rule-kind", "Sarif;Ghas"]
    options = ["--level", "Error;Warning", "--output", "said.json", "--log", "ForceOverwrite", "--quiet"]
    environment = {**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
    subprocess.run([*command, *options], cwd=tmp_path, env=environment, check=True, timeout=300)
    (said,) = json.loads((tmp_path / "said.json").read_text(encoding="utf-8-sig"))["runs"]
    assert said["invocations"][0]["executionSuccessful"] is True
    found: dict[str, list[str]] = {}
    for result in said["results"]:
        file = Path(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
        found.setdefault(file.stem, []).append(result["ruleId"])
    assert "JSON1008" in found.pop("broken")
    assert found == {name: ["SARIF2005"] for name in VALIDATED}


@pytest.mark.parametrize("name", VALIDATED)
def test_schema(multitool: Path, name: str) -> None:
    """It is valid by the standard's JSON Schema."""
    schema = json.loads((multitool / "sarif-2.1.0.json").read_text(encoding="utf-8-sig"))
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert [error.message for error in validator.iter_errors(json.loads(sarif(REPORTS[name])))] == []


def test_open_findings_alone_are_results() -> None:
    """GitHub would make alerts of waived and tolerated findings, so they are counted beside the results."""
    shown = report()
    opened = {(finding.rule, finding.connection) for finding in shown.findings if finding.state is State.OPEN}
    assert set(results(shown)) == opened
    assert len(opened) == 5
    assert notifications(shown)["excused-findings"] == [("note", "1 finding waived, 1 tolerated.")]


def test_levels() -> None:
    """What breaks is an error, other open findings are warnings, and notes if they are of low severity."""
    twins = [connection(name, providerWorkspaceRef="same") for name in ("twin_1", "twin_2")]
    assert {key: result["level"] for key, result in results(report(*CONNECTIONS, *twins)).items()} == {
        ("no-bad-credentials", "conn_bad"): "error",
        ("allowed-auth-schemes", "conn_basic"): "error",
        ("required-scopes", "conn_scopes"): "error",
        ("required-scopes", "twin_1"): "error",
        ("required-scopes", "twin_2"): "error",
        ("token-expiry", "conn_soon"): "error",
        ("verifiable-connections", "conn_unknown"): "warning",
        ("unique-connections", "twin_1"): "note",
        ("unique-connections", "twin_2"): "note",
    }
    critical_only = results(report(fail_on=Severity.CRITICAL))
    assert {key[1] for key, result in critical_only.items() if result["level"] == "error"} == {"conn_bad"}


def test_a_result_says_everything() -> None:
    """A result has message and remedy, a place in the repository, a fingerprint, and what it is about."""
    shown = report()
    (finding,) = (finding for finding in shown.findings if finding.rule == "no-bad-credentials")
    found = run(shown, "./infra/Größe: 1%.yaml")
    (result,) = (result for result in found["results"] if result["ruleId"] == "no-bad-credentials")
    assert found["tool"]["driver"]["rules"][result.pop("ruleIndex")]["id"] == "no-bad-credentials"
    assert result == {
        "ruleId": "no-bad-credentials",
        "level": "error",
        "message": {
            "text": "conn_bad (hubspot, Umbrella Corp): the provider refuses its credentials (status bad_credentials). "
            "Have the customer authorise again: pulumi-ampersand reauth conn_bad"
        },
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "infra/Gr%C3%B6%C3%9Fe%3A%201%25.yaml", "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2},
                }
            }
        ],
        "partialFingerprints": {"primaryLocationLineHash": f"{finding.fingerprint}:1"},
        "properties": {
            "severity": "critical",
            "enforcement": "mandatory",
            "breaks": True,
            "project": "proj_1",
            "connection": "conn_bad",
            "provider": "hubspot",
            "group": "umbrella",
            "consumer": "acme-jo",
        },
    }
    assert "%SRCROOT%" in found["originalUriBaseIds"]
    assert found["automationDetails"]["id"] == "pulumi-ampersand/"


def test_a_path_that_is_no_text() -> None:
    """A path's bytes that are no UTF-8 are those of its address."""
    (result,) = run(report(*bad(1), configuration={}), "a\udcff.yaml")["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%FF.yaml"


def test_the_fingerprint_stays() -> None:
    """The same rule, project and connection have one fingerprint, whatever is said; another project has another."""

    def fingerprint(shown: Report) -> str:
        (result,) = run(shown)["results"]
        text: str = result["partialFingerprints"]["primaryLocationLineHash"]
        return text

    plain = fingerprint(report(*bad(1), configuration={}))
    renamed = connection("conn_00000", status="bad_credentials", group={"groupRef": "b"}, provider="slack")
    moved = connection("conn_00000", status="bad_credentials", projectId="proj_2", group=None, providerApp=None)
    assert re.fullmatch(r"[0-9a-f]{64}:1", plain)
    only = {"all": "disabled", "no-bad-credentials": "advisory"}
    assert fingerprint(report(renamed, configuration=only)) == plain
    assert fingerprint(report(moved, configuration=only)) != plain


def test_rules_have_help() -> None:
    """Each rule, active or not, has its page, its band of security severity, and tags."""
    found = rules(report())
    assert list(found) == sorted(rule.id for rule in RULES)
    bands = {"critical": (9.0, 10.0), "high": (7.0, 8.9), "medium": (4.0, 6.9), "low": (0.1, 3.9)}
    for rule in RULES:
        told = found[rule.id]
        assert told["help"]["markdown"] == documentation.page(rule)
        assert told["help"]["text"].startswith(f"{rule.title}.\n\nRemedy: ")
        assert told["properties"]["tags"] == ["security", *rule.tags]
        severity = told["properties"]["security-severity"]
        low, high = bands[rule.severity.value]
        assert isinstance(severity, str)
        assert low < float(severity) <= high
        assert told["defaultConfiguration"]["level"] in LEVELS


def test_own_rules_have_help() -> None:
    """A rule of a user's own has no page: its help is what it says of itself, as text, within GitHub's limits."""
    title = "<b>*x* [l](http://e.example) {0} &amp; " + "y" * 2000
    told = rules(with_own(own(title, tags=("security", *(f"tag {number}" for number in range(30))))))["own"]
    markdown = told["help"]["markdown"]
    assert markdown.startswith(r"own" "\n\n" r"\<b\>\*x\* \[l\]\(http\:\/\/e\.example\) \{0\} \&amp\; yyy")
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown) == f"own\n\n{told['help']['text']}\n"
    assert f"{title}.\n\nRemedy: Mend <connection>.\n\nSeverity: low.\n\nTags: security, tag 0," in told["help"]["text"]
    assert len(told["shortDescription"]["text"]) == len(told["fullDescription"]["text"]) == 1024
    assert told["properties"]["tags"] == ["security", *(f"tag {number}" for number in range(19))]
    assert told["properties"]["security-severity"] == "2.0"


def test_what_could_not_be_read() -> None:
    """A source that wasn't read, and a rule that crashed, fail the run; what wasn't judged doesn't."""
    shown = report(parts=[part(*CONNECTIONS), part(name="b.json", project="proj_2", error="HTTP 503")])
    (invocation,) = run(shown)["invocations"]
    assert invocation["executionSuccessful"] is False
    assert (invocation["exitCode"], invocation["exitCodeDescription"]) == (3, shown.headline)
    told = notifications(shown)
    assert told["unread-source"] == [("error", "answer b.json: 0 connections; HTTP 503.")]
    reason = "its granted scopes are unknown: the API didn't send them"
    assert ("warning", f"provider-app-scopes: {reason}; 1 connection: proj_1/conn_unknown.") in told["not-evaluated"]

    (invocation,) = run(REPORTS["crashed"])["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 3)
    ((level, text),) = notifications(REPORTS["crashed"])["crashed-rule"]
    assert level == "error"
    assert text.startswith("own: the rule crashed with ZeroDivisionError at test_sarif_report.py:")

    (invocation,) = run(report())["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (True, 1)
    levels = {notice["level"] for notice in invocation["toolExecutionNotifications"]}
    assert levels == {"warning", "note"}


def test_alike_gaps_are_one_notification() -> None:
    """What a rule could not judge for one reason is one notification, which counts and names a few."""
    unknown = [
        connection(f"conn_{number}", oauth2AuthorizationCode={"refreshToken": {"token": "x"}}) for number in range(9)
    ]
    assert notifications(report(*unknown))["not-evaluated"] == [
        (
            "warning",
            f"{rule}: {reason}; 9 connections: conn_0, conn_1, conn_2 and 6 more.",
        )
        for rule, reason in [
            ("credential-age", "when the refresh token was issued is unknown: the API didn't send a time"),
            ("provider-app-scopes", "its granted scopes are unknown: the API didn't send them"),
            ("required-scopes", "its granted scopes are unknown: the API didn't send them"),
        ]
    ]


def test_rules_and_waivers_that_do_nothing() -> None:
    """Inactive rules, and waivers that have expired or that nothing needs, are told."""
    told = notifications(report())
    assert told["idle-waiver"] == [
        ("warning", "expired: token-expiry: group initech, until 2020-01-31, approved by jo@example.com: INT-4713."),
        ("warning", "unused: token-expiry: group unused, until 2099-12-31, approved by jo@example.com: INT-4712."),
    ]
    assert ("note", 'forbidden-scopes: it needs "scopes".') in told["inactive-rule"]
    assert len(told["inactive-rule"]) == len(report().configuration.inactive)


def test_a_baseline() -> None:
    """With a baseline each result is new or unchanged; what is fixed is no result, but counted."""
    mended = [
        connection("conn_mended", provider="pipedrive", status=status) for status in ("bad_credentials", "working")
    ]
    fresh = connection("conn_new", provider="pipedrive", status="bad_credentials")
    earlier = baseline(report(*CONNECTIONS, mended[0]))
    shown = report(*CONNECTIONS, mended[1], fresh, baseline=earlier)
    assert {key[1]: result["baselineState"] for key, result in results(shown).items()} == {
        "conn_bad": "unchanged",
        "conn_basic": "unchanged",
        "conn_new": "new",
        "conn_scopes": "unchanged",
        "conn_soon": "unchanged",
        "conn_unknown": "unchanged",
    }
    assert notifications(shown)["baseline"] == [
        ("note", "compared with 2026-11-24T08:00:00Z: 1 new, 5 unchanged, 1 fixed, 0 not judged now.")
    ]
    compared = run(shown)["properties"]["baseline"]
    (fixed,) = compared.pop("fixed")
    assert compared == {"asOf": "2026-11-24T08:00:00Z", "new": 1, "unchanged": 5, "notJudged": []}
    assert fixed.keys() == {"rule", "project", "connection", "fingerprint"}
    assert (fixed["rule"], fixed["connection"]) == ("no-bad-credentials", "conn_mended")
    assert all("baselineState" not in result for result in results(report()).values())
    gated = results(report(*CONNECTIONS, fresh, baseline=earlier, fail_on_new=True))
    assert {key[1] for key, result in gated.items() if result["level"] == "error"} == {"conn_new"}


def test_hidden_findings() -> None:
    """Findings below the severity that is shown are counted."""
    shown = report(least_shown=Severity.CRITICAL)
    assert set(results(shown)) == {("no-bad-credentials", "conn_bad")}
    assert notifications(shown)["hidden-findings"] == [("note", "4 open findings below severity critical.")]
    assert run(shown)["properties"]["hidden"] == 4


def test_nothing_found() -> None:
    """A clean report has an empty list of results, which GitHub needs to close alerts."""
    found = run(REPORTS["clean"])
    assert found["results"] == []
    assert found["invocations"][0]["executionSuccessful"] is True
    assert found["properties"]["headline"] == "Clean: 1 connection, nothing breaks."


def test_as_many_results_as_github_takes() -> None:
    """Of more than 25,000 findings the severest are kept, and the others counted."""
    configuration = {"all": "disabled", "no-bad-credentials": "mandatory", "unique-connections": "advisory"}
    alike = [connection(f"key_{number:05}", providerWorkspaceRef="same") for number in range(24_001)]
    found = run(report(*alike, *bad(1_000), configuration=configuration))
    assert Counter(result["ruleId"] for result in found["results"]) == {
        "no-bad-credentials": 1_000,
        "unique-connections": 24_000,
    }
    assert told_by(found)["left-out-results"] == [
        ("warning", "the 1 least severe finding of those that are open didn't fit.")
    ]
    exactly = run(report(*alike[1:], *bad(1_000), configuration=configuration))
    assert len(exactly["results"]) == 25_000
    assert "left-out-results" not in told_by(exactly)


def test_as_many_bytes_as_github_takes() -> None:
    """However badly texts compress, the file stays below what GitHub takes, and says how many findings it lacks."""
    letters = random.Random(4)
    long = ["".join(map(chr, letters.choices(range(0x4E00, 0x9FA5), k=10_000))) for _ in range(600)]
    text = sarif(report(*(connection(name, status="bad_credentials") for name in long), configuration={}))
    (found,) = json.loads(text)["runs"]
    assert GITHUB_BYTES * 0.8 < len(gzip.compress(text.encode())) < GITHUB_BYTES
    assert told_by(found)["left-out-results"] == [
        ("warning", f"the {600 - len(found['results'])} least severe findings of those that are open didn't fit.")
    ]


def test_as_many_notifications_as_are_read() -> None:
    """Of thousands of notifications the worst are kept, and the others counted."""
    odd = connection(providerApp=None)
    unread = [part(name=f"{number}.json", project=f"p{number}", error=f"HTTP {number}") for number in range(1_500)]
    shown = report(parts=[part(odd), *unread], configuration={})
    told = notifications(shown)
    assert len(told["unread-source"]) == 1_000
    ((level, text),) = told["not-evaluated"]
    unjudged = {(item.rule, item.reason) for item in shown.evaluation.not_evaluated}
    assert len(unjudged) == 1
    assert level == "warning"
    assert text == f"and {500 + 1 + len(shown.configuration.inactive)} more like these; --format json has all."


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_text_stays_text(name: str) -> None:
    """No message has a placeholder or a link, and what others wrote is whole in a result's properties."""
    text = TEXTS[name]
    found = run(REPORTS[f"hostile-{name}"])
    messages = [message["text"] for message in (result["message"] for result in [*found["results"], *_notices(found)])]
    assert messages
    for message in messages:
        assert "](" not in message
        assert message == clean(message)
        read(message)
    named = {result["properties"]["connection"]: result["properties"] for result in found["results"]}
    assert named[clean(text)]["provider"] == clean(text)
    assert named[clean(text)]["group"] == clean(text)
    assert all(string == string.encode("utf-8", "replace").decode() for string in strings(found))


def _notices(found: dict[str, Any]) -> list[dict[str, Any]]:
    (invocation,) = found["invocations"]
    return [*invocation["toolExecutionNotifications"], *invocation["toolConfigurationNotifications"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{0}", "{{0}}", id="placeholder"),
        pytest.param("{{0}}", "{{{{0}}}}", id="doubled"),
        pytest.param("[x](1)", "[x] (1)", id="link"),
        pytest.param("[[x](1)](2)", "[[x] (1)] (2)", id="nested"),
        pytest.param("[x] (1) a[2](", "[x] (1) a[2] (", id="no-link"),
        pytest.param("a\\[x\\](1)", "a\\[x\\] (1)", id="backslash"),
        pytest.param("a\r\nb\x1b[31m\ud800", "a b[31m\ufffd", id="control"),
    ],
)
def test_messages_are_text(text: str, message: str) -> None:
    """Placeholders and links are escaped, as readers undo it."""
    assert sarif_notifications.message(text) == {"text": message}


def test_the_same_report_gives_the_same_text() -> None:
    """Neither the order of connections nor another run changes a byte."""
    assert sarif(report(*CONNECTIONS)) == sarif(report(*reversed(CONNECTIONS))) == sarif(report(*CONNECTIONS))


def test_it_comes_in_pieces() -> None:
    """A large report is never one string."""
    pieces = list(render("sarif", report(*bad(200)), Look()))
    assert len(pieces) > 200
    assert all(len(piece) < 2_000 for piece in pieces if '"ruleId"' in piece)
