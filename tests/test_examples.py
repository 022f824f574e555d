"""Every example, run with the real engine: what it shows, what it writes, and what the gate says of it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.provision import EngineError
from languages import provide, sdks
from pulumi_ampersand.sandbox import Sandbox
from stack import PACK, ROOT, Stack, clean_environment

EXAMPLES = ROOT / "examples"

MakeExample = Callable[[str], Stack]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with connections that break no rule."""
    with Sandbox("healthy") as running:
        yield running


def other_languages() -> tuple[Path, dict[str, str]]:
    """An engine that runs programs in every language, and the variables with which it does."""
    try:
        return provide.hosts(), provide.toolchains()
    except EngineError as error:
        pytest.skip(f"no language hosts: {error}")


@pytest.fixture
def make_example(tmp_path: Path, engine: Path, sandbox: Sandbox) -> MakeExample:
    """Make a stack of a copy of an example, so that its files lie in a folder of the test's."""

    def make(name: str) -> Stack:
        folder = tmp_path / name
        # Without what somebody who tries the examples leaves there.
        shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("Pulumi.*.yaml", "routes.json"))
        project = (folder / "Pulumi.yaml").read_text()
        called, runtime = (project.partition(f"{key}: ")[2].split()[0] for key in ("name", "runtime"))
        variables, hosts, program = sandbox.environment, engine, ""
        if runtime == "python":
            program = (folder / "__main__.py").read_text()
        else:
            hosts, toolchains = other_languages()
            variables = {**toolchains, **variables}
            sdks.make_ready(folder, runtime, sdks.PLUGIN)
        stack = Stack(folder, hosts, program, variables, called)
        if runtime != "python":
            (folder / "__main__.py").unlink()
        (folder / "Pulumi.yaml").write_text(project)
        return stack

    return make


def parents(stack: Stack) -> dict[str, str]:
    """The name of each resource's parent by the resource's name, for what the program itself makes."""
    name = {resource["urn"]: resource["urn"].rpartition("::")[2] for resource in stack.resources()}
    return {
        name[resource["urn"]]: name[resource["parent"]]
        for resource in stack.resources()
        if "parent" in resource and not resource["type"].startswith("pulumi:providers:")
    }


@pytest.mark.engine
class TestCustomers:
    """Many customers, one component each."""

    def test_a_component_for_each_customer_comes_and_goes(self, make_example: MakeExample, sandbox: Sandbox) -> None:
        """A preview shows the components and writes nothing; connections that come and go are components, likewise."""
        stack = make_example("customers")
        preview = stack.preview(check=True)
        assert preview.out.count("customers:index:Customer") == 6
        assert not (stack.folder / "routes").exists()

        stack.up(check=True)
        routes = stack.folder / "routes"
        connections = {c["id"]: c for c in sandbox.connections}
        assert {file.stem for file in routes.iterdir()} == connections.keys()
        assert json.loads((routes / "conn_lumen_gong.json").read_text()) == {
            "provider": "gong",
            "workspace": "lumen-clinics",
        }
        assert stack.outputs()["customers"]["lumen"] == [
            "routes/conn_lumen_gong.json",
            "routes/conn_lumen_salesforce.json",
        ]
        project = "customers-dev"
        assert parents(stack) == {c["group"]["groupRef"]: project for c in connections.values()} | {
            key: c["group"]["groupRef"] for key, c in connections.items()
        }
        assert sandbox.counts == {"list": 2}

        koyo = connections["conn_koyo_slack"]
        new = {**koyo, "id": "conn_novo_slack", "group": {"groupRef": "novo", "groupName": "Novo"}}
        sandbox.connections = [new, *(c for c in connections.values() if c is not koyo)]
        stack.up(check=True)
        assert parents(stack)["conn_novo_slack"] == "novo"
        assert "koyo" not in parents(stack)
        assert (routes / "conn_novo_slack.json").is_file()
        assert not (routes / "conn_koyo_slack.json").exists()

        stack.destroy(check=True)
        assert list(routes.iterdir()) == []

    def test_the_gate_stops_it(self, make_example: MakeExample, sandbox: Sandbox) -> None:
        """A stack that reads by a function is gated by the pack's own read, before anything is made."""
        stack = make_example("customers")
        stack.configure("ampersand:gate", "true")
        sandbox.update("conn_koyo_slack", status="bad_credentials")
        refused = stack.up(*stack.pack())
        assert refused.code != 0
        assert [violation[:2] for violation in refused.violations] == [("mandatory", "no-bad-credentials")]
        assert not (stack.folder / "routes").exists()


