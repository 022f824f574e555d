"""What forms with little room show of a report: alike things counted instead of listed.

A form that leaves something out says how much, and that the JSON report has all of it. All texts that come from here
are on one line and safe on a terminal; they may hold any markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, NamedTuple

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.baseline import PastFinding
from pulumi_ampersand_policies.configuration import ActiveRule
from pulumi_ampersand_policies.evaluation import Finding, NotEvaluated, State, WaiverState
from pulumi_ampersand_policies.report import Report, Source, count
from pulumi_ampersand_policies.waiver import Approval

ALL_OF_IT: Final = "--format json has all"
_NAMED: Final = 3


class Group(NamedTuple):
    """The findings of one rule in one state.

    Attributes:
        rule: The rule, its level and options.
        findings: Those that are shown; with those first that break, and of these the new ones.
        breaking: How many of them break.
    """

    rule: ActiveRule
    findings: Sequence[Finding]
    breaking: int


def by_rule(report: Report, state: State) -> list[Group]:
    """The findings that are shown and in one state, by rule, severest first."""
    rules = {active.rule.id: active for active in report.configuration.rules}
    groups = []
    chosen = (finding for finding in report.findings if finding.state is state)
    for rule_id, found in groupby(chosen, key=lambda finding: finding.rule):
        ranked = [(not report.breaks(finding), not report.is_new(finding), finding) for finding in found]
        breaking = sum(not harmless for harmless, _, _ in ranked)
        ranked.sort(key=lambda rank: rank[:2])
        groups.append(Group(rules[rule_id], [finding for _, _, finding in ranked], breaking))
    return groups


class Tally(NamedTuple):
    """What one active rule found, shown or not.

    Attributes:
        rule: The rule, its level and options.
        states: How many findings are in each state.
        unjudged: How often it could not judge.
    """

    rule: ActiveRule
    states: Mapping[State, int]
    unjudged: int


def tallies(report: Report) -> list[Tally]:
    """What each active rule found, those that found nothing too: that they looked is evidence. Sorted by ID."""
    found = Counter((finding.rule, finding.state) for finding in report.evaluation.findings)
    left = Counter(item.rule for item in report.evaluation.not_evaluated)
    return [
        Tally(known, {state: found[known.rule.id, state] for state in State}, left[known.rule.id])
        for known in sorted(report.configuration.rules, key=lambda known: known.rule.id)
    ]


@dataclass
class Unjudged:
    """What one rule could not judge for one reason.

    Attributes:
        rule: The rule's ID.
        reason: Why not.
        times: How often.
        connections: The IDs of the first few connections that it is about.
    """

    rule: str
    reason: str
    times: int = 0
    connections: list[str] = field(default_factory=list)

    @property
    def concerned(self) -> str:
        """How many connections it is about, and which are the first of them; empty if about no single one."""
        if not self.connections:
            return "" if self.times == 1 else count(self.times, "time")
        rest = self.times - len(self.connections)
        more = f" and {rest:,} more" if rest else ""
        return f"{count(self.times, 'connection')}: {', '.join(self.connections)}{more}"


def unjudged(report: Report) -> list[Unjudged]:
    """What could not be judged, by rule and reason, in the order of the rules."""
    found: dict[tuple[str, str], Unjudged] = {}
    several = several_projects(report)
    for item in report.evaluation.not_evaluated:
        key = (item.rule, item.reason)
        group = found.get(key)
        if group is None:
            group = found[key] = Unjudged(one_line(item.rule), one_line(item.reason))
        group.times += 1
        if item.connection and len(group.connections) < _NAMED:
            group.connections.append(named(item, project=several))
    return list(found.values())


def named(item: NotEvaluated, *, project: bool) -> str:
    """The connection that could not be judged, with its project where that is asked for."""
    return one_line(f"{item.project}/{item.connection}" if project and item.project else item.connection)


def inactive(report: Report) -> list[tuple[str, list[str]]]:
    """Why rules are inactive, and which."""
    reasons: dict[str, list[str]] = {}
    for known in sorted(report.configuration.inactive, key=lambda known: known.rule.id):
        reasons.setdefault(one_line(known.reason), []).append(one_line(known.rule.id))
    return list(reasons.items())


def selection(waiver: Approval) -> str:
    """What a waiver selects by."""
    given = waiver.document()
    return one_line("; ".join(f"{name} {given[name]}" for name in _SELECTORS if name in given))


_SELECTORS: Final = ("connection", "provider", "group", "consumer")


def approval(waiver: Approval) -> str:
    """Until when a waiver holds, who approved it and why."""
    return one_line(f"until {waiver.expires}, {waiver.describe()}")


def waivers(report: Report) -> list[tuple[WaiverState, str]]:
    """What became of each waiver, those first that need attention."""
    order = (WaiverState.EXPIRED, WaiverState.UNUSED, WaiverState.USED)
    uses = sorted(report.evaluation.waivers, key=lambda use: order.index(use.state))
    return [(use.state, f"{one_line(use.rule)}: {selection(use.waiver)}, {approval(use.waiver)}") for use in uses]


def past(finding: PastFinding) -> str:
    """A baseline's finding; the file may hold anything."""
    return one_line(f"{finding.rule}: {finding.message}")


def source(read: Source) -> str:
    """A source and what it gave."""
    failed = f"; {read.error}" if read.error else ""
    return one_line(f"{read.kind.value} {read.name}: {count(read.connections, 'connection')}{failed}")


def several_projects(report: Report) -> bool:
    """Whether findings need to say which project they are about."""
    if len(report.sources) > 1:
        return True
    named = (finding.project for finding in report.findings if finding.project)
    first = next(named, "")
    return any(project != first for project in named)


def said(finding: Finding, *, project: bool) -> str:
    """What a finding says, with the project it is about where that is asked for."""
    where = f" (project {finding.project})" if project and finding.project else ""
    return one_line(f"{finding.message}{where}")


def basis(report: Report) -> str:
    """By what it was judged, in a sentence."""
    ignored = "" if report.configuration.waivers else " Waivers are ignored."
    chosen = f" Only connections of {filters(report)} were judged." if report.filters else ""
    return f"{_capital(report.what_breaks)} break.{chosen}{ignored}{_hidden(report)}"


def filters(report: Report) -> str:
    """Which connections were chosen, in words; empty for all."""
    return one_line(", ".join(f"{name} {value}" for name, value in report.filters.items()))


def _hidden(report: Report) -> str:
    if not report.hidden:
        return ""
    what = f"{count(report.hidden, 'open finding')} below severity {report.least_shown.value}"
    return f" {what} {'is' if report.hidden == 1 else 'are'} not shown."


def totals(report: Report) -> str:
    """How many findings there are, by severity and state, and how much could not be judged."""
    opened = ", ".join(f"{number:,} {severity.value}" for severity, number in report.counts.items())
    return (
        f"{len(report.opened):,} open ({opened}), {report.states[State.WAIVED]:,} waived, "
        f"{report.states[State.TOLERATED]:,} tolerated, {len(report.evaluation.not_evaluated):,} not evaluated"
    )


def differences(report: Report) -> str:
    """How the findings differ from the baseline's; empty without one."""
    comparison = report.comparison
    if comparison is None:
        return ""
    return (
        f"{report.new:,} new, {report.unchanged:,} unchanged, {len(comparison.fixed):,} fixed, "
        f"{len(comparison.not_judged):,} not judged now"
    )


def joined(parts: Iterable[str], separator: str = ", ") -> str:
    """The parts that aren't empty."""
    return separator.join(filter(None, parts))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
