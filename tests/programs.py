"""Parts of the Pulumi programs that tests run, and how to look into the stacks that they leave."""

from __future__ import annotations

import json
from typing import Any

from stack import Result, Stack

IMPORTS = """
import json
import pulumi
import pulumi_ampersand as ampersand
"""

RECORD = """
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Recorder(ResourceProvider):
    def create(self, props):
        with open(props["name"] + ".json", "w") as file:
            json.dump(props["value"], file)
        return CreateResult("recorded", {"out": "slack", **props})


class Record(Resource):
    out: pulumi.Output[str]

    def __init__(self, name, value):
        super().__init__(Recorder(), name, {"name": name, "value": value, "out": None})


"""
"""A resource that writes what it is given to a file, and says "slack" once it exists."""


def failure(kind: str, name: str, sentence: str) -> str:
    """The line with which a data source that fails in a preview or an update is reported."""
    return f"error: pulumi-python:dynamic/ampersand:{kind} resource '{name}' has a problem: {sentence}"


def failures_of_refresh(result: Result) -> list[str]:
    """Why a refresh failed, sorted; the engine's own remark that it did is left out."""
    assert result.code != 0
    return sorted(line for line in result.diagnostics if line != "error: update failed")


def held(stack: Stack) -> dict[str, dict[str, Any]]:
    """The resources in the state by their names."""
    return {resource["urn"].rpartition("::")[2]: resource for resource in stack.resources()}


def documents(resource: dict[str, Any], side: str) -> dict[str, dict[str, Any]]:
    """The documents among a data source's "inputs" or "outputs": each a mapping of connection IDs."""
    properties = resource[side]
    return {
        name: {item["id"]: item for item in json.loads(properties[name])[name]}
        for name in ("connections", "observations")
        if name in properties
    }
