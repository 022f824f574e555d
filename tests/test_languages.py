"""The gate and stacks in other languages: Go and TypeScript programs that know nothing of Ampersand."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import MakeStack
from engine.provision import EngineError
from languages import provide
from pulumi_ampersand.sandbox import Sandbox
from stack import PACK, Result, Stack

pytestmark = pytest.mark.engine

DEPLOYMENTS = {"go": provide.go_program, "nodejs": provide.typescript_program}
"""What provides each deployment, by the runtime that Pulumi has for its language."""

PATIENCE_SECONDS = 120


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with connections that break no rule."""
    with Sandbox("healthy") as running:
        yield running


@pytest.fixture(scope="module", params=DEPLOYMENTS)
def runtime(request: pytest.FixtureRequest) -> str:
    """A runtime for which there is a deployment."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def command(runtime: str, request: pytest.FixtureRequest) -> list[str]:
    """The command that runs the deployment. Where it can't be provided, tests are skipped."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():  # providing it may take minutes, and says so
            return DEPLOYMENTS[runtime]()
    except EngineError as error:
        pytest.skip(f"no deployment for {runtime}: {error}")


@pytest.fixture
def stack(make_stack: MakeStack, runtime: str) -> Stack:
    """A gated stack, whose folder holds no Python program."""
    made = make_stack("")
    (made.folder / "__main__.py").unlink()
    (made.folder / "Pulumi.yaml").write_text(f"name: test\nruntime: {runtime}\n")
    made.configure("ampersand:gate", "true")
    return made


def deploy(stack: Stack, command: list[str], operation: str) -> Result:
    """Run an operation of the deployment with our pack."""
    done = subprocess.run(
        [*command, operation, str(PACK)],
        cwd=stack.folder,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def test_gate_stops_any_language(stack: Stack, runtime: str, command: list[str], sandbox: Sandbox) -> None:
    """A broken connection stops preview and update with nothing created; once it is mended, the update creates."""
    for operation in ("preview", "up"):
        sandbox.update("conn_koyo_slack", status="bad_credentials")
        sandbox.clear_requests()
        refused = deploy(stack, command, operation)
        assert refused.code == 1, refused.text
        assert len(refused.violations) == 1, refused.text
        violation = refused.violations[0]
        assert violation[:3] == ("mandatory", "no-bad-credentials", "test-dev")
        assert violation.message.startswith("conn_koyo_slack ")
        assert sandbox.counts == {"list": 1}
        assert stack.resources() == []

        sandbox.reset()
        sandbox.clear_requests()
        accepted = deploy(stack, command, operation)
        assert accepted.code == 0, accepted.text
        assert accepted.violations == []
        assert sandbox.counts == {"list": 1}

    assert stack.resource("pulumi:index:Stash")["outputs"]["output"] == runtime
