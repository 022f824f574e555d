"""Ended from outside at any moment: the state and every file stay whole, and nothing goes on that nobody sees.

Moments are random, from a seed, so that each run meets the same ones. Those that count requests come while something is
read, on slow machines, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from audit_runs import AS_OF, BAD, CRASHES, SCRIPT, environment, left_in, write
from conftest import MakeStack
from programs import IMPORTS, documents, held
from pulumi_ampersand.sandbox import Sandbox
from stack import Stack

PROGRAM: Final = IMPORTS + 'ampersand.Connections("all")\nampersand.Connections("slack", provider="slack")\n'

SECONDS: Final = 30
"""After which something that doesn't end fails its test; the slowest here takes a few."""

PROVIDER: Final = ("pulumi-resource-pulumi-python", "pulumi.dynamic")
"""What Pulumi's SDK leaves running where the CLI is killed before our provider was asked for anything."""


class Moment(NamedTuple):
    """When to end a run.

    Attributes:
        seconds: So much after the last of the requests.
        requests: After how many requests.
    """

    seconds: float
    requests: int = 0


PREVIEW: Final = ("preview",)
UP: Final = ("up", "--yes", "--skip-preview")


def runs(seed: int) -> Iterator[tuple[Sequence[str], Moment]]:
    """Commands, each to be ended once before anything is read, and once while the gate or a data source reads."""
    chance = random.Random(seed)
    for command, requests in ((PREVIEW, 1), (UP, 2)):
        yield command, Moment(chance.uniform(0.2, 1.5))
        yield command, Moment(chance.uniform(0, 0.4), requests)


def processes(session: int) -> dict[int, str]:
    """The processes of a session that haven't ended, and what they run."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, of = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state not in "ZX":
                found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def end_of(session: int, but: Sequence[str] = ()) -> None:
    """Wait until all processes of a session have ended, but for those that run one of these."""
    end = time.monotonic() + SECONDS
    while left := [line for line in processes(session).values() if not any(part in line for part in but)]:
        assert time.monotonic() < end, left
        time.sleep(0.02)


class Ended(NamedTuple):
    """What a run left that was ended from outside.

    Attributes:
        code: Its exit code.
        text: What it said.
        session: The session of its processes.
        reading: Whether it had begun to read.
    """

    code: int
    text: str
    session: int
    reading: bool


def ended(run: subprocess.Popen[str], number: int, moment: Moment, requests: Sequence[object]) -> Ended:
    """End a run that has a session of its own: by Ctrl-C all of its group, otherwise itself alone."""
    end = time.monotonic() + SECONDS
    while len(requests) < moment.requests and run.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(moment.seconds)
    reading = bool(requests)
    # It may have ended by itself.
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if number == signal.SIGINT else os.kill)(run.pid, number)
    try:
        text, _ = run.communicate(timeout=SECONDS)
    finally:
        run.kill()
    return Ended(run.returncode, text, run.pid, reading)


def started(command: Sequence[object], folder: Path, environ: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a command as from a terminal of its own."""
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, which takes its time."""
    with Sandbox("healthy") as running:
        yield running


@pytest.fixture
def stack(make_stack: MakeStack, sandbox: Sandbox) -> Stack:
    """A stack that has read everything, and would read something else next time."""
    made = make_stack(PROGRAM)
    made.up(check=True)
    sandbox.update("conn_koyo_slack", status="bad_credentials")
    sandbox.faults = ["slow:0.5"]
    return made


def locks(stack: Stack) -> list[Path]:
    """The files by which the backend knows that an update is under way."""
    return [path for path in (stack.folder / ".state").glob(".pulumi/locks/**/*.json") if path.is_file()]


class Requests(Sequence[object]):
    """The requests that a sandbox has had so far."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def __len__(self) -> int:
        return len(self._sandbox.requests)

    def __getitem__(self, index: Any) -> Any:
        return self._sandbox.requests[index]


