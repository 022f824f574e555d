"""JSON Schemas that users write: which are taken, what is wrong with the others, and that nothing is fetched."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from pulumi_ampersand_policies.schema import checked_schema, validator

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
NAMED = {"required": ["name"]}


def refused(schema: dict[str, Any]) -> str:
    """What is said of a schema that isn't taken."""
    with pytest.raises(ValueError, match=r"\A(is no JSON Schema|refers to) ?") as caught:
        checked_schema(schema)
    return str(caught.value)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({}, id="anything"),
        pytest.param(NAMED, id="plain"),
        pytest.param({"$schema": "https://json-schema.org/draft/2020-12/schema"} | NAMED, id="2020-12"),
        pytest.param({"$schema": "https://json-schema.org/draft/2019-09/schema"} | NAMED, id="2019-09"),
        pytest.param({"$schema": DRAFT_7} | NAMED, id="draft-07"),
        pytest.param({"$schema": DRAFT_7.rstrip("#")} | NAMED, id="draft-07-without-a-hash"),
        pytest.param({"$ref": "#/$defs/named", "$defs": {"named": NAMED}}, id="pointer"),
        pytest.param({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": NAMED}}, id="escaped-pointer"),
        pytest.param({"$ref": "#named", "$defs": {"n": {"$anchor": "named"} | NAMED}}, id="anchor"),
        pytest.param({"$dynamicRef": "#named", "$defs": {"n": {"$dynamicAnchor": "named"} | NAMED}}, id="dynamic"),
        pytest.param({"$id": "https://example.com/a", "$ref": "#/$defs/n", "$defs": {"n": NAMED}}, id="own-name"),
        pytest.param(
            {"$id": "https://example.com/a", "$ref": "https://example.com/a#/$defs/n", "$defs": {"n": NAMED}},
            id="reference-to-its-own-name",
        ),
        pytest.param(
            {"$ref": "https://example.com/n", "$defs": {"n": {"$id": "https://example.com/n"} | NAMED}},
            id="reference-to-a-part-by-name",
        ),
        pytest.param(
            {"$schema": DRAFT_7, "$ref": "#/definitions/n", "definitions": {"n": NAMED}}, id="draft-07-definitions"
        ),
    ],
)
def test_schemas_that_are_taken(schema: dict[str, Any]) -> None:
    """A schema whose references stay inside it is taken as it is, and validates."""
    assert checked_schema(schema) is schema
    errors = [error.message for error in validator(schema).iter_errors({})]
    assert errors == ([] if schema == {} else ["'name' is a required property"])
    assert not list(validator(schema).iter_errors({"name": "a"}))


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        pytest.param(
            {"properties": {"a": {"type": "strng"}}},
            "is no JSON Schema: 'strng' is not valid under any of the given schemas at $.properties.a.type",
            id="type",
        ),
        pytest.param({"required": "a"}, "is no JSON Schema: 'a' is not of type 'array' at $.required", id="required"),
        pytest.param({"pattern": "("}, "is no JSON Schema: '(' is not a 'regex' at $.pattern", id="pattern"),
        pytest.param(
            {"patternProperties": {"(": {}}},
            "is no JSON Schema: '(' is not a 'regex' at $.patternProperties",
            id="pattern-of-names",
        ),
        pytest.param({"$ref": 5}, "is no JSON Schema: 5 is not of type 'string' at $['$ref']", id="number-for-a-ref"),
        pytest.param({"$id": 5}, "is no JSON Schema: 5 is not of type 'string' at $['$id']", id="number-for-an-id"),
        pytest.param(
            {"$schema": 5}, "is no JSON Schema: 5 is not of type 'string' at $['$schema']", id="number-for-a-draft"
        ),
        pytest.param(
            {"$schema": DRAFT_7, "items": [5]},
            "is no JSON Schema: [5] is not valid under any of the given schemas at $.items",
            id="draft-07-items",
        ),
        pytest.param(
            {"items": [{}]}, "is no JSON Schema: [{}] is not of type 'object', 'boolean' at $.items", id="old-items"
        ),
        pytest.param(
            {"$ref": "https://example.com/a.json"},
            'refers to "https://example.com/a.json", which isn\'t in the schema itself',
            id="remote",
        ),
        pytest.param(
            {"$ref": "file:///etc/passwd"},
            'refers to "file:///etc/passwd", which isn\'t in the schema itself',
            id="file",
        ),
        pytest.param(
            {"$ref": "other.json"}, 'refers to "other.json", which isn\'t in the schema itself', id="relative"
        ),
        pytest.param(
            {"$ref": "http://[broken"}, 'refers to "http://[broken", which isn\'t in the schema itself', id="no-address"
        ),
        pytest.param(
            {"properties": {"a": {"items": {"$ref": "#/$defs/a"}}}},
            'refers to "#/$defs/a", which isn\'t in the schema itself',
            id="pointer-to-nowhere",
        ),
        pytest.param(
            {"allOf": [{"$ref": "#named"}]}, 'refers to "#named", which isn\'t in the schema itself', id="no-anchor"
        ),
        pytest.param(
            {"$dynamicRef": "#named"}, 'refers to "#named", which isn\'t in the schema itself', id="no-dynamic-anchor"
        ),
        pytest.param(
            {"$schema": "https://json-schema.org/draft/2021-01/schema"},
            'is no JSON Schema: its $schema "https://json-schema.org/draft/2021-01/schema" is unknown',
            id="unknown-draft",
        ),
    ],
)
def test_schemas_that_are_refused(schema: dict[str, Any], problem: str) -> None:
    """What is wrong is named, with its place or its reference as it is written."""
    assert refused(schema).startswith(problem)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(
            {"properties": {"a": {"$id": "https://example.com/a", "$ref": "#/$defs/n"}}, "$defs": {"n": NAMED}},
            id="a-part-that-is-named-has-its-own-places",
        ),
        pytest.param({"properties": {"a": {"$ref": "#/$defs/n/x"}}, "$defs": {"n": NAMED}}, id="place-in-a-part"),
    ],
)
def test_what_could_not_be_resolved_later_is_refused_now(schema: dict[str, Any]) -> None:
    """A reference that a validation couldn't follow is a mistake of the configuration, no crash of the rule."""
    assert refused(schema).startswith("refers to ")


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"const": {"$ref": "#/nowhere"}}, id="constant"),
        pytest.param({"enum": [{"$ref": "other.json"}]}, id="enumeration"),
        pytest.param({"default": {"$ref": "other.json"}}, id="default"),
        pytest.param({"examples": [{"$ref": "other.json"}]}, id="example"),
        pytest.param({"properties": {"$ref": {"type": "string"}}}, id="property-of-that-name"),
        pytest.param({"required": ["$ref"]}, id="required-property-of-that-name"),
    ],
)
def test_data_in_a_schema_is_no_reference(schema: dict[str, Any]) -> None:
    """What only looks like a reference is left alone."""
    assert checked_schema(schema) is schema


def test_a_long_problem_is_cut() -> None:
    """A schema of any size gives a message of a line."""
    assert refused({"type": "x" * 9_999}) == f"is no JSON Schema: '{'x' * 199} at $.type"


def test_the_draft_decides() -> None:
    """A list of ``items`` is by position in draft-07; in 2020-12 it would be ``prefixItems``."""
    by_position = {"items": [{"const": 1}]}
    assert list(validator({"$schema": DRAFT_7} | by_position).iter_errors([2]))
    assert not list(validator({"$schema": DRAFT_7, "prefixItems": [{"const": 1}]}).iter_errors([2]))
    assert list(validator({"prefixItems": [{"const": 1}]}).iter_errors([2]))


def test_nothing_is_loaded_before_there_is_a_schema() -> None:
    """The module alone loads neither of the two libraries, which stacks without such a rule don't need."""
    program = (
        "import sys, pulumi_ampersand_policies.schema\n"
        "print(*[name for name in ('jsonschema', 'referencing') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("\n", "")
