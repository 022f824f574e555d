"""JSON Schemas that users write.

The library is imported only where there is one: it costs a third of a pack's start.
"""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


def validator(schema: dict[str, Any]) -> Validator:
    """What validates by a schema, of the draft that it names, by default 2020-12. Fetches nothing."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - see above
    from jsonschema.validators import validator_for  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415

    return validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())


def checked_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, if it is one and everything that it refers to is inside it.

    Raises:
        ValueError: Says what is wrong with it.
    """
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415 - see above
    from jsonschema.protocols import Validator  # noqa: PLC0415
    from jsonschema.validators import validator_for  # noqa: PLC0415

    named = schema.get("$schema")
    if isinstance(named, str) and validator_for({"$schema": named}, default=Validator) is Validator:
        raise ValueError(f'is no JSON Schema: its $schema "{named}" is unknown')
    made = validator(schema if isinstance(named, str) else {})
    try:
        made.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"is no JSON Schema: {error.message[:200]} at {error.json_path}") from None
    _check_references(schema, str(made.META_SCHEMA["$schema"]))
    return schema


def _check_references(schema: dict[str, Any], dialect: str) -> None:
    """Look up everything that a schema refers to. What stands in constants and examples refers to nothing.

    Raises:
        ValueError: It isn't in the schema, or leads back to itself without a step into the connection, without an end.
    """
    from referencing import Registry  # noqa: PLC0415 - see above
    from referencing.exceptions import Unresolvable  # noqa: PLC0415
    from referencing.jsonschema import specification_with  # noqa: PLC0415

    root = specification_with(dialect).create_resource(schema)
    parts = [(root, Registry().resolver_with_root(root))]
    alongside: dict[int, list[int]] = {}
    while parts:
        part, resolver = parts.pop()
        contents = part.contents
        if not isinstance(contents, dict):
            continue
        same = alongside[id(contents)] = [id(inner) for inner in _judging_the_same(contents)]
        for reference in filter(None, map(contents.get, ("$ref", "$dynamicRef", "$recursiveRef"))):
            try:
                same.append(id(resolver.lookup(reference).contents))
            except Unresolvable:  # noqa: PERF203 - the one that fails has to be named
                raise ValueError(f'refers to "{reference}", which isn\'t in the schema itself') from None
        parts += [(inner, resolver.in_subresource(inner)) for inner in part.subresources()]
    try:
        TopologicalSorter(alongside).prepare()
    except CycleError:
        raise ValueError("refers to itself in a circle without an end") from None


def _judging_the_same(contents: dict[str, Any]) -> Iterator[Any]:
    """The parts of a schema that judge the same value as it does, not what is inside of that."""
    for name, value in contents.items():
        if name in {"not", "if", "then", "else"}:
            yield value
        elif name in {"allOf", "anyOf", "oneOf"} and isinstance(value, list):
            yield from value
        elif name in {"dependentSchemas", "dependencies"} and isinstance(value, dict):
            yield from value.values()
