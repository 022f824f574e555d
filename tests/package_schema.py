"""Writes the schema of the plugin's package, from which SDKs are made in every language.

It says what the reference of the Python package says, in the spelling and the words that all languages have in common:
what is described comes from the same docstrings. Written by ``python tests/reference.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import reference
from pulumi_ampersand.plugin import FUNCTIONS, RESOURCE
from pulumi_ampersand.settings import NAMESPACE, property_name

FILE: Final = reference.PACKAGE / "schemas" / "package.json"
SNIPPETS: Final = Path(__file__).resolve().parent / "languages" / "snippets"
"""An example for each function and the resource, in each language: ``<name>.<language's ending>``."""

LANGUAGES: Final = {"typescript": "ts", "python": "py", "go": "go", "yaml": "yaml"}
TITLES: Final = {"typescript": "TypeScript", "go": "Go", "yaml": "YAML"}

PAGE: Final = reference.ROOT / "provider" / "LANGUAGES.md"
MARKS: Final = ("<!-- examples: written by tests/reference.py -->", "<!-- end of the examples -->")

_ITEMS: Final = {item.name: item for item in reference.items()}
_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}

_OTHER_WORDS: Final = {
    "that of `settings`, ``ampersand:project`` or AMP_PROJECT": "that of the provider's settings, or AMP_PROJECT",
    "By default ``ampersand:details``, else": "By default that of the provider's settings, else",
    "None: the API didn't say. Empty: nothing": "Absent: the API didn't say. Empty: nothing",
    "Whatever is None isn't expected.": "What is left out isn't expected.",
    "True: each has": "If it is set, each has",
    " False is like None.": "",
    " What could not be had is a warning.": " What could not be had is a warning of the engine's.",
}
"""What is said in other words where it isn't about Python, and about settings that programs name."""


def _function(name: str) -> str:
    """The name of the Python function that a function of the plugin stands for."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda match: f"_{match[1].lower()}", name)


_NAMES: Final = {
    **{_function(name): name for name in FUNCTIONS},
    **{name: property_name(name) for name in ("connection_id", "group_ref", "consumer_ref", "provider_workspace_ref")},
}


def _said(text: str) -> str:
    """Words of a docstring as all languages have them."""
    for words, others in _OTHER_WORDS.items():
        text = text.replace(words, others)
    text = text.replace("``", "`").replace(" None: ", " Absent: ")
    for name, spelling in _NAMES.items():
        text = re.sub(rf"\b{name}\b", spelling, text)
    return re.sub(r"\s+", " ", text).strip()


def _paragraphs(name: str) -> list[str]:
    """What a docstring says before its sections."""
    doc = re.split(r"^(?:Args|Attributes|Returns|Raises):$", _ITEMS[name].doc, maxsplit=1, flags=re.MULTILINE)[0]
    return [_said(part) for part in doc.strip().split("\n\n")]


def _arguments(name: str) -> dict[str, str]:
    """What is said of each argument."""
    sections = reference._sections(_ITEMS[name].doc)
    described = {}
    for argument, written in (sections.get("Args") or sections["Attributes"]).items():
        text = written
        if see := re.fullmatch(r"See `(\w+)`(\.|; .*)", text, re.DOTALL):
            rest = see[2].lstrip(".; ")
            text = _arguments(see[1])[argument] + (f" {rest[0].upper()}{rest[1:]}" if rest else "")
        described[argument] = _said(text)
    return described


def _members(name: str) -> dict[str, str]:
    """What is said of each attribute of a record."""
    return {member.name: _said(member.doc) for member in _ITEMS[name].members}


def _named(kind: str) -> dict[str, str]:
    return {"$ref": f"#/types/{NAMESPACE}:index:{kind}"}


def _record(kind: str, required: tuple[str, ...], shapes: Mapping[str, Any], spelled: Mapping[str, str]) -> Any:
    """An object type of the API's."""
    described = {name: text for name, text in _members(kind).items() if name in spelled}
    return {
        "type": "object",
        "description": _paragraphs(kind)[0],
        "properties": {
            spelled[name]: {**shapes.get(name, _TEXT), "description": text} for name, text in described.items()
        },
        **({"required": sorted(spelled[name] for name in required)} if required else {}),
    }


