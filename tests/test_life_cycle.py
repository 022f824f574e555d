"""Both data sources in the real engine, from their first preview to their end, while connections come and go."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import MakeStack
from programs import IMPORTS, documents, failure, failures_of_refresh, held
from pulumi_ampersand.sandbox import Sandbox
from stack import Result, Stack

pytestmark = pytest.mark.engine

PROGRAM = (
    IMPORTS
    + """
config = pulumi.Config()
every = ampersand.Connections("every", provider=config.get("provider"))
by_id = ampersand.ConnectionRef("by-id", connection_id=config.get("id") or "conn_koyo_slack")
by_filter = ampersand.ConnectionRef("by-filter", provider="slack")
pulumi.export("ids", every.ids)
pulumi.export("name", by_id.group_name)
pulumi.export("healthy", by_filter.healthy)
"""
)
IDS = [
    "conn_aster_hubspot",
    "conn_brightwater_salesforce",
    "conn_fjordlys_microsoft",
    "conn_koyo_slack",
    "conn_lumen_gong",
    "conn_lumen_salesforce",
    "conn_meble_google",
]
KOYO = "光陽リテール株式会社"
RENAMED = {"groupRef": "koyo", "groupName": "Koyo Retail"}
SOURCES = ("every", "by-id", "by-filter")
RECORDED = "gASVOAAAAAAAAACMGXB1bHVtaV9hbXBlcnNhbmQucHJvdmlkZXKUjBNDb25uZWN0aW9uc1Byb3ZpZGVylJOUKYGULg=="
"""``__provider`` as version 0.1.0 wrote it."""

GONE = "404 connectionId: the project has no such connection"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with connections that break no rule."""
    with Sandbox("healthy") as running:
        yield running


@pytest.fixture
def stack(make_stack: MakeStack) -> Stack:
    """A stack that has read everything."""
    made = make_stack(PROGRAM)
    made.up(check=True)
    return made


def change(result: Result) -> str:
    """What a preview that expected no changes says it would change."""
    assert result.code != 0
    assert "changes were proposed" in result.text
    return " ".join(line.strip() for line in result.out.partition("\nResources:\n")[2].splitlines() if line.strip())


def kept(stack: Stack) -> dict[str, Any]:
    """What the state holds of the data sources; a failing refresh may change the order and the times of entries."""
    found = held(stack)
    return {name: (found[name]["id"], found[name]["inputs"], found[name]["outputs"]) for name in SOURCES}


def test_first_preview_then_update(make_stack: MakeStack) -> None:
    """Everything is known before anything exists; the update keeps it, and then nothing is left to change."""
    stack = make_stack(PROGRAM)
    preview = stack.preview(check=True)
    assert "[unknown]" not in preview.out
    assert all(f'"{name}"' in preview.out for name in IDS)
    assert "+ 4 to create" in preview.out
    assert stack.resources() == []

    assert "+ 4 created" in stack.up(check=True).out
    assert stack.outputs() == {"ids": IDS, "name": KOYO, "healthy": True}
    found = held(stack)
    for name, ids in (("every", IDS), ("by-id", ["conn_koyo_slack"]), ("by-filter", ["conn_koyo_slack"])):
        resource = found[name]
        assert uuid.UUID(resource["id"]).version == 4
        assert list(documents(resource, "inputs")["connections"]) == ids
        assert list(documents(resource, "inputs")["observations"]) == ids
        assert documents(resource, "outputs") == {"connections": documents(resource, "inputs")["connections"]}
    assert "4 unchanged" in stack.preview("--expect-no-changes", check=True).out


def test_change_of_a_filter(stack: Stack, sandbox: Sandbox) -> None:
    """Another filter is an update in place, which reads by the new one; so does the refresh after it."""
    before = held(stack)
    sandbox.clear_requests()
    changed = stack.up("--config", "provider=google", "--config", "id=conn_lumen_gong", check=True)
    assert "~ 2 updated" in changed.out
    assert stack.outputs() == {"ids": ["conn_meble_google"], "name": "Lumen Clinics", "healthy": True}
    after = held(stack)
    assert {name: after[name]["id"] for name in SOURCES} == {name: before[name]["id"] for name in SOURCES}
    assert {after["every"][side]["provider"] for side in ("inputs", "outputs")} == {"google"}
    assert {after["by-id"][side]["connectionId"] for side in ("inputs", "outputs")} == {"conn_lumen_gong"}
    asked = [(request.kind, dict(request.query)) for request in sandbox.requests if request.kind == "list"]
    assert ("list", {"provider": "google"}) in asked
    assert ("list", {}) not in asked

    sandbox.clear_requests()
    stack.refresh(check=True)
    assert ("list", {"provider": "google"}) in [(r.kind, dict(r.query)) for r in sandbox.requests]


