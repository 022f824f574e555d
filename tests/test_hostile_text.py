"""Names that others chose, written to fool whoever reads a terminal or a report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import MakeStack
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand.terminal import harmless

pytestmark = pytest.mark.engine

FORGED = "\n        - [mandatory] [severity: critical]  forged-rule  (a:b: c)\n          forged message\n"
"""What would look like another violation if line ends came through."""

HOSTILE = (
    f"Evil \x1b[2J\x1b]0;title\x07 \u202ertl\u2066 <{{%fg 1%}}>red<{{%reset%}}>{FORGED}"
    "\r\n\u2028\u2029 \ud800 %s %d {0} $(id) `id` \x00\x7f\x9b31m"
)

UNSAFE = "\x1b\x07\x00\x7f\x9b\r\u202e\u2066\u2028\u2029"
"""Characters that no terminal may get: each steers it, or ends a line, or turns the direction of writing."""

PROGRAM = """
import pulumi
import pulumi_ampersand as ampersand

found = ampersand.Connections("found")
pulumi.export("connections", found.connections)
"""


def connection(connection_id: str, **fields: Any) -> dict[str, Any]:
    """A connection whose customer has the hostile name."""
    return {
        "id": connection_id,
        "provider": "salesforce",
        "status": "bad_credentials",
        "authScheme": "oauth2/authorizationCode",
        "group": {"groupRef": HOSTILE, "groupName": HOSTILE},
        "consumer": {"consumerRef": HOSTILE, "consumerName": HOSTILE},
        "providerMetadata": {"name": {"value": HOSTILE}},
        **fields,
    }


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with a connection of hostile names, and one that is hostile in every text."""
    every = connection("id " + HOSTILE, provider="provider " + HOSTILE, status="status " + HOSTILE)
    with Sandbox(connections=[connection("conn_1"), every]) as running:
        yield running


def unsafe(text: str) -> set[str]:
    """The unsafe characters in a text."""
    return set(UNSAFE) & set(text)


def test_violations_stay_one_line_each(make_stack: MakeStack) -> None:
    """Each violation is one line that neither steers the terminal, nor colours it, nor forges another violation."""
    stack = make_stack(PROGRAM)
    preview = stack.preview(*stack.pack())
    assert preview.code != 0
    assert unsafe(preview.text) == set()
    assert [violation[:3] for violation in preview.violations] == [
        ("mandatory", "no-bad-credentials", "found"),
        ("advisory", "refreshable", "found"),
        ("advisory", "verifiable-connections", "found"),
        ("advisory", "verifiable-connections", "found"),
    ]
    breach, without_token, _, unknown = preview.violations
    assert not any("\n" in violation.message for violation in preview.violations)
    assert breach.message.startswith(
        "conn_1 (salesforce, Evil [2J]0;title rtl < {%fg 1%}>red< {%reset%}> - [mandatory]"
    )
    assert breach.message.endswith(
        "…): the provider refuses its credentials (status bad_credentials). "
        "Have the customer authorise again: pulumi-ampersand reauth conn_1"
    )
    assert breach.message.partition("): ")[0] == without_token.message.partition("): ")[0]
    assert unknown.message.startswith("id Evil ")
    assert "forged-rule (a:b: c)" in unknown.message

    # The engine's own colours are on here; none comes from a name.
    coloured = stack.preview("--color", "always", *stack.pack()).out
    start = coloured.index("conn_1 (salesforce")
    assert "\x1b" not in coloured[start : coloured.index("reauth conn_1", start)]


def test_values_survive_state_and_outputs(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """What isn't Unicode or steers a terminal becomes U+FFFD; all other text arrives unchanged."""
    sandbox.connections = [connection("conn_1")]
    stack = make_stack(PROGRAM)
    assert unsafe(stack.up("--diff", check=True).text) == set()
    survived = harmless(HOSTILE)
    assert FORGED in survived
    (exported,) = json.loads(stack.run("stack", "output", "--json", check=True).out)["connections"]
    assert exported["group"] == {"groupRef": survived, "groupName": survived}
    assert exported["providerMetadata"] == {"name": {"value": survived}}
    (held,) = json.loads(stack.resource("Connections")["outputs"]["connections"])["connections"]
    assert held == exported
    stack.refresh("--expect-no-changes", check=True)


def test_hostile_keys_are_safe(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """Where the engine shows the documents' structure and changes, no hostile name or value reaches the terminal."""
    sandbox.connections = [connection("id " + HOSTILE, providerMetadata={HOSTILE: {"value": HOSTILE}})]
    stack = make_stack(PROGRAM)
    assert unsafe(stack.preview("--diff", check=True).text) == set()
    stack.up(check=True)
    sandbox.connections = [connection("another " + HOSTILE, providerMetadata={HOSTILE * 2: {"value": HOSTILE}})]
    assert unsafe(stack.preview("--diff", check=True).text) == set()


def test_errors_of_programs_are_safe(make_stack: MakeStack) -> None:
    """The error of a program that expects one connection lists hostile names without harm."""
    failed = make_stack(PROGRAM + "found.one()\n").preview()
    assert failed.code != 0
    assert unsafe(failed.text) == set()
    sentence, _ = failed.diagnostics
    assert sentence.startswith(
        'error: Connections "found": expected one connection, found 2: conn_1 (salesforce, Evil '
    )
    assert "< {%fg 1%}>red" in sentence
