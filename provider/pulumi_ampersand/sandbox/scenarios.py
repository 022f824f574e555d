"""Named data sets.

- ``sample``: the one connection of the API reference's sample answer, word for word.
- ``healthy``: seven connections of several customers, none of which breaks a rule.
- ``mixed``: connections some of which have bad credentials, lack scopes, expire, or can't be verified.
- ``large``: as many healthy connections as asked for, each of about the size that the API sends.

All but ``sample`` belong to the project ``proj_quickstart``, named ``quickstart``, and their times count from the start
of the sandbox. Every credential in them contains ``CANARY``, so that a leak can be searched for.
"""

import json
from datetime import datetime
from difflib import get_close_matches
from importlib.resources import files

from pulumi_ampersand.sandbox.data import DataSet, Project, of_connections
from pulumi_ampersand.sandbox.errors import DataError
from pulumi_ampersand.sandbox.large import large_connections

SCENARIOS = ("sample", "healthy", "mixed", "large")
"""The names of all scenarios."""

DEFAULT_COUNT = 10_000
"""How many connections ``large`` holds unless told otherwise."""


def data_of(name: str, now: datetime, *, count: int | None = None, broken: int = 0) -> DataSet:
    """The data set of that name.

    Args:
        name: one of `SCENARIOS`.
        now: the moment from which the data set's times count.
        count: how many connections ``large`` holds (default `DEFAULT_COUNT`); the others have a fixed number.
        broken: how many of ``large``'s connections, spread evenly, have bad credentials.

    Raises:
        DataError: there is no such scenario, or it can't have so many connections.
    """
    if name not in SCENARIOS:
        nearest = get_close_matches(name, SCENARIOS, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise DataError(f"no scenario {name!r}: {hint}valid are {', '.join(SCENARIOS)}")
    if name == "large":
        connections = large_connections(DEFAULT_COUNT if count is None else count, now, broken=broken)
        return DataSet(connections=connections, project=Project())
    if count is not None or broken:
        raise DataError(f"scenario {name!r} is fixed: a number of connections can be chosen for 'large' only")
    text = (files("pulumi_ampersand.sandbox") / "data_sets" / f"{name}.json").read_bytes()
    connections = json.loads(text)
    if name == "sample":
        return DataSet(
            connections=connections,
            project=Project(id=connections[0]["projectId"], name="sample"),
            text=text,
        )
    return of_connections(connections, now)
