"""How previews show both data sources: as JSON for programs, and as a diff for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from conftest import MakeStack
from programs import IMPORTS
from pulumi_ampersand.sandbox import Sandbox

pytestmark = pytest.mark.engine

PROGRAM = (
    IMPORTS
    + """
pulumi.export("ids", ampersand.Connections("every").ids)
pulumi.export("name", ampersand.ConnectionRef("chat", provider="slack").group_name)
"""
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with connections that break no rule."""
    with Sandbox("healthy") as running:
        yield running


def test_preview_json(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """``--json`` is one JSON document that has both documents as text, and no credential."""
    stack = make_stack(PROGRAM)
    preview = stack.preview("--json", check=True)
    told = json.loads(preview.out)
    assert told["changeSummary"] == {"create": 3}
    states = {step["urn"].rpartition("::")[2]: step.get("newState", {}) for step in told["steps"]}
    for name in ("every", "chat"):
        inputs = states[name]["inputs"]
        listed = [connection["id"] for connection in json.loads(inputs["connections"])["connections"]]
        assert ("conn_koyo_slack" in listed, len(listed)) == (True, 7 if name == "every" else 1)
        assert json.loads(inputs["observations"])["v"] == 1
    assert [credential for credential in sandbox.secrets if credential in preview.text] == []


def test_preview_diff(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """``--diff`` marks the changed field with its old and new value, and nothing else; the short form names it."""
    stack = make_stack(PROGRAM)
    stack.up(check=True)
    (koyo,) = [sent for sent in sandbox.connections if sent["id"] == "conn_koyo_slack"]
    sandbox.update("conn_koyo_slack", providerWorkspaceRef="T-NEW", updateTime="2026-01-02T03:04:05Z")
    shown = stack.preview("--diff", check=True).out
    marked = [re.sub(r"\s+", " ", line).strip() for line in shown.splitlines() if re.match(r"\s*[~+-] ", line)]
    change = '~ providerWorkspaceRef: "T04KOYO0001" => "T-NEW"'
    seen = f'~ updateTime : "{koyo["updateTime"]}" => "2026-01-02T03:04:05Z"'
    assert marked.count(change) == marked.count(seen) == 2
    # Next to a change the engine shows how connections were found, too.
    assert {line for line in marked if " => " in line or line[0] in "+-"} == {change, seen}
    assert "CANARY" not in shown
    short = stack.preview(check=True).out
    assert short.count("update [diff: ~connections,observations]") == 2
    assert "T-NEW" not in short