def test_a_connection_vanishing(stack: Stack, sandbox: Sandbox) -> None:
    """A list gets shorter; a single connection that is gone fails preview and update, and the state stays."""
    sandbox.connections = [sent for sent in sandbox.connections if sent["id"] != "conn_lumen_gong"]
    assert "~ 1 updated" in stack.up(check=True).out
    assert stack.outputs()["ids"] == [name for name in IDS if name != "conn_lumen_gong"]

    sandbox.connections = [sent for sent in sandbox.connections if sent["id"] != "conn_koyo_slack"]
    before = held(stack)
    # The engine stops at the first failure, so each is looked at alone.
    missing = stack.preview("--target", "**::by-id")
    assert missing.code != 0
    (line,) = missing.diagnostics
    where = f'reading connection "conn_koyo_slack" of project "quickstart" at {sandbox.url}: {GONE}'
    assert line.startswith(failure("ConnectionRef", "by-id", where))
    failed = stack.up("--target", "**::by-filter")
    assert failed.code != 0
    assert failed.diagnostics == [
        failure(
            "ConnectionRef",
            "by-filter",
            "expected one connection, found none; change project, connection_id, provider, group_ref or consumer_ref",
        )
    ]
    assert stack.up().code != 0
    after = held(stack)
    assert (after["by-id"], after["by-filter"]) == (before["by-id"], before["by-filter"])


def test_a_connection_added(stack: Stack, sandbox: Sandbox) -> None:
    """A list gets longer; a reference by filters that now fit two fails and says which, in a preview, too."""
    new = {**sandbox.connections[0], "id": "conn_new"}
    sandbox.connections = [*sandbox.connections, new]
    assert change(stack.preview("--expect-no-changes")) == "~ 1 to update 3 unchanged"
    stack.up(check=True)
    assert stack.outputs()["ids"] == [*IDS, "conn_new"]

    sandbox.connections = [*sandbox.connections, {**new, "id": "conn_second", "provider": "slack"}]
    failed = stack.preview()
    assert failed.code != 0
    assert failed.diagnostics == [
        failure(
            "ConnectionRef",
            "by-filter",
            f"expected one connection, found 2: conn_koyo_slack (slack, {KOYO}), conn_second (slack, Brightwater "
            "Logistics); change project, connection_id, provider, group_ref or consumer_ref",
        )
    ]


def test_status_changes(stack: Stack, sandbox: Sandbox) -> None:
    """Between created and working nothing changes, though both flip all day; bad credentials are a change."""
    sandbox.update("conn_koyo_slack", status="created", updateTime="@now")
    sandbox.update("conn_aster_hubspot", status="working", updateTime="@now")
    assert "4 unchanged" in stack.preview("--expect-no-changes", check=True).out

    sandbox.update("conn_koyo_slack", status="bad_credentials")
    assert change(stack.preview("--expect-no-changes")) == "~ 3 to update 1 unchanged"
    stack.up(check=True)
    assert stack.outputs()["healthy"] is False

    sandbox.update("conn_koyo_slack", status="created")
    assert "~ 3 updated" in stack.up(check=True).out
    assert stack.outputs()["healthy"] is True


def test_refresh(stack: Stack, sandbox: Sandbox) -> None:
    """A refresh puts what is true now into outputs and both documents of the inputs; a preview then is quiet."""
    sandbox.update("conn_koyo_slack", group=RENAMED, status="created", updateTime="2026-01-02T03:04:05Z")
    assert "~ 3 updated" in stack.refresh(check=True).out
    found = held(stack)
    for name in SOURCES:
        resource = found[name]
        inputs, outputs = documents(resource, "inputs"), documents(resource, "outputs")
        assert outputs == {"connections": inputs["connections"]}
        assert inputs["connections"]["conn_koyo_slack"]["group"] == RENAMED
        seen = inputs["observations"]["conn_koyo_slack"]
        assert (seen["status"], seen["updateTime"]) == ("created", "2026-01-02T03:04:05Z")
    stack.preview("--expect-no-changes", check=True)
    # What only concerns how it was found is brought up to date, too: `policy analyze` judges the state.
    sandbox.update("conn_koyo_slack", status="working")
    stack.refresh(check=True)
    found = held(stack)
    for name in SOURCES:
        assert documents(found[name], "inputs")["observations"]["conn_koyo_slack"]["status"] == "working"