@pytest.mark.engine
class TestAccessToken:
    """A cluster's secret from a connection's access token."""

    CANARIES = "CANARY"
    """What every credential in the sandbox's data contains."""

    def test_the_token_is_secret_all_the_way(self, make_example: MakeExample, sandbox: Sandbox) -> None:
        """The cluster gets the token; no preview nor the state holds it in clear, and a new token is a change."""
        stack = make_example("access-token")
        stack.configure("customer", "brightwater")
        before = stack.preview("--diff", check=True)
        assert "[secret]" in before.out
        (sent,) = [c for c in sandbox.connections if c["id"] == "conn_brightwater_salesforce"]
        token = sent["oauth2AuthorizationCode"]["accessToken"]["token"]
        assert self.CANARIES in token

        up = stack.up("--diff", check=True)
        file = stack.folder / "cluster" / "crm-token" / "token"
        assert file.read_text() == token
        assert file.stat().st_mode & 0o777 == 0o600
        assert stack.outputs() == {"connection": "conn_brightwater_salesforce"}
        (held,) = [r for r in stack.resources() if r["urn"].endswith("::crm-token")]
        assert "ciphertext" in json.dumps(held["inputs"]["string_data"])
        assert "ciphertext" in json.dumps(held["outputs"]["string_data"])

        fresh = {**sent["oauth2AuthorizationCode"]["accessToken"], "token": "CANARY-fresh"}
        sandbox.update(sent["id"], oauth2AuthorizationCode={**sent["oauth2AuthorizationCode"], "accessToken": fresh})
        change = stack.preview("--diff", check=True)
        assert "~ 1 to update" in change.out
        as_json = stack.preview("--json", check=True)
        exported = stack.run("stack", "export", check=True)
        for shown in (before, up, change, as_json, exported):
            assert self.CANARIES not in shown.text
        state = [file for file in (stack.folder / ".state").rglob("*") if file.is_file()]
        assert state
        assert [str(file) for file in state if self.CANARIES.encode() in file.read_bytes()] == []

        stack.destroy(check=True)
        assert not file.exists()

    def test_bad_credentials_fail_before_a_token_is_asked_for(
        self, make_example: MakeExample, sandbox: Sandbox
    ) -> None:
        """The expectation fails the preview with a sentence, and no call asks for credentials."""
        sandbox.update("conn_brightwater_salesforce", status="bad_credentials")
        stack = make_example("access-token")
        stack.configure("customer", "brightwater")
        refused = stack.preview()
        assert refused.code != 0
        assert any(
            line.endswith(
                "expected healthy connections, but found conn_brightwater_salesforce "
                "(salesforce, Brightwater Logistics): status bad_credentials"
            )
            for line in refused.diagnostics
        )
        assert [request.query for request in sandbox.requests if "includeCreds" in request.query] == []


