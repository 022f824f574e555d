"""What an audit found, whatever form it is shown in: the verdict, and the evidence for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from functools import cached_property
from typing import Any, Final, NamedTuple

from pulumi_ampersand._version import __version__
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.baseline import Comparison
from pulumi_ampersand_policies.configuration import Configuration
from pulumi_ampersand_policies.evaluation import Evaluation, Finding, State
from pulumi_ampersand_policies.rule import Enforcement, Rule, Severity

SCHEMA_VERSION: Final = 1
"""The version of the JSON report. Readers skip fields that they don't know; what they would misread needs a new one."""

TOOL: Final = "pulumi-ampersand"


class SourceKind(str, Enum):
    """Where connections were read from."""

    PROJECT = "project"
    """The API's answer about a project."""
    ANSWER = "answer"
    """A saved answer of the API, or what ``--save`` kept."""
    STATE = "state"
    """A file that ``pulumi stack export`` wrote."""
    STACK = "stack"
    """A stack, exported by the Pulumi CLI."""


class Source(NamedTuple):
    """One source of connections.

    Attributes:
        kind: What it is.
        name: The project, file or stack, on one line that is safe on a terminal.
        connections: How many connections it gave.
        error: Why it, or a part of it, could not be read, likewise; None if it was.
    """

    kind: SourceKind
    name: str
    connections: int
    error: str | None = None

    @property
    def status(self) -> str:
        """``complete``, ``partial`` if something of it could not be read, or ``failed`` if nothing could."""
        if self.error is None:
            return "complete"
        return "partial" if self.connections else "failed"


class Verdict(str, Enum):
    """What an audit says in a word."""

    CLEAN = "clean"
    """Nothing breaks."""
    BROKEN = "broken"
    """Findings break."""
    INCOMPLETE = "incomplete"
    """Something could not be read, or a rule crashed: what was looked at isn't all."""


_EXIT_CODES: Final = {Verdict.CLEAN: 0, Verdict.BROKEN: 1, Verdict.INCOMPLETE: 3}


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        as_of: The time that expiry was judged by.
        sources: What was read, in the order in which it was asked for.
        inventory: The connections that were judged.
        configuration: The rules, their levels and options.
        evaluation: What they found: all of it, whatever is shown.
        fail_on: Findings of this severity and above break; None: those of mandatory rules.
        fail_on_new: Whether only findings that the baseline lacks break.
        least_shown: The least severity that is shown.
        comparison: How the findings differ from the baseline's; None without one.
        filters: Which connections were chosen, by the option's name in the API; empty for all.
        problems: What else went wrong, a sentence each: what was to be kept and couldn't be, say.
    """

    as_of: datetime
    sources: tuple[Source, ...]
    inventory: Inventory
    configuration: Configuration
    evaluation: Evaluation
    fail_on: Severity | None = None
    fail_on_new: bool = False
    least_shown: Severity = Severity.LOW
    comparison: Comparison | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The findings that are shown, severest first."""
        return tuple(f for f in self.evaluation.findings if f.severity.rank >= self.least_shown.rank)

    @cached_property
    def hidden(self) -> int:
        """How many open findings aren't shown."""
        return len(self.opened) - sum(finding.state is State.OPEN for finding in self.findings)

    @cached_property
    def opened(self) -> tuple[Finding, ...]:
        """The open findings, shown or not."""
        return tuple(finding for finding in self.evaluation.findings if finding.state is State.OPEN)

    @cached_property
    def breaking(self) -> tuple[Finding, ...]:
        """The findings that break, shown or not."""
        return tuple(finding for finding in self.opened if self.breaks(finding))

    def breaks(self, finding: Finding) -> bool:
        """Whether a finding breaks: it is open, and bad enough, and new if only new ones do."""
        if finding.state is not State.OPEN or (self.fail_on_new and not self.is_new(finding)):
            return False
        if self.fail_on is not None:
            return finding.severity.rank >= self.fail_on.rank
        return finding.enforcement is Enforcement.MANDATORY

    def is_new(self, finding: Finding) -> bool:
        """Whether the baseline lacks a finding; without a baseline, none is new."""
        return self.comparison is not None and self.comparison.is_new(finding)

    @cached_property
    def new(self) -> int:
        """How many open findings the baseline lacks."""
        return sum(map(self.is_new, self.opened))

    @property
    def unchanged(self) -> int:
        """How many open findings it has; all of them without a baseline."""
        return len(self.opened) - self.new

    @cached_property
    def errors(self) -> tuple[str, ...]:
        """Why the audit is incomplete, a sentence each."""
        failed = [f"{source.kind.value} {source.name}: {source.error}" for source in self.sources if source.error]
        crashed = [f"{item.rule}: {item.reason}" for item in self.evaluation.not_evaluated if item.crashed]
        return (*failed, *dict.fromkeys(crashed), *self.problems)

    @cached_property
    def verdict(self) -> Verdict:
        """What it all amounts to."""
        if self.errors:
            return Verdict.INCOMPLETE
        return Verdict.BROKEN if self.breaking else Verdict.CLEAN

    @property
    def exit_code(self) -> int:
        """The exit code of a run that made this report."""
        return _EXIT_CODES[self.verdict]

    @cached_property
    def counts(self) -> Mapping[Severity, int]:
        """How many findings are open, for each severity, severest first; shown or not."""
        return _by_severity(self.opened)

    @cached_property
    def states(self) -> Mapping[State, int]:
        """How many findings are in each state, shown or not."""
        counted = Counter(finding.state for finding in self.evaluation.findings)
        return {state: counted[state] for state in State}

    @cached_property
    def rules(self) -> tuple[Rule[Any], ...]:
        """All rules, active or not, in the order of their IDs."""
        active = [known.rule for known in self.configuration.rules]
        inactive = [known.rule for known in self.configuration.inactive]
        return tuple(sorted([*active, *inactive], key=lambda rule: rule.id))

    @property
    def what_breaks(self) -> str:
        """Which findings break, in words."""
        new = "new " if self.fail_on_new else ""
        if self.fail_on is None:
            return f"{new}findings of mandatory rules"
        above = "" if self.fail_on is Severity.CRITICAL else " and above"
        return f"{new}findings of severity {self.fail_on.value}{above}"

    @property
    def headline(self) -> str:
        """The verdict in a sentence."""
        judged, broken = count(len(self.inventory), "connection"), len(self.breaking)
        if self.verdict is Verdict.CLEAN and not self.inventory:
            return f"Clean, but there was nothing to judge: {judged}."
        if self.verdict is Verdict.CLEAN:
            spared = len(self.opened)
            rest = f"; {count(spared, 'finding')} that {'doesn' if spared == 1 else 'don'}'t break" if spared else ""
            return f"Clean: {judged}, nothing breaks{rest}."
        text = f"{count(broken, 'finding')} of {judged} break{'s' if broken == 1 else ''}"
        if self.verdict is Verdict.BROKEN:
            return f"Broken: {text}."
        found = f"; {text} so far" if broken and self.inventory else ""
        return f"Incomplete: {count(len(self.errors), 'failure')}{found}."


def _by_severity(findings: Iterable[Finding]) -> dict[Severity, int]:
    counted = Counter(finding.severity for finding in findings)
    return {severity: counted[severity] for severity in reversed(Severity)}


def count(number: int, thing: str) -> str:
    """A number of things in words."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def moment(at: datetime) -> str:
    """A time as RFC 3339 in UTC, to the second."""
    return at.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def version() -> str:
    """The version of what judged."""
    return __version__
