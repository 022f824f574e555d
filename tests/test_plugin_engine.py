"""The provider plugin in the real engine, with programs that have no SDK of it: what any language's can do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit_runs import audit
from builders import two_projects
from conftest import MakeStack
from mixed_expectations import CONFIGURATION
from programs import RECORD, documents, held
from pulumi_ampersand.sandbox import Sandbox
from stack import Result, Stack, Violation

pytestmark = pytest.mark.engine

IMPORTS = """
import json
import pulumi


def call(name, **arguments):
    return pulumi.runtime.invoke("ampersand:index:" + name, arguments).value


def output(name, arguments, by=None):
    opts = pulumi.InvokeOutputOptions(provider=by)
    return pulumi.runtime.invoke_output("ampersand:index:" + name, arguments, opts)


def read(name, by=None, **filters):
    opts = pulumi.ResourceOptions(provider=by)
    return pulumi.CustomResource("ampersand:index:Connections", name, {**filters, "connections": None}, opts)


def ids(text):
    return [one["id"] for one in json.loads(text)["connections"]]


"""
"""What a program does that an SDK does for others."""

AMBIENT = "warning: using pulumi-resource-ampersand from $PATH at "
"""What the engine says of a plugin that isn't installed."""

ALL = IMPORTS + 'pulumi.export("ids", read("all").connections.apply(ids))\n'
IDS = [
    "conn_aster_hubspot",
    "conn_brightwater_salesforce",
    "conn_fjordlys_microsoft",
    "conn_koyo_slack",
    "conn_lumen_gong",
    "conn_lumen_salesforce",
    "conn_meble_google",
]
ARGUMENTS = ("project", "connectionId", "provider", "groupRef", "consumerRef")
KIND = "ampersand:index:Connections"
KOYO = "光陽リテール株式会社"
HAS_A_PROBLEM = f"{KIND} resource 'all' has a problem: "
SET_A_KEY = "run: pulumi config set --secret ampersand:apiKey <key> (or set AMP_API_KEY)"
NO_IMPORT = "Connections is read, not imported: give filters instead"
_PATIENCE = 60


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with connections that break no rule."""
    with Sandbox("healthy") as running:
        yield running


@pytest.fixture(scope="module")
def bare(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for commands that fail, with an API to read."""
    with Sandbox("healthy") as server:
        yield Stack(tmp_path_factory.mktemp("refused"), engine, IMPORTS, server.environment)


def told(result: Result) -> list[str]:
    """What the engine reports, but for where the plugin lies."""
    return [line for line in result.diagnostics if not line.startswith(AMBIENT)]


def failed(result: Result) -> list[str]:
    """What it reports of a command that fails, but for the engine's own remark that it did."""
    assert result.code != 0
    return [line for line in told(result) if line not in {"error: preview failed", "error: update failed"}]


def state_of(stack: Stack) -> str:
    """The state as it is stored."""
    return stack.run("stack", "export", check=True).out


