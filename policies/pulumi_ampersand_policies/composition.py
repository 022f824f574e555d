"""The rules as policies of the policy SDK, for people who compose a ``PolicyPack`` of their own.

The pack of this package (`pulumi_ampersand_policies.pack`) checks its configuration as a whole, is faster, and knows
``require``. Use these policies to have Ampersand's rules beside others in one pack::

    from pulumi_policy import PolicyPack
    from pulumi_ampersand_policies import policies

    PolicyPack("ours", policies=[*policies(), *our_own])

Two things are as the SDK has them: rules over all that a stack reads (``required-connections``) are judged when its
resources are known, a gate's, too, so at the end of a preview; and what is waived or tolerated, for which the SDK knows
no level, is written to standard error, which the engine shows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Final

import pulumi
from pulumi_policy import (
    EnforcementLevel,
    PolicyComplianceFramework,
    PolicyConfigSchema,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)

from pulumi_ampersand.errors import AmpersandError
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.configuration import ALL, ActiveRule, Configuration, ConfigurationError, Given, resolve
from pulumi_ampersand_policies.data_source import DATA_SOURCE_TYPES, NOT_TARGETED
from pulumi_ampersand_policies.evaluation import Evaluation, crashes, evaluate, lines
from pulumi_ampersand_policies.gate import Gate, GateError, chosen, read, trusted
from pulumi_ampersand_policies.pack import STACK_TYPE, announced_properties, tags
from pulumi_ampersand_policies.rule import Enforcement, Rule
from pulumi_ampersand_policies.rules import RULES, readable_connections, verifiable_connections

_UNSUPPORTED: Final = '"require" needs the pack of pulumi-ampersand itself, which sees the whole stack'


def policies(
    rules: Sequence[Rule[Any]] = RULES, *, waivers: bool = True, pages: str = ""
) -> list[ResourceValidationPolicy | StackValidationPolicy]:
    """The rules as policies.

    ``readable-connections`` comes first because it tells the others the gate, ``verifiable-connections`` last because
    it tells what the others could not judge.

    Args:
        rules: The rules to make policies of.
        waivers: Whether waivers count; the pack's own configuration has ``"waivers": "disabled"`` for it.
        pages: Where the rules' pages are published, with a slash at the end: each policy then links to its page.
    """
    composition = _Composition(waivers=waivers)
    order = {readable_connections.RULE.id: -1, verifiable_connections.RULE.id: 1}
    return [_policy(rule, composition, pages) for rule in sorted(rules, key=lambda rule: order.get(rule.id, 0))]


def _policy(rule: Rule[Any], composition: _Composition, pages: str) -> ResourceValidationPolicy | StackValidationPolicy:
    metadata: dict[str, Any] = {
        "name": rule.id,
        "description": rule.title,
        "enforcement_level": EnforcementLevel(rule.enforcement.value),
        "config_schema": PolicyConfigSchema(properties=announced_properties(rule)),
        "display_name": rule.title,
        "severity": Severity(rule.severity.value),
        "tags": tags(rule),
        "remediation_steps": rule.remedy(),
        "url": f"{pages}{rule.id}.md" if pages else None,
    }
    for control in rule.controls[:1]:
        metadata["framework"] = PolicyComplianceFramework(**control.framework._asdict(), reference=control.reference)
    if rule.whole:
        return StackValidationPolicy(
            validate=lambda args, report: composition.validate_stack(rule, args, report), **metadata
        )
    return ResourceValidationPolicy(validate=lambda args, report: composition.validate(rule, args, report), **metadata)


class _Composition:
    """What the policies of one pack share: which rules are active, and what the gate read."""

    def __init__(
        self, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc), *, waivers: bool = True
    ) -> None:
        self._now = now
        self._waivers = waivers
        self._active: dict[str, ActiveRule] = {}
        self._gate_setting: bool | Gate | None = None
        self._gated: Inventory | None = None
        self._found: dict[str, Inventory | None] = {}

    def validate(self, rule: Rule[Any], args: ResourceValidationArgs, report: ReportViolation) -> None:
        """Judge one resource by one rule."""
        if args.resource_type != STACK_TYPE and args.resource_type not in DATA_SOURCE_TYPES:
            return
        with _reporting(report):
            active = self._activate(rule, args.get_config())
            if active is None:
                return
            inventory = self._gate() if args.resource_type == STACK_TYPE else self._data_source(args)
            if inventory is not None:
                collecting = rule is verifiable_connections.RULE
                if collecting:
                    # IDs that don't exist are what required-connections finds at the end.
                    inventory = Inventory.merge([inventory])
                    inventory.missing = ()
                self._judge(inventory, tuple(self._active.values()) if collecting else (active,), active, report)
            elif rule is verifiable_connections.RULE and args.resource_type != STACK_TYPE:
                report(NOT_TARGETED, None)

    def validate_stack(self, rule: Rule[Any], args: StackValidationArgs, report: ReportViolation) -> None:
        """Judge everything that the stack reads by one rule."""
        with _reporting(report):
            active = self._activate(rule, args.get_config())
            if active is None:
                return
            inventory = self._gate()
            if inventory is None:
                sources = [part for part in args.resources if part.resource_type in DATA_SOURCE_TYPES]
                # At the end the engine shows outputs, which hold no observations.
                found = [self._found[part.urn] if part.urn in self._found else _outputs(part.props) for part in sources]
                parts = [part for part in found if part is not None]
                if not parts or len(parts) < len(found):
                    return
                inventory = Inventory.merge(parts)
            # Nothing collects what a rule over the whole stack could not judge: it says so itself.
            for item in self._judge(inventory, (active,), active, report).not_evaluated:
                if item.rule == rule.id:
                    report(f"{item.rule} was not evaluated: {item.reason}", None)

    def _judge(
        self, inventory: Inventory, rules: tuple[ActiveRule, ...], shown: ActiveRule, report: ReportViolation
    ) -> Evaluation:
        evaluation = evaluate(inventory, Configuration(rules, (), self._waivers), self._now())
        for line, level in lines(evaluation, shown):
            if level is Enforcement.MANDATORY:
                report(line, None)
            else:
                sys.stderr.write(f"{shown.rule.id}: {line}\n")
        # The policy that collects what could not be judged may be disabled, and is never asked then.
        if shown.rule is not verifiable_connections.RULE and not shown.rule.whole:
            for line in crashes(evaluation):
                report(line, None)
        return evaluation

    def _data_source(self, args: ResourceValidationArgs) -> Inventory | None:
        """What a data source read, kept for the rules over all of them."""
        self._found[args.urn] = None
        found = self._found[args.urn] = _data_source(args.props)
        return found

    def _activate(self, rule: Rule[Any], options: Mapping[str, Any]) -> ActiveRule | None:
        """Check the options that the SDK hands over; None if the rule lacks what it needs."""
        source = "policy pack configuration"
        # The SDK applies levels itself; of ours only whether a finding is open counts.
        given = {ALL: Given(Enforcement.MANDATORY.value), rule.id: Given(None, options, named=bool(options))}
        configuration = resolve(given, source, [rule])
        active = configuration.active(rule.id)
        if active is None:
            return None
        if isinstance(active.options, readable_connections.ReadableConnections):
            self._gate_setting = active.options.gate
            if active.options.require:
                raise ConfigurationError([f"{source}: {rule.id}: {_UNSUPPORTED}"])
        self._active[rule.id] = active
        return active

    def _gate(self) -> Inventory | None:
        """What the gate read, once for all policies; None if there is no gate."""
        if self._gated is None:
            config = pulumi.runtime.get_config_env()
            gate = chosen(self._gate_setting, config)
            if gate is not None:
                self._gated = read(gate, trusted(self._gate_setting, config, os.environ), os.environ)
        return self._gated


@contextmanager
def _reporting(report: ReportViolation) -> Iterator[None]:
    """Report errors that a user can cause as violations."""
    try:
        yield
    except (AmpersandError, ConfigurationError, GateError) as error:
        report(one_line(f"not evaluated: {error}"), None)


def _data_source(properties: Mapping[str, Any]) -> Inventory | None:
    """What a data source read, if it is targeted. An unknown value raises the SDK's own exception, which reports it."""
    if "connections" not in properties or "observations" not in properties:
        return None
    return Inventory.from_documents(
        properties["connections"], properties["observations"], properties.get("project") or ""
    )


def _outputs(properties: Mapping[str, Any]) -> Inventory | None:
    """What connections are, where no policy was shown how they were found."""
    if "connections" not in properties:
        return None
    return Inventory.from_documents(properties["connections"], None, properties.get("project") or "")
