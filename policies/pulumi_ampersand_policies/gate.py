"""Gate mode: connections that the pack reads from the API by itself, whatever the stack's program says.

A gate stands in the stack's configuration as ``ampersand:gate`` or in the pack's configuration of
``readable-connections``. It works for stacks in any language, and stops an update before anything is created.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_camel

from pulumi_ampersand.arguments import nearest
from pulumi_ampersand.errors import AmpersandError
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.settings import API_KEY_VARIABLE, NAMESPACE, Access, Details, Lookup, Settings, default_details

if TYPE_CHECKING:
    from pulumi_ampersand.client import Client


def _as_text(value: Any) -> Any:
    """``pulumi config set --path`` turns 123 into a number and true into a boolean: names are text all the same."""
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | float) else value


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


_SCALAR = {"type": ["string", "number", "boolean"], "minLength": 1}
_Text = Annotated[str, Field(min_length=1), BeforeValidator(_as_text), WithJsonSchema(_SCALAR)]
_Texts = Annotated[
    list[_Text],
    Field(min_length=1),
    BeforeValidator(_as_list),
    WithJsonSchema({"type": ["array", *_SCALAR["type"]], "items": _SCALAR, "minItems": 1, "minLength": 1}),
]


class Gate(BaseModel):
    """Which connections a gate reads and judges. Without any field: all of the stack's project."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, defer_build=True)

    projects: _Texts | None = Field(None, description="Projects, ID or name; by default ampersand:project.")
    provider: _Text | None = Field(None, description="Only connections to this provider.")
    group_ref: _Text | None = Field(None, description="Only connections of this group.")
    consumer_ref: _Text | None = Field(None, description="Only connections of this consumer.")
    connection_ids: _Texts | None = Field(None, description="Only these connections, each of which must exist.")
    details: Details | None = Field(
        None,
        description="Whether to ask for connections one by one for what their list leaves out: auto, always or never.",
    )


class GateError(Exception):
    """The stack's gate is no gate; says which key is wrong and what is allowed."""


def stack_gate(config: Mapping[str, str]) -> Gate | None:
    """The gate in the stack's configuration.

    Args:
        config: The stack's configuration under full keys; structured values are JSON text.

    Raises:
        GateError: There is one, and it is malformed.
    """
    key = f"{NAMESPACE}:gate"
    text = config.get(key)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, bool):
        return Gate() if value else None
    if not isinstance(value, dict):
        mend = f"run: pulumi config set --path {key}.provider <provider>"
        raise GateError(f"{key} must be true, false or an object; {mend}")
    try:
        return Gate.model_validate(value)
    except ValidationError as error:
        raise GateError("; ".join(f"{key}: {explain(e, Gate)}" for e in error.errors())) from None


def chosen(pack: bool | Gate | None, config: Mapping[str, str]) -> Gate | None:
    """The gate of the pack's configuration, which wins, or of the stack's.

    Args:
        pack: What the pack's configuration says: a gate, ``true`` for one without filters, ``false`` for none, None if
            it says nothing.
        config: The stack's configuration under full keys.

    Raises:
        GateError: The stack's gate is malformed.
    """
    if isinstance(pack, Gate):
        return pack
    if pack is None:
        return stack_gate(config)
    return Gate() if pack else None


def trusted(pack: bool | Gate | None, config: Mapping[str, str], environ: Mapping[str, str]) -> Mapping[str, str]:
    """The part of the stack's configuration that says how a gate is read.

    A gate of the pack's configuration is there so that a pull request to the stack can't loosen it. Then neither may
    the stack's configuration lead it to another server, or to another organisation by another key: where the
    environment has a key, only the project is taken from the stack.

    Args:
        pack: What the pack's configuration says of the gate; see `chosen`.
        config: The stack's configuration under full keys.
        environ: The environment.
    """
    if not pack or not environ.get(API_KEY_VARIABLE):
        return config
    return {key: value for key, value in config.items() if key == f"{NAMESPACE}:project"}


def explain(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    """One of pydantic's errors as a clause that names the key, what is allowed and the nearest valid key."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        keys = [part.alias or name for name, part in model.model_fields.items()]
        return f'unknown key "{place}"{nearest(place.rpartition(".")[2], keys)}; it takes {", ".join(keys)}'
    message = str(error["msg"]).removeprefix("Value error, ")
    return f'"{place}": {message[:1].lower()}{message[1:]}' if place else f"{message[:1].lower()}{message[1:]}"


def read(
    gate: Gate, config: Lookup, environ: Mapping[str, str], connect: Callable[[Access], Client] | None = None
) -> Inventory:
    """Read what a gate asks for.

    What can't be read isn't raised: it stands in the inventory's ``unread``, for nothing may pass because it wasn't
    looked at.

    Args:
        gate: What to read.
        config: The stack's configuration, for the API key, root and project.
        environ: The environment, likewise.
        connect: Makes a client; by default one that uses the network.
    """
    from pulumi_ampersand.client import Client  # noqa: PLC0415 - stacks without a gate don't pay for it

    settings = Settings()
    try:
        projects = gate.projects or [settings.project_in(config, environ)]
        details = gate.details or default_details(config)
        with (connect or Client)(settings.resolve(config, environ)) as client:
            parts = [_read_project(client, project, gate, details) for project in projects]
    except AmpersandError as error:
        return Inventory(unread=[f"the gate could not be read: {error}"])
    whole = Inventory.merge(parts)
    if gate.connection_ids is None:
        return whole
    found = {entry.connection.id for entry in whole}
    # What could not be read may hold those that weren't found.
    missing = [] if whole.unread else [name for name in dict.fromkeys(gate.connection_ids) if name not in found]
    return Inventory.merge([whole, Inventory(missing=missing)])


def _read_project(client: Client, project: str, gate: Gate, details: Details) -> Inventory:
    try:
        found = client.list_connections(
            project,
            provider=gate.provider,
            group_ref=gate.group_ref,
            consumer_ref=gate.consumer_ref,
            details="never",
        )
        if gate.connection_ids is not None:
            named = set(gate.connection_ids)
            found = [pair for pair in found if pair[0].id in named]
        return Inventory(client.with_details(project, found, details=details), project)
    except AmpersandError as error:
        # One project's failure must not hide what another project's connections break.
        return Inventory(project=project, unread=[f"the gate could not be read: {error}"])
