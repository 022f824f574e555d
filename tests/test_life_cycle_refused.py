"""What can't work, and what users see instead: imports, and saved plans that time overtakes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import MakeStack
from programs import IMPORTS, held
from pulumi_ampersand.sandbox import Sandbox

pytestmark = pytest.mark.engine


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with connections that break no rule."""
    with Sandbox("healthy") as running:
        yield running


@pytest.mark.parametrize("option", ["id", "import_"])
@pytest.mark.parametrize("kind", ["Connections", "ConnectionRef"])
def test_import_by_option(make_stack: MakeStack, sandbox: Sandbox, kind: str, option: str) -> None:
    """There is nothing to import, and the constructor says so."""
    program = IMPORTS + f'ampersand.{kind}("crm", opts=pulumi.ResourceOptions({option}="conn_koyo_slack"))\n'
    failed = make_stack(program).preview()
    assert failed.code != 0
    assert failed.diagnostics == [
        f'error: {kind} "crm" is read, not imported: leave out opts.id and opts.import_, and give filters instead',
        "error: an unhandled error occurred: program exited with non-zero exit code: 1",
    ]
    assert sandbox.requests == []


@pytest.mark.parametrize("kind", ["Connections", "ConnectionRef"])
def test_import_by_command(make_stack: MakeStack, sandbox: Sandbox, kind: str) -> None:
    """``pulumi import`` of a dynamic resource fails inside the SDK, before our code; the state gets nothing from it."""
    stack = make_stack(IMPORTS)
    # The SDK looks for the pickled provider among the properties of what isn't there yet.
    with pytest.raises(AssertionError, match="KeyError: '__provider'"):
        stack.run(
            "import", "--yes", "--skip-preview", f"pulumi-python:dynamic/ampersand:{kind}", "crm", "conn_koyo_slack"
        )
    assert "crm" not in held(stack)
    assert sandbox.requests == []


def test_saved_plan(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """An update by a saved plan works as long as nothing moved; a token refresh in between violates the plan."""
    program = IMPORTS + 'ampersand.ConnectionRef("crm", provider="slack")\n'
    stack = make_stack(program, PULUMI_EXPERIMENTAL="true")
    stack.preview("--save-plan", "plan.json", check=True)
    assert "+ 2 created" in stack.up("--plan", "plan.json", check=True).out

    stack.preview("--save-plan", "plan.json", check=True)
    before = held(stack)
    sandbox.update("conn_koyo_slack", status="created", updateTime="2026-01-02T03:04:05Z")
    failed = stack.up("--plan", "plan.json")
    assert failed.code != 0
    (line,) = failed.diagnostics
    urn = before["crm"]["urn"]
    assert line.startswith(f"error: resource {urn} violates plan: properties changed: =~observations[{{{{")
    assert '"status":"created","updateTime":"2026-01-02T03:04:05Z"' in line
    assert held(stack) == before
    stack.preview("--save-plan", "plan.json", "--expect-no-changes", check=True)
    stack.up("--plan", "plan.json", check=True)
