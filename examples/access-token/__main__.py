"""Hands a connection's access token to a cluster, as a Kubernetes-style secret.

Read the risk in README.md first: a token that a resource has is in the state, encrypted, and is used until it expires.
"""

import os
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider, UpdateResult

import pulumi_ampersand as ampersand


class SecretProvider(ResourceProvider):
    """Keeps a secret in a local file that only its owner can read: stands for the cluster."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Write the secret."""
        _write(props)
        return CreateResult(props["name"], props)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Write the secret again."""
        _write(_news)
        return UpdateResult(_news)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Delete the secret, if it is still there."""
        _folder(_props["name"]).joinpath("token").unlink(missing_ok=True)


def _folder(name: str) -> Path:
    return Path("cluster") / name


def _write(props: dict[str, Any]) -> None:
    _folder(props["name"]).mkdir(parents=True, exist_ok=True)
    for key, value in props["string_data"].items():
        # The mode is given as the file is made: changed afterwards, others could read it for a moment.
        file = os.open(_folder(props["name"]) / key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as target:
            target.write(value)


class Secret(Resource):
    """Stands for ``pulumi_kubernetes.core.v1.Secret``.

    Args:
        resource_name: The resource's name, and the secret's.
        string_data: What it holds.
        opts: Pulumi's resource options.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        string_data: dict[str, pulumi.Input[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(SecretProvider(), resource_name, {"name": resource_name, "string_data": string_data}, opts)


config = pulumi.Config()

# The connection is checked before its token is asked for: bad credentials fail the preview with a sentence.
crm = ampersand.ConnectionRef(
    "crm",
    provider=config.get("provider") or "salesforce",
    group_ref=config.require("customer"),
    expect=ampersand.Expect(healthy=True),
)

# A secret output: Pulumi shows it as [secret] and encrypts it in the state. Nothing is fetched before it is used.
token = ampersand.get_access_token(crm.connection_id)

Secret("crm-token", string_data={"token": token})
pulumi.export("connection", crm.connection_id)