def stop(stack: Stack, sandbox: Sandbox, command: Sequence[str], number: int, moment: Moment) -> Ended:
    """End a run of Pulumi, and check that the state can be read and is of one piece."""
    names = {resource["urn"] for resource in stack.resources()}
    sandbox.clear_requests()
    gated = stack.pack({"all": "advisory", "readable-connections": {"gate": True}})
    run = started(["pulumi", "--non-interactive", *command, *gated], stack.folder, stack.environment)
    left = ended(run, number, moment, Requests(sandbox))
    assert left.code != 0, "it had ended by itself"
    deployment = json.loads(stack.run("stack", "export", check=True).out)["deployment"]
    assert "pending_operations" not in deployment
    assert {resource["urn"] for resource in deployment["resources"]} == names
    read = [resource for resource in deployment["resources"] if resource["type"].endswith("ampersand:Connections")]
    assert len(read) == 2
    for resource in read:
        assert json.loads(resource["inputs"]["connections"])["v"] == 1
        assert json.loads(resource["inputs"]["observations"])["v"] == 1
    return left


def goes_on(stack: Stack, sandbox: Sandbox) -> None:
    """Check that the next update does what those before left undone."""
    sandbox.faults = []
    stack.up(check=True)
    for resource in held(stack).values():
        if resource["type"].endswith("ampersand:Connections"):
            assert documents(resource, "outputs")["connections"]["conn_koyo_slack"]["healthy"] is False


@pytest.mark.engine
def test_pulumi_interrupted(stack: Stack, sandbox: Sandbox) -> None:
    """After Ctrl-C no process and no lock is left, the state is whole, and the next update goes on."""
    for command, moment in runs(1):
        left = stop(stack, sandbox, command, signal.SIGINT, moment)
        end_of(left.session)
        assert locks(stack) == []
        # An interpreter that is still importing knows no better, and the gate reads before that.
        assert re.search(r'File "[^"]*/pulumi_ampersand[^"]*", line \d+, in (?!<module>)', left.text) is None, left.text
    goes_on(stack, sandbox)


@pytest.mark.engine
def test_pulumi_killed(stack: Stack, sandbox: Sandbox) -> None:
    """After SIGKILL the state is whole, ``pulumi cancel`` takes the lock away, and what has read anything ends."""
    locked = 0
    for command, moment in runs(2):
        left = stop(stack, sandbox, command, signal.SIGKILL, moment)
        try:
            end_of(left.session, () if left.reading else PROVIDER)
        finally:
            for process in processes(left.session):
                os.kill(process, signal.SIGKILL)
        if locks(stack):
            locked += 1
            assert "pulumi cancel" in stack.up().text
            stack.run("cancel", "--yes", check=True)
            assert locks(stack) == []
    assert locked
    goes_on(stack, sandbox)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_an_audit_ended(number: signal.Signals, tmp_path: Path) -> None:
    """Whenever a large file's audit is ended, its report is the one before or the new one, and no helper goes on."""
    connections = [{**BAD, "id": f"conn_{n}", "providerWorkspaceRef": str(n)} for n in range(20_000)]
    write(tmp_path, "large.json", connections)
    report = tmp_path / "audit.json"
    chance = random.Random(number.name)
    cut_short = 0
    for _ in range(6):
        report.write_text("{}")
        command = [SCRIPT, "audit", "--input", "large.json", "--as-of", AS_OF, "--format", "json=audit.json"]
        with started(command, tmp_path, environment()) as run:
            left = ended(run, number, Moment(chance.uniform(0, 1.2)), ())
        end_of(left.session)
        findings = json.loads(report.read_bytes()).get("findings")
        cut_short += findings is None
        assert findings is None or len(findings) == len(connections)
        assert not any(crash in left.text for crash in CRASHES), left.text
        drafts = [name for name in left_in(tmp_path) if name not in {"audit.json", "large.json"}]
        # After SIGKILL nobody is there to tidy up.
        assert drafts == [] or number == signal.SIGKILL
        for name in drafts:
            (tmp_path / name).unlink()
    assert cut_short
