"""The JSON report: the contract for programs. Its JSON Schema is ``report.schema.json`` beside this module."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from pulumi_ampersand_policies.baseline import Comparison, PastFinding
from pulumi_ampersand_policies.configuration import Configuration
from pulumi_ampersand_policies.evaluation import Evaluation, Finding, State
from pulumi_ampersand_policies.report import SCHEMA_VERSION, TOOL, Report, Source, moment, version
from pulumi_ampersand_policies.reports import Look
from pulumi_ampersand_policies.rule import Enforcement, ReportOptions

_AT_ONCE: Final = 500
"""Findings that are written together."""


def render(report: Report, _look: Look) -> Iterator[str]:
    """The report as JSON; the same report gives the same text."""
    rest = _formatted(_frame(report))
    for name, items in (("findings", _findings(report)), ("notEvaluated", not_evaluated_documents(report.evaluation))):
        # No text has a line end, so this stands nowhere else.
        before, after = rest.split(f'\n  "{name}": []', 1)
        yield before
        yield from _array(name, items)
        rest = after
    yield rest
    yield "\n"


def _formatted(content: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def _array(name: str, items: Iterator[dict[str, Any]]) -> Iterator[str]:
    """A long array of the report, piece by piece: as a whole it would take several times its size."""
    start = f'\n  "{name}": ['
    empty = True
    while chunk := list(islice(items, _AT_ONCE)):
        text = _formatted(chunk).removeprefix("[").removesuffix("\n]").replace("\n", "\n  ")
        yield f"{start}{text}" if empty else f",{text}"
        empty = False
    yield f"{start}]" if empty else "\n  ]"


def document(report: Report) -> dict[str, Any]:
    """The report as JSON's own types."""
    return _frame(report) | {
        "findings": list(_findings(report)),
        "notEvaluated": list(not_evaluated_documents(report.evaluation)),
    }


def _frame(report: Report) -> dict[str, Any]:
    """The report without what there may be very much of."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "asOf": moment(report.as_of),
        "tool": {"name": TOOL, "version": version()},
        "verdict": report.verdict.value,
        "exitCode": report.exit_code,
        "breaks": {
            "severity": report.fail_on.value if report.fail_on else None,
            "newOnly": report.fail_on_new,
        },
        "leastShown": report.least_shown.value,
        "filters": dict(report.filters),
        "waiversIgnored": not report.configuration.waivers,
        "errors": list(report.errors),
        "sources": [source_document(source) for source in report.sources],
        "rules": _rules(report.configuration),
        "summary": {
            "connections": len(report.inventory),
            "findings": {severity.value: number for severity, number in report.counts.items()},
            "breaking": len(report.breaking),
            "waived": report.states[State.WAIVED],
            "tolerated": report.states[State.TOLERATED],
            "notEvaluated": len(report.evaluation.not_evaluated),
        },
        "findings": [],
        "notEvaluated": [],
        "waivers": [
            {"rule": use.rule, **use.waiver.document(), "state": use.state.value} for use in report.evaluation.waivers
        ],
        "baseline": None if report.comparison is None else _comparison(report, report.comparison),
    }


def source_document(source: Source) -> dict[str, Any]:
    """A source as JSON's own types."""
    return {
        "kind": source.kind.value,
        "name": source.name,
        "connections": source.connections,
        "status": source.status,
        "error": source.error,
    }


def _findings(report: Report) -> Iterator[dict[str, Any]]:
    for finding in report.findings:
        yield {
            **finding_document(finding),
            "breaks": report.breaks(finding),
            "new": None if report.comparison is None else report.is_new(finding),
        }


def not_evaluated_documents(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """What could not be judged as JSON's own types."""
    for item in evaluation.not_evaluated:
        yield {
            "rule": item.rule,
            "project": item.project,
            "connection": item.connection,
            "reason": item.reason,
            "crashed": item.crashed,
        }


def _rules(configuration: Configuration) -> list[dict[str, Any]]:
    active: list[dict[str, Any]] = [
        {
            "id": known.rule.id,
            "enforcement": known.enforcement.value,
            "severity": known.rule.severity.value,
            "active": True,
            "reason": None,
            "options": _options(known.options),
        }
        for known in configuration.rules
    ]
    inactive: list[dict[str, Any]] = [
        {
            "id": known.rule.id,
            "enforcement": Enforcement.DISABLED.value,
            "severity": known.rule.severity.value,
            "active": False,
            "reason": known.reason,
            "options": {},
        }
        for known in configuration.inactive
    ]
    return sorted([*active, *inactive], key=lambda rule: rule["id"])


def _options(options: ReportOptions) -> dict[str, Any]:
    """The options that were judged by, defaults included. Waivers have a list of their own."""
    if options.model_fields_set:
        written: dict[str, Any] = options.model_dump(mode="json", by_alias=True, exclude={"waivers"})
        return written
    # The same; but a model that nothing was validated by would be built for this alone, 2 ms each.
    return {
        part.alias or name: getattr(options, name)
        for name, part in type(options).model_fields.items()
        if name != "waivers"
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    """A finding as JSON's own types."""
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "enforcement": finding.enforcement.value,
        "connection": finding.connection,
        "project": finding.project,
        "provider": finding.provider,
        "group": finding.group,
        "consumer": finding.consumer,
        "message": finding.message,
        "remediation": finding.remediation,
        "fingerprint": finding.fingerprint,
        "state": finding.state.value,
        "waiver": finding.waiver.document() if finding.waiver else None,
    }


def _comparison(report: Report, comparison: Comparison) -> dict[str, Any]:
    return {
        "asOf": comparison.as_of,
        "new": report.new,
        "unchanged": report.unchanged,
        "fixed": [_past(finding) for finding in comparison.fixed],
        "notJudged": [_past(finding) for finding in comparison.not_judged],
    }


def _past(finding: PastFinding) -> dict[str, Any]:
    return msgspec.structs.asdict(finding)
