"""A saved answer of the API, as large as one likes and the same each time, with what a real one has.

Eight providers of different weight, UUIDs in no order, tokens as long as each provider's, a provider app whose scopes
are nested, token times that are all different. Of the connections 2% have bad credentials, 2% lack a scope, 2% expire
soon or have expired, 0.5% authenticate in a way that is denied by default; and a few of everything else that rules look
for.
"""

from __future__ import annotations

import json
import random
import string
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple

AS_OF: Final = datetime(2026, 11, 24, 8, tzinfo=timezone.utc)
"""The time to judge by: just after the answer was saved."""

REQUIRED_SCOPES: Final[dict[str, list[str | list[str]]]] = {
    "salesforce": ["api", ["refresh_token", "offline_access"]],
    "hubspot": ["oauth", "crm.objects.contacts.read"],
    "google": ["https://www.googleapis.com/auth/gmail.readonly"],
    "microsoft": ["offline_access", ["https://graph.microsoft.com/Mail.Read", "Mail.Read"]],
    "slack": ["channels:read"],
    "*": [],
}
"""What ``required-scopes`` asks for: the first scope of each provider that has one, and another of some."""

PROJECT: Final = "5b0f1c9e-1d0a-4f0e-9a55-1f3c2d6b7a80"


class Provider(NamedTuple):
    """What a provider's connections are like.

    Attributes:
        name: As the API names it.
        weight: How common it is, out of 100.
        scopes: What its app asks for; none: its connections have an API key.
        workspace: What a workspace is called there.
        metadata: Names of what is known of a connection, and where that came from.
        access: Characters of an access token.
        refresh: Characters of a refresh token.
        lifetime: Minutes for which an access token is valid.
        ends: Days for which a refresh token is valid; 0: until it is revoked.
    """

    name: str
    weight: int
    scopes: tuple[str, ...]
    workspace: str
    metadata: tuple[tuple[str, str], ...]
    access: int = 0
    refresh: int = 0
    lifetime: int = 0
    ends: int = 0


PROVIDERS: Final = (
    Provider(
        "salesforce",
        30,
        ("api", "refresh_token", "openid"),
        "{slug}.my.salesforce.com",
        (("instanceUrl", "token"),),
        access=112,
        refresh=87,
        lifetime=120,
        ends=365,
    ),
    Provider(
        "hubspot",
        20,
        ("oauth", "crm.objects.contacts.read", "crm.objects.companies.read"),
        "{number}",
        (("hubDomain", "provider"),),
        access=100,
        refresh=36,
        lifetime=30,
    ),
    Provider(
        "google",
        14,
        (
            "https://www.googleapis.com/auth/gmail.readonly",
            "https://www.googleapis.com/auth/calendar.events.readonly",
            "openid",
        ),
        "{slug}.example.com",
        (("hostedDomain", "token"),),
        access=186,
        refresh=103,
        lifetime=60,
        ends=180,
    ),
    Provider(
        "microsoft",
        12,
        ("offline_access", "https://graph.microsoft.com/Mail.Read", "https://graph.microsoft.com/Calendars.Read"),
        "{slug}.onmicrosoft.com",
        (("tenantId", "token"),),
        access=410,
        refresh=190,
        lifetime=75,
        ends=90,
    ),
    Provider(
        "slack",
        8,
        ("channels:read", "chat:write", "users:read", "team:read"),
        "T{number:010d}",
        (("teamName", "provider"),),
        access=56,
        refresh=146,
        lifetime=720,
    ),
    Provider(
        "zendesk",
        6,
        ("read", "tickets:write"),
        "{slug}.zendesk.com",
        (("subdomain", "input"),),
        access=64,
        refresh=64,
        lifetime=2880,
        ends=90,
    ),
    Provider(
        "notion",
        5,
        ("read_content", "read_user"),
        "{slug}",
        (("workspaceName", "provider"),),
        access=50,
        refresh=50,
        lifetime=1440,
    ),
    Provider("gong", 5, (), "{slug}.api.gong.io", (("apiBase", "input"),)),
)

_DENIED: Final = ("none", "basic", "oauth2/password")

_FIRST: Final = ("Acme", "Globex", "Initech", "Umbrella", "Stark", "Wayne", "Hooli", "Vandelay", "Wonka", "Tyrell")
_SECOND: Final = ("Logistics", "Health", "Retail", "Analytics", "Foods", "Energy", "Robots", "Travel", "Bank", "Media")
_LEGAL: Final = ("Inc.", "GmbH", "Ltd", "S.A.", "LLC", "B.V.", "Pty Ltd", "AG")
_GIVEN: Final = ("Maria", "Jun", "Amara", "Oliver", "Ines", "Tomas", "Leila", "Noah", "Priya", "Sven")
_FAMILY: Final = ("Silva", "Tanaka", "Okafor", "Smith", "Duarte", "Novak", "Haddad", "Fischer", "Nair", "Berg")
_WORLD_FIRST: Final = ("Société", "株式会社", "Škoda", "Müller", "Łódź", "Ångström", "Компания", "شركة", "Núñez", "Øst")
_WORLD_SECOND: Final = (
    "Générale",
    "日本",
    "Žilina",
    "& Söhne",
    "Śląsk",
    "Öresund",
    "Восток",
    "النور",
    "España",
    "Fjord",
)
_WORLD_GIVEN: Final = ("María", "淳", "Ámara", "Zoë", "Inês", "Tomáš", "ليلى", "Игорь", "प्रिया", "Søren")

