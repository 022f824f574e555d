"""What the cases of a JUnit report are, and what each came to; `junit_report` says what for."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Final, NamedTuple

from pulumi_ampersand.inventory import Entry, by_id
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.baseline import PastFinding
from pulumi_ampersand_policies.configuration import ActiveRule
from pulumi_ampersand_policies.evaluation import Finding, NotEvaluated, State, WaiverState
from pulumi_ampersand_policies.report import TOOL, Report, count, moment, version
from pulumi_ampersand_policies.reports import excerpt
from pulumi_ampersand_policies.rules import readable_connections, required_connections

_ILLEGAL: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_OF_NO_CONNECTION: Final = (readable_connections.RULE.id, required_connections.RULE.id)
"""Rules that don't judge connections one by one."""

_Key = tuple[str, str]
"""A project and a connection's ID, as findings have them."""


class Outcome(NamedTuple):
    """What is said of a case.

    Attributes:
        element: ``failure``, ``error`` or ``skipped``; ``system-out`` if it passed.
        type: What kind of it.
        message: What is the matter, in short.
        body: All that is known of it.
    """

    element: str
    type: str
    message: str
    body: str


class Case(NamedTuple):
    """A case: its name, and what is said of it; None if it passed and there is nothing to say."""

    name: str
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Suite:
    """The cases about one thing.

    They may be millions and are made anew each time: once to count them, once to write them.

    Attributes:
        name: What they are about.
        classname: What readers group them by.
        cases: Makes them.
        properties: What is known of the whole.
    """

    name: str
    classname: str
    cases: Callable[[], Iterator[Case]]
    properties: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """How many cases there are, by the element that says what they came to; "" for those without one."""
        return Counter(case.outcome.element if case.outcome is not None else "" for case in self.cases())


def suites(report: Report) -> Iterator[Suite]:
    """The suites of a report; one may turn out to have no cases."""
    yield _suite("audit", lambda: _audit(report), _facts(report))
    judged = _Judged(report)
    for active in sorted(report.configuration.rules, key=lambda active: active.rule.id):
        yield judged.suite(active)
    yield _suite("inactive rules", lambda: _inactive(report))
    yield _suite("waivers", lambda: _waivers(report))
    yield _suite("baseline", lambda: _baseline(report))


def _suite(name: str, cases: Callable[[], Iterator[Case]], properties: Mapping[str, str] | None = None) -> Suite:
    return Suite(name, f"{TOOL}.audit", lambda: _distinct(cases(), _Names()), properties or {})


@dataclass
class _Names:
    """Makes names distinct by a number behind those that were given out before."""

    taken: set[str] = field(default_factory=set)
    _next: dict[str, int] = field(default_factory=dict)

    def distinct(self, name: str) -> str:
        """The name, or the name with a number."""
        made, number = name, self._next.get(name, 2)
        while made in self.taken:
            made, number = f"{name} ({number})", number + 1
        self._next[name] = number
        self.taken.add(made)
        return made


def _distinct(cases: Iterable[Case], names: _Names) -> Iterator[Case]:
    for case in cases:
        yield case._replace(name=names.distinct(legal(case.name)))


def _facts(report: Report) -> dict[str, str]:
    facts = {
        "tool": f"{TOOL} {version()}",
        "asOf": moment(report.as_of),
        "verdict": report.verdict.value,
        "headline": one_line(report.headline),
        "basis": excerpt.basis(report),
        "totals": excerpt.totals(report),
    }
    if report.comparison is not None:
        facts["baseline"] = f"compared with {one_line(report.comparison.as_of)}: {excerpt.differences(report)}"
    return facts


def _audit(report: Report) -> Iterator[Case]:
    """What was read, and what isn't shown."""
    for source in report.sources:
        said = excerpt.source(source)
        name = f"source: {source.kind.value} {one_line(source.name)}"
        if source.error:
            yield Case(name, Outcome("error", "unread", source.error, said))
        else:
            yield Case(name, Outcome("system-out", "", "", said))
    shown = sum(map(report.breaks, report.findings))
    hidden = f"findings below severity {report.least_shown.value}"
    if len(report.breaking) > shown:
        said = f"{count(len(report.breaking) - shown, 'finding')} below severity {report.least_shown.value} that break"
        body = f"{said}; {count(report.hidden, 'open finding')} in all aren't shown"
        yield Case(hidden, Outcome("failure", "hidden", said, body))
    elif report.hidden:
        said = f"{count(report.hidden, 'open finding')} not shown, of which none breaks"
        yield Case(hidden, Outcome("skipped", "hidden", said, said))


