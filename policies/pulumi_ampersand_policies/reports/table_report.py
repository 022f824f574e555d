"""The report for a terminal or a CI log: the verdict first, and once more at the end, where a log is read first.

Text from elsewhere stands indented, so that none passes for a line of the report itself. Of each rule so many findings
are shown as its option ``maxReported`` allows, up to 1,000. What is too long for a line is folded, never cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from rich.table import Table
from rich.text import Text

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.baseline import PastFinding
from pulumi_ampersand_policies.evaluation import Finding, State, WaiverState
from pulumi_ampersand_policies.report import Report, Verdict, count, moment
from pulumi_ampersand_policies.reports import Look, excerpt
from pulumi_ampersand_policies.reports.excerpt import Group, joined
from pulumi_ampersand_policies.reports.page import MOST, SEVERITIES, Page

_MOST_OF_A_RULE: Final = 1_000
"""How many findings of a rule are shown at most; laying out more takes its time, and nobody reads them here."""

_VERDICTS: Final = {Verdict.CLEAN: "bold green", Verdict.BROKEN: "bold red", Verdict.INCOMPLETE: "bold magenta"}
_WAIVERS: Final = {WaiverState.USED: "green", WaiverState.UNUSED: "yellow", WaiverState.EXPIRED: "red"}


def render(report: Report, look: Look) -> Iterator[str]:
    """The report as lines of at most ``look.width`` columns, but no less than 40."""
    page = Page(look)
    for section in (
        _verdict,
        _failures,
        _open,
        _tolerated,
        _waived,
        _baseline,
        _not_evaluated,
        _waivers,
        _rules,
        _sources,
        _summary,
    ):
        section(report, page)
        yield from page.take()


def _verdict(report: Report, page: Page) -> None:
    page.say((report.headline, _VERDICTS[report.verdict]))
    page.say(f"As of {moment(report.as_of)}. {excerpt.basis(report)}")


def _failures(report: Report, page: Page) -> None:
    if report.errors:
        page.heading((f"Failures: {len(report.errors):,}", _VERDICTS[Verdict.INCOMPLETE]))
        page.items([one_line(error) for error in report.errors])


def _open(report: Report, page: Page) -> None:
    project = excerpt.several_projects(report)
    for group in excerpt.by_rule(report, State.OPEN):
        number = len(group.findings)
        what = count(number, "finding")
        if group.breaking == number:
            what += " breaks" if number == 1 else " break"
        elif group.breaking:
            what += f", {group.breaking:,} of them breaking"
        _heading(page, group, what)
        mixed = 0 < group.breaking < number
        marked = (
            (
                joined(["breaks" if mixed and report.breaks(finding) else "", "new" if report.is_new(finding) else ""]),
                Text(excerpt.said(finding, project=project)),
            )
            for finding in group.findings
        )
        _findings(page, group, marked)


def _tolerated(report: Report, page: Page) -> None:
    project = excerpt.several_projects(report)
    for group in excerpt.by_rule(report, State.TOLERATED):
        allowed = getattr(group.rule.options, "tolerate", 0)
        _heading(page, group, f"{len(group.findings):,} tolerated, as up to {allowed} are")
        _findings(page, group, (("", Text(excerpt.said(finding, project=project))) for finding in group.findings))


def _waived(report: Report, page: Page) -> None:
    project = excerpt.several_projects(report)
    for group in excerpt.by_rule(report, State.WAIVED):
        _heading(page, group, f"{len(group.findings):,} waived")
        _findings(page, group, (("", _excused(finding, project=project)) for finding in group.findings))


def _excused(finding: Finding, *, project: bool) -> Text:
    text = Text(excerpt.said(finding, project=project))
    if finding.waiver is not None:
        text.append(f"\nWaived {excerpt.approval(finding.waiver)}", "dim")
    return text


def _heading(page: Page, group: Group, what: str) -> None:
    """What the findings of a rule have in common."""
    rule = group.rule.rule
    page.heading(
        (one_line(rule.id), "bold"),
        "  ",
        (rule.severity.value, SEVERITIES[rule.severity]),
        f", {group.rule.enforcement.value}: {what}",
    )
    page.say((f"Fix: {one_line(rule.remedy())}", "dim"), indent=2)


def _findings(page: Page, group: Group, marked: Iterable[tuple[str, Text]]) -> None:
    """A row for each finding of a rule: its marks and what it says."""
    limit = min(group.rule.options.max_reported, _MOST_OF_A_RULE)
    shown = list(islice(marked, limit))
    width = max(1, *(len(mark) for mark, _ in shown))
    page.rows(([Text(mark, "bold") if mark else Text("-"), text] for mark, text in shown), width)
    page.more(len(group.findings) - limit)


def _baseline(report: Report, page: Page) -> None:
    comparison = report.comparison
    if comparison is None:
        return
    page.heading(("Compared with the baseline", "bold"), f": {excerpt.differences(report)}")
    page.say(f"The baseline is of {one_line(comparison.as_of)}.", indent=2)
    _past(page, "Fixed", comparison.fixed)
    _past(page, "Not judged now, so maybe not fixed", comparison.not_judged)


def _past(page: Page, what: str, findings: Sequence[PastFinding]) -> None:
    if findings:
        page.say(f"{what}:", indent=2)
        page.items([excerpt.past(finding) for finding in findings])


def _not_evaluated(report: Report, page: Page) -> None:
    groups = excerpt.unjudged(report)
    if groups:
        page.heading(("Not evaluated", "bold"), f": {len(report.evaluation.not_evaluated):,}")
        page.items([joined([f"{group.rule}: {group.reason}", group.concerned], "; ") for group in groups])


def _waivers(report: Report, page: Page) -> None:
    uses = excerpt.waivers(report)
    if uses:
        page.heading(("Waivers", "bold"))
        page.rows(([Text(state.value, _WAIVERS[state]), Text(said)] for state, said in uses[:MOST]), len("expired"))
        page.more(len(uses) - MOST)


def _rules(report: Report, page: Page) -> None:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("Rule", overflow="fold")
    for name in ("Severity", "Level"):
        table.add_column(name, no_wrap=True)
    for name in ("Open", "Waived", "Tolerated", "Unjudged"):
        table.add_column(name, justify="right", no_wrap=True)
    for known, states, unjudged in excerpt.tallies(report):
        severity = known.rule.severity
        table.add_row(
            Text(one_line(known.rule.id)),
            Text(severity.value, SEVERITIES[severity]),
            known.enforcement.value,
            *(f"{number:,}" if number else "-" for number in (*states.values(), unjudged)),
        )
    page.heading(("Rules", "bold"))
    page.put(table, indent=2)
    for reason, names in excerpt.inactive(report):
        page.say(f"Not active, {reason}: {', '.join(names)}", indent=2)


def _sources(report: Report, page: Page) -> None:
    page.heading(("Sources", "bold"))
    failed_first = sorted(report.sources, key=lambda read: read.error is None)
    page.items([excerpt.source(read) for read in failed_first])


def _summary(report: Report, page: Page) -> None:
    page.heading(f"{excerpt.totals(report)}.")
    page.say((report.headline, _VERDICTS[report.verdict]))
