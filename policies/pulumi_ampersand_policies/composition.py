"""The rules as policies of the policy SDK, for people who compose a ``PolicyPack`` of their own.

The pack of this package (`pulumi_ampersand_policies.pack`) checks its configuration as a whole, is faster, and knows
``require``. Use these policies to have Ampersand's rules beside others in one pack::

    from pulumi_policy import PolicyPack
    from pulumi_ampersand_policies import policies

    PolicyPack("ours", policies=[*policies(), *our_own])
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

import pulumi
from pulumi_policy import (
    EnforcementLevel,
    PolicyConfigSchema,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
)

from pulumi_ampersand.errors import AmpersandError
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.configuration import ActiveRule, Configuration, ConfigurationError, Given, resolve
from pulumi_ampersand_policies.evaluation import crashes, evaluate, lines
from pulumi_ampersand_policies.gate import Gate, GateError, chosen, read
from pulumi_ampersand_policies.pack import DATA_SOURCE_TYPES, NOT_TARGETED, STACK_TYPE, announced_properties
from pulumi_ampersand_policies.rule import Rule
from pulumi_ampersand_policies.rules import RULES, readable_connections, verifiable_connections

_UNSUPPORTED: Final = '"require" needs the pack of pulumi-ampersand itself, which sees the whole stack'


def policies(rules: Sequence[Rule[Any]] = RULES) -> list[ResourceValidationPolicy]:
    """The rules as policies.

    ``readable-connections`` comes first because it tells the others the gate, ``verifiable-connections`` last because
    it tells what the others could not judge.

    Args:
        rules: The rules to make policies of.
    """
    composition = _Composition()
    order = {readable_connections.RULE.id: -1, verifiable_connections.RULE.id: 1}
    return [_policy(rule, composition) for rule in sorted(rules, key=lambda rule: order.get(rule.id, 0))]


def _policy(rule: Rule[Any], composition: _Composition) -> ResourceValidationPolicy:
    return ResourceValidationPolicy(
        name=rule.id,
        description=rule.title,
        validate=lambda args, report: composition.validate(rule, args, report),
        enforcement_level=EnforcementLevel(rule.enforcement.value),
        config_schema=PolicyConfigSchema(properties=announced_properties(rule)),
        display_name=rule.title,
        severity=Severity(rule.severity.value),
        tags=list(rule.tags),
        remediation_steps=rule.remedy(),
    )


class _Composition:
    """What the policies of one pack share: which rules are active, and what the gate read."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
        self._now = now
        self._active: dict[str, ActiveRule] = {}
        self._gate_setting: bool | Gate | None = None
        self._gated: Inventory | None = None

    def validate(self, rule: Rule[Any], args: ResourceValidationArgs, report: ReportViolation) -> None:
        """Judge one resource by one rule."""
        if args.resource_type != STACK_TYPE and args.resource_type not in DATA_SOURCE_TYPES:
            return
        try:
            active = self._activate(rule, args.get_config())
            if active is None:
                return
            inventory = self._gate() if args.resource_type == STACK_TYPE else _data_source(args)
        except (AmpersandError, ConfigurationError, GateError) as error:
            report(one_line(f"not evaluated: {error}"), None)
            return
        if inventory is not None:
            collecting = rule is verifiable_connections.RULE
            rules = tuple(self._active.values()) if collecting else (active,)
            evaluation = evaluate(inventory, Configuration(rules, ()), self._now())
            # The policy that collects what could not be judged may be disabled, and is never asked then.
            for line in lines(evaluation, active) + ([] if collecting else crashes(evaluation)):
                report(line, None)
        elif rule is verifiable_connections.RULE and args.resource_type != STACK_TYPE:
            report(NOT_TARGETED, None)

    def _activate(self, rule: Rule[Any], options: Mapping[str, Any]) -> ActiveRule | None:
        """Check the options that the SDK hands over; None if the rule lacks what it needs."""
        source = "policy pack configuration"
        configuration = resolve({rule.id: Given(None, options, named=bool(options))}, source, [rule])
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
            self._gated = read(gate, config, os.environ) if gate is not None else None
        return self._gated


def _data_source(args: ResourceValidationArgs) -> Inventory | None:
    """What a data source read, if it is targeted. An unknown value raises the SDK's own exception, which reports it."""
    if "connections" not in args.props or "observations" not in args.props:
        return None
    return Inventory.from_documents(
        args.props["connections"], args.props["observations"], args.props.get("project") or ""
    )