class TestFunctions:
    """Programs that call functions."""

    def test_in_previews_and_updates(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """They give what the API has; a preview asks for each answer once; nothing of it lies in the state.

        With a secret argument the result is secret, and so is an access token.
        """
        stack = make_stack(
            IMPORTS
            + """
for _ in range(20):
    found = call("getConnections")["connections"]
pulumi.export("ids", [one["id"] for one in found])
pulumi.export("name", call("getConnection", connectionId="conn_koyo_slack", details="never")["group"]["groupName"])
pulumi.export("projects", [one["name"] for one in call("getProjects")["projects"]])
secret = {"provider": pulumi.Output.secret("slack")}
pulumi.export("secret", output("getConnections", secret).apply(lambda got: got["connections"][0]["id"]))
token = output("getAccessToken", {"connectionId": pulumi.Output.from_input("conn_koyo_slack")})
pulumi.export("token", token.apply(lambda got: got["accessToken"]))
"""
        )
        preview = stack.preview(check=True)
        assert told(preview) == []
        assert preview.out.count("[secret]") == 2
        # The whole list answers for filters and IDs; the token has a call of its own.
        assert sandbox.counts == {"list": 1, "one": 1, "projects": 1}
        stack.up(check=True)
        outputs = stack.outputs()
        token = outputs.pop("token")
        assert outputs == {
            "ids": IDS,
            "name": KOYO,
            "projects": ["quickstart"],
            "secret": "conn_koyo_slack",
        }
        assert token in sandbox.secrets
        state = state_of(stack)
        assert not [credential for credential in sandbox.secrets if credential in state]
        assert {resource["type"] for resource in stack.resources()} == {
            "pulumi:pulumi:Stack",
            "pulumi:providers:ampersand",
        }
        assert "1 unchanged" in stack.preview("--expect-no-changes", check=True).out

    def test_an_argument_that_is_not_known_yet(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """In a preview nothing is asked and nothing is known; the update calls the function."""
        stack = make_stack(
            IMPORTS
            + RECORD
            + """
slack = Record("app", "slack").out
pulumi.export("id", output("getConnection", {"provider": slack}).apply(lambda got: got["id"]))
pulumi.export("ids", read("all", groupRef="koyo", provider=slack).connections.apply(ids))
"""
        )
        preview = stack.preview(check=True)
        assert (preview.out.count("[unknown]"), sandbox.requests) == (2, [])
        note = stack.preview(*stack.pack(), check=True).violations
        assert [violation[:3] for violation in note] == [("advisory", "verifiable-connections", "all")]
        assert "a filter isn't known until the update" in note[0].message
        stack.up(*stack.pack(), check=True)
        assert stack.outputs() == {"id": "conn_koyo_slack", "ids": ["conn_koyo_slack"]}

    def test_errors_and_gaps(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """An error is a sentence that programs can catch; what could not be had is one warning."""
        stack = make_stack(
            IMPORTS
            + """
def error(name, **arguments):
    try:
        call(name, **arguments)
    except Exception as raised:
        return str(raised)


pulumi.export("function", error("getConection"))
pulumi.export("argument", error("getConnections", grupRef="a"))
pulumi.export("none", error("getConnection", provider="nobody"))
pulumi.export("id", error("getAccessToken", connectionId="zzz"))
pulumi.export("found", [one["id"] for one in call("getConnections", provider="slack")["connections"]])
"""
        )
        sandbox.list_credentials = False
        sandbox.faults = ["500,retryable=false,after=1@one"]
        result = stack.up(check=True)
        (warning,) = told(result)
        assert warning.startswith(f"warning: conn_koyo_slack (slack, {KOYO}): its details could not be read")
        outputs = stack.outputs()
        assert outputs.pop("found") == ["conn_koyo_slack"]
        assert {name: text.partition(" returned an error: ")[2] for name, text in outputs.items()} == {
            "function": 'there is no function ampersand:index:getConection (did you mean "getConnection"?)',
            "argument": 'there is no argument "grupRef" (did you mean "groupRef"?)',
            "none": f"expected one connection, found none; change {', '.join(ARGUMENTS[:-1])} or {ARGUMENTS[-1]}",
            "id": outputs["id"].partition(" returned an error: ")[2],
        }
        assert "404 connectionId: the project has no such connection" in outputs["id"]


class TestResource:
    """The resource, from its first preview to its end."""

    def test_its_life(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """Known in previews; only a changed connection is a change; a refresh records what vanished.

        A secret filter stays secret. Destroying needs neither key nor network.
        """
        stack = make_stack(
            ALL
            + 'pulumi.export("secret", read("secret", provider=pulumi.Output.secret("slack")).connections.apply(ids))\n'
        )
        preview = stack.preview(check=True)
        assert told(preview) == []
        assert "[unknown]" not in preview.out
        assert all(f'"{name}"' in preview.out for name in IDS)
        stack.up(check=True)
        assert stack.outputs() == {"ids": IDS, "secret": ["conn_koyo_slack"]}
        found = held(stack)
        for side in ("inputs", "outputs"):
            assert "ciphertext" in found["secret"][side]["provider"]
            assert list(documents(found["secret"], side)["connections"]) == ["conn_koyo_slack"]
        assert set(found["all"]["inputs"]) == {"project", "connections", "observations"}
        assert set(found["all"]["outputs"]) == {"project", "connections"}

        sandbox.update("conn_koyo_slack", status="created", updateTime="@now+1h")
        assert "3 unchanged" in stack.preview("--expect-no-changes", check=True).out
        sandbox.update("conn_koyo_slack", status="bad_credentials")
        changed = stack.preview("--expect-no-changes")
        assert (changed.code != 0, "~ 2 to update" in changed.out) == (True, True)
        assert "~ 2 updated" in stack.up(check=True).out

        sandbox.connections = [one for one in sandbox.connections if one["id"] != "conn_koyo_slack"]
        assert "~ 2 updated" in stack.refresh(check=True).out
        found = held(stack)
        rest = [name for name in IDS if name != "conn_koyo_slack"]
        assert list(documents(found["all"], "inputs")["observations"]) == rest
        assert list(documents(found["all"], "outputs")["connections"]) == rest
        assert "ciphertext" in found["secret"]["inputs"]["provider"]
        assert "3 unchanged" in stack.preview("--expect-no-changes", check=True).out

        sandbox.stop()
        assert "- 3 deleted" in stack.destroy(AMP_API_KEY="", AMP_PROJECT="", check=True).out

    @pytest.mark.parametrize(
        ("resource", "reason"),
        [
            pytest.param(
                f'"{KIND}", "all", {{"provder": "slack"}}',
                f'{HAS_A_PROBLEM}Connections has no input "provder" (did you mean "provider"?)',
                id="input",
            ),
            pytest.param(
                '"ampersand:index:Conections", "all", {}',
                f"there is no resource ampersand:index:Conections, only {KIND}",
                id="type",
            ),
            pytest.param(
                f'"{KIND}", "all", {{"provider": "slack"}}, pulumi.ResourceOptions(id="conn_koyo_slack")',
                f"Preview failed: {NO_IMPORT}",
                id="get",
            ),
            pytest.param(
                f'"{KIND}", "all", {{}}, pulumi.ResourceOptions(import_="conn_koyo_slack")',
                f"Preview failed: {NO_IMPORT}",
                id="import",
            ),
        ],
    )
    def test_what_is_refused(self, bare: Stack, resource: str, reason: str) -> None:
        """One sentence says so."""
        bare.write(f"{IMPORTS}pulumi.CustomResource({resource})\n")
        assert failed(bare.preview()) == [f"error: {reason}"]

    def test_import_by_command(self, bare: Stack) -> None:
        """So does ``pulumi import``."""
        bare.write(IMPORTS)
        lines = failed(bare.run("import", "--yes", "--skip-preview", KIND, "all", "conn_koyo_slack"))
        assert sorted(set(lines)) == [
            f"error: {NO_IMPORT}",
            f"error: update failed: step application failed: {NO_IMPORT}",
        ]


class TestSettings:
    """The stack's configuration, and explicit providers."""

    def test_the_stack_s_configuration(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """It is checked, and its key stays out of the state, plain as it is; a new key is used at once."""
        stack = make_stack(ALL, AMP_API_KEY="", AMP_API_URL="", AMP_PROJECT="")
        for name, value in (("apiUrl", sandbox.url), ("project", "quickstart"), ("apiKeyEu", "CANARY-eu")):
            stack.configure(f"ampersand:{name}", value)
        stack.configure("--path", "ampersand:gate.provider", "slack")
        assert failed(stack.preview()) == [f"error: {HAS_A_PROBLEM}no API key; {SET_A_KEY}"]
        sandbox.api_key = "CANARY-first"
        stack.configure("--plaintext", "ampersand:apiKey", "CANARY-first")
        stack.up(check=True)
        assert stack.outputs() == {"ids": IDS}
        assert "CANARY" not in state_of(stack)

        sandbox.api_key = "CANARY-second"
        stack.configure("--secret", "ampersand:apiKey", "CANARY-second")
        assert "2 unchanged" in stack.up("--expect-no-changes", check=True).out
        stack.refresh(check=True)
        assert "apiKey" not in held(stack)["default"].get("inputs", {})

        stack.configure("ampersand:apiUlr", "x")
        (line,) = failed(stack.preview())
        assert line.startswith(
            "error: pulumi:providers:ampersand resource 'default' has a problem: "
            '"ampersand:apiUlr" is no setting (did you mean "apiUrl"?); the settings are '
        )
        assert line.endswith("; run: pulumi config rm ampersand:apiUlr")

    def test_two_keys_and_two_servers(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """Explicit providers each read their own; keys lie encrypted in the state, given in plain text, too.

        As SDKs do, they say which version of the plugin they want. Another setting replaces nothing.
        """
        with Sandbox(projects=two_projects(), api_key="CANARY-us") as other:
            sandbox.api_key = "CANARY-eu"
            program = f"""
def provider(name, key, url, project):
    settings = {{"apiKey": key, "apiUrl": url, "project": project, "timeout": "30"}}
    return pulumi.ProviderResource("ampersand", name, settings, pulumi.ResourceOptions(version="0.1.0"))


eu = provider("eu", "CANARY-eu", "{sandbox.url}", "quickstart")
us = provider("us", pulumi.Output.secret("CANARY-us"), "{other.url}", "first")
for name, each in (("in-eu", eu), ("in-us", us)):
    pulumi.export(name, read(name, each).connections.apply(ids))
    found = output("getConnections", {{}}, each)
    pulumi.export("called-" + name, found.apply(lambda got: [one["id"] for one in got["connections"]]))
"""
            stack = make_stack(IMPORTS + program, AMP_API_KEY="", AMP_API_URL="", AMP_PROJECT="")
            preview = stack.preview(check=True)
            assert (told(preview), "[unknown]" in preview.out) == ([], False)
            stack.up(check=True)
            found = {"in-eu": IDS, "called-in-eu": IDS, "in-us": ["a", "b", "c"], "called-in-us": ["a", "b", "c"]}
            assert stack.outputs() == found
            state = state_of(stack)
            assert "CANARY" not in state
            assert state.count('"ciphertext"') >= 2
            assert "5 unchanged" in stack.preview("--expect-no-changes", check=True).out
            stack.write(IMPORTS + program.replace('"first")', '"second")').replace('"30"', '"40"'))
            changed = stack.up(check=True)
            # Both providers, and what the other project has.
            assert "~ 3 updated" in changed.out
            assert "replace" not in changed.out
            assert stack.outputs() == {**found, "in-us": ["d"], "called-in-us": ["d"]}
        sandbox.stop()
        assert "- 5 deleted" in stack.destroy(check=True).out

    def test_a_key_that_is_not_known_yet(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """In a preview nothing is read with it, nothing else either, and nothing is known; the update reads."""
        sandbox.api_key = "slack"  # what the recorder says once it exists
        stack = make_stack(
            IMPORTS
            + RECORD
            + f"""
settings = {{"apiKey": Record("key", "any").out, "apiUrl": "{sandbox.url}", "project": "quickstart"}}
eu = pulumi.ProviderResource("ampersand", "eu", settings)
pulumi.export("ids", read("all", eu).connections.apply(ids))
""",
            AMP_API_KEY="another",
        )
        preview = stack.preview(check=True)
        assert (told(preview), "ids: [unknown]" in preview.out) == ([], True)
        assert sandbox.requests == []
        stack.up(check=True)
        assert stack.outputs() == {"ids": IDS}

    def test_a_setting_that_means_nothing(self, make_stack: MakeStack) -> None:
        """An explicit provider isn't made with it."""
        stack = make_stack(IMPORTS + 'pulumi.ProviderResource("ampersand", "eu", {"apiUlr": "x"})\n')
        (line,) = failed(stack.preview())
        assert line.startswith(
            "error: pulumi:providers:ampersand resource 'eu' has a problem: "
            '"ampersand:apiUlr" is no setting (did you mean "apiUrl"?); the settings are '
        )
        assert "pulumi config" not in line


class TestPack:
    """The policy pack and the audit, which know the resource."""

    DYNAMIC = 'import pulumi_ampersand as ampersand\nampersand.Connections("found")\n'
    NATIVE = IMPORTS + 'read("found")\n'

    def test_judges_it_like_the_dynamic_one(self, make_stack: MakeStack, tmp_path: Path) -> None:
        """The same violations in a preview, in ``pulumi policy analyze`` of the state, and in an audit of it."""
        said: dict[str, list[list[Violation]]] = {}
        audits: dict[str, Any] = {}
        with Sandbox("mixed") as mixed:
            for name, program in (("dynamic", self.DYNAMIC), ("native", self.NATIVE)):
                stack = make_stack(program, **mixed.environment)
                preview = stack.preview(*stack.pack(CONFIGURATION))
                assert preview.code != 0
                stack.up(check=True)
                exported = tmp_path / f"{name}.json"
                exported.write_text(state_of(stack))
                analyzed = stack.analyze("dev", "--policy-pack", *stack.pack(CONFIGURATION)[1:])
                assert analyzed.code != 0
                said[name] = [preview.violations, analyzed.violations]
                configuration = tmp_path / "policy.json"
                configuration.write_text(json.dumps(CONFIGURATION))
                run = audit(tmp_path, "--input", exported, "--config", configuration, "--format", "json")
                assert run.code == 1
                audits[name] = {**run.report, "sources": [], "asOf": ""}
        assert len(said["native"][0]) > 10
        assert said["native"] == said["dynamic"]
        assert without_times(audits["native"]) == without_times(audits["dynamic"])
        assert len(audits["native"]["findings"]) > 10

    def test_a_gate_for_a_stack_that_only_calls_functions(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """Packs see no functions: a gate reads what they read, and stops the update."""
        stack = make_stack(IMPORTS + 'pulumi.export("id", call("getConnection", provider="slack")["id"])\n')
        sandbox.update("conn_koyo_slack", status="bad_credentials")
        required = {"readable-connections": {"require": True}}
        ungated = stack.up(*stack.pack(required))
        assert [violation[:2] for violation in ungated.violations] == [("mandatory", "readable-connections")]
        stack.configure("--path", "ampersand:gate.provider", "slack")
        stopped = stack.up(*stack.pack(required))
        assert stopped.code != 0
        assert [violation[:3] for violation in stopped.violations] == [("mandatory", "no-bad-credentials", "test-dev")]
        sandbox.update("conn_koyo_slack", status="working")
        stack.up(*stack.pack(required), check=True)


def without_times(report: dict[str, Any]) -> Any:
    """A report without the moments at which it was made."""
    return {name: part for name, part in report.items() if name not in {"asOf", "sources"}}


class TestInterruption:
    """Ctrl-C while the API hangs, and an engine that is killed."""

    @pytest.fixture
    def begin(self, make_stack: MakeStack, sandbox: Sandbox) -> Iterator[Any]:
        """Begins previews that wait for an API that hangs; the CLI's process, and the plugin's ID."""
        running: list[subprocess.Popen[str]] = []
        plugins: list[int] = []

        def begin(program: str) -> tuple[subprocess.Popen[str], int]:
            stack = make_stack(IMPORTS + program)
            sandbox.faults = ["slow:120"]
            running.append(
                subprocess.Popen(
                    ["pulumi", "preview", "--non-interactive"],
                    cwd=stack.folder,
                    env=stack.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
            end = time.monotonic() + _PATIENCE
            while not sandbox.requests:
                assert running[-1].poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)
            plugins.extend(plugins_of(running[-1].pid))
            (plugin,) = plugins
            return running[-1], plugin

        yield begin
        for process in running:
            process.kill()
            process.communicate()
        for plugin in plugins:
            with contextlib.suppress(ProcessLookupError):
                os.kill(plugin, signal.SIGKILL)

    @pytest.mark.parametrize(
        "program",
        ['read("all")', 'pulumi.export("x", output("getConnections", {}).apply(str))'],
        ids=["resource", "function"],
    )
    @pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
    def test_ctrl_c(self, begin: Any, program: str) -> None:
        """The preview ends at once, as interrupted, and no process stays."""
        process, plugin = begin(program)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=_PATIENCE)
        assert process.returncode != 0
        # The program is interrupted, too, and may be gone before it hears of its function.
        assert "interrupted" in out or "output(" in program
        assert gone(plugin)

    @pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
    def test_an_engine_that_is_killed(self, begin: Any) -> None:
        """The plugin doesn't outlive it."""
        process, plugin = begin('read("all")')
        process.kill()
        process.wait(_PATIENCE)
        assert gone(plugin)


def plugins_of(parent: int) -> list[int]:
    """The plugin processes that a process has started."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    started = [int(child) for file in children for child in file.read_text().split()]
    return [one for one in started if b"pulumi-resource-ampersand" in Path(f"/proc/{one}/cmdline").read_bytes()]


def gone(process_id: int) -> bool:
    """Whether a process ends, within a test's patience."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            os.kill(process_id, 0)
            if "State:\tZ" in Path(f"/proc/{process_id}/status").read_text():
                return True  # and nobody waits for it
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False
