"""The data source in the real engine: what programs get, what counts as a change, what happens when reading fails."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import MakeStack
from programs import IMPORTS, RECORD, held
from pulumi_ampersand.sandbox import Sandbox
from stack import Result, Stack

pytestmark = pytest.mark.engine


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with connections that break no rule."""
    with Sandbox("healthy") as running:
        yield running


def documents(stack: Stack, side: str) -> dict[str, Any]:
    """The documents that the state holds as "inputs" or "outputs" of the only data source."""
    held = stack.resource("Connections")[side]
    return {name: json.loads(held[name]) for name in ("connections", "observations") if name in held}


def status_of(connection_id: str, inputs: dict[str, Any]) -> str:
    """A connection's status in the observations among a data source's inputs."""
    (found,) = [seen for seen in inputs["observations"]["observations"] if seen["id"] == connection_id]
    status: str = found["status"]
    return status


class TestValues:
    """What a program can do with what was read."""

    PROGRAM = (
        IMPORTS
        + RECORD
        + """
crm = ampersand.Connections("crm", provider="salesforce")
chat = ampersand.Connections("chat", provider="slack", group_ref="koyo").one()
everything = ampersand.Connections("everything")
Record("seen", crm.connections)
pulumi.export("connections", crm.connections)
pulumi.export("ids", everything.ids)
pulumi.export("attribute", crm.connections[0].group.name)
pulumi.export("key", crm.connections[0]["group"]["groupName"])
pulumi.export("one", chat.id)
pulumi.export("workspace", chat.apply(lambda connection: connection.provider_workspace_ref))
"""
    )

    def test_known_in_the_first_preview_exported_passed_on_and_lifted(
        self, make_stack: MakeStack, sandbox: Sandbox
    ) -> None:
        """Values are known before anything exists; as outputs and inputs they are JSON in the API's own spelling."""
        stack = make_stack(self.PROGRAM)
        preview = stack.preview(check=True)
        assert "[unknown]" not in preview.out
        assert re.search(r'groupName *: "Brightwater Logistics"', preview.out)
        assert all(f'"{connection["id"]}"' in preview.out for connection in sandbox.connections)
        assert set(sandbox.counts) == {"list"}

        stack.up(check=True)
        outputs = stack.outputs()
        sent = {connection["id"]: connection for connection in sandbox.connections}
        assert outputs["ids"] == sorted(sent)
        assert outputs["attribute"] == outputs["key"] == "Brightwater Logistics"
        assert outputs["one"] == "conn_koyo_slack"
        assert outputs["workspace"] == "T04KOYO0001"

        first = sent["conn_brightwater_salesforce"]
        exported = outputs["connections"][0]
        same = ("id", "projectId", "provider", "authScheme", "createTime", "providerWorkspaceRef", "providerMetadata")
        assert {key: exported[key] for key in same} == {key: first[key] for key in same}
        assert exported["group"] == {key: item for key, item in first["group"].items() if key != "updateTime"}
        assert exported["consumer"] == {key: item for key, item in first["consumer"].items() if key != "updateTime"}
        assert exported["scopes"] == exported["providerApp"]["scopes"] == ["api", "openid", "refresh_token"]
        assert exported["healthy"] is True
        assert len(outputs["connections"]) == 2
        assert json.loads((stack.folder / "seen.json").read_text()) == outputs["connections"]

    @pytest.mark.parametrize(
        ("group", "found"),
        [
            pytest.param("nobody", "found none", id="none"),
            pytest.param(
                "lumen",
                "found 2: conn_lumen_gong (gong, Lumen Clinics), conn_lumen_salesforce (salesforce, Lumen Clinics)",
                id="several",
            ),
        ],
    )
    def test_one_is_not_any(self, make_stack: MakeStack, group: str, found: str) -> None:
        """Where a program expects one connection, none or several end it with a sentence that lists them."""
        program = IMPORTS + f'pulumi.export("one", ampersand.Connections("crm", group_ref="{group}").one())\n'
        sentence, ending = make_stack(program).preview().diagnostics
        assert sentence == (
            f'error: Connections "crm": expected one connection, {found}; '
            "change project, provider, group_ref or consumer_ref"
        )
        assert ending == "error: an unhandled error occurred: program exited with non-zero exit code: 1"


