"""Answers of the API that are as loose as real ones: made from a seed, never twice the same.

Every one of them is readable: each entry has an ID, a provider and a status. All else may be absent, null, of a wrong
type, in any of its known forms, or unknown. Every credential contains ``CANARY``.
"""

import json
import random
from typing import Any

CANARY = "CANARY"

TEXTS = [
    "",
    "plain",
    "Zoë 株式会社 🚀",
    "\ud800",
    "x\udfffy\ud83d",
    "\\ud800",
    "\\\ud800",
    "<{%fg 1%}>\x1b[31m\u202e\n\0",
    "a/../b?c=d&e#f",
    '"quoted"',
]
TIMES = [
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.1Z",
    "2026-01-01T00:00:00.123456789012Z",
    "2026-01-01T00:00:00.5+05:30",
    "9999-12-31T23:59:59.9999999Z",
    "0001-01-01T00:00:00Z",
    "yesterday",
]
SCOPES: list[Any] = [
    [],
    [[]],
    "",
    "  ",
    "write read",
    ["write", "read", "read"],
    ["write read", " admin  read "],
    [["write", "read offline"], ["read"]],
    ["write", ["read"]],
    ["\ud800", "é"],
]
WRONG: list[Any] = [0, -1.5, 10**400, True, False, [], {}, [1], [None], [{}], {"a": [1]}, [[["deep"]]]]
"""Values of each JSON type; where one of them is right, it does no harm."""


def loose_answer(seed: int, size: int = 5) -> bytes:
    """The body of a list answer; the same for the same seed."""
    chance = random.Random(seed)
    entries = [_connection(chance, f"conn-{number}") for number in range(size)]
    chance.shuffle(entries)
    if chance.random() < 0.5:
        return json.dumps(entries).encode()
    # Surrogates as raw bytes, which are no UTF-8.
    return json.dumps(entries, ensure_ascii=False, indent=chance.choice([None, 1])).encode("utf-8", "surrogatepass")


def _connection(chance: random.Random, identifier: str) -> dict[str, Any]:
    project = _one(TEXTS)
    party = {"projectId": project, "createTime": _one(TIMES), "updateTime": _one(TIMES)}
    token = {"token": _one([f"{CANARY}-token"]), "issuedAt": _one(TIMES), "expiresAt": _one(TIMES)}
    fields: dict[str, Any] = {
        "projectId": project,
        "authScheme": _one(["oauth2/authorizationCode", "apiKey", "none", "smoke-signals", "\ud800"]),
        "group": {"groupRef": _one(TEXTS), "groupName": _one(TEXTS), **party},
        "consumer": {"consumerRef": _one(TEXTS), "consumerName": _one(TEXTS), **party},
        "providerWorkspaceRef": _one(TEXTS),
        "providerConsumerRef": _one(TEXTS),
        "createTime": _one(TIMES),
        "updateTime": _one(TIMES),
        "providerApp": {
            **party,
            "id": _one(TEXTS),
            "externalRef": _one(TEXTS),
            "provider": _one(TEXTS),
            "clientId": _one(TEXTS),
            "clientSecret": _one([f"{CANARY}-secret"]),
            "scopes": _one(SCOPES),
        },
        "providerMetadata": {
            name: {"value": _one(TEXTS), "source": _one(["input", "token", "\ud800"]), "displayName": _one(TEXTS)}
            for name in chance.sample(["instanceUrl", "a.b", "", "\ud800"], k=2)
        },
        "oauth2AuthorizationCode": {"accessToken": token, "refreshToken": token, "scopes": _one(SCOPES)},
        "apiKey": _one([f"{CANARY}-key"]),
        "labels\ud800": _one(WRONG),
    }
    sent: dict[str, Any] = _loosened(fields, chance)
    sent.update(
        id=identifier,
        provider=chance.choice(["salesforce", "hubspot", *TEXTS]),
        status=chance.choice(["created", "working", "bad_credentials", "error", "\ud800"]),
    )
    return _shuffled(sent, chance)


class _one:  # noqa: N801 - reads like the choice that it stands for
    """A choice to be made."""

    def __init__(self, choices: list[Any]) -> None:
        self.choices = choices


def _loosened(value: Any, chance: random.Random) -> Any:
    if isinstance(value, _one):
        return chance.choice(value.choices)
    kept = {}
    for key, item in value.items():
        luck = chance.random()
        if luck < 0.1:
            continue
        kept[key] = None if luck < 0.2 else chance.choice(WRONG) if luck < 0.25 else _loosened(item, chance)
    return kept


def _shuffled(value: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    return {key: value[key] for key in chance.sample(list(value), k=len(value))}
