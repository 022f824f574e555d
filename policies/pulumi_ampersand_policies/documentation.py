"""A page for each rule, made from its docstring, metadata and options, which are the only place where they are written.

The pages lie in ``docs/`` beside this file; ``python tests/reference.py`` writes them, and a test compares.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pulumi_ampersand_policies.rule import Rule

FOLDER: Final = Path(__file__).parent / "docs"


def page(rule: Rule[Any]) -> str:
    """A rule's page as Markdown."""
    judged = "everything that a stack reads, at once" if rule.whole else "each data source and the gate by itself"
    facts = {
        "Default": f"{rule.enforcement.value}{f', needs {_needs(rule)}' if rule.needed else ''}",
        "Severity": rule.severity.value,
        "Judges": judged,
        "Remedy": _escaped(rule.remediation.replace("{connection}", "<connection>")),
        "Asked for by": "; ".join(f"{control} ({control.subject})" for control in rule.controls),
        "Tags": ", ".join(rule.tags),
    }
    lines = [f"# {rule.id}", "", f"{rule.title}.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {text} |" for name, text in facts.items() if text]
    lines += ["", *_body(rule), "", "## Options", "", *_options(rule)]
    return "\n".join(lines) + "\n"


def _needs(rule: Rule[Any]) -> str:
    return " and ".join(" or ".join(f"`{name}`" for name in group) for group in rule.needed)


def _body(rule: Rule[Any]) -> Iterator[str]:
    """The module's docstring without its first line, in Markdown."""
    text = sys.modules[rule.check.__module__].__doc__ or ""
    inside = False
    for line in re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL).splitlines()[2:]:
        code = line.startswith("    ")
        if code and not inside:
            yield "```json"
        elif inside and not code:
            yield "```"
        inside = code
        yield line.removeprefix("    ") if code else line.removesuffix(":") if line.endswith("::") else line


def _options(rule: Rule[Any]) -> Iterator[str]:
    schema = rule.schema
    yield from _table(schema, schema)
    for name, part in schema.get("$defs", {}).items():
        yield from ("", f"### {name}", "", *([_escaped(part["description"]), ""] if "description" in part else []))
        yield from _table(part, schema)


def _table(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    yield from ("| option | type | default | |", "|---|---|---|---|")
    for name, option in part["properties"].items():
        default = "" if option.get("default") is None else f"`{json.dumps(option['default'])}`"
        needed = "**required**" if name in part.get("required", ()) else default
        yield f"| `{name}` | {_type(option, schema)} | {needed} | {_escaped(option['description'])} |"


def _type(option: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """A JSON Schema's type in words."""
    if "$ref" in option:
        name = option["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in option:
        return " or ".join(f'"{value}"' for value in option["enum"])
    if "anyOf" in option:
        kinds = [_type(choice, schema) for choice in option["anyOf"]]
        return " or ".join(kind for kind in kinds if kind != "null")
    kind = option.get("type", "anything")
    if kind == "array":
        return f"list of {_type(option.get('items', {}), schema)}"
    if kind == "object" and isinstance(option.get("additionalProperties"), dict):
        return f"map of {_type(option['additionalProperties'], schema)}"
    return "date" if option.get("format") == "date" else " or ".join([kind] if isinstance(kind, str) else kind)


def _escaped(text: str) -> str:
    """Text for a cell of a table."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*")