class TestLife:
    """A data source from its first update to its end."""

    PROGRAM = (
        IMPORTS
        + """
found = ampersand.Connections("found", provider=pulumi.Config().get("provider"))
pulumi.export("names", found.connections.apply(lambda all: [connection.customer for connection in all]))
"""
    )

    def test_only_what_a_connection_is_counts_as_change(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """Token refreshes and created/working flips leave previews quiet, though packs see them; the rest is change."""
        stack = make_stack(self.PROGRAM)
        stack.up(check=True)

        def grant(**changes: Any) -> dict[str, Any]:
            (sent,) = [c for c in sandbox.connections if c["id"] == "conn_koyo_slack"]
            return {"oauth2AuthorizationCode": {**sent["oauth2AuthorizationCode"], **changes}}

        sandbox.update("conn_aster_hubspot", status="working", updateTime="@now")
        token = {"token": "CANARY-new", "issuedAt": "@now", "expiresAt": "@now+2d"}
        sandbox.update("conn_koyo_slack", updateTime="@now", **grant(accessToken=token, refreshToken=token))
        quiet = stack.preview("--expect-no-changes", *stack.pack({"token-expiry": "advisory"}), check=True)
        (seen,) = quiet.violations
        assert seen[:3] == ("advisory", "token-expiry", "found")
        assert seen.message.startswith("conn_koyo_slack (slack, 光陽リテール株式会社): refresh token expires in")

        def is_change(result: Result) -> None:
            assert result.code != 0
            assert "no changes were expected" in result.text
            assert "~ 1 to update" in result.out

        sandbox.reset()
        sandbox.update("conn_koyo_slack", **grant(scopes=["chat:write"]))
        is_change(stack.preview("--expect-no-changes"))
        sandbox.reset()
        sandbox.update("conn_koyo_slack", group={"groupRef": "koyo", "groupName": "Koyo Retail"})
        is_change(stack.preview("--expect-no-changes"))
        sandbox.reset()
        sandbox.connections = [*sandbox.connections, {**sandbox.connections[0], "id": "conn_new"}]
        is_change(stack.preview("--expect-no-changes"))
        sandbox.reset()
        sandbox.connections = sandbox.connections[1:]
        is_change(stack.preview("--expect-no-changes"))
        sandbox.reset()
        sandbox.update("conn_koyo_slack", status="bad_credentials")
        is_change(stack.preview("--expect-no-changes"))

    def test_refresh_keeps_both_documents_and_destroy_needs_nothing(
        self, make_stack: MakeStack, sandbox: Sandbox
    ) -> None:
        """After a refresh the state holds what is true now, for outputs, inputs and `policy analyze` alike."""
        stack = make_stack(self.PROGRAM)
        stack.up(check=True)
        assert stack.analyze(*stack.pack({"verifiable-connections": "disabled"}), check=True).violations == []
        inputs, outputs = documents(stack, "inputs"), documents(stack, "outputs")
        assert outputs.keys() == {"connections"}
        assert inputs["connections"] == outputs["connections"]
        assert status_of("conn_koyo_slack", inputs) == "working"

        sandbox.update("conn_koyo_slack", status="bad_credentials", group={"groupRef": "koyo", "groupName": "Koyo"})
        assert "~ 1 updated" in stack.refresh(check=True).out
        inputs, outputs = documents(stack, "inputs"), documents(stack, "outputs")
        assert outputs.keys() == {"connections"}
        assert inputs["connections"] == outputs["connections"]
        (koyo,) = [c for c in outputs["connections"]["connections"] if c["id"] == "conn_koyo_slack"]
        assert koyo["group"]["groupName"] == "Koyo"
        assert koyo["healthy"] is False
        assert status_of("conn_koyo_slack", inputs) == "bad_credentials"
        analysis = stack.analyze(*stack.pack({"verifiable-connections": "disabled"}))
        assert analysis.code != 0
        assert [violation[:3] for violation in analysis.violations] == [("mandatory", "no-bad-credentials", "found")]

        # A filter that changes is a change, and the next refresh reads by the new one.
        changed = stack.up("--config", "provider=slack", check=True)
        assert "~ 1 updated" in changed.out
        assert stack.outputs()["names"] == ["Koyo"]
        sandbox.clear_requests()
        stack.refresh(check=True)
        assert [request.query for request in sandbox.requests] == [{"provider": "slack"}]

        sandbox.stop()
        assert "- 2 deleted" in stack.destroy(check=True, AMP_API_KEY="", AMP_PROJECT="").out
        assert stack.resources() == []


class TestUnknownFilters:
    """A filter that comes from a resource which doesn't exist yet."""

    PROGRAM = (
        IMPORTS
        + RECORD
        + """
first = Record("first", "")
found = ampersand.Connections("found", provider=first.out)
Record("after", found.connections)
pulumi.export("ids", found.ids)
"""
    )
    REASON = "its connections were not evaluated: a filter isn't known until the update, which judges them then"

    def test_nothing_is_read_until_the_filter_is_known(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """The preview asks for nothing and says so; the update reads, judges, and stops before what depends on it."""
        sandbox.update("conn_koyo_slack", status="bad_credentials")
        stack = make_stack(self.PROGRAM)
        preview = stack.preview(*stack.pack(), check=True)
        assert preview.violations == [("advisory", "verifiable-connections", "found", self.REASON)]
        assert "ids: [unknown]" in preview.out
        closed = stack.preview(*stack.pack({"verifiable-connections": "mandatory"}))
        assert closed.code != 0
        assert closed.violations == [("mandatory", "verifiable-connections", "found", self.REASON)]
        assert sandbox.requests == []

        update = stack.up(*stack.pack())
        assert update.code != 0
        assert [violation[:3] for violation in update.violations] == [("mandatory", "no-bad-credentials", "found")]
        assert [request.query for request in sandbox.requests] == [{"provider": "slack"}]
        assert {"first"} == held(stack).keys() & {"first", "found", "after"}
        assert not (stack.folder / "after.json").exists()


class TestSecretFilters:
    """Filters that are secrets."""

    PROGRAM = (
        IMPORTS
        + """
found = ampersand.Connections(
    "found", group_ref=pulumi.Output.secret("koyo"), provider=pulumi.Config().require_secret("provider")
)
pulumi.export("name", found.one().group.name)
pulumi.export("group", found.group_ref)
"""
    )

    def test_filters_stay_secret_and_results_plain(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """The state holds the filters as ciphertext, before and after a refresh, and the results in plain text."""
        stack = make_stack(self.PROGRAM)
        stack.configure("--secret", "provider", "slack")
        stack.up(check=True)
        plain = json.loads(stack.run("stack", "output", "--json", check=True).out)
        assert plain == {"name": "光陽リテール株式会社", "group": "[secret]"}

        def is_kept() -> None:
            held = stack.resource("Connections")
            for side in ("inputs", "outputs"):
                assert isinstance(held[side]["__provider"], str)
                assert "ciphertext" in held[side]["groupRef"]
                assert "ciphertext" in held[side]["provider"]
                assert held[side]["project"] == sandbox.project
                assert '"id":"conn_koyo_slack"' in held[side]["connections"]

        is_kept()
        stack.refresh(check=True)
        is_kept()
        assert {tuple(request.query.items()) for request in sandbox.requests} == {
            (("provider", "slack"), ("groupRef", "koyo"))
        }
        assert stack.preview("--expect-no-changes", *stack.pack(), check=True).violations == []


class TestFailures:
    """What a user sees when the data source can't read: one line that says how to mend it, and no traceback."""

    PROGRAM = IMPORTS + 'ampersand.Connections("crm")\n'
    PREFIX = "error: pulumi-python:dynamic/ampersand:Connections resource 'crm' has a problem: "

    @pytest.fixture
    def stack(self, make_stack: MakeStack) -> Stack:
        """A stack that reads everything."""
        return make_stack(self.PROGRAM)

    @pytest.mark.parametrize(
        ("environment", "text"),
        [
            pytest.param(
                {"AMP_API_KEY": ""},
                "no API key; run: pulumi config set --secret ampersand:apiKey <key> (or set AMP_API_KEY)",
                id="no-key",
            ),
            pytest.param(
                {"AMP_PROJECT": ""},
                "no project; run: pulumi config set ampersand:project <id or name> ",
                id="no-project",
            ),
            pytest.param(
                {"AMP_API_KEY": "wrong"}, "401 The API key is not valid. Send a valid API key", id="wrong-key"
            ),
        ],
    )
    def test_first_preview(self, stack: Stack, environment: dict[str, str], text: str) -> None:
        """A preview that can't read fails, with one line under the data source's name."""
        failed = stack.preview(check=False, **environment)
        assert failed.code != 0
        (line,) = failed.diagnostics
        assert line.startswith(self.PREFIX)
        assert text in line

    def test_failing_api_keeps_the_state(self, stack: Stack, sandbox: Sandbox) -> None:
        """Where the API answers with an error, update and refresh fail, and what was known before stays known."""
        stack.up(check=True)
        before = documents(stack, "inputs")
        sandbox.update("conn_koyo_slack", status="bad_credentials")
        sandbox.faults = ["503,retryable=false"]
        failed = stack.up()
        assert failed.code != 0
        (line,) = failed.diagnostics
        assert line.startswith(self.PREFIX)
        assert "503 The sandbox was told to answer with 503" in line
        failed = stack.refresh()
        assert failed.code != 0
        (line,) = [line for line in failed.diagnostics if "update failed" not in line]
        assert "503 The sandbox was told to answer with 503" in line
        assert documents(stack, "inputs") == before


class TestRotatedKey:
    """A key in the stack's configuration that was replaced after the last update."""

    PROGRAM = IMPORTS + 'pulumi.export("ids", ampersand.Connections("crm").ids)\n'

    def test_refresh_says_what_to_do_and_destroy_needs_no_key(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """A refresh uses the state's old key and says how to go on; an update takes the new key; deleting, none."""
        stack = make_stack(self.PROGRAM, AMP_API_KEY="")
        stack.configure("--secret", "ampersand:apiKey", sandbox.api_key)
        stack.up(check=True)
        sandbox.api_key = "rotated"
        stack.configure("--secret", "ampersand:apiKey", "rotated")

        failed = stack.refresh()
        assert failed.code != 0
        (line,) = [line for line in failed.diagnostics if "update failed" not in line]
        assert "401 The API key is not valid" in line
        assert line.endswith("if the state holds an older key, run pulumi up, or refresh with --run-program")

        stack.refresh("--run-program", check=True)
        stack.up(check=True)
        stack.refresh(check=True)

        sandbox.api_key = "rotated again"
        sandbox.clear_requests()
        stack.destroy(check=True)
        assert sandbox.requests == []
