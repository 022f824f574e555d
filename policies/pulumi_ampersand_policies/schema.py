"""JSON Schemas that users write.

The library is imported only where there is one: it costs a third of a pack's start.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415
    from referencing.jsonschema import specification_with  # noqa: PLC0415

    made = validator(schema)
    try:
        made.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"is no JSON Schema: {error.message[:200]} at {error.json_path}") from None
    dialect = specification_with(str(made.META_SCHEMA["$schema"]))
    resolver = Registry().with_resource("", dialect.create_resource(schema)).resolver()
    try:
        for reference in _references(schema):
            resolver.lookup(reference)
    except Unresolvable as error:
        raise ValueError(f'refers to "{error.ref}", which isn\'t in the schema itself') from None
    return schema


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in {"$ref", "$dynamicRef"} and isinstance(item, str):
                yield item
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