def test_refresh_after_a_connection_vanished(stack: Stack, sandbox: Sandbox) -> None:
    """A refresh records that a single connection is gone instead of failing; the next preview says what is missing."""
    sandbox.connections = [sent for sent in sandbox.connections if sent["id"] != "conn_koyo_slack"]
    assert "~ 3 updated" in stack.refresh(check=True).out
    found = held(stack)
    for name in ("by-id", "by-filter"):
        resource = found[name]
        assert documents(resource, "inputs") == {"connections": {}, "observations": {}}
        assert documents(resource, "outputs") == {"connections": {}}
    assert found["by-id"]["outputs"]["connectionId"] == "conn_koyo_slack"
    assert list(documents(found["every"], "outputs")["connections"]) == [
        name for name in IDS if name != "conn_koyo_slack"
    ]
    stack.write(IMPORTS + 'ampersand.ConnectionRef("by-id", connection_id="conn_koyo_slack")\n')
    failed = stack.preview()
    assert failed.code != 0
    (line,) = failed.diagnostics
    assert GONE in line
    stack.write(IMPORTS + 'ampersand.ConnectionRef("by-filter", provider="slack")\n')
    failed = stack.preview()
    assert failed.code != 0
    (line,) = failed.diagnostics
    assert "expected one connection, found none" in line

    # Once it is there again, everything goes on.
    sandbox.reset()
    stack.write(PROGRAM)
    stack.refresh(check=True)
    stack.preview("--expect-no-changes", check=True)


def test_refresh_of_a_wrong_project(stack: Stack, sandbox: Sandbox) -> None:
    """That a project is gone isn't that its connections are: the refresh fails, and the state is kept."""
    state = json.loads(stack.run("stack", "export", check=True).out)
    for resource in state["deployment"]["resources"]:
        if "/ampersand:" in resource["type"]:
            resource["outputs"]["project"] = "gone"
    _load(stack, state)
    before = kept(stack)
    lines = failures_of_refresh(stack.refresh())
    assert lines
    prefix = f'error: reading connections of project "gone" at {sandbox.url}: 404 projectIdOrName: no project'
    assert [line for line in lines if not line.startswith(prefix)] == []
    assert kept(stack) == before


def test_refresh_with_the_api_down(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """A refresh that reaches nobody fails with a line for each data source, and the state is kept."""
    stack = make_stack(PROGRAM)
    # So that the outage is waited for this long only.
    stack.configure("ampersand:timeout", "1")
    stack.up(check=True)
    before = kept(stack)
    sandbox.stop()
    lines = failures_of_refresh(stack.refresh())
    assert lines
    assert [line for line in lines if not line.startswith("error: reading connection")] == []
    assert [line for line in lines if sandbox.url not in line] == []
    assert kept(stack) == before


def test_rotated_key(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """After a rotation a refresh says how to go on, an update takes the new key, and nothing changes by it."""
    stack = make_stack(PROGRAM, AMP_API_KEY="")
    stack.configure("--secret", "ampersand:apiKey", sandbox.api_key)
    stack.up(check=True)
    sandbox.api_key = "rotated"
    stack.configure("--secret", "ampersand:apiKey", "rotated")

    lines = failures_of_refresh(stack.refresh())
    assert lines
    advice = "if the state holds an older key, run pulumi up, or refresh with --run-program"
    assert [line for line in lines if "401 The API key is not valid" not in line or not line.endswith(advice)] == []

    stack.up("--expect-no-changes", check=True)
    assert "4 unchanged" in stack.refresh(check=True).out


def test_state_of_an_older_version(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """A state that version 0.1 wrote needs no migration: preview, refresh, update and destroy take it as it is."""
    program = IMPORTS + 'pulumi.export("ids", ampersand.Connections("found", provider="slack").ids)\n'
    stack = make_stack(program)
    stack.up(check=True)
    state = json.loads(stack.run("stack", "export", check=True).out)
    (found,) = [resource for resource in state["deployment"]["resources"] if resource["urn"].endswith("::found")]
    written = {"__provider": RECORDED, "project": "quickstart", "provider": "slack"}
    found["outputs"] = {**written, "connections": found["inputs"]["connections"]}
    found["inputs"] = {**found["outputs"], "observations": found["inputs"]["observations"]}
    _load(stack, state)

    stack.preview("--expect-no-changes", check=True)
    sandbox.update("conn_koyo_slack", group=RENAMED)
    assert "~ 1 updated" in stack.refresh(check=True).out
    assert documents(held(stack)["found"], "outputs")["connections"]["conn_koyo_slack"]["group"] == RENAMED
    _load(stack, state)
    assert "~ 1 updated" in stack.up(check=True).out
    _load(stack, state)
    sandbox.stop()
    assert "- 2 deleted" in stack.destroy(check=True).out


def test_destroy_with_the_api_down_and_without_key(stack: Stack, sandbox: Sandbox) -> None:
    """Destroying needs neither network nor key nor project."""
    sandbox.stop()
    assert "- 4 deleted" in stack.destroy(check=True, AMP_API_KEY="", AMP_PROJECT="", AMP_API_URL="").out
    assert stack.resources() == []


def _load(stack: Stack, state: dict[str, Any]) -> None:
    """Replace a stack's state."""
    file = stack.folder / "state.json"
    file.write_text(json.dumps(state))
    stack.run("stack", "import", "--file", str(file), check=True)