@pytest.mark.engine
class TestFeatureFlag:
    """A feature that an unhealthy connection turns off."""

    def test_a_flip_turns_the_feature_off_and_on(self, make_example: MakeExample, sandbox: Sandbox) -> None:
        """Bad credentials and no connection at all are "off", the deployment succeeds, and recovery is "on" again."""
        stack = make_example("feature-flag")
        for position, customer in enumerate(("brightwater", "lumen", "aster-quill")):
            stack.configure("--path", f"customers[{position}]", customer)

        def deployed(customer: str) -> dict[str, Any]:
            found: dict[str, Any] = json.loads((stack.folder / f"sync-{customer}.json").read_text())
            return found

        preview = stack.preview(check=True)
        assert 'brightwater: "on"' in preview.out
        assert list(stack.folder.glob("sync-*")) == []
        stack.up(check=True)
        assert stack.outputs() == {"crmSync": {"brightwater": "on", "lumen": "on", "aster-quill": "off"}}
        assert deployed("lumen") == {"CUSTOMER": "lumen", "CRM_SYNC": "on"}
        assert deployed("aster-quill") == {"CUSTOMER": "aster-quill", "CRM_SYNC": "off"}

        sandbox.update("conn_lumen_salesforce", status="bad_credentials")
        gated = stack.preview(*stack.pack({"no-bad-credentials": "advisory"}), check=True)
        assert [violation[:2] for violation in gated.violations] == [("advisory", "no-bad-credentials")]
        flipped = stack.up(check=True)
        assert "~ 2 updated" in flipped.out
        assert stack.outputs() == {"crmSync": {"brightwater": "on", "lumen": "off", "aster-quill": "off"}}
        assert deployed("lumen") == {"CUSTOMER": "lumen", "CRM_SYNC": "off"}

        sandbox.update("conn_lumen_salesforce", status="working")
        stack.up(check=True)
        assert deployed("lumen") == {"CUSTOMER": "lumen", "CRM_SYNC": "on"}
        assert sandbox.counts == {"list": 5}


@pytest.mark.engine
class TestQuickstart:
    """Route each customer to its connections."""

    def test_routes_are_published_and_written(self, make_example: MakeExample) -> None:
        """The table is an output and, after an update, a file; the pack passes it with its own configuration."""
        stack = make_example("quickstart")
        gate = ("--policy-pack", str(PACK), "--policy-pack-config", "policy-config.json")
        preview = stack.preview(*gate, check=True)
        assert preview.violations == []
        assert not (stack.folder / "routes.json").exists()
        stack.up(check=True)
        routes = stack.outputs()["routes"]
        assert routes["lumen"] == {"gong": "conn_lumen_gong", "salesforce": "conn_lumen_salesforce"}
        assert json.loads((stack.folder / "routes.json").read_text()) == routes


@pytest.mark.engine
class TestGate:
    """A stack that knows nothing of connections."""

    def test_it_is_deployed_while_connections_keep_the_rules(self, make_example: MakeExample, sandbox: Sandbox) -> None:
        """The pack's gate mode lets it pass, or stops it before anything is made."""
        stack = make_example("gate")
        stack.configure("ampersand:gate", "true")
        sandbox.update("conn_koyo_slack", status="bad_credentials")
        refused = stack.up(*stack.pack())
        assert refused.code != 0
        assert [violation[:2] for violation in refused.violations] == [("mandatory", "no-bad-credentials")]
        assert stack.outputs() == {}
        sandbox.update("conn_koyo_slack", status="working")
        assert stack.up(*stack.pack(), check=True).violations == []
        assert stack.outputs() == {"greeting": "deployed"}


@pytest.mark.engine
class TestTypescript:
    """Many customers, one component each, in TypeScript."""

    def test_a_component_for_each_customer_comes_and_goes(self, make_example: MakeExample, sandbox: Sandbox) -> None:
        """A preview shows the components; an update makes those that there are by then. Each costs one request."""
        stack = make_example("typescript")
        assert stack.preview(check=True).out.count("customers:index:Customer") == 6

        connections = {one["id"]: one for one in sandbox.connections}
        koyo = connections.pop("conn_koyo_slack")
        connections["conn_novo"] = {**koyo, "id": "conn_novo", "group": {"groupRef": "novo", "groupName": "Novo"}}
        sandbox.connections = list(connections.values())
        stack.up(check=True)
        assert stack.outputs()["customers"]["lumen"] == ["conn_lumen_gong", "conn_lumen_salesforce"]
        project = "customers-typescript-dev"
        assert parents(stack) == {one["group"]["groupRef"]: project for one in connections.values()} | {
            key: one["group"]["groupRef"] for key, one in connections.items()
        }
        (gong,) = [found for found in stack.resources() if found["urn"].endswith("::conn_lumen_gong")]
        assert gong["outputs"]["output"] == {"provider": "gong", "workspace": "lumen-clinics"}
        assert sandbox.counts == {"list": 2}


