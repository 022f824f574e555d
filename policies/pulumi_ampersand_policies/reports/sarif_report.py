"""The report in SARIF 2.1.0, as GitHub code scanning takes it.

GitHub makes an alert of every result. It knows neither suppressions nor baseline states: what is waived, tolerated or
fixed would become an open alert, too. So results are the open findings alone, and the rest is counted in notifications.
They break (level ``error``), or don't (``warning``; ``note`` where the severity is low).

GitHub refuses a file with more than 25,000 results or more than 10 MB when compressed. The severest that fit are kept,
and a notification says how many were left out. (https://docs.github.com/code-security/reference/code-scanning has the
limits, under "SARIF support" and "SARIF results exceed one or more limits".)

Text from elsewhere is escaped for where it stands. In messages braces are placeholders and are doubled, and
``[text](target)`` is a link. SARIF 2.1.0 has no way to write that as text, and viewers heed no backslash, so a space
parts it. In a rule's help, Markdown, all punctuation is escaped.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

import msgspec

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies import documentation
from pulumi_ampersand_policies.baseline import PastFinding
from pulumi_ampersand_policies.evaluation import Finding, State
from pulumi_ampersand_policies.report import TOOL, Report, moment, version
from pulumi_ampersand_policies.reports import Look
from pulumi_ampersand_policies.reports.sarif_notifications import KINDS, invocation, message
from pulumi_ampersand_policies.rule import Enforcement, Rule, Severity

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"

RESULTS: Final = 25_000
"""The most results that GitHub takes."""

BYTES: Final = 9_000_000
"""The most bytes of compressed results. GitHub takes 10 MB; the rules and notifications need the rest."""

TAGS: Final = 20
"""The most tags of a rule that GitHub takes."""

DESCRIPTION: Final = 1024
"""The most characters of a rule's description that GitHub takes."""

SECURITY_SEVERITY: Final = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "2.0",
}
"""A number amid the band to which GitHub gives the severity's name: above 9.0, from 7.0, from 4.0, from 0.1."""

