"""The numbers beside the findings: how each rule, control, provider and customer stands.

All of them count every finding, whatever a report shows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from pulumi_ampersand.inventory import Entry
from pulumi_ampersand.model import BAD_CREDENTIALS, HEALTHY_STATUSES
from pulumi_ampersand_policies.compliance import Control, Framework
from pulumi_ampersand_policies.configuration import ActiveRule
from pulumi_ampersand_policies.evaluation import State
from pulumi_ampersand_policies.report import Report
from pulumi_ampersand_policies.rule import Rule


class RuleStatus(NamedTuple):
    """How a rule stands.

    Attributes:
        rule: The rule.
        active: Its level and options; None if it is inactive.
        reason: Why it is inactive; empty if it isn't.
        applicable: How many connections it is about.
        findings: How many findings it has in each state.
        not_evaluated: How many times it could not be judged.
    """

    rule: Rule[Any]
    active: ActiveRule | None
    reason: str
    applicable: int
    findings: Mapping[State, int]
    not_evaluated: int


class Standing(str, Enum):
    """What can be said of a control, worst first."""

    BROKEN = "broken"
    """A rule that asks for it has open findings."""
    PARTIAL = "not fully evaluated"
    """Nothing is known to break it, but not everything could be judged."""
    KEPT = "kept"
    """Everything was judged and nothing is open."""
    EMPTY = "nothing to judge"
    """No connection is of the kind that it is about."""
    INACTIVE = "rule inactive"
    """No rule that asks for it is active."""


class ControlStatus(NamedTuple):
    """How a control of a framework stands.

    Attributes:
        control: The control.
        standing: What can be said of it.
        rules: The rules that check it, active or not.
        findings: How many findings these have in each state.
        not_evaluated: How many times they could not be judged.
    """

    control: Control
    standing: Standing
    rules: tuple[RuleStatus, ...]
    findings: Mapping[State, int]
    not_evaluated: int


class FrameworkStatus(NamedTuple):
    """How the controls of a framework stand that rules check."""

    framework: Framework
    controls: tuple[ControlStatus, ...]

    def count(self, standing: Standing) -> int:
        """How many controls stand so."""
        return sum(control.standing is standing for control in self.controls)


class Health(str, Enum):
    """What a connection's status amounts to."""

    HEALTHY = "healthy"
    BAD = "bad credentials"
    OTHER = "other status"
    UNOBSERVED = "not observed"


class ProviderStatus(NamedTuple):
    """How the connections of a provider stand.

    Attributes:
        name: The provider.
        connections: How many there are.
        health: How many are in which health.
        others: The statuses that are neither healthy nor bad credentials, and how many connections have each.
        opened: How many open findings concern them.
    """

    name: str
    connections: int
    health: Mapping[Health, int]
    others: Mapping[str, int]
    opened: int


class CustomerStatus(NamedTuple):
    """How many open findings concern a customer, a group's ref and name, and how many of them break."""

    ref: str
    name: str
    opened: int
    breaking: int


def rules(report: Report) -> list[RuleStatus]:
    """How each rule stands, in the order of their IDs."""
    found: dict[str, Counter[State]] = defaultdict(Counter)
    for finding in report.evaluation.findings:
        found[finding.rule][finding.state] += 1
    left_open = Counter(item.rule for item in report.evaluation.not_evaluated)
    reasons = {known.rule.id: known.reason for known in report.configuration.inactive}
    statuses = []
    for rule in report.rules:
        active = report.configuration.active(rule.id)
        applicable = _applicable(report, active) if active else 0
        statuses.append(
            RuleStatus(rule, active, reasons.get(rule.id, ""), applicable, found[rule.id], left_open[rule.id])
        )
    return statuses


def _applicable(report: Report, active: ActiveRule) -> int:
    applies = active.rule.applies
    if applies is None:
        return len(report.inventory)
    try:
        return sum(bool(applies(entry, active.options)) for entry in report.inventory)
    except Exception:  # noqa: BLE001 - the evaluation met it, too, and the report says that the rule crashed
        return 0