def _spelled(*names: str, **others: str) -> dict[str, str]:
    return {name: property_name(name) for name in names} | others


_CUSTOMER: Final = ("project_id", "create_time")
_TYPES: Final = {
    "Connection": _record(
        "Connection",
        ("id", "provider", "healthy"),
        {
            "healthy": {"type": "boolean"},
            "scopes": _TEXTS,
            "group": _named("Group"),
            "consumer": _named("Consumer"),
            "provider_app": _named("ProviderApp"),
            "provider_metadata": {"type": "object", "additionalProperties": _named("MetadataItem")},
        },
        _spelled(*(name for name in _members("Connection") if name != "customer")),
    ),
    "Group": _record("Group", (), {}, _spelled(*_CUSTOMER, ref="groupRef", name="groupName")),
    "Consumer": _record("Consumer", (), {}, _spelled(*_CUSTOMER, ref="consumerRef", name="consumerName")),
    "ProviderApp": _record("ProviderApp", (), {"scopes": _TEXTS}, _spelled(*_members("ProviderApp"))),
    "MetadataItem": _record("MetadataItem", (), {}, _spelled(*_members("MetadataItem"))),
    "Project": _record("Project", ("id", "name"), {}, _spelled(*_members("Project"))),
}


def _types() -> dict[str, Any]:
    expected = _arguments("Expect")
    scopes = {"type": "array", "items": {"oneOf": [_TEXT, _TEXTS]}}
    shapes = {"min": "integer", "max": "integer", "healthy": "boolean", "workspace": "string"}
    return {
        **_TYPES,
        "Expect": {
            "type": "object",
            "description": " ".join(_paragraphs("Expect")),
            "properties": {
                name: {**({"type": shapes[name]} if name in shapes else scopes), "description": text}
                for name, text in expected.items()
            },
        },
        "Details": {
            "type": "string",
            "description": _ITEMS["Details"].doc.split("\n")[0],
            "enum": [
                {"name": "Auto", "value": "auto", "description": "Where an OAuth connection lacks them."},
                {"name": "Always", "value": "always", "description": "For every connection."},
                {"name": "Never", "value": "never", "description": "For none."},
            ],
        },
        "Refresh": {
            "type": "string",
            "description": "Whether to have access tokens refreshed.",
            "enum": [
                {
                    "name": "IfExpired",
                    "value": "ifExpired",
                    "description": "Have the API refresh an access token that has expired; it changes the connection.",
                }
            ],
        },
    }


def _inputs(name: str, arguments: tuple[str, ...]) -> dict[str, Any]:
    described = _arguments(name)
    kinds: dict[str, Any] = {argument: _named(argument.capitalize()) for argument in ("details", "refresh", "expect")}
    spelled = {property_name(argument): argument for argument in described}
    return {
        argument: {**kinds.get(argument, _TEXT), "description": described[spelled[argument]]} for argument in arguments
    }


def _blocks(name: str) -> dict[str, str]:
    """An example in each language, as Markdown."""
    return {
        language: f"```{language}\n{(SNIPPETS / f'{name}.{ending}').read_text(encoding='utf-8').rstrip()}\n```"
        for language, ending in LANGUAGES.items()
    }


def page(text: str) -> str:
    """The page about languages with its examples as they have to be."""
    blocks = _blocks("getConnection")
    parts = [f"### {title}\n\n{blocks[language]}" for language, title in TITLES.items()]
    return reference.between(text, *MARKS, "\n\n" + "\n\n".join(parts) + "\n\n")


def _examples(name: str) -> str:
    """Examples in all languages, as generators of documentation expect them."""
    text = "\n".join(_blocks(name).values())
    begin, end = "{{% examples %}}\n## Example Usage\n{{% example %}}\n\n", "\n\n{{% /example %}}\n{{% /examples %}}"
    return f"\n\n{begin}{text}{end}"