_ROOT: Final = "%SRCROOT%"
_ROOT_IS: Final = "The root of the repository."
_BUILT_IN: Final = "pulumi_ampersand_policies.rules."
_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-`{-~])")


def render(report: Report, look: Look) -> Iterator[str]:
    """The report as SARIF, one result after the other; the same report gives the same text."""
    rules = {one_line(rule.id): index for index, rule in enumerate(report.rules)}
    writer = _Results(report, rules, look)
    yield f'{{\n  "$schema": "{SCHEMA}",\n  "version": "2.1.0",\n  "runs": [\n    {{\n'
    yield f'      "tool": {_text({"driver": _driver(report.rules)}, 6)},\n'
    yield '      "results": ['
    yield from writer.pieces()
    yield "],\n"
    yield f'      "invocations": {_text([invocation(report, rules, writer.left_out)], 6)},\n'
    yield f'      "automationDetails": {_text({"id": f"{TOOL}/"}, 6)},\n'
    yield f'      "originalUriBaseIds": {_text({_ROOT: {"description": {"text": _ROOT_IS}}}, 6)},\n'
    yield '      "columnKind": "unicodeCodePoints",\n'
    yield f'      "properties": {_text(_properties(report), 6)}\n'
    yield "    }\n  ]\n}\n"


def _text(value: Any, indent: int) -> str:
    """JSON on lines that are indented; there are no line ends inside of JSON's strings."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode().replace("\n", "\n" + " " * indent)


@dataclass
class _Results:
    """Writes as many results as fit, severest first.

    Attributes:
        report: The report.
        rules: The index of each rule.
        look: Where the findings are shown.
        left_out: How many didn't fit, when all are written.
    """

    report: Report
    rules: dict[str, int]
    look: Look
    left_out: int = 0
    _seen: Counter[str] = field(default_factory=Counter)

    def pieces(self) -> Iterator[str]:
        """The results, with commas between them."""
        findings = [finding for finding in self.report.findings if finding.state is State.OPEN]
        # The fastest level makes the most of it: whatever compresses the file later makes less.
        compressor, size = zlib.compressobj(1), 0
        before = "\n        "
        for number, finding in enumerate(findings):
            piece = _text(self._result(finding), 8)
            size += len(compressor.compress(piece.encode()))
            if number == RESULTS or size > BYTES:
                self.left_out = len(findings) - number
                break
            yield f"{before}{piece}"
            before = ",\n        "
        if findings:
            yield "\n      "

    def _result(self, finding: Finding) -> dict[str, Any]:
        report = self.report
        self._seen[finding.fingerprint] += 1
        result: dict[str, Any] = {
            "ruleId": one_line(finding.rule),
            "ruleIndex": self.rules[one_line(finding.rule)],
            "level": _level(finding.severity, breaks=report.breaks(finding)),
            "message": message(f"{finding.message}. {finding.remediation}"),
            "locations": [_location(self.look.sarif_path)],
            "partialFingerprints": {
                # As GitHub writes it where it is missing: a hash, and a number that tells apart what has the same.
                "primaryLocationLineHash": f"{finding.fingerprint}:{self._seen[finding.fingerprint]}"
            },
        }
        if report.comparison is not None:
            result["baselineState"] = "new" if report.is_new(finding) else "unchanged"
        result["properties"] = {
            "severity": finding.severity.value,
            "enforcement": finding.enforcement.value,
            "breaks": report.breaks(finding),
            "project": finding.project,
            "connection": finding.connection,
            "provider": finding.provider,
            "group": finding.group,
            "consumer": finding.consumer,
        }
        return result


def _level(severity: Severity, *, breaks: bool) -> str:
    if breaks:
        return "error"
    return "note" if severity is Severity.LOW else "warning"


def _location(path: str) -> dict[str, Any]:
    """The first character of a file: where in it a connection is meant can't be said."""
    uri = quote(PurePath(path).as_posix().encode(errors="surrogateescape"))
    region = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2}
    return {"physicalLocation": {"artifactLocation": {"uri": uri, "uriBaseId": _ROOT}, "region": region}}


def _driver(rules: Sequence[Rule[Any]]) -> dict[str, Any]:
    return {
        "name": TOOL,
        "version": version(),
        "semanticVersion": version(),
        "rules": [_rule(rule) for rule in rules],
        "notifications": [
            {
                "id": kind.id,
                "shortDescription": {"text": kind.description},
                "fullDescription": {"text": f"{kind.description} {kind.help}"},
                "help": {"text": kind.help},
                "defaultConfiguration": {"level": kind.level},
            }
            for kind in KINDS
        ],
    }


def _rule(rule: Rule[Any]) -> dict[str, Any]:
    title, remedy = one_line(rule.title), one_line(rule.remedy())
    asked = "; ".join(one_line(f"{control} ({control.subject})") for control in rule.controls)
    plain = [f"{title}.", f"Remedy: {remedy}.", f"Severity: {rule.severity.value}."]
    plain += [f"Asked for by: {asked}."] if asked else []
    tags = [one_line(tag) for tag in rule.tags]
    plain += [f"Tags: {', '.join(tags)}."] if tags else []
    return {
        "id": one_line(rule.id),
        "shortDescription": {"text": one_line(f"{title}.", DESCRIPTION)},
        "fullDescription": {"text": one_line(f"{title}. Remedy: {remedy}.", DESCRIPTION)},
        "defaultConfiguration": {
            "enabled": rule.enforcement is not Enforcement.DISABLED and not rule.needed,
            "level": _level(rule.severity, breaks=rule.enforcement is Enforcement.MANDATORY),
        },
        "help": {"text": "\n\n".join(plain), "markdown": _markdown(rule, plain)},
        "properties": {
            "tags": list(dict.fromkeys(["security", *tags]))[:TAGS],
            "precision": "very-high",
            "security-severity": SECURITY_SEVERITY[rule.severity],
        },
    }


def _markdown(rule: Rule[Any], plain: Iterable[str]) -> str:
    """A rule's page; of a user's own rule, which has none, what is known."""
    if rule.check.__module__.startswith(_BUILT_IN):
        return documentation.page(rule)
    return "\n\n".join(_PUNCTUATION.sub(r"\\\1", line) for line in [one_line(rule.id), *plain]) + "\n"


_PAST: Final = 1000
"""How many of the baseline's findings are named of each kind."""


def _past(finding: PastFinding) -> dict[str, str]:
    """A finding of the baseline, by what it is known by."""
    return {
        "rule": one_line(finding.rule),
        "project": one_line(finding.project),
        "connection": one_line(finding.connection),
        "fingerprint": one_line(finding.fingerprint),
    }


def _properties(report: Report) -> dict[str, Any]:
    comparison = report.comparison
    return {
        "verdict": report.verdict.value,
        "headline": one_line(report.headline),
        "asOf": moment(report.as_of),
        "breaks": report.what_breaks,
        "connections": len(report.inventory),
        "findings": {severity.value: number for severity, number in report.counts.items()},
        "breaking": len(report.breaking),
        "waived": report.states[State.WAIVED],
        "tolerated": report.states[State.TOLERATED],
        "hidden": report.hidden,
        "notEvaluated": len(report.evaluation.not_evaluated),
        "sources": [
            {
                "kind": source.kind.value,
                "name": one_line(source.name),
                "connections": source.connections,
                "status": source.status,
                "error": one_line(source.error) if source.error else None,
            }
            for source in report.sources
        ],
        "baseline": None
        if comparison is None
        else {
            "asOf": one_line(comparison.as_of),
            "new": report.new,
            "unchanged": report.unchanged,
            "fixed": list(map(_past, comparison.fixed[:_PAST])),
            "notJudged": list(map(_past, comparison.not_judged[:_PAST])),
        },
    }
