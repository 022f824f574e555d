"""A test kit for rules: connections to judge, and an assertion that judges them as the pack would.

A test of a rule of your own::

    from pulumi_ampersand_policies.testing import UNKNOWN, assert_rule, connection, inventory

    def test_customers_have_names():
        named, nameless = connection("named"), connection("nameless", group={"groupRef": "acme"})
        assert_rule(RULE, inventory(named, nameless), breaks={"nameless": "has no name"})
        assert_rule(RULE, UNKNOWN, not_evaluated={"": "until the update"})

Connections are written as the API sends them. The assertion takes them on the way that they take in a preview: through
the documents in which a data source hands them to the pack, with options that went through the engine's protocol, where
every number becomes a float.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Final, Literal

from google.protobuf import struct_pb2
from pulumi.runtime import proto

from pulumi_ampersand.answers import read_connections
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies import pack
from pulumi_ampersand_policies.configuration import Configuration, ConfigurationError
from pulumi_ampersand_policies.data_source import UNKNOWN as NOT_KNOWN
from pulumi_ampersand_policies.evaluation import Evaluation, NotEvaluated, State, evaluate
from pulumi_ampersand_policies.rule import Rule

__all__ = ["NOW", "UNKNOWN", "assert_rule", "at", "connection", "grant", "inventory", "judge"]

NOW: Final = datetime(2026, 11, 24, 8, 0, tzinfo=timezone.utc)
"""The time to judge by, unless another is given."""


class _Unknown(Enum):
    UNKNOWN = "unknown"


UNKNOWN: Final = _Unknown.UNKNOWN
"""Stands for connections that a preview doesn't know, because a filter of the data source isn't known yet."""

Expected = Mapping[str, str] | Iterable[str]
"""IDs of connections, with a part of what is said of each, or without. ``""`` is what concerns no single connection."""


def at(**distance: float) -> str:
    """The RFC 3339 time so far from `NOW`.

    Args:
        distance: As `datetime.timedelta` takes it: ``days=3``, ``seconds=-1``.
    """
    return (NOW + timedelta(**distance)).isoformat().replace("+00:00", "Z")


def grant(
    refresh: Any = None, access: Any = None, scopes: Any = ("api",), issued: str | None = at(days=-30)
) -> dict[str, Any]:
    """An authorization-code grant as the API sends it, for `connection`'s ``oauth2AuthorizationCode``.

    Args:
        refresh: When the refresh token expires; None: it doesn't say; False: there is no refresh token.
        access: When the access token expires; None: it doesn't say; False: there is no access token.
        scopes: The granted scopes; None: it doesn't say.
        issued: When both tokens were issued; None: it doesn't say.
    """
    tokens = {
        name: {"token": f"CANARY-{name}", "issuedAt": issued, "expiresAt": expiry}
        for name, expiry in (("refreshToken", refresh), ("accessToken", access))
        if expiry is not False
    }
    return {**tokens, "scopes": scopes}


def connection(connection_id: str = "conn_1", /, **changes: Any) -> dict[str, Any]:
    """A connection as the API sends it, which keeps every rule.

    Args:
        connection_id: Its ID.
        changes: Fields to change, under the API's names; None leaves one out.
    """
    sent: dict[str, Any] = {
        "id": connection_id,
        "projectId": "proj_1",
        "provider": "salesforce",
        "status": "working",
        "authScheme": "oauth2/authorizationCode",
        "createTime": at(days=-90),
        "updateTime": at(hours=-1),
        "providerWorkspaceRef": f"workspace-{connection_id}",
        "group": {"groupRef": "acme", "groupName": "Acme Ltd", "projectId": "proj_1"},
        "consumer": {"consumerRef": "acme-jo", "consumerName": "Jo", "projectId": "proj_1"},
        "providerApp": {"id": "app_1", "projectId": "proj_1", "provider": "salesforce", "scopes": ["api"]},
        "oauth2AuthorizationCode": grant(access=at(hours=1)),
    }
    return {name: value for name, value in (sent | changes).items() if value is not None}


def inventory(*connections: Any, project: str = "proj_1", complete: bool = True) -> Inventory:
    """Connections to judge.

    Args:
        connections: As the API sends them.
        project: The project that they were read from.
        complete: Whether a refresh token that isn't there doesn't exist, as in a saved answer or where the single
            connection was asked for; otherwise it is unknown, as in a list.
    """
    return Inventory(read_connections(json.dumps(connections).encode(), refresh_token_told=complete), project)


def judge(
    rule: Rule[Any],
    connections: Inventory | Literal[_Unknown.UNKNOWN],
    options: Mapping[str, Any] | None = None,
    now: datetime = NOW,
) -> Evaluation:
    """Judge connections by one rule as the pack would.

    Args:
        rule: The rule; it is turned on, whatever its default.
        connections: What a data source has read, or `UNKNOWN`.
        options: The rule's entry in the configuration.
        now: The time to judge by.

    Raises:
        ConfigurationError: The options aren't allowed.
    """
    configuration = _configured(rule, options or {})
    if connections is UNKNOWN:
        return _evaluated(rule, [_properties(NOT_KNOWN, NOT_KNOWN, "")], Inventory(), configuration, now)
    assert isinstance(connections, Inventory)  # noqa: S101 - the other choice is handled
    projects = sorted({entry.project for entry in connections})
    documents = [_documents(connections, project) for project in projects]
    # No data source hands this over, but a gate does: what could not be read, and which IDs don't exist.
    rest = connections.where(lambda _: False)
    return _evaluated(rule, documents, rest, configuration, now)


def _documents(connections: Inventory, project: str) -> struct_pb2.Struct:
    return _properties(*connections.where(lambda entry: entry.project == project).documents(), project)


def _properties(connections: str, observations: str, project: str) -> struct_pb2.Struct:
    properties = struct_pb2.Struct()
    properties.update({"connections": connections, "observations": observations, "project": project})
    return properties


def _evaluated(
    rule: Rule[Any], sources: list[struct_pb2.Struct], rest: Inventory, configuration: Configuration, now: datetime
) -> Evaluation:
    parts = [rest]
    for properties in sources:
        found = pack.inventory_of(properties)
        if isinstance(found, str):
            return Evaluation((), (NotEvaluated(rule.id, "", found),))
        parts.append(found)
    return evaluate(Inventory.merge(parts), configuration, now)


def assert_rule(  # noqa: PLR0913 - what can be said of connections
    rule: Rule[Any],
    connections: Inventory | Literal[_Unknown.UNKNOWN],
    options: Mapping[str, Any] | None = None,
    *,
    breaks: Expected = (),
    waived: Expected = (),
    tolerated: Expected = (),
    not_evaluated: Expected = (),
    now: datetime = NOW,
) -> None:
    """Assert what a rule says of connections. What isn't expected must not be said; a rule that crashes always fails.

    Args:
        rule: The rule.
        connections: What a data source has read, or `UNKNOWN`.
        options: The rule's entry in the configuration.
        breaks: Which connections break the rule and stop a deployment, and a part of what is said of each.
        waived: Which break it and are waived.
        tolerated: Which break it and are tolerated.
        not_evaluated: Which it could not judge.
        now: The time to judge by.

    Raises:
        AssertionError: It says something else; says what.
        ConfigurationError: The options aren't allowed.
    """
    evaluation = judge(rule, connections, options, now)
    said: dict[str, list[tuple[str, str]]] = {name: [] for name in ("breaks", "waived", "tolerated", "not_evaluated")}
    names = {State.OPEN: "breaks", State.WAIVED: "waived", State.TOLERATED: "tolerated"}
    for finding in evaluation.findings:
        said[names[finding.state]].append((finding.connection, finding.message))
    for item in evaluation.not_evaluated:
        if item.crashed:
            raise AssertionError(f"{rule.id}: {item.reason}")
        said["not_evaluated"].append((item.connection, item.reason))
    expected = {"breaks": breaks, "waived": waived, "tolerated": tolerated, "not_evaluated": not_evaluated}
    differences = [text for name, wanted in expected.items() for text in _differences(name, wanted, said[name])]
    if differences:
        raise AssertionError("\n".join([f"{rule.id} doesn't say what is expected:", *differences]))


def _configured(rule: Rule[Any], options: Mapping[str, Any]) -> Configuration:
    level = options.get("enforcementLevel", "mandatory")
    if level not in ("advisory", "mandatory"):
        allowed = "only advisory or mandatory: a test of a rule that is off would prove nothing"
        raise ConfigurationError([f'{rule.id}: level "{level}" is not allowed, {allowed}'])
    entry = proto.PolicyConfig(enforcementLevel=proto.EnforcementLevel.Value(level.upper()))
    entry.properties.update({name: value for name, value in options.items() if name != "enforcementLevel"})
    return pack.configured({rule.id: entry}, [rule])


def _differences(name: str, expected: Expected, said: list[tuple[str, str]]) -> list[str]:
    parts = expected if isinstance(expected, Mapping) else dict.fromkeys(expected, "")
    texts: dict[str, str] = {}
    for connection_id, text in said:
        texts[connection_id] = f"{texts[connection_id]}; {text}" if connection_id in texts else text
    return [
        *(f"  {name}: {key!r} is expected, and isn't there" for key in parts if key not in texts),
        *(f"  {name}: {key!r} isn't expected: {text}" for key, text in texts.items() if key not in parts),
        *(
            f"  {name}: {key!r}: {part!r} isn't in: {texts[key]}"
            for key, part in parts.items()
            if key in texts and part not in texts[key]
        ),
    ]
