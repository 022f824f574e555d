r"""The report for spreadsheets: RFC 4180, one row for everything that the report holds, its verdict first.

The column ``kind`` says what a row is:

- ``report``: the verdict, as state and message;
- ``source``: what was read, or could not be;
- ``finding``: a finding that is shown; ``breaks`` says whether it breaks, ``new`` whether the baseline lacks it;
- ``notEvaluated``: what a rule could not judge, and why, as the message;
- ``waiver``: a configured waiver and what became of it;
- ``baseline``: a finding of the baseline that is fixed, or isn't judged now;
- ``rule``: a rule, whether it is active, and why not.

Spreadsheets take a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, and so run what a customer chose
for a name. Such text gets a ``'`` before that character; also where spaces or quotes precede it, where it is a
fullwidth form, and after a semicolon, at which the spreadsheets of many countries split lines. The JSON report has
the texts without that ``'``. No cell holds a line end: one line is one row for readers that know no quotes, too.

The text begins with a byte order mark: without it Excel takes UTF-8 for the system's old encoding, shows other names
than the customers have, and says nothing. Other readers skip it; in Python ``encoding="utf-8-sig"`` does.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import chain, islice
from typing import Final

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.baseline import PastFinding
from pulumi_ampersand_policies.evaluation import Finding
from pulumi_ampersand_policies.report import Report, moment
from pulumi_ampersand_policies.reports import Look, excerpt
from pulumi_ampersand_policies.rule import Enforcement
from pulumi_ampersand_policies.waiver import Approval

COLUMNS: Final = (
    "kind",
    "state",
    "breaks",
    "new",
    "severity",
    "rule",
    "enforcement",
    "project",
    "connection",
    "provider",
    "group",
    "consumer",
    "message",
    "remediation",
    "waiverSelects",
    "waiverReason",
    "waiverApprovedBy",
    "waiverExpires",
    "fingerprint",
)
_COMPARED: Final = (*COLUMNS[4:6], *COLUMNS[7:13], "fingerprint")
"""What is known of a baseline's finding."""

_MARK: Final = "\ufeff"
_AT_ONCE: Final = 1000
_FORMULA: Final = re.compile(r"""((?:^|;)[\s"'\u200b-\u200d\u2060\ufeff]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")

_Row = dict[str, str]


def render(report: Report, _look: Look) -> Iterator[str]:
    """The report as lines of comma-separated values that end with CR LF, after a byte order mark."""
    yield from rows(chain([COLUMNS], ([row.get(name, "") for name in COLUMNS] for row in _rows(report))))


def rows(table: Iterable[Iterable[str]]) -> Iterator[str]:
    """Any table as a CSV text, in pieces, made fit for spreadsheets.

    Args:
        table: The rows, the names of the columns first.
    """
    paper = StringIO()
    writer = csv.writer(paper, lineterminator="\r\n")
    paper.write(_MARK)
    rest = iter(table)
    while chunk := list(islice(rest, _AT_ONCE)):
        writer.writerows(map(_cell, row) for row in chunk)
        yield paper.getvalue()
        paper.seek(0)
        paper.truncate()


def _rows(report: Report) -> Iterator[_Row]:
    return chain(
        [_verdict(report)],
        _sources(report),
        (_finding(report, finding) for finding in report.findings),
        _not_evaluated(report),
        _waivers(report),
        _baseline(report),
        _rules(report),
    )


def _verdict(report: Report) -> _Row:
    said = [report.headline, f"As of {moment(report.as_of)}.", excerpt.basis(report), f"{excerpt.totals(report)}."]
    if report.comparison is not None:
        said.append(f"Compared with the baseline of {report.comparison.as_of}: {excerpt.differences(report)}.")
    return {"kind": "report", "state": report.verdict.value, "message": " ".join(said)}


def _sources(report: Report) -> Iterator[_Row]:
    for read in report.sources:
        yield {"kind": "source", "state": read.status, "message": excerpt.source(read)}


def _finding(report: Report, finding: Finding) -> _Row:
    return {
        "kind": "finding",
        "state": finding.state.value,
        "breaks": _yes(answer=report.breaks(finding)),
        "new": "" if report.comparison is None else _yes(answer=report.is_new(finding)),
        "severity": finding.severity.value,
        "rule": finding.rule,
        "enforcement": finding.enforcement.value,
        "project": finding.project,
        "connection": finding.connection,
        "provider": finding.provider,
        "group": finding.group,
        "consumer": finding.consumer,
        "message": finding.message,
        "remediation": finding.remediation,
        **(_approval(finding.waiver) if finding.waiver is not None else {}),
        "fingerprint": finding.fingerprint,
    }


def _not_evaluated(report: Report) -> Iterator[_Row]:
    for item in report.evaluation.not_evaluated:
        yield {
            "kind": "notEvaluated",
            "state": "crashed" if item.crashed else "notEvaluated",
            "rule": item.rule,
            "project": item.project,
            "connection": item.connection,
            "message": item.reason,
        }


def _waivers(report: Report) -> Iterator[_Row]:
    for use in report.evaluation.waivers:
        yield {"kind": "waiver", "state": use.state.value, "rule": use.rule, **_approval(use.waiver)}


def _approval(waiver: Approval) -> _Row:
    return {
        "waiverSelects": excerpt.selection(waiver),
        "waiverReason": waiver.reason,
        "waiverApprovedBy": waiver.approved_by,
        "waiverExpires": waiver.expires.isoformat(),
    }


def _baseline(report: Report) -> Iterator[_Row]:
    if report.comparison is not None:
        yield from (_past("fixed", finding) for finding in report.comparison.fixed)
        yield from (_past("notJudged", finding) for finding in report.comparison.not_judged)


def _past(state: str, finding: PastFinding) -> _Row:
    """A finding of another file, which may hold anything."""
    return {"kind": "baseline", "state": state} | {name: getattr(finding, name) for name in _COMPARED}


def _rules(report: Report) -> Iterator[_Row]:
    enforced = {known.rule.id: known.enforcement for known in report.configuration.rules}
    reasons = {known.rule.id: known.reason for known in report.configuration.inactive}
    for rule in report.rules:
        yield {
            "kind": "rule",
            "state": "inactive" if rule.id in reasons else "active",
            "severity": rule.severity.value,
            "rule": rule.id,
            "enforcement": enforced.get(rule.id, Enforcement.DISABLED).value,
            "message": reasons.get(rule.id, ""),
            "remediation": rule.remedy(),
        }


def _cell(text: str) -> str:
    """Text on one line that no spreadsheet takes for a formula."""
    text = one_line(text)
    if text[:1].isalnum() and ";" not in text:
        return text
    return _FORMULA.sub(r"\1'", text)


def _yes(*, answer: bool) -> str:
    return "yes" if answer else "no"
