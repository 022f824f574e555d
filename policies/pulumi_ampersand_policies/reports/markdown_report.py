"""The report in GitHub Flavored Markdown, for a job's summary or a pull request's comment.

A comment holds at most 65,536 characters. The report stays below that, however much was found, counted in bytes, which
are never fewer; what is left out is counted.

Text from elsewhere stands in code spans. Nothing in them is markup, and GitHub neither notifies whom an ``@`` names nor
links numbers, addresses and hashes. Only runs of backticks, and in tables pipes, need care.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Final

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.evaluation import Finding, State
from pulumi_ampersand_policies.report import TOOL, Report, Verdict, moment, version
from pulumi_ampersand_policies.reports import Look, excerpt
from pulumi_ampersand_policies.reports.excerpt import joined
from pulumi_ampersand_policies.rule import Severity

LIMIT: Final = 60_000
"""The most bytes of a report."""

_ROOM: Final = 3_000
"""The most bytes of a list. Those of all lists together leave the findings a third of the limit."""

_LONGEST: Final = 300
"""Characters of a text in a list, so that some fit."""

_LONGEST_FINDING: Final = 1_500
"""Characters of what a finding says: more than the rules write, but expired waivers' reasons may be long."""

_MORE: Final = "`--format json` has all"
_SIGNS: Final = {Verdict.CLEAN: "✅", Verdict.BROKEN: "❌", Verdict.INCOMPLETE: "⚠️"}
_RUNS: Final = re.compile("`+")
_ESCAPING: Final = re.compile(r"(?<=\\)(?=\|)")


def render(report: Report, _look: Look) -> Iterator[str]:
    """The report as blocks of Markdown, at most `LIMIT` bytes in all."""
    before = [*_verdict(report), *_failures(report), *_counts(report)]
    after = [*_remedies(report), *_aside(report), *_baseline(report), *_not_evaluated(report), *_evidence(report)]
    used = sum(map(_size, [*before, *after]))
    yield from before
    yield from _findings(report, LIMIT - used)
    yield from after


def _verdict(report: Report) -> Iterator[str]:
    yield f"## {_SIGNS[report.verdict]} {report.headline}\n\n"
    yield f"As of {moment(report.as_of)}, {TOOL} {version()}. {excerpt.basis(report)}\n\n"


def _failures(report: Report) -> Iterator[str]:
    if report.errors:
        yield "### Failures\n\n"
        yield from _list((code(error) for error in report.errors), len(report.errors))


def _counts(report: Report) -> Iterator[str]:
    counts: dict[str, Mapping[Severity, int]] = {
        "Open": report.counts,
        "Breaking": Counter(finding.severity for finding in report.breaking),
    }
    if report.comparison is not None:
        counts["New"] = Counter(finding.severity for finding in report.opened if report.is_new(finding))
    yield "| | Critical | High | Medium | Low | All |\n|---|--:|--:|--:|--:|--:|\n"
    for name, numbers in counts.items():
        yield f"| {name} | {' | '.join(f'{numbers[severity]:,}' for severity in report.counts)} | "
        yield f"{sum(numbers.values()):,} |\n"
    yield "\n"
    if report.comparison is not None:
        yield f"Compared with the baseline of {code(report.comparison.as_of)}: {excerpt.differences(report)}.\n\n"


def _findings(report: Report, room: int) -> Iterator[str]:
    """The table of open findings: the new ones and those that break first, as many as there is room for."""
    opened = [finding for finding in report.findings if finding.state is State.OPEN]
    if not opened:
        return
    opened.sort(key=lambda finding: (not report.is_new(finding), not report.breaks(finding)))
    project = excerpt.several_projects(report)
    compared = report.comparison is not None
    yield "### Findings\n\n"
    columns = ["Severity", "Rule", "Finding", "Breaks", *(["New"] if compared else [])]
    yield f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"
    rows = (
        f"| {finding.severity.value} | {_cell(finding.rule, _LONGEST)} | "
        f"{_cell(excerpt.said(finding, project=project), _LONGEST_FINDING)} | {_yes(report.breaks(finding))} |"
        f"{f' {_yes(report.is_new(finding))} |' if compared else ''}\n"
        for finding in opened
    )
    shown = _fitting(rows, room - 300)
    yield from shown
    yield _more(len(opened) - len(shown))


def _remedies(report: Report) -> Iterator[str]:
    broken = {finding.rule for finding in report.findings if finding.state is State.OPEN}
    rules = [rule for rule in report.rules if rule.id in broken]
    texts = (f"{code(rule.id)}: {code(rule.remedy())}" for rule in rules)
    yield from _details("How to mend them", texts, len(rules))