@pytest.mark.engine
class TestGo:
    """A feature that an unhealthy connection turns off, in Go."""

    def test_bad_credentials_turn_the_feature_off(self, make_example: MakeExample, sandbox: Sandbox) -> None:
        """Bad credentials and no connection at all are "off", the deployment succeeds; the pack judges what is read."""
        stack = make_example("go")
        customers = ("brightwater", "lumen", "aster-quill")
        for position, customer in enumerate(customers):
            stack.configure("--path", f"customers[{position}]", customer)
        preview = stack.preview(check=True).out
        assert [f'{customer}: "on"' in re.sub(" +:", ":", preview) for customer in customers] == [True, True, False]

        sandbox.update("conn_lumen_salesforce", status="bad_credentials")
        update = stack.up(*stack.pack({"no-bad-credentials": "advisory"}), check=True)
        assert [found[:3] for found in update.violations] == [("advisory", "no-bad-credentials", "crm")]
        assert stack.outputs() == {"crmSync": {"brightwater": "on", "lumen": "off", "aster-quill": "off"}}
        assert sandbox.counts == {"list": 2}

    def test_the_commands_make_the_sdk(self, tmp_path: Path) -> None:
        """Those of the README, as they stand, leave a module that finds the package that the program imports."""
        folder = tmp_path / "go"
        shutil.copytree(EXAMPLES / "go", folder)
        hosts, toolchains = other_languages()
        environment = {**clean_environment(hosts), **toolchains, "PULUMI_HOME": str(tmp_path / "home")}
        readme = (folder / "README.md").read_text()
        commands = re.findall(r"^(?:pulumi-ampersand plugin|pulumi package|go mod) [\w ]+\w", readme, re.MULTILINE)
        assert commands == ["pulumi-ampersand plugin install", "pulumi package add ampersand", "go mod tidy"]
        imported = next(line for line in (folder / "main.go").read_text().split('"') if line.startswith("example.com/"))
        for command in [*commands, f"go list {imported}"]:
            done = subprocess.run(
                shlex.split(command), cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
        assert "replace example.com/pulumi-ampersand/sdk/go => ./sdks/ampersand" in (folder / "go.mod").read_text()


@pytest.mark.engine
class TestYaml:
    """A customer's workspace, checked, in YAML."""

    def test_a_workspace_is_found_and_checked(self, make_example: MakeExample, sandbox: Sandbox) -> None:
        """It is known in the preview; refused credentials stop it with a sentence."""
        stack = make_example("yaml")
        stack.configure("customer", "brightwater")
        assert 'workspace : "brightwater"' in stack.preview(check=True).out
        stack.up(check=True)
        assert stack.outputs() == {
            "connection": "conn_brightwater_salesforce",
            "workspace": "brightwater",
            "project": sandbox.project,
        }
        sandbox.update("conn_brightwater_salesforce", status="bad_credentials")
        refused = stack.preview()
        assert refused.code != 0
        sentence = "conn_brightwater_salesforce (salesforce, Brightwater Logistics): status bad_credentials"
        assert any(line.endswith(sentence) for line in refused.diagnostics), refused.text


def test_every_example_is_run_and_described() -> None:
    """Each program has a test class here; each example but the smallest says what to install and how to run it.

    The recipes for CI are no program and have a test of their own.
    """
    examples = {folder.name for folder in EXAMPLES.iterdir() if folder.is_dir() and not folder.name.startswith("__")}
    tested = {name.removeprefix("Test") for name in globals() if name.startswith("Test")}
    assert {"".join(map(str.capitalize, name.split("-"))) for name in examples - {"ci"}} == tested
    for name in examples - {"gate"}:
        assert (EXAMPLES / name / "README.md").read_text().startswith("# ")
        needs = EXAMPLES / name / "requirements.txt"
        # Programs in other languages have the plugin.
        commands = "pulumi-ampersand plugin install" if not needs.exists() else "pulumi-ampersand"
        assert commands in (needs if needs.exists() else EXAMPLES / name / "README.md").read_text()
