"""No credential gets out through Pulumi: not the API key, and none of the tokens and keys that the API answers with.

What the commands say and write is in ``test_canaries.py``.
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from canaries import canary, connection, files, leaks, misshapen
from conftest import MakeStack
from pulumi_ampersand.sandbox import Sandbox
from stack import Result, Stack

pytestmark = pytest.mark.engine

KEY = canary("api-key")

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
    """The API, whose answers hold all kinds of credentials, known and new, well-formed and not."""
    odd = list(misshapen().items())[::5]
    sent = [connection("conn_known"), *({**each, "id": f"conn_{name}"} for name, each in odd)]
    with Sandbox(connections=[*Sandbox("mixed").connections, *sent], api_key=KEY) as running:
        yield running


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH which has every Python process log at the lowest level, to a file in it."""
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(LOG_EVERYTHING)
    return folder


VALUE = re.compile(r"cHVsdW1pUHY[A-Za-z0-9+/]+=*")
"""A value in the engine's own log, in base64; all of them begin alike."""


def in_clear(log: str) -> str:
    """The engine's own log, its values in clear."""
    return VALUE.sub(lambda found: base64.b64decode(found[0]).decode("utf-8", "replace"), log)


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

    def decrypted(self) -> dict[str, str]:
        """The engine's own logs of previews and updates, which it keeps encrypted under PULUMI_HOME, by file."""
        kept = (self.stack.folder / ".home" / "logs").glob("*.log")
        sealed = sorted(log for log in kept if log.read_bytes().startswith(b"PLOG"))
        # It keeps them since that version.
        _, minor, *_ = self.stack.run("version", check=True).out.split(".")
        assert sealed or int(minor) < 254
        # Those of commands that pass nothing on are short.
        long = [str(log) for log in sealed if log.stat().st_size > 8192]
        return {log: in_clear(self.stack.run("logs", "decrypt", log, check=True).out) for log in long}

    def found(self, told: str = "") -> dict[str, list[str]]:
        """Where credentials were found: a command's output or a file, as it is, unpacked or decrypted.

        Args:
            told: A credential that the engine was told, and logs; what it logs it encrypts.
        """
        found = files(self.stack.folder, self.logs)
        logs = self.decrypted()
        # What was searched is what there was to find: credentials of all customers, logs of several processes.
        assert len(self.sandbox.secrets) > 10
        assert all(leaks(secret) for secret in self.sandbox.secrets)
        assert b"httpcore" in (self.logs / "debug.log").read_bytes()
        # The names of files are content, too, and say nothing of customers.
        assert all(b"Brightwater Logistics" in found[place] for place in found if Path(place).match("events-*.json"))
        assert not logs or any("Brightwater Logistics" in log for log in logs.values())
        decrypted = {f"decrypted {place}": log.replace(told, "") for place, log in logs.items()}
        searched: dict[str, bytes | str] = {**self.shown, **found, **decrypted}
        return {place: hits for place, text in searched.items() if (hits := leaks(text))}


def test_key_in_the_configuration(make_stack: MakeStack, sandbox: Sandbox, logs: Path) -> None:
    """Outputs, JSON, diffs, errors, all logs, state and whatever else is written hold no credential.

    But for the engine's own log, encrypted, which holds all that the engine knows.
    """
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
    # The gate reads, and then the data source does.
    for faults, said in (
        (["key-echo"], ["[API key]"]),
        (["redirect,times=1", "html,status=403"], ["redirect to", "403 Forbidden"]),
    ):
        sandbox.faults = faults
        shown = witness.shown[str(faults)] = stack.preview(*pack).text
        assert [text for text in said if text not in shown] == []
    witness.shown["export"] = stack.run("stack", "export", check=True).out
    assert witness.found(told=KEY) == {}


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

    # That there was nothing to find isn't for want of looking: what a program gives away is seen in all those places.
    stack.write(f"import pulumi\npulumi.export('given away', {canary('given-away')!r})\n")
    witness.run("up", "--yes", "--skip-preview")
    (stack.folder / ".home" / "packed.log").write_bytes(gzip.compress(KEY.encode()))
    places = "\n".join(witness.found())
    for part in ("up --yes", "decrypted ", "/.state/", "/.home/packed.log", "/events-", "/__main__.py"):
        assert part in places