def _inactive(report: Report) -> Iterator[Case]:
    for known in sorted(report.configuration.inactive, key=lambda known: known.rule.id):
        yield Case(
            f"inactive rule: {one_line(known.rule.id)}",
            Outcome("skipped", "inactive", known.reason, one_line(known.reason)),
        )


def _waivers(report: Report) -> Iterator[Case]:
    for use in report.evaluation.waivers:
        name = f"waiver: {one_line(use.rule)}: {excerpt.selection(use.waiver)}"
        said = f"{use.state.value}: {excerpt.approval(use.waiver)}"
        element, kind = ("system-out", "") if use.state is WaiverState.USED else ("skipped", use.state.value)
        yield Case(name, Outcome(element, kind, said, said))


def _baseline(report: Report) -> Iterator[Case]:
    """What the baseline has and this report hasn't."""
    if report.comparison is None:
        return
    for finding in report.comparison.fixed:
        yield Case(_past(finding), Outcome("system-out", "", "", f"fixed: {excerpt.past(finding)}"))
    for finding in report.comparison.not_judged:
        said = f"not judged now: {excerpt.past(finding)}"
        yield Case(_past(finding), Outcome("skipped", "not judged", said, said))


def _past(finding: PastFinding) -> str:
    about = (one_line(finding.project), one_line(finding.connection))
    return f"baseline: {one_line(finding.rule)}: {_label(about, one_line(finding.provider), one_line(finding.group))}"


def _label(about: _Key, provider: str = "", group: str = "") -> str:
    """What a case is about, the same in each report: the connection and its project, or what is required."""
    project, connection = about
    if connection:
        return f"{project}/{connection}" if project else connection
    parts = {"project": project, "provider": provider, "group": group}
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value) or "no single connection"


