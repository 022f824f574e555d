"""The audit: sources, a configuration and a time give a report. The rules are judged as the pack judges them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from pulumi_ampersand.answers import without_collection
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.baseline import Baseline, compare
from pulumi_ampersand_policies.configuration import Configuration
from pulumi_ampersand_policies.evaluation import Judged, conclude, evaluate
from pulumi_ampersand_policies.report import Report, Source
from pulumi_ampersand_policies.rule import Severity


class Part(NamedTuple):
    """What one source gave.

    Attributes:
        source: The source.
        inventory: Its connections, and what could not be read of it.
        judged: What rules said of its connections while they were read, if that was done; it is of use where there is
            no other source.
    """

    source: Source
    inventory: Inventory
    judged: Judged | None = None


@without_collection()
def audit(  # noqa: PLR0913 - what decides over the verdict
    parts: Sequence[Part],
    configuration: Configuration,
    as_of: datetime,
    *,
    fail_on: Severity | None = None,
    fail_on_new: bool = False,
    least_shown: Severity = Severity.LOW,
    baseline: Baseline | None = None,
    filters: Mapping[str, str] | None = None,
) -> Report:
    """Judge what was read.

    Args:
        parts: What each source gave.
        configuration: The rules, their levels and options.
        as_of: The time to judge expiry by.
        fail_on: See `Report`.
        fail_on_new: See `Report`; needs a baseline.
        least_shown: See `Report`.
        baseline: An earlier report to compare with.
        filters: Which connections were chosen, see `Report`; with any, what is gone isn't called fixed.

    Raises:
        ValueError: Only new findings break, and there is no baseline: nothing would.
    """
    if fail_on_new and baseline is None:
        raise ValueError("fail_on_new needs a baseline")
    inventory = parts[0].inventory if len(parts) == 1 else Inventory.merge([part.inventory for part in parts])
    judged = parts[0].judged if len(parts) == 1 else None
    if judged is not None:
        evaluation = conclude(judged, inventory, configuration, as_of)
    else:
        evaluation = evaluate(inventory, configuration, as_of)
    comparison = None
    if baseline is not None:
        whole = None
        if filters or not baseline.looked_at((part.source.kind.value, part.source.name) for part in parts):
            whole = set() if filters else {entry.project for entry in inventory}
        comparison = compare(baseline, evaluation, configuration, inventory, whole=whole)
    return Report(
        as_of=as_of,
        sources=tuple(part.source for part in parts),
        inventory=inventory,
        configuration=configuration,
        evaluation=evaluation,
        fail_on=fail_on,
        fail_on_new=fail_on_new,
        least_shown=least_shown,
        comparison=comparison,
        filters=filters or {},
    )
