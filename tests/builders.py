"""Answers of the API and sandboxes' projects, made of the test kit's connections."""

from __future__ import annotations

import json
from typing import Any

from pulumi_ampersand.sandbox import Project
from pulumi_ampersand_policies.testing import connection


def answer(*connections: Any) -> bytes:
    """The API's answer that lists these connections."""
    return json.dumps(connections).encode()


def two_projects(**changes: Any) -> list[Project]:
    """Two projects for a sandbox: ``first`` with connections a, b and c, ``second`` with d, which may be changed."""
    return [
        Project(
            id="proj_1",
            name="first",
            connections=[
                connection("a", provider="hubspot"),
                connection("b", group={"groupRef": "globex"}),
                connection("c", consumer={"consumerRef": "jim"}, status="bad_credentials"),
            ],
        ),
        Project(id="proj_2", name="second", connections=[connection("d", projectId="proj_2", **changes)]),
    ]