@dataclass(frozen=True)
class _Judged:
    """What rules said of connections."""

    report: Report

    @cached_property
    def _entries(self) -> list[tuple[Entry, _Key, str]]:
        """Each connection with what findings call it, and a name that no other has."""
        names = _Names()
        entries = sorted(self.report.inventory, key=by_id)
        keys = [(one_line(entry.project), one_line(entry.connection.id)) for entry in entries]
        labels = (names.distinct(legal(_label(key))) for key in keys)
        return list(zip(entries, keys, labels, strict=True))

    @cached_property
    def _findings(self) -> Mapping[str, Mapping[_Key, list[Finding]]]:
        """The findings that are shown, of each rule for each connection."""
        found: dict[str, dict[_Key, list[Finding]]] = defaultdict(lambda: defaultdict(list))
        for finding in self.report.findings:
            found[finding.rule][finding.project, finding.connection].append(finding)
        return found

    @cached_property
    def _left_open(self) -> Mapping[str, Mapping[_Key, list[NotEvaluated]]]:
        """What each rule could not judge, by connection."""
        found: dict[str, dict[_Key, list[NotEvaluated]]] = defaultdict(lambda: defaultdict(list))
        for item in self.report.evaluation.not_evaluated:
            found[item.rule][item.project, item.connection].append(item)
        return found

    def suite(self, active: ActiveRule) -> Suite:
        """The cases of one rule."""
        rule = active.rule
        properties = {
            "title": one_line(rule.title),
            "severity": rule.severity.value,
            "enforcement": active.enforcement.value,
            "remedy": one_line(rule.remedy()),
        }
        name = one_line(rule.id)
        return Suite(name, f"{TOOL}.{name}", lambda: self._cases(active), properties)

    def _cases(self, active: ActiveRule) -> Iterator[Case]:
        """The cases of one rule: connections, what else is shown of it, and if that is nothing, why."""
        rule, shown = active.rule, active.rule.severity.rank >= self.report.least_shown.rank
        findings = {key: list(found) for key, found in self._findings.get(rule.id, {}).items()}
        left_open = dict(self._left_open.get(rule.id, {}))
        whole = shown and not any(item.crashed for item in left_open.get(("", ""), ()))
        cases: Iterator[Case] = iter(())
        taken: Iterable[str] = ()
        if isinstance(active.options, required_connections.RequiredConnections):
            cases = _fulfilled(active, active.options, findings) if whole and not left_open else cases
        elif whole and rule.id != readable_connections.RULE.id:
            cases = self._one_by_one(active, findings, left_open)
            taken = (label for _, _, label in self._entries)
        others = (
            Case(f"{one_line(rule.id)}: {case.name}", case.outcome) for case in self._others(findings, left_open, taken)
        )
        cases = chain(cases, others)
        first = next(cases, self._nothing(active) if shown else None)
        if first is not None:
            yield first
            yield from cases

    def _one_by_one(
        self, active: ActiveRule, findings: dict[_Key, list[Finding]], left_open: dict[_Key, list[NotEvaluated]]
    ) -> Iterator[Case]:
        """Each connection that a rule applies to. What is said here is taken out of what is to be said."""
        applies, options, prefix = active.rule.applies, active.options, f"{one_line(active.rule.id)}: "
        for entry, key, label in self._entries:
            if applies is not None and not applies(entry, options):
                continue
            if key in findings:
                yield Case(prefix + label, self._finding(findings[key].pop(0)))
                if not findings[key]:
                    del findings[key]
            elif key in left_open:
                yield Case(prefix + label, _not_evaluated(left_open.pop(key)))
            else:
                yield Case(prefix + label)

    def _others(
        self, findings: Mapping[_Key, list[Finding]], left_open: Mapping[_Key, list[NotEvaluated]], taken: Iterable[str]
    ) -> Iterator[Case]:
        """What is said of something else than one of the connections, under names that they haven't taken."""
        names = _Names(set(taken if findings or left_open else ()))
        for key, found in findings.items():
            for finding in found:
                label = _label(key, finding.provider, finding.group)
                yield Case(names.distinct(legal(label)), self._finding(finding))
        for key, items in left_open.items():
            for some in [items] if key[1] else [[item] for item in items]:
                label = f"{_label(key)}, not evaluated"
                yield Case(names.distinct(legal(label)), _not_evaluated(some))

    def _nothing(self, active: ActiveRule) -> Case:
        """Nothing is wrong with what isn't about single connections, or there is none that a rule is about."""
        rule = active.rule
        if rule.id in _OF_NO_CONNECTION:
            return Case(f"{one_line(rule.id)}: {one_line(rule.title)}")
        said = f"it applies to none of {count(len(self.report.inventory), 'connection')}"
        return Case(f"{one_line(rule.id)}: {_label(('', ''))}", Outcome("skipped", "inapplicable", said, said))

    def _finding(self, finding: Finding) -> Outcome:
        report, waiver = self.report, finding.waiver
        element, kind, why = "skipped", finding.state.value, finding.state.value
        if report.breaks(finding):
            element, kind, why = "failure", finding.severity.value, ""
        elif waiver is not None:
            why = f"waived {excerpt.approval(waiver)}"
        elif finding.state is State.OPEN and report.fail_on_new and not report.is_new(finding):
            kind, why = "known", "known to the baseline, and only new findings break"
        elif finding.state is State.OPEN:
            why = f"open, but only {report.what_breaks} break"
        compared = report.comparison is not None and finding.state is State.OPEN
        lines = {
            "": finding.message,
            "Remedy: ": one_line(finding.remediation),
            "State: ": why,
            "Baseline: ": ("new" if report.is_new(finding) else "unchanged") if compared else "",
            "Severity: ": f"{finding.severity.value}, {finding.enforcement.value}",
            "Project: ": finding.project,
            "Connection: ": finding.connection,
            "Provider: ": finding.provider,
            "Group: ": finding.group,
            "Consumer: ": finding.consumer,
            "Fingerprint: ": finding.fingerprint,
        }
        body = "\n".join(f"{name}{text}" for name, text in lines.items() if text)
        return Outcome(element, kind, excerpt.joined([why, finding.message], ": "), body)


def _fulfilled(
    active: ActiveRule, options: required_connections.RequiredConnections, findings: Mapping[_Key, list[Finding]]
) -> Iterator[Case]:
    """What is required and there."""
    broken = {(finding.provider, finding.group) for finding in findings.get(("", ""), ())}
    for wanted in options.require:
        named = one_line(wanted.provider or ""), one_line(wanted.group_ref or "")
        if named not in broken:
            yield Case(f"{one_line(active.rule.id)}: {_label(('', ''), *named)}")


def _not_evaluated(items: Iterable[NotEvaluated]) -> Outcome:
    """What a rule could not judge of one connection."""
    crashed = any(item.crashed for item in items)
    reasons = "\n".join(dict.fromkeys(item.reason for item in items))
    return Outcome("error", "crashed" if crashed else "not evaluated", reasons, reasons)


def legal(text: str) -> str:
    """The text without what XML can't hold in any way: some control characters, lone surrogates, U+FFFE and U+FFFF."""
    return _ILLEGAL.sub("\ufffd", text)
