"""Details, refreshing and settings of both data sources in the real engine: what is asked for, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import MakeStack
from programs import IMPORTS, documents, failure, failures_of_refresh, held
from pulumi_ampersand.sandbox import Sandbox

pytestmark = pytest.mark.engine

PROGRAM = (
    IMPORTS
    + """
every = ampersand.Connections("every")
chat = ampersand.ConnectionRef("chat", provider="slack", group_ref="koyo")
pulumi.export("scopes", every.connections.apply(lambda found: {it.id: it.scopes for it in found}))
pulumi.export("chat", chat.scopes)
"""
)
GRANTED = ["channels:read", "chat:write", "users:read"]
OAUTH = 6
"""How many of the connections have an authorization-code grant."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with connections that break no rule and lists that leave credentials out."""
    with Sandbox("healthy", list_credentials=False) as running:
        yield running


def test_failed_details_keep_what_was_known(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """Scopes come from single calls; when those fail, nothing changes, and the pack says what isn't known."""
    stack = make_stack(PROGRAM)
    stack.up(check=True)
    outputs = stack.outputs()
    assert outputs["chat"] == outputs["scopes"]["conn_koyo_slack"] == GRANTED
    assert outputs["scopes"]["conn_lumen_gong"] is None
    before = {
        name: documents(resource, "inputs") for name, resource in held(stack).items() if name in {"every", "chat"}
    }
    assert before["chat"]["observations"]["conn_koyo_slack"].keys() >= {"accessToken", "refreshToken"}

    sandbox.clear_requests()
    sandbox.faults = ["500,retryable=false@one"]
    quiet = stack.preview("--expect-no-changes", *stack.pack(), check=True)
    assert sandbox.counts["one"] >= OAUTH
    assert [violation for violation in quiet.violations if violation.rule != "verifiable-connections"] == []
    assert {violation.resource for violation in quiet.violations} == {"every", "chat"}
    for name, count in (("every", OAUTH), ("chat", 1)):
        told = [violation.message for violation in quiet.violations if violation.resource == name]
        assert len(told) == count
        assert [text for text in told if "its details could not be read: " not in text] == []
        assert [text for text in told if "what was known before is kept" not in text] == []
    stack.up("--expect-no-changes", check=True)
    stack.refresh(check=True)
    found = held(stack)
    for name, known in before.items():
        assert documents(found[name], "inputs")["connections"] == known["connections"]
        seen = documents(found[name], "inputs")["observations"]["conn_koyo_slack"]
        assert "what was known before is kept" in seen["gaps"]["details"]

    sandbox.faults = []
    stack.preview("--expect-no-changes", *stack.pack({"verifiable-connections": "mandatory"}), check=True)


def test_details_by_configuration(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """``ampersand:details`` never leaves open what lists leave out; an argument wins; another word is refused."""
    stack = make_stack(
        PROGRAM
        + """
asked = ampersand.ConnectionRef("asked", provider="slack", details="always")
pulumi.export("asked", asked.scopes)
"""
    )
    stack.configure("ampersand:details", "never")
    stack.up(check=True)
    outputs = stack.outputs()
    assert set(outputs["scopes"].values()) == {None}
    # The engine leaves out outputs that are None.
    assert "chat" not in outputs
    assert outputs["asked"] == GRANTED
    assert sandbox.counts["one"] == 1
    stack.configure("ampersand:details", "alwyas")
    failed = stack.preview()
    assert failed.code != 0
    assert {line.partition("has a problem: ")[2] for line in failed.diagnostics} == {
        'ampersand:details must be auto, always or never (did you mean "always"?)'
    }


def test_refresh_of_expired_tokens(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """``refresh="ifExpired"`` has an expired token renewed, once, in a preview, too; that is no change of the stack."""
    sandbox.update(
        "conn_koyo_slack",
        oauth2AuthorizationCode={
            "accessToken": {"token": "CANARY-old", "issuedAt": "@now-2h", "expiresAt": "@now-1h"},
            "refreshToken": {"token": "CANARY-refresh", "issuedAt": "@now-2h"},
            "scopes": GRANTED,
        },
    )
    sandbox.list_credentials = True
    plain = IMPORTS + 'ampersand.ConnectionRef("chat", provider="slack")\n'
    stack = make_stack(plain)
    stack.up(check=True)
    assert [dict(request.query) for request in sandbox.requests if request.kind == "one"] == []

    stack.write(plain.replace('"slack"', '"slack", refresh="ifExpired"'))
    sandbox.clear_requests()
    stack.preview(check=True)
    asked = [(request.path.rpartition("/")[2], request.query.get("refresh")) for request in sandbox.requests]
    assert ("conn_koyo_slack", "ifExpired") in asked
    (koyo,) = [sent for sent in sandbox.connections if sent["id"] == "conn_koyo_slack"]
    assert koyo["status"] == "created"

    stack.up(check=True)
    sandbox.clear_requests()
    stack.preview("--expect-no-changes", check=True)
    assert {request.kind for request in sandbox.requests} == {"list"}


def test_second_key_and_its_rotation(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """Settings name a second key; the state has the name and never the key, and a rotation changes nothing."""
    stack = make_stack(
        IMPORTS
        + """
europe = ampersand.Settings(api_key_config="ampersand:apiKeyEu", project="quickstart", timeout=30)
every = ampersand.Connections("every", settings=europe)
chat = ampersand.ConnectionRef("chat", provider="slack", settings=europe)
pulumi.export("id", chat.connection_id)
""",
        AMP_API_KEY="",
        AMP_PROJECT="",
    )
    failed = stack.preview()
    assert failed.code != 0
    why = "no API key; run: pulumi config set --secret ampersand:apiKeyEu <key>"
    assert {line.partition("has a problem: ")[2] for line in failed.diagnostics} == {why}
    assert set(failed.diagnostics) <= {failure("Connections", "every", why), failure("ConnectionRef", "chat", why)}

    def key_is(key: str) -> None:
        sandbox.api_key = key
        stack.configure("--secret", "ampersand:apiKeyEu", key)

    key_is("CANARY-first")
    stack.up(check=True)
    assert stack.outputs() == {"id": "conn_koyo_slack"}
    kept = {"apiKeyConfig": "ampersand:apiKeyEu", "project": "quickstart", "timeout": 30}
    found = held(stack)
    assert [found[name][side]["settings"] for name in ("every", "chat") for side in ("inputs", "outputs")] == [kept] * 4

    key_is("CANARY-second")
    lines = failures_of_refresh(stack.refresh())
    assert lines
    assert [line for line in lines if not line.endswith("run pulumi up, or refresh with --run-program")] == []
    stack.up("--expect-no-changes", check=True)
    stack.refresh(check=True)
    state = stack.run("stack", "export", check=True).out
    assert "CANARY" not in state
    assert state.count('"ampersand:apiKeyEu"') >= 4
    stack.run("config", "rm", "ampersand:apiKeyEu", check=True)
    sandbox.stop()
    assert "- 3 deleted" in stack.destroy(check=True).out
