"""A baseline: an earlier report, of which a later one says what is new and what is fixed.

A team that starts with a thousand old findings gates on new ones only, and mends the old ones in its own time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.configuration import Configuration
from pulumi_ampersand_policies.evaluation import Evaluation, Finding, State


class BaselineError(Exception):
    """A baseline can't be compared with; says why and what to do."""


class PastFinding(msgspec.Struct, frozen=True, gc=False):
    """A finding of the baseline, as its report has it."""

    rule: str
    severity: str
    connection: str
    project: str
    provider: str
    group: str
    message: str
    fingerprint: str
    state: str
    consumer: str = ""


class Baseline(msgspec.Struct, frozen=True, rename="camel"):
    """An earlier report, as far as it is compared.

    Attributes:
        as_of: The time that it judged by.
        findings: What it found.
        least_shown: The least severity that it shows.
    """

    schema_version: int
    as_of: str
    findings: tuple[PastFinding, ...]
    least_shown: str = "low"


@dataclass(frozen=True)
class Comparison:
    """How findings differ from a baseline's.

    Attributes:
        as_of: The time that the baseline judged by, RFC 3339.
        known: The fingerprints of what was broken then and not waived.
        fixed: What was broken then and keeps its rule now.
        not_judged: What was broken then and isn't judged now: its rule is inactive or wasn't evaluated, or its
            project could not be read.
    """

    as_of: str
    known: Collection[str]
    fixed: tuple[PastFinding, ...]
    not_judged: tuple[PastFinding, ...]

    def is_new(self, finding: Finding) -> bool:
        """Whether a finding is open and wasn't known."""
        return finding.state is State.OPEN and finding.fingerprint not in self.known


def read_baseline(data: bytes) -> Baseline:
    """Read a JSON report as a baseline.

    Raises:
        BaselineError: It is none, or doesn't show everything that it found.
    """
    try:
        baseline = msgspec.json.decode(data, type=Baseline)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BaselineError(f"is no JSON report of pulumi-ampersand audit: {error}") from None
    if baseline.schema_version > 1:
        raise BaselineError("is a report of a newer version; upgrade pulumi-ampersand")
    if baseline.least_shown != "low":
        raise BaselineError(
            f"shows findings of severity {baseline.least_shown} and above only; make it without --severity"
        )
    return baseline


def compare(
    baseline: Baseline, evaluation: Evaluation, configuration: Configuration, inventory: Inventory
) -> Comparison:
    """Say what became of a baseline's findings.

    Args:
        baseline: The earlier report.
        evaluation: What is found now.
        configuration: What is looked for now.
        inventory: What could be read now.
    """
    before = [finding for finding in baseline.findings if finding.state != State.WAIVED.value]
    now = {finding.fingerprint for finding in evaluation.findings}
    gone = [finding for finding in before if finding.fingerprint not in now]
    judged = _Judged(evaluation, configuration, inventory)
    return Comparison(
        baseline.as_of,
        frozenset(finding.fingerprint for finding in before),
        tuple(finding for finding in gone if judged.includes(finding)),
        tuple(finding for finding in gone if not judged.includes(finding)),
    )


@dataclass(frozen=True)
class _Judged:
    """What is judged now."""

    evaluation: Evaluation
    configuration: Configuration
    inventory: Inventory

    @cached_property
    def _active(self) -> Collection[str]:
        return {active.rule.id for active in self.configuration.rules}

    @cached_property
    def _left_open(self) -> frozenset[tuple[str, str]]:
        return frozenset((item.rule, item.connection) for item in self.evaluation.not_evaluated)

    @cached_property
    def _unread(self) -> Sequence[str]:
        return [project for _, project in self.inventory.unread]

    def includes(self, finding: PastFinding) -> bool:
        """Whether a finding would be there if it weren't fixed."""
        if finding.rule not in self._active:
            return False
        if not self._left_open.isdisjoint([(finding.rule, finding.connection), (finding.rule, "")]):
            return False
        return not self._unread or (bool(finding.project) and not {finding.project, ""} & set(self._unread))