def _functions() -> dict[str, Any]:
    connection = _TYPES["Connection"]
    results: dict[str, Any] = {
        "getConnections": {
            "properties": {
                "connections": {
                    "type": "array",
                    "items": _named("Connection"),
                    "description": "The connections, sorted by ID.",
                }
            },
            "required": ["connections"],
        },
        "getConnection": {"properties": connection["properties"], "required": connection["required"]},
        "getProjects": {
            "properties": {
                "projects": {"type": "array", "items": _named("Project"), "description": "The projects, sorted by ID."}
            },
            "required": ["projects"],
        },
        "getAccessToken": {
            "properties": {"accessToken": {**_TEXT, "secret": True, "description": "The access token."}},
            "required": ["accessToken"],
        },
    }
    made = {}
    for name, (_, arguments) in FUNCTIONS.items():
        paragraphs = _paragraphs(_function(name))
        if name == "getAccessToken":
            # Here the program's call fetches it.
            paragraphs = [*paragraphs[:-1], "It is fetched when the function is called, in previews, too."]
        made[name] = {
            "description": "\n\n".join(paragraphs) + _examples(name),
            "inputs": {
                "type": "object",
                "properties": _inputs(_function(name), arguments),
                **({"required": ["connectionId"]} if name == "getAccessToken" else {}),
            },
            "outputs": {"type": "object", **results[name]},
        }
        if not arguments:
            del made[name]["inputs"]
    return made


def _resource() -> dict[str, Any]:
    filters = ("project", "provider", "groupRef", "consumerRef", "details", "refresh")
    inputs = _inputs("Connections", (*filters, "expect"))
    first, *more = _paragraphs("Connections")
    key = next(part for part in more if part.startswith("Results are known"))
    stored = next(part for part in more if part.startswith("What is read lies"))
    return {
        "description": "\n\n".join([first, key.partition(" The API key")[0], stored]) + _examples("Connections"),
        "inputProperties": inputs,
        "properties": {
            **{name: inputs[name] for name in filters},
            "project": {**_TEXT, "description": "The project that was read, as it was asked for."},
            "connections": {
                **_TEXT,
                "description": 'The connections, JSON text: `{"v": 1, "connections": […]}`, sorted by ID, each as '
                "`getConnection` gives it. It is text because SDKs walk structured properties once for every policy.",
            },
        },
        "required": ["connections", "project"],
    }


def _settings() -> dict[str, Any]:
    """What a provider is configured with."""
    described = {
        property_name(name): re.sub(r" \([^()]*\)$", "", text)
        for name, text in _arguments("Settings").items()
        if not name.startswith("api_key")
    }
    kinds: dict[str, Any] = {"timeout": {"type": "number"}, "concurrency": {"type": "integer"}}
    return {
        "apiKey": {
            **_TEXT,
            "secret": True,
            "description": "The API key; by default AMP_API_KEY, which doesn't lie in the state.",
        },
        **{name: {**kinds.get(name, _TEXT), "description": text} for name, text in described.items()},
        "proxy": {**_TEXT, "secret": True, "description": "A proxy's URL, which may hold a password."},
        "details": {**_named("Details"), "description": "What functions and resources take for `details` by default."},
    }


def schema() -> dict[str, Any]:
    """The schema, without the version, which the plugin adds."""
    settings = _settings()
    token = RESOURCE.rpartition(":")[0]
    return {
        "name": NAMESPACE,
        "displayName": "Ampersand",
        "description": "Reads Ampersand connections into stacks. Not affiliated with Ampersand or Pulumi.",
        "keywords": ["pulumi", "ampersand", "integrations", "category/utility"],
        "license": "Apache-2.0",
        "config": {"variables": settings},
        "provider": {
            "description": "How to reach the API. An explicit provider is configured by its arguments and the "
            "environment alone; the default one by `ampersand:` in the stack's configuration.",
            "inputProperties": settings,
        },
        "types": {f"{token}:{name}": shape for name, shape in _types().items()},
        "resources": {RESOURCE: _resource()},
        "functions": {f"{token}:{name}": shape for name, shape in _functions().items()},
        "language": {
            "nodejs": {"respectSchemaVersion": True},
            "go": {"respectSchemaVersion": True, "generateResourceContainerTypes": True},
            # The package of this name is the one with the dynamic provider.
            "python": {
                "packageName": "pulumi_ampersand_sdk",
                "respectSchemaVersion": True,
                "pyproject": {"enabled": True},
            },
        },
    }


def text() -> str:
    """The schema as it has to be."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
