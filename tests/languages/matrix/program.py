"""Makes the calls that CALLS lists, JSON, and exports what each gives, and stashes it: an ordinary program.

See main.ts, which takes the same and does the same.
"""

import json
import os
import re
from typing import Any

import pulumi
import pulumi_ampersand_sdk as ampersand  # type: ignore[import-not-found]  # the engine makes it

GIVES = {"getConnections": "connections", "getProjects": "projects", "getAccessToken": "access_token"}
"""The field that is stashed of what a function gives; otherwise all of it."""

calls = json.loads(os.environ["CALLS"])
config = pulumi.Config()
later = pulumi.Stash("later", input="")
options: dict[str, dict[str, Any]] = {}
if any(call["way"] == "explicit" for call in calls):
    eu = ampersand.Provider(
        "eu",
        api_key=config.require_secret("euKey"),
        api_url=config.require("euUrl"),
        project=config.require("euProject"),
    )
    options["explicit"] = {"provider": eu}


def snake(name: str) -> str:
    """A name as Python has it."""
    return re.sub("([A-Z])", lambda found: "_" + found[1].lower(), name)


def after_later(value: str) -> Any:
    """A value that isn't known before the resource is there."""
    return later.id.apply(lambda _: value)


def fields(record: object) -> dict[str, Any]:
    """What a record holds, as the API names it."""
    return {re.sub("_(.)", lambda found: found[1].upper(), name): value for name, value in vars(record).items()}


def made(call: dict[str, Any]) -> Any:
    """What a call gives."""
    function, unknown = call["function"], call["way"] == "unknown"
    given = {snake(name): after_later(value) if unknown else value for name, value in call["arguments"].items()}
    more = options.get(call["way"], {})
    if function == "Connections":
        return ampersand.Connections(call["name"], **given, opts=pulumi.ResourceOptions(**more)).connections
    if function == "getProjects" and unknown:
        more = {"depends_on": [later]}
    read = getattr(ampersand, f"{snake(function)}_output")
    result = read(**given, opts=pulumi.InvokeOutputOptions(**more))
    # What gives all of it is a record, which isn't an input by itself.
    return getattr(result, GIVES[function]) if function in GIVES else result.apply(fields)


for call in calls:
    result = made(call)
    pulumi.export(call["name"], result)
    if call["way"] != "error":
        pulumi.Stash(f"{call['name']}-stash", input=result)