def frameworks(report: Report, statuses: Iterable[RuleStatus]) -> list[FrameworkStatus]:
    """How the controls stand that rules check, by framework, by number."""
    complete = not report.inventory.unread and not any(source.error for source in report.sources)
    checking: dict[Framework, dict[str, tuple[Control, list[RuleStatus]]]] = {}
    for status in statuses:
        for control in status.rule.controls:
            of_framework = checking.setdefault(control.framework, {})
            of_framework.setdefault(control.reference, (control, []))[1].append(status)
    return [
        FrameworkStatus(
            framework,
            tuple(
                _control(control, tuple(asking), complete=complete)
                for _, (control, asking) in sorted(checking[framework].items())
            ),
        )
        for framework in sorted(checking)
    ]


def _control(control: Control, asking: tuple[RuleStatus, ...], *, complete: bool) -> ControlStatus:
    findings: Counter[State] = Counter()
    for status in asking:
        findings.update(status.findings)
    not_evaluated = sum(status.not_evaluated for status in asking)
    if findings[State.OPEN]:
        standing = Standing.BROKEN
    elif not any(status.active for status in asking):
        standing = Standing.INACTIVE
    elif not_evaluated or not complete:
        standing = Standing.PARTIAL
    elif not findings.total() and not any(status.applicable for status in asking):
        standing = Standing.EMPTY
    else:
        standing = Standing.KEPT
    return ControlStatus(control, standing, asking, findings, not_evaluated)


def providers(report: Report) -> list[ProviderStatus]:
    """How the connections of each provider stand, the most connections first."""
    health: dict[str, Counter[Health]] = defaultdict(Counter)
    others: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in report.inventory:
        status = entry.observation.status
        found = _health(status)
        health[entry.connection.provider][found] += 1
        if found is Health.OTHER and status:
            others[entry.connection.provider][status] += 1
    opened = Counter(finding.provider for finding in report.opened if finding.connection)
    statuses = [
        ProviderStatus(
            name,
            counts.total(),
            counts,
            dict(sorted(others[name].items())),
            opened[name],
        )
        for name, counts in health.items()
    ]
    return sorted(statuses, key=lambda status: (-status.connections, status.name))


def _health(status: str | None) -> Health:
    if status is None:
        return Health.UNOBSERVED
    if status in HEALTHY_STATUSES:
        return Health.HEALTHY
    return Health.BAD if status == BAD_CREDENTIALS else Health.OTHER


def combined(statuses: Sequence[ProviderStatus], name: str) -> ProviderStatus:
    """Several providers as one."""
    health: Counter[Health] = Counter()
    others: Counter[str] = Counter()
    for status in statuses:
        health.update(status.health)
        others.update(status.others)
    return ProviderStatus(
        name,
        sum(status.connections for status in statuses),
        health,
        dict(sorted(others.items())),
        sum(status.opened for status in statuses),
    )


NOBODY: Final = ""
"""The ref of findings that concern no customer."""


def customers(report: Report, entries: Mapping[tuple[str, str], Entry]) -> list[CustomerStatus]:
    """How many open findings concern each customer, the most first.

    Args:
        report: The report.
        entries: The connections that have findings, by project and ID.
    """
    opened: Counter[str] = Counter()
    breaking: Counter[str] = Counter()
    names: dict[str, str] = {}
    for finding in report.opened:
        opened[finding.group] += 1
        breaking[finding.group] += report.breaks(finding)
        entry = entries.get((finding.project, finding.connection))
        if entry is not None and entry.connection.group is not None:
            names.setdefault(finding.group, entry.connection.group.name or "")
    statuses = [CustomerStatus(ref, names.get(ref, ""), opened[ref], breaking[ref]) for ref in opened if ref != NOBODY]
    return sorted(statuses, key=lambda status: (-status.breaking, -status.opened, status.ref))
