"""Expectations of data sources in the real engine: what a miss stops, and when it is judged."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from conftest import MakeStack
from programs import IMPORTS, RECORD, documents, failure, held
from pulumi_ampersand.sandbox import Sandbox

pytestmark = pytest.mark.engine

KOYO = "conn_koyo_slack (slack, 光陽リテール株式会社)"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with connections that break no rule."""
    with Sandbox("healthy") as running:
        yield running


def program(kind: str, expect: str) -> str:
    """A program with a data source and a resource that needs it."""
    return (
        IMPORTS
        + RECORD
        + f"""
expect = ampersand.Expect({expect})
crm = ampersand.{kind}("crm", provider="slack", expect=expect)
Record("needs", crm.{"connections" if kind == "Connections" else "connection"})
"""
    )


@pytest.mark.parametrize("kind", ["Connections", "ConnectionRef"])
def test_a_miss_stops_what_depends_on_it(make_stack: MakeStack, sandbox: Sandbox, kind: str) -> None:
    """A miss fails preview and update without a pack, names what was found, and what needs it isn't created."""
    sandbox.update("conn_koyo_slack", status="bad_credentials")
    stack = make_stack(program(kind, 'healthy=True, scopes=["chat:write", ["files:read", "files:write"]]'))
    sick = f"expected healthy connections, but found {KOYO}: status bad_credentials"
    ungranted = f"expected other scopes: {KOYO}: not granted: files:read or files:write"
    for failed in (stack.preview(), stack.up()):
        assert failed.code != 0
        assert failed.diagnostics == [failure(kind, "crm", sick), failure(kind, "crm", ungranted)]
    assert not held(stack).keys() & {"crm", "needs"}
    assert not (stack.folder / "needs.json").exists()


def test_what_is_met_passes_and_its_change_is_no_change(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """What is met passes; another expectation is no change, but a miss fails; a refresh expects nothing."""
    met = (
        'min=1, max=1.0, healthy=True, scopes=["chat:write", ["files:read", "users:read"]], workspace="T04[A-Z]+\\\\d+"'
    )
    stack = make_stack(program("Connections", met))
    stack.up(check=True)
    assert [found["id"] for found in json.loads((stack.folder / "needs.json").read_text())] == ["conn_koyo_slack"]
    before = held(stack)["crm"]
    assert "expect" not in {*before["inputs"], *before["outputs"]}

    stack.write(program("Connections", "max=4"))
    stack.preview("--expect-no-changes", check=True)

    stack.write(program("Connections", 'min=2, workspace="T0"'))
    for failed in (stack.preview("--expect-no-changes"), stack.up()):
        assert failed.code != 0
        assert failed.diagnostics == [
            failure("Connections", "crm", f"expected at least 2 connections, found 1: {KOYO}"),
            failure("Connections", "crm", f"expected other workspaces, by expect.workspace: {KOYO}: T04KOYO0001"),
        ]
    assert held(stack)["crm"] == before
    sandbox.update("conn_koyo_slack", status="bad_credentials")
    assert "~ 1 updated" in stack.refresh(check=True).out
    assert documents(held(stack)["crm"], "outputs")["connections"]["conn_koyo_slack"]["healthy"] is False


def test_an_unknown_expectation_is_judged_in_the_update(make_stack: MakeStack) -> None:
    """Outputs may stand anywhere in an expectation; as long as one isn't known, that part waits for the update."""
    stack = make_stack(
        IMPORTS
        + RECORD
        + """
first = Record("first", "")
scope = first.out.apply(lambda name: name + ":write")
known = pulumi.Output.from_input("chat:write")
crm = ampersand.Connections("crm", provider="slack", expect=ampersand.Expect(scopes=[known, [scope, "x"]]))
ref = ampersand.ConnectionRef("ref", provider="slack", expect=ampersand.Expect(scopes=[known, [known, "x"]]))
Record("needs", crm.connections)
"""
    )
    preview = stack.preview(check=True)
    assert "+ 5 to create" in preview.out
    failed = stack.up()
    assert failed.code != 0
    assert failed.diagnostics == [
        failure("Connections", "crm", f"expected other scopes: {KOYO}: not granted: slack:write or x")
    ]
    assert held(stack).keys() & {"first", "crm", "needs"} == {"first"}
    assert not (stack.folder / "needs.json").exists()
    # Now that it is known, a preview judges it.
    assert stack.preview().diagnostics == failed.diagnostics
