"""``connection-schema``: the connection is what your own JSON Schema says.

A rule of your own without any code. Options: ``schema``, a JSON Schema (draft 2020-12, unless its ``$schema`` names
another) of the connection as the data source's ``connections`` has it: camel case, no credentials, no status but
``healthy``, and nothing that the API didn't send::

    {"connection-schema": {"schema": {"required": ["group"], "properties": {"group": {"required": ["groupName"]}}}}}

Broken by a connection that the schema refuses; the finding names each place and what is wrong with it, five at most.
References must stay inside the schema: nothing is fetched. Formats aren't checked. Numbers of the schema that are whole
are whole, though the engine hands them on with a fraction.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from heapq import nsmallest
from itertools import chain
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified
from pulumi_ampersand_policies.schema import checked_schema, validator

_SHOWN = 5


class ConnectionSchema(Options):
    """Options of ``connection-schema``."""

    schema_: Annotated[dict[str, Any], AfterValidator(checked_schema)] = Field(
        alias="schema", description="A JSON Schema of a connection."
    )


def check(inventory: Inventory, options: ConnectionSchema, _now: datetime) -> Iterator[Breach | Unverified]:
    """Validate each connection."""
    validate = validator(options.schema_)
    for entry in inventory:
        errors = validate.iter_errors(entry.found[0])
        first = next(errors, None)
        if first is None:
            continue
        # The library goes through sets, whose order differs from run to run.
        shown = nsmallest(_SHOWN, map(_place_and_message, chain([first], errors)))
        causes = [f"{place or 'the connection'}: {one_line(message, 120)}" for place, message in shown]
        yield Breach(f"it isn't as the schema says: {'; '.join(causes)}", entry)


def _place_and_message(error: Any) -> tuple[str, str]:
    return ".".join(map(str, error.absolute_path)), error.message


RULE = Rule(
    id="connection-schema",
    title="The connection is what your own JSON Schema says",
    severity=Severity.MEDIUM,
    enforcement=Enforcement.MANDATORY,
    remediation="Mend the connection in Ampersand, or the schema in the rule's configuration",
    check=check,
    options=ConnectionSchema,
    tags=("custom",),
)
