"""A program that reads connections as the SDK's documentation leads one to: the answer's objects become a property."""

from __future__ import annotations

import os
from typing import Any

import httpx
import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Provider(ResourceProvider):
    """Keeps what the program has read."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Nothing is created."""
        return CreateResult("connections", props)


class Connections(Resource):
    """The connections of a project."""

    connections: pulumi.Output[list[Any]]

    def __init__(self, name: str, connections: list[Any]) -> None:
        super().__init__(Provider(), name, {"connections": connections})


root, project = os.environ["AMP_API_URL"], os.environ["AMP_PROJECT"]
answer = httpx.get(
    f"{root}/v1/projects/{project}/connections", headers={"X-Api-Key": os.environ["AMP_API_KEY"]}, timeout=60
)
pulumi.export("count", Connections("all", answer.raise_for_status().json()).connections.apply(len))
