"""The policy pack in the real engine: what it stops, what it reads by itself, and what a wrong configuration does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeStack
from mixed_expectations import CONFIGURATION, EVERY_RULE
from pulumi_ampersand import Client, Settings
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.sandbox import Project, Sandbox
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies import configuration
from pulumi_ampersand_policies.evaluation import evaluate
from pulumi_ampersand_policies.testing import connection as sent
from stack import Result, Stack, Violation

pytestmark = pytest.mark.engine

BARE = "import pulumi\n"
"""A program that creates nothing and knows nothing of Ampersand."""

MARKER = """
import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Touch(ResourceProvider):
    def create(self, props):
        open("marker", "w").close()
        return CreateResult("touched", {})


class Marker(Resource):
    def __init__(self, name):
        super().__init__(Touch(), name, {})


Marker("marker")
"""
"""A program that creates a resource with an effect, a file; it knows nothing of Ampersand either."""

READING = """
import pulumi_ampersand as ampersand

ampersand.Connections("found")
"""

TARGET = "urn:pulumi:dev::test::pulumi-python:dynamic:Resource::marker"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with connections that break no rule."""
    with Sandbox("healthy") as running:
        yield running


@pytest.fixture(scope="module")
def bare(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A stack for previews only, without an API to read."""
    return Stack(tmp_path_factory.mktemp("bare"), engine, BARE)


def broken(result: Result) -> list[tuple[str, str, str]]:
    """Level, rule and resource of each violation, in order."""
    return [violation[:3] for violation in result.violations]


def connection(connection_id: str, **fields: Any) -> dict[str, Any]:
    """A healthy connection by API key, of a customer of its own, with some fields changed."""
    own = {"group": {"groupRef": connection_id, "projectId": "proj_1"}, "provider": "gong", "authScheme": "apiKey"}
    return sent(
        connection_id, **{**own, "consumer": None, "providerApp": None, "oauth2AuthorizationCode": None}, **fields
    )


class TestDataSources:
    """What data sources of the stack have read."""

    def test_says_what_the_evaluation_says(self, make_stack: MakeStack) -> None:
        """Each finding arrives at the terminal as one violation, whole and in the evaluation's order."""
        with Sandbox("mixed") as mixed:
            stack = make_stack(BARE + READING, **mixed.environment)
            preview = stack.preview(*stack.pack(CONFIGURATION))
            with Client(Settings().resolve({}, mixed.environment)) as client:
                inventory = Inventory(client.list_connections(mixed.project), mixed.project)
        chosen = configuration.parse(json.dumps(CONFIGURATION), "file")
        assert preview.code != 0
        assert preview.violations == [
            Violation(
                finding.enforcement.value, finding.rule, "found", one_line(f"{finding.message}. {finding.remediation}")
            )
            for finding in evaluate(inventory, chosen, datetime.now(timezone.utc)).findings
        ]

    def test_untargeted(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """With --target, a new data source isn't evaluated and that is said; an old one is judged by what it read."""
        stack = make_stack(MARKER + READING)
        new = stack.up("--target", TARGET, *stack.pack(), check=True)
        (note,) = new.violations
        assert note[:3] == ("advisory", "verifiable-connections", "found")
        assert "it isn't targeted by this operation" in note.message
        assert sandbox.requests == []

        sandbox.update("conn_koyo_slack", status="bad_credentials")
        stack.up(check=True)
        sandbox.reset()
        old = stack.preview("--target", TARGET, *stack.pack())
        assert broken(old) == [("mandatory", "no-bad-credentials", "found")]
        assert sandbox.requests == []


class TestGate:
    """Connections that the pack reads by itself, before the stack does anything."""

    def test_stops_an_update_before_anything_is_created(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """A stack that knows nothing of Ampersand stops with nothing done, without a preview and with --target.

        A waiver lets it pass, and stays visible; unless waivers are disabled.
        """
        stack = make_stack(MARKER)
        stack.configure("ampersand:gate", "true")
        sandbox.update("conn_koyo_slack", status="bad_credentials")
        waiver = {"provider": "slack", "reason": "moving", "approvedBy": "Jo", "expires": "9999-12-31"}
        waived = {"no-bad-credentials": {"waivers": [waiver]}}
        for arguments in (stack.pack(), ["--target", TARGET, *stack.pack({**waived, "waivers": "disabled"})]):
            sandbox.clear_requests()
            stopped = stack.up(*arguments)
            assert stopped.code != 0
            assert broken(stopped) == [("mandatory", "no-bad-credentials", "test-dev")]
            assert stack.resources() == []
            assert not (stack.folder / "marker").exists()
            assert sandbox.counts == {"list": 1}
        passed = stack.up(*stack.pack(waived), check=True)
        assert broken(passed) == [("advisory", "no-bad-credentials", "test-dev")]
        assert passed.violations[0].message.endswith(". Waived until 9999-12-31, approved by Jo: moving")
        assert (stack.folder / "marker").exists()

    def test_reads_what_the_stack_configures(self, make_stack: MakeStack) -> None:
        """Projects, filters and IDs, set by path, which makes a number of an ID, decide what is read and judged."""
        projects = [
            Project(id="p1", name="one", connections=[connection("1"), connection("2", status="bad_credentials")]),
            Project(id="p2", name="two", connections=[connection("3", status="bad_credentials")]),
        ]
        with Sandbox(projects=projects) as sandbox:
            stack = make_stack(BARE, **sandbox.environment)

            def gate(**settings: str) -> Result:
                (stack.folder / "Pulumi.dev.yaml").unlink()
                for path, value in settings.items():
                    stack.configure("--path", f"ampersand:gate.{path}", value)
                sandbox.clear_requests()
                return stack.preview(*stack.pack())

            (stack.folder / "Pulumi.dev.yaml").touch()
            assert gate(**{"connectionIds[0]": "1", "provider": "gong"}).violations == []
            assert [request.query for request in sandbox.requests] == [{"provider": "gong"}]
            both = gate(**{"projects[0]": "one", "projects[1]": "p2"})
            assert [violation.message.partition(" ")[0] for violation in both.violations] == ["2", "3"]
            assert [request.path for request in sandbox.requests] == [
                "/v1/projects/one/connections",
                "/v1/projects/p2/connections",
            ]

            missing = gate(**{"connectionIds[0]": "3"})
            assert broken(missing) == [("mandatory", "required-connections", "test-dev")]
            assert missing.violations[0].message.startswith(
                'the gate names connection "3", which doesn\'t exist, or which its filters exclude. Have '
            )

    def test_the_packs_gate_wins_over_the_stacks(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """A gate in the pack's configuration replaces the stack's, whichever is stricter, and asks nobody else.

        The stack's configuration leads to another server, where all is well: that gets no request, so no key either.
        """
        sandbox.update("conn_koyo_slack", status="bad_credentials")
        stack = make_stack(BARE)
        stack.configure("--path", "ampersand:gate.provider", "gong")
        with Sandbox("healthy") as elsewhere:
            stack.configure("ampersand:apiUrl", elsewhere.url)
            stopped = stack.preview(*stack.pack({"readable-connections": {"gate": True}}))
            assert stopped.code != 0
            assert broken(stopped) == [("mandatory", "no-bad-credentials", "test-dev")]
            stack.configure("--path", "ampersand:gate.provider", "slack")
            passed = stack.preview(*stack.pack({"readable-connections": {"gate": {"provider": "gong"}}}), check=True)
            assert passed.violations == []
            assert elsewhere.requests == []
        assert [request.query for request in sandbox.requests] == [{}, {"provider": "gong"}]

    def test_can_be_required(self, make_stack: MakeStack, bare: Stack) -> None:
        """With "require", a stack without data source and gate is a finding; either of them is enough.

        What must be there is then judged of the whole stack, and stands on it.
        """
        needs = {"enforcementLevel": "advisory", "require": [{"provider": "nothing"}]}
        required = {"readable-connections": {"require": True}, "required-connections": needs}
        ungated = bare.preview(*bare.pack(required))
        assert ungated.code != 0
        assert broken(ungated) == [("mandatory", "readable-connections", "test-dev")]
        assert "has neither an Ampersand data source nor a gate" in ungated.violations[0].message
        stack = make_stack(BARE + READING)
        missing = [("advisory", "required-connections", "test-dev")]
        assert broken(stack.up(*stack.pack(required), check=True)) == missing
        stack.write(BARE)
        stack.configure("ampersand:gate", "true")
        assert broken(stack.preview(*stack.pack(required), check=True)) == missing

    def test_without_connections_nothing_is_said(self, bare: Stack) -> None:
        """A stack that has neither gets no message, whatever rules are turned on."""
        preview = bare.preview(*bare.pack(EVERY_RULE), check=True)
        assert preview.violations == []
        assert preview.diagnostics == []
        assert "advisory" not in preview.text

    def test_unreadable_api_fails_closed_or_open(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """Where the gate can't be read the deployment stops; with an advisory rule it goes on, with a warning."""
        sandbox.faults = ["503,retryable=false"]
        stack = make_stack(MARKER)
        closed = stack.up(*stack.pack({"readable-connections": {"gate": True}}))
        assert closed.code != 0
        assert broken(closed) == [("mandatory", "readable-connections", "test-dev")]
        assert "the gate could not be read: " in closed.violations[0].message
        assert "503 The sandbox was told to answer with 503" in closed.violations[0].message
        assert stack.resources() == []
        opened = stack.up(
            *stack.pack({"readable-connections": {"gate": True, "enforcementLevel": "advisory"}}), check=True
        )
        assert broken(opened) == [("advisory", "readable-connections", "test-dev")]
        assert (stack.folder / "marker").exists()


class TestWrongConfiguration:
    """No mistake in a configuration passes in silence."""

    @pytest.mark.parametrize(
        ("wrong", "starts"),
        [
            pytest.param(
                {
                    "all": {"enforcementLevel": "advisory", "minDays": 3},
                    "no-bad-credentials": {"maxReported": 0},
                    "readable-connections": {"gate": {"providr": "slack"}},
                    "required-scopes": "mandatory",
                    "allowed-providers": "mandatory",
                    "token-expirey": "mandatory",
                    "token-expiry": {"minDay": 3},
                    "verifiable-connections": "remediate",
                },
                [
                    '"all" is a level only, it takes no options: move "minDays" to a rule',
                    'allowed-providers is configured but lacks "allow" or "deny"',
                    'no-bad-credentials: "maxReported": ',
                    'readable-connections: unknown key "gate.providr" (did you mean "provider"?); it takes ',
                    'required-scopes is configured but lacks "scopes"',
                    'token-expiry: unknown key "minDay" (did you mean "minDays"?); it takes ',
                    'unknown rule "token-expirey" (did you mean "token-expiry"?); the rules are ',
                    'verifiable-connections: level "remediate" is not allowed, only ',
                ],
                id="names",
            ),
            pytest.param(
                {
                    "all": "remediate",
                    "readable-connections": {"gate": "yes"},
                    "required-scopes": {"scopes": {"slack": "chat:write"}},
                    "access-token-expiry": {"minMinutes": 5},
                    "token-expiry": {"tolerate": "few"},
                    "waivers": "advisory",
                },
                [
                    '"waivers" can only be "disabled", which has every waiver ignored',
                    "access-token-expiry is configured but disabled by default: give it an enforcementLevel, ",
                    'all: level "remediate" is not allowed, only ',
                    'readable-connections: "gate": "yes" is not allowed, only ',
                    'required-scopes: "scopes.slack": ',
                    'token-expiry: "tolerate": ',
                ],
                id="values",
            ),
        ],
    )
    def test_every_mistake_is_named_at_once(self, bare: Stack, wrong: dict[str, Any], starts: list[str]) -> None:
        """What is wrong in the pack's configuration is one violation of the stack, with a line for each mistake."""
        preview = bare.preview(*bare.pack(wrong))
        assert preview.code != 0
        assert broken(preview) == [("mandatory", "configuration", "test-dev")]
        source = "policy pack configuration: "
        lines = sorted(line.removeprefix(source) for line in preview.violations[0].message.splitlines())
        assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts

    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            pytest.param(
                {"token-expiry": {"minDays": "3"}}, "token-expiry: minDays: Invalid type. Expected: number", id="type"
            ),
            pytest.param({"token-expiry": "fatal"}, '"fatal" is not a valid enforcement level', id="level"),
            pytest.param({"token-expiry": 3}, 'parsing "token-expiry": 3 is not a valid value', id="no-level"),
            pytest.param({"token-expirey": {"minDays": 3}}, "configuring policy pack", id="unknown-with-options"),
        ],
    )
    def test_what_the_engine_refuses_itself(self, bare: Stack, wrong: dict[str, Any], text: str) -> None:
        """Of some mistakes the pack never hears, because the engine stops at them; what it says isn't ours."""
        preview = bare.preview(*bare.pack(wrong))
        assert preview.code != 0
        assert text in preview.text

    def test_mistakes_in_the_stacks_configuration(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """Unknown keys under ampersand: and a malformed gate stop a deployment before anything is read or created."""
        stack = make_stack(MARKER)
        stack.configure("ampersand:projekt", "quickstart")
        stack.configure("--path", "ampersand:gate.providr", "slack")
        update = stack.up(*stack.pack())
        assert update.code != 0
        assert broken(update) == [("mandatory", "configuration", "test-dev")]
        unknown, malformed = update.violations[0].message.splitlines()
        assert unknown.startswith('"ampersand:projekt" is no setting (did you mean "project"?); ')
        assert malformed.startswith('ampersand:gate: unknown key "providr" (did you mean "provider"?); it takes ')
        assert stack.resources() == []
        assert sandbox.requests == []


class TestAnalyze:
    """``pulumi policy analyze``, which tells packs nothing of the stack's configuration."""

    def test_gates(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """A gate of the stack's can't be judged, and that is said; one of the pack's is, with the environment's key.

        What the state holds is judged, as a whole, too.
        """
        stack = make_stack(BARE + READING)
        stack.configure("ampersand:gate", "true")
        stack.up(check=True)
        sandbox.update("conn_koyo_slack", status="bad_credentials")
        sandbox.clear_requests()
        needs = {"enforcementLevel": "advisory", "require": [{"provider": "nothing"}]}
        needed, note = sorted(stack.analyze(*stack.pack({"required-connections": needs}), check=True).violations)
        assert needed[:3] == ("advisory", "required-connections", "test-dev")
        assert note[:3] == ("advisory", "verifiable-connections", "test-dev")
        assert "a gate in the stack's configuration, if there is one, was not evaluated" in note.message
        assert sandbox.requests == []

        gate = stack.pack({"readable-connections": {"gate": {"provider": "slack"}}})
        judged = stack.analyze(*gate)
        assert judged.code != 0
        assert broken(judged) == [("mandatory", "no-bad-credentials", "test-dev")]
        unread = stack.analyze(*gate, AMP_API_KEY="")
        assert unread.code != 0
        assert broken(unread) == [("mandatory", "readable-connections", "test-dev")]
        assert "no API key; run: " in unread.violations[0].message
