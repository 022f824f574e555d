"""The scenario ``large``: many healthy connections, the same ones each time."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pulumi_ampersand.sandbox.data import DEFAULT_PROJECT_ID
from pulumi_ampersand.sandbox.errors import DataError
from pulumi_ampersand.sandbox.times import write


class _Provider(NamedTuple):
    name: str
    scopes: list[str]
    workspace: str
    metadata: dict[str, Any]


_PROVIDERS = (
    _Provider(
        "salesforce",
        ["api", "refresh_token", "openid", "profile"],
        "https://customer-{n}.my.salesforce.com",
        {"instanceUrl": {"value": "https://login.salesforce.com", "source": "token", "displayName": "Instance URL"}},
    ),
    _Provider(
        "hubspot",
        ["oauth", "crm.objects.contacts.read", "crm.objects.companies.read", "crm.objects.deals.read"],
        "{n}",
        {"hubDomain": {"value": "app.hubspot.com", "source": "provider", "displayName": "Hub domain"}},
    ),
    _Provider(
        "slack",
        ["channels:read", "chat:write", "users:read"],
        "T{n:08d}",
        {"enterprise": {"value": "false", "source": "provider", "displayName": "Enterprise grid"}},
    ),
    _Provider(
        "microsoft",
        ["offline_access", "https://graph.microsoft.com/Mail.Read", "https://graph.microsoft.com/Calendars.Read"],
        "customer-{n}.onmicrosoft.com",
        {"tenant": {"value": "common", "source": "input", "displayName": "Tenant"}},
    ),
)
# A real token is long: it is most of what a connection weighs on the wire.
_PADDING = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"


def large_connections(count: int, now: datetime, *, broken: int = 0) -> list[dict[str, Any]]:
    """`count` connections, one for each customer; `broken` of them, spread evenly, have bad credentials.

    All others keep every rule: statuses and times vary, but no refresh token is old or near its end.

    Raises:
        DataError: a number is negative, or more are to be broken than there are.
    """
    if count < 0 or not 0 <= broken <= count:
        raise DataError(f"{count} connections with {broken} broken: both must be 0 or more, and at most all broken")
    apps = [_provider_app(provider, now) for provider in _PROVIDERS]
    return [
        _connection(
            number, now, apps[number % len(apps)], bad=(number + 1) * broken // count > number * broken // count
        )
        for number in range(count)
    ]


def _provider_app(provider: _Provider, now: datetime) -> dict[str, Any]:
    return {
        "id": f"app_{provider.name}",
        "projectId": DEFAULT_PROJECT_ID,
        "externalRef": f"external-{provider.name}",
        "provider": provider.name,
        "clientId": f"client-{provider.name}",
        "scopes": provider.scopes,
        "createTime": write(now - timedelta(days=400)),
        "updateTime": write(now - timedelta(days=90)),
    }


def _connection(number: int, now: datetime, app: dict[str, Any], *, bad: bool) -> dict[str, Any]:
    provider = _PROVIDERS[number % len(_PROVIDERS)]
    age = timedelta(days=20 + number % 300, seconds=number % 86_400)
    made = write(now - age, fraction=6)
    refreshed = write(now - timedelta(minutes=number % 50), fraction=6)
    party = {"projectId": DEFAULT_PROJECT_ID, "createTime": made, "updateTime": made}
    return {
        "id": f"conn_{number:08d}",
        "projectId": DEFAULT_PROJECT_ID,
        "provider": provider.name,
        "providerApp": app,
        "group": {"groupRef": f"customer-{number}", "groupName": f"Customer {number}", **party},
        "consumer": {"consumerRef": f"user-{number}", "consumerName": f"Administrator of customer {number}", **party},
        "providerWorkspaceRef": provider.workspace.format(n=number),
        "providerConsumerRef": f"{provider.name}-user-{number}",
        "createTime": made,
        "updateTime": refreshed,
        "authScheme": "oauth2/authorizationCode",
        "status": "bad_credentials" if bad else ("working", "working", "created")[number % 3],
        "oauth2AuthorizationCode": {
            "accessToken": {
                "token": f"CANARY-access-{number:08d}-{_PADDING}",
                "issuedAt": refreshed,
                "expiresAt": write(now + timedelta(minutes=70 + number % 50), fraction=6),
            },
            "refreshToken": {
                "token": f"CANARY-refresh-{number:08d}-{_PADDING}",
                "issuedAt": made,
                # Every fourth one has no end of its own: it is valid until the customer revokes it.
                **({} if number % 4 == 0 else {"expiresAt": write(now + timedelta(days=30 + number % 150))}),
            },
            "scopes": provider.scopes,
        },
        "providerMetadata": provider.metadata,
    }
