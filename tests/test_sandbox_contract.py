"""The sandbox against descriptions of it: its own, and the API's, whose document `AMPERSAND_OPENAPI` names.

Schemathesis makes up requests, right and wrong ones, and checks what the sandbox answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given

from pulumi_ampersand.sandbox import Sandbox
from strategies import examples

OWN: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("sandbox_openapi.json").read_bytes())
CALLS: Final = [(method, path) for path, methods in OWN["paths"].items() for method in methods]
IDS: Final = [OWN["paths"][path][method]["operationId"] for method, path in CALLS]
each_call = pytest.mark.parametrize(("method", "path"), CALLS, ids=IDS)


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    """The API, with one connection of each kind."""
    with Sandbox("mixed") as running:
        yield running


def knowing(document: dict[str, Any], server: Sandbox) -> dict[str, Any]:
    """A description whose paths lead to what there is: by chance nobody would find it."""
    there = {
        "project": [server.project, server.connections[0]["projectId"]],
        # Others have nothing to authorise again.
        "connection": [one["id"] for one in server.connections if one["authScheme"].startswith("oauth2/auth")],
    }

    def known(value: Any) -> Any:
        if isinstance(value, list):
            return [known(item) for item in value]
        if not isinstance(value, dict):
            return value
        made = {name: known(item) for name, item in value.items()}
        if value.get("in") == "path" and isinstance(value.get("schema"), dict):
            (names,) = (names for start, names in there.items() if value["name"].startswith(start))
            made["schema"] = {"type": "string", "enum": names}
        return made

    found: dict[str, Any] = known(document)
    return found


def check(document: Any, method: str, path: str, server: Sandbox, *, valid: bool, number: int) -> list[int]:
    """Make requests of one call and check the answers; which statuses they had."""
    # Half a second, of which no other test should have any.
    import schemathesis
    from schemathesis.checks import CHECKS

    server.reset()
    operation = schemathesis.openapi.from_dict(document)[path][method]
    mode: Any = schemathesis.GenerationMode.POSITIVE if valid else schemathesis.GenerationMode.NEGATIVE
    known = {parameter.name for parameter in operation.query}
    statuses = []

    @examples(number)
    @given(operation.as_strategy(mode))
    def ask(case: Any) -> None:
        response = case.call(base_url=f"{server.url}/v1", headers={"X-Api-Key": server.api_key})
        statuses.append(response.status_code)
        # Parameters that nobody knows are skipped, as they are everywhere.
        skipped = ["negative_data_rejection"] if (case.query or {}).keys() - known else []
        case.validate_response(response, checks=CHECKS.get_all(), excluded_checks=CHECKS.get_by_names(skipped))

    ask()
    return statuses


@each_call
def test_what_there_is(server: Sandbox, method: str, path: str) -> None:
    """Each right request about what there is has the answer that is described."""
    assert set(check(knowing(OWN, server), method, path, server, valid=True, number=25)) == {200}


@each_call
def test_what_there_is_not(server: Sandbox, method: str, path: str) -> None:
    """Projects and connections of any other name aren't there, whatever is in the name."""
    assert set(check(OWN, method, path, server, valid=True, number=25)) == {404 if "{" in path else 200}


@each_call
def test_wrong_requests(server: Sandbox, method: str, path: str) -> None:
    """A wrong parameter, a wrong key or none: refused, with a problem document that is as described."""
    statuses = check(knowing(OWN, server), method, path, server, valid=False, number=40)
    # A flag that is none is what can be wrong besides.
    assert {401, *([400] if path.endswith("{connection}") else [])} <= set(statuses)


def test_the_published_contract(server: Sandbox) -> None:
    """The same against the OpenAPI document that `AMPERSAND_OPENAPI` names: only scopes and statuses are looser."""
    contract = os.environ.get("AMPERSAND_OPENAPI")
    if contract is None:
        pytest.skip("AMPERSAND_OPENAPI names no OpenAPI document")
    document = json.loads(Path(contract).read_bytes())
    schemas = document["components"]["schemas"]
    schemas["ProviderApp"]["properties"]["scopes"] = {}
    schemas["Connection"]["properties"]["status"] = {"type": "string"}
    for path, methods in document["paths"].items():
        for method in methods:
            assert set(check(knowing(document, server), method, path, server, valid=True, number=20)) == {200}
            for described, valid in ((document, True), (knowing(document, server), False)):
                check(described, method, path, server, valid=valid, number=20)