_ALPHABET: Final = string.ascii_letters + string.digits + "-_"


def write_saved_answer(path: Path, count: int, *, world: bool = False, as_of: datetime = AS_OF) -> int:
    """Write an answer with so many connections, one at a time: what it holds never lies in memory.

    Args:
        path: The file.
        count: How many connections.
        world: Whether customers' names are of all scripts, and an ampersand is escaped as the API's encoder does it.
        as_of: When it was saved.

    Returns:
        The size of the file in bytes.
    """
    encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        before = "["
        for connection in connections(count, world=world, as_of=as_of):
            file.write(before + encoder.encode(connection).replace("&", "\\u0026"))
            before = ","
        file.write("]\n")
    return path.stat().st_size


def connections(count: int, *, world: bool = False, as_of: datetime = AS_OF) -> Iterator[dict[str, Any]]:
    """Generate the connections.

    Which of them break a rule about time stays the same for five hours from ``as_of`` on.
    """
    chance = random.Random(4711)
    noise = "".join(chance.choices(_ALPHABET, k=1 << 16))
    apps = {provider.name: _app(provider, chance) for provider in PROVIDERS}
    weights = [provider.weight for provider in PROVIDERS]
    for number, provider in enumerate(chance.choices(PROVIDERS, weights, k=count)):
        yield _connection(number, provider, apps[provider.name], chance, noise, as_of=as_of, world=world)


def _app(provider: Provider, chance: random.Random) -> dict[str, Any]:
    return {
        "id": _uuid(chance),
        "projectId": PROJECT,
        "provider": provider.name,
        "clientId": f"{chance.getrandbits(128):032x}",
        "scopes": [list(provider.scopes)] if provider.scopes else [],
        "createTime": "2024-02-19T10:12:44.381902Z",
    }


def _connection(
    number: int,
    provider: Provider,
    app: dict[str, Any],
    chance: random.Random,
    noise: str,
    *,
    as_of: datetime,
    world: bool,
) -> dict[str, Any]:
    fate = chance.random()
    bad, unscoped, ending, denied = fate < 0.02, 0.02 <= fate < 0.045, 0.04 <= fate < 0.065, 0.07 <= fate < 0.075
    made = as_of - timedelta(days=2 + 370 * chance.random(), microseconds=chance.randrange(10**6))
    issued = as_of - timedelta(minutes=provider.lifetime or 1440) * 0.7 * chance.random()
    name = f"{chance.choice(_FIRST)} {chance.choice(_SECOND)} {number % 997} {chance.choice(_LEGAL)}"
    slug = name.lower().replace(" ", "-").replace(".", "")
    user = f"{chance.choice(_GIVEN)} {chance.choice(_FAMILY)}"
    if world:
        name = f"{chance.choice(_WORLD_FIRST)} {chance.choice(_WORLD_SECOND)} {number % 997} {chance.choice(_LEGAL)}"
        user = f"{chance.choice(_WORLD_GIVEN)} {chance.choice(_FAMILY)}"
    customer = {"projectId": PROJECT, "createTime": _text(made)}
    connection: dict[str, Any] = {
        "id": _uuid(chance),
        "projectId": PROJECT,
        "provider": provider.name,
        "providerApp": app,
        "group": {"groupRef": f"org_{chance.getrandbits(40):010x}", "groupName": name, **customer},
        "consumer": {"consumerRef": f"user_{chance.getrandbits(40):010x}", "consumerName": user, **customer},
        "providerWorkspaceRef": provider.workspace.format(slug=slug, number=1_000_000 + number),
        "providerConsumerRef": f"{chance.getrandbits(60):018d}",
        "createTime": _text(made),
        "updateTime": _text(issued),
        "authScheme": "oauth2/authorizationCode" if provider.scopes else "apiKey",
        "status": "bad_credentials" if bad else ("working" if fate < 0.9 else "created"),
    }
    if denied:
        connection["authScheme"] = chance.choice(_DENIED)
    elif provider.scopes:
        connection["oauth2AuthorizationCode"] = _grant(
            provider, made, issued, chance, noise, as_of=as_of, unscoped=unscoped, ending=ending
        )
    else:
        connection["apiKey"] = _cut(noise, chance, 96)
    connection["providerMetadata"] = {
        key: {"value": f"{slug}-{key}", "source": source, "displayName": key[0].upper() + key[1:]}
        for key, source in provider.metadata
    }
    return connection


def _grant(
    provider: Provider,
    made: datetime,
    issued: datetime,
    chance: random.Random,
    noise: str,
    *,
    as_of: datetime,
    unscoped: bool,
    ending: bool,
) -> dict[str, Any]:
    access = {
        "token": _cut(noise, chance, provider.access),
        "issuedAt": _text(issued),
        "expiresAt": _text(issued + timedelta(minutes=provider.lifetime)),
    }
    refresh = {"token": _cut(noise, chance, provider.refresh), "issuedAt": _text(made)}
    if ending:
        day, part = divmod(10 * chance.random(), 1)
        refresh["expiresAt"] = _text(as_of + timedelta(days=day - 2 + 0.25 + part / 2))
    elif provider.ends:
        refresh["expiresAt"] = _text(as_of + timedelta(days=8 + provider.ends * chance.random()))
    scopes = provider.scopes[1:] if unscoped else provider.scopes
    return {"accessToken": access, "refreshToken": refresh, "scopes": list(scopes)}


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _cut(noise: str, chance: random.Random, length: int) -> str:
    start = chance.randrange(len(noise) - length)
    return noise[start : start + length]


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond:06d}Z"