def _aside(report: Report) -> Iterator[str]:
    """The findings that are tolerated or waived."""
    project = excerpt.several_projects(report)
    for state in (State.TOLERATED, State.WAIVED):
        findings = [finding for finding in report.findings if finding.state is state]
        texts = (_excused(finding, project=project) for finding in findings)
        yield from _details(f"{state.value.capitalize()}: {len(findings):,}", texts, len(findings))


def _excused(finding: Finding, *, project: bool) -> str:
    waiver = finding.waiver
    waived = f"waived {excerpt.approval(waiver)}" if waiver is not None else ""
    return joined([f"{code(finding.rule)}: {code(excerpt.said(finding, project=project))}", code(waived)], "; ")


def _baseline(report: Report) -> Iterator[str]:
    if report.comparison is None:
        return
    fixed, not_judged = report.comparison.fixed, report.comparison.not_judged
    for title, findings in (("Fixed", fixed), ("Not judged now, so maybe not fixed", not_judged)):
        texts = (code(excerpt.past(finding)) for finding in findings)
        yield from _details(f"{title}: {len(findings):,}", texts, len(findings))


def _not_evaluated(report: Report) -> Iterator[str]:
    groups = excerpt.unjudged(report)
    texts = (joined([f"{code(group.rule)}: {code(group.reason)}", code(group.concerned)], "; ") for group in groups)
    yield from _details(f"Not evaluated: {len(report.evaluation.not_evaluated):,}", texts, len(groups))


def _evidence(report: Report) -> Iterator[str]:
    """What was judged by which rules, and what was waived."""
    uses = excerpt.waivers(report)
    yield from _details(f"Waivers: {len(uses):,}", (f"{state.value}: {code(said)}" for state, said in uses), len(uses))
    tallies = excerpt.tallies(report)
    yield from _details(f"Active rules: {len(tallies):,}", map(_tally, tallies), len(tallies))
    idle = excerpt.inactive(report)
    texts = (f"{code(reason)}: {code(', '.join(names))}" for reason, names in idle)
    yield from _details(f"Rules that aren't active: {sum(len(names) for _, names in idle):,}", texts, len(idle))
    sources = sorted(report.sources, key=lambda read: read.error is None)
    yield from _details(f"Sources: {len(sources):,}", (code(excerpt.source(read)) for read in sources), len(sources))


def _tally(tally: excerpt.Tally) -> str:
    rule, enforcement, _ = tally.rule
    found = [f"{number:,} {state.value}" for state, number in tally.states.items() if number]
    left = [f"{tally.unjudged:,} not evaluated"] if tally.unjudged else []
    return f"{code(rule.id)} ({rule.severity.value}, {enforcement.value}): {joined([*found, *left]) or 'no findings'}"


def _details(title: str, texts: Iterable[str], number: int) -> Iterator[str]:
    """A list that is folded away; nothing if it is empty."""
    if number:
        yield f"<details>\n<summary>{title}</summary>\n\n"
        yield from _list(texts, number)
        yield "</details>\n\n"


def _list(texts: Iterable[str], number: int) -> Iterator[str]:
    shown = _fitting((f"- {text}\n" for text in texts), _ROOM)
    yield from shown
    yield _more(number - len(shown))


def _more(number: int) -> str:
    return f"\nand {number:,} more: {_MORE}.\n\n" if number else "\n"


def _fitting(lines: Iterable[str], room: int) -> Sequence[str]:
    """The first lines, as many as there is room for in bytes."""
    shown = []
    for line in lines:
        room -= _size(line)
        if room < 0:
            break
        shown.append(line)
    return shown


def _size(text: str) -> int:
    return len(text.encode())


def code(text: str, longest: int = _LONGEST) -> str:
    """Any text as a code span, on one line; empty if it is."""
    return _span(one_line(text, longest))


def _span(text: str) -> str:
    """The run of backticks around a code span is of a length that no run in it has."""
    if not text:
        return ""
    taken = {len(run) for run in _RUNS.findall(text)}
    fence = "`" * next(length for length in count(1) if length not in taken)
    # One space at both ends is taken off again, and keeps backticks of the text and of the fence apart.
    pad = " " if "`" in {text[0], text[-1]} or text[0] == text[-1] == " " else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _cell(text: str, longest: int) -> str:
    r"""Any text as a code span in a table, where pipes are written ``\|``.

    A backslash of the text before a pipe would escape that backslash instead: the span is broken between them.
    """
    parts = _ESCAPING.split(one_line(text, longest))
    return "<!-- -->".join(_span(part).replace("|", "\\|") for part in parts)


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"
