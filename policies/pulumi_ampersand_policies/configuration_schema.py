"""The JSON Schema of the whole configuration file, for editors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pulumi_ampersand_policies.configuration import ALL, ENVIRONMENTS, WAIVERS
from pulumi_ampersand_policies.rule import Enforcement, Rule
from pulumi_ampersand_policies.rules import RULES

_DISABLED: Final = {"const": Enforcement.DISABLED.value}
_LEVEL: Final = {"$ref": "#/$defs/EnforcementLevel"}


def schema(rules: Sequence[Rule[Any]] = RULES) -> dict[str, Any]:
    """The schema, draft 2020-12. What it refuses `configuration.parse` refuses, too, and more that no schema can say.

    Args:
        rules: The rules that the file may configure.
    """
    definitions: dict[str, Any] = {
        "EnforcementLevel": {
            "enum": [level.value for level in Enforcement],
            "description": "What a broken rule does: advisory reports it, mandatory stops the deployment.",
        }
    }
    properties: dict[str, Any] = {
        ALL: {
            "anyOf": [_LEVEL, _object({"enforcementLevel": _LEVEL})],
            "description": "The level of every rule that has none of its own; turns on those that are off by default.",
        },
        WAIVERS: {
            "anyOf": [_DISABLED, {**_object({"enforcementLevel": _DISABLED}), "required": ["enforcementLevel"]}],
            "description": "Has every waiver ignored.",
        },
        ENVIRONMENTS: {
            "type": "array",
            "description": "Names of Pulumi ESC environments; the CLI takes them out before policy packs see the rest.",
        },
    }
    for rule in rules:
        properties[rule.id] = _entry(rule)
        definitions |= rule.schema.get("$defs", {})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of the policy pack and the audit of pulumi-ampersand",
        **_object(properties),
        "$defs": definitions,
    }


def _entry(rule: Rule[Any]) -> dict[str, Any]:
    options = {key: part for key, part in rule.schema.items() if key in {"type", "properties", "additionalProperties"}}
    options["properties"] = {"enforcementLevel": _LEVEL, **options["properties"]}
    if not rule.needed:
        choices: list[Any] = [_LEVEL, options]
    else:
        # Without its options it checks nothing, so all that can be said of it then is that it is disabled.
        options["allOf"] = [{"anyOf": [{"required": [name]} for name in group]} for group in rule.needed]
        choices = [_DISABLED, {**_object({"enforcementLevel": _DISABLED}), "required": ["enforcementLevel"]}, options]
    return {"anyOf": choices, "description": f"{rule.title}. By default {rule.enforcement.value}."}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}
