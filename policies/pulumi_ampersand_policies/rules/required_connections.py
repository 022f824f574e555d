"""``required-connections``: every connection that the deployment needs exists and is healthy.

Options: ``require``, a list of what must be there. Each item names a ``provider``, a ``groupRef`` or both, and how many
healthy connections (status ``created`` or ``working``) there must be at least, ``min`` (1)::

    {"required-connections": {"require": [{"provider": "slack", "groupRef": "acme"}, {"groupRef": "globex", "min": 2}]}}

Broken by each item with fewer, and by each of a gate's ``connectionIds`` that doesn't exist, whatever its health. Names
are compared to the letter. A status that this version doesn't know isn't healthy. Where a part could not be read and
too few were found, the item is not evaluated. Judged over everything that the gate reads, or, in a stack without a
gate, over all its data sources together when all are known; a stack with neither isn't judged. In waivers ``provider``
and ``group`` select items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from pulumi_ampersand.inventory import Entry, Inventory, by_id
from pulumi_ampersand_policies.grant import Text, plural
from pulumi_ampersand_policies.rule import (
    Breach,
    Enforcement,
    Requirement,
    Rule,
    Severity,
    TolerableOptions,
    Unverified,
)
from pulumi_ampersand_policies.waiver import RequirementWaiver, at_least_one, needs_one_of

_Key = tuple[str | None, str | None]
"""A provider and a group, either of which may be any."""

_SHOWN = 3
"""How many unhealthy connections a finding names."""


class Required(BaseModel):
    """What must be there."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        defer_build=True,
        json_schema_extra=at_least_one("provider", "groupRef"),
    )

    provider: Text | None = Field(None, description="The provider; any if it isn't given.")
    group_ref: Text | None = Field(None, description="The group's ref; any if it isn't given.")
    min: int = Field(1, ge=1, description="How many healthy connections at least.")

    @model_validator(mode="after")
    def _names(self) -> Required:
        if self.provider is None and self.group_ref is None:
            raise ValueError(needs_one_of(["provider", "groupRef"]))
        return self

    def describe(self) -> str:
        """What is asked for, in words."""
        parts = ("provider", self.provider), ("group", self.group_ref)
        return " and ".join(f"{name} {value}" for name, value in parts if value is not None)


def _once(require: tuple[Required, ...]) -> tuple[Required, ...]:
    named = [wanted.describe() for wanted in require]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is listed twice: give one entry the larger min")
    return require


class RequiredConnections(TolerableOptions):
    """Options of ``required-connections``."""

    require: Annotated[tuple[Required, ...], AfterValidator(_once)] = Field((), description="What must be there.")
    waivers: tuple[RequirementWaiver, ...] = Field((), description="Findings that somebody answers for, until a day.")


def check(inventory: Inventory, options: RequiredConnections, _now: datetime) -> Iterator[Breach | Unverified]:
    """Count what is there of each."""
    for connection_id in inventory.missing:
        yield Breach(
            f'the gate names connection "{connection_id}", which doesn\'t exist, or which its filters exclude',
            Requirement(connection_id),
        )
    fulfilling = _fulfilling(inventory, options.require)
    for wanted in options.require:
        found = fulfilling[wanted.provider, wanted.group_ref]
        healthy = sum(entry.connection.healthy for entry in found)
        if healthy >= wanted.min:
            continue
        needed = Requirement(provider=wanted.provider or "", group=wanted.group_ref or "")
        if inventory.unread:
            yield Unverified(f"{wanted.describe()}: not all connections could be read", needed)
            continue
        sick = sorted((entry for entry in found if not entry.connection.healthy), key=by_id)
        named = ", ".join(f"{entry.connection.id} ({entry.observation.status})" for entry in sick[:_SHOWN])
        more = f" and {len(sick) - _SHOWN} more" if len(sick) > _SHOWN else ""
        unhealthy = f"; unhealthy: {named}{more}" if sick else ""
        counted = f"{plural(healthy, 'healthy connection')}, at least {wanted.min} needed"
        yield Breach(f"{wanted.describe()}: {counted}{unhealthy}", needed)


def _fulfilling(inventory: Inventory, require: Iterable[Required]) -> dict[_Key, list[Entry]]:
    """The connections for each provider and group that is asked for, found in one pass."""
    found: dict[_Key, list[Entry]] = {(wanted.provider, wanted.group_ref): [] for wanted in require}
    for entry in inventory if found else ():
        provider, group = entry.connection.provider, entry.connection.group
        ref = None if group is None else group.ref
        for key in {(provider, ref), (provider, None), (None, ref)}:
            if key in found:
                found[key].append(entry)
    return found


RULE = Rule(
    id="required-connections",
    title="Every connection that the deployment needs exists and is healthy",
    severity=Severity.HIGH,
    enforcement=Enforcement.MANDATORY,
    remediation="Have the customer connect, or authorise again (pulumi-ampersand reauth <connection>)",
    check=check,
    options=RequiredConnections,
    whole=True,
    tags=("inventory", "availability"),
)
