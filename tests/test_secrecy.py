"""No credential gets out: not the API key, and none of the tokens and keys that the API answers with."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import MakeStack
from pulumi_ampersand.sandbox import Sandbox
from stack import Result, Stack

pytestmark = pytest.mark.engine

KEY = "CANARY-api-key-4f1d"

PROGRAM = """
import pulumi
import pulumi_ampersand as ampersand

found = ampersand.Connections("found")
pulumi.export("connections", found.connections)
"""

LOG_EVERYTHING = """
import logging
import pathlib

file = pathlib.Path(__file__).with_name("debug.log")
logging.basicConfig(level=logging.DEBUG, filename=file, format="%(name)s %(message)s")
"""
"""Python runs this in each process, so programs, providers and packs log all that any library has to say."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, whose answers hold all kinds of credentials."""
    with Sandbox("mixed", api_key=KEY) as running:
        yield running


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH which has every Python process log at the lowest level, to a file in it."""
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(LOG_EVERYTHING)
    return folder


def leaks(text: str, sandbox: Sandbox) -> set[str]:
    """The credentials in a text, in clear or as base64, in which states hold pickles."""
    found = {secret for secret in sandbox.secrets if secret in text}
    return found | {secret for secret in sandbox.secrets for form in encoded(secret) if form in text}


def encoded(secret: str) -> list[str]:
    """The middle of a secret's base64 form, which depends on where in a longer text it begins."""
    return [base64.b64encode(b"x" * shift + secret.encode())[4:-4].decode() for shift in range(3)]


def files(*folders: Path) -> dict[Path, str]:
    """All that lies in some folders."""
    return {
        file: file.read_bytes().decode("utf-8", "replace")
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file()
    }


class Witness:
    """Runs commands, and looks at all that they show and leave behind.

    Every command logs its events to a file; what it shows is kept under the command's name.
    """

    def __init__(self, stack: Stack, sandbox: Sandbox, logs: Path) -> None:
        self.stack = stack
        self.sandbox = sandbox
        self.logs = logs
        self.shown: dict[str, str] = {}

    def run(self, *arguments: str) -> Result:
        """Run a command that takes an event log."""
        events = self.stack.folder / f"events-{len(self.shown)}.json"
        result = self.stack.run(*arguments, "--event-log", str(events), PULUMI_DEBUG_COMMANDS="true")
        self.shown[" ".join(arguments)] = result.text
        return result

    def run_verbosely(self, *arguments: str, without_engine: bool = False) -> None:
        """Run a command with all that Pulumi can log, with or without the lines of the engine itself."""
        shown = self.stack.run(*arguments, "-v=11", "--logtostderr", "--logflow", check=True).text
        assert '{"time":' in shown
        if without_engine:
            shown = "\n".join(line for line in shown.splitlines() if not line.startswith('{"time":'))
        self.shown[f"verbose {arguments[0]}"] = shown

    def found(self) -> dict[str, set[str]]:
        """Where credentials were found: a command's output or a file."""
        searched = {**self.shown, **{str(file): text for file, text in files(self.stack.folder, self.logs).items()}}
        # What was searched is what there was to find: credentials of all customers, logs of several processes.
        assert len(self.sandbox.secrets) > 10
        assert "httpcore" in (self.logs / "debug.log").read_text()
        assert all("Brightwater Logistics" in searched[place] for place in searched if "events-" in place)
        return {place: leaked for place, text in searched.items() if (leaked := leaks(text, self.sandbox))}


def test_key_in_the_configuration(make_stack: MakeStack, sandbox: Sandbox, logs: Path) -> None:
    """Outputs, JSON, diffs, errors, event logs, Python's own logs, state and all other files hold no credential."""
    stack = make_stack(PROGRAM, PYTHONPATH=str(logs), AMP_API_KEY="")
    stack.configure("--secret", "ampersand:apiKey", KEY)
    witness = Witness(stack, sandbox, logs)
    pack = stack.pack({"all": "advisory", "readable-connections": {"gate": True}})

    assert witness.run("up", "--yes", "--skip-preview", "--diff", *pack).code == 0
    assert witness.run("preview", "--json", *pack).code == 0
    sandbox.update("conn_koyo_slack", status="bad_credentials")
    assert witness.run("refresh", "--yes", "--skip-preview", "--diff").code == 0
    # The engine logs each value that it sends to a provider or a pack, the stack's secrets included: no doing of ours.
    witness.run_verbosely("preview", *pack, without_engine=True)
    sandbox.faults = ["key-echo"]
    echoed = stack.preview(*pack).text
    assert "[API key]" in echoed
    witness.shown["key-echo"] = echoed
    witness.shown["export"] = stack.run("stack", "export", check=True).out
    assert witness.found() == {}


def test_key_in_the_environment(make_stack: MakeStack, sandbox: Sandbox, logs: Path) -> None:
    """A key that the engine never sees is in none of the engine's logs either, nor among the secrets of the state."""
    stack = make_stack(PROGRAM, PYTHONPATH=str(logs))
    witness = Witness(stack, sandbox, logs)
    pack = stack.pack({"all": "advisory", "readable-connections": {"gate": True}})

    witness.run_verbosely("up", "--yes", "--skip-preview", *pack)
    witness.shown["export"] = stack.run("stack", "export", "--show-secrets", check=True).out
    sandbox.faults = ["invalid-json"]
    witness.shown["invalid-json"] = stack.preview(*pack).text
    assert "expected a JSON array" in witness.shown["invalid-json"]
    assert witness.found() == {}
