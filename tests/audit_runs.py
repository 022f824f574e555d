"""Runs of ``pulumi-ampersand audit`` as a user starts it, each checked for what no run may do."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from click.testing import CliRunner

from pulumi_ampersand_policies.cli import main
from pulumi_ampersand_policies.testing import NOW, at, connection, grant
from stack import clean_environment

KEY: Final = "CANARY-api-key-5d41402abc4b2a76"
"""The API key of every run, to look for in everything that it leaves."""

SCRIPT: Final = Path(sys.executable).parent / "pulumi-ampersand"
AS_OF: Final = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
"""The time at which the connections of these tests are what they are called."""

NONE: Final[Mapping[str, str]] = {}

SECONDS: Final = 60
"""After which a hanging run fails its test."""

CRASHES: Final = ("Traceback (most recent call last)", "KeyboardInterrupt", "Exception ignored")


class Run(NamedTuple):
    """What a run left.

    Attributes:
        code: Its exit code.
        out: Its standard output, to the byte.
        err: Its standard error.
    """

    code: int
    out: bytes
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """Its standard output as a JSON report."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def findings(self) -> list[tuple[str, str]]:
        """Rule and connection of each finding in its JSON report."""
        return [(finding["rule"], finding["connection"]) for finding in self.report["findings"]]

    @property
    def errors(self) -> list[str]:
        """What it calls errors on standard error, a line each."""
        return [line.removeprefix("Error: ") for line in self.err.splitlines() if line.startswith("Error: ")]


def environment(**more: str) -> dict[str, str]:
    """The environment of a run: none of the user's own settings, but an API key.

    Args:
        more: Other variables; an empty one is unset.
    """
    merged = clean_environment(SCRIPT.parent) | {"AMP_API_KEY": KEY} | more
    return {name: value for name, value in merged.items() if value}


def checked(run: Run) -> Run:
    """A run that kept to the rules: no traceback, no API key, no control characters on standard error."""
    said = run.out.decode("utf-8", "replace") + run.err
    assert not any(crash in said for crash in CRASHES), said
    assert KEY not in said
    assert re.search(r"[^\n\x20-\x7e\xa0-\uffff]", run.err) is None, repr(run.err)
    return run


def audit(
    folder: Path, *arguments: str | Path, stdin: bytes = b"", environ: Mapping[str, str] = NONE, **variables: str
) -> Run:
    """Run ``pulumi-ampersand audit`` in a process of its own, without a terminal.

    Args:
        folder: The working directory.
        arguments: Its arguments.
        stdin: Its standard input.
        environ: See `environment`.
        variables: Likewise.
    """
    done = subprocess.run(
        [SCRIPT, "audit", *arguments],
        cwd=folder,
        env=environment(**environ, **variables),
        input=stdin,
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    return checked(Run(done.returncode, done.stdout, done.stderr.decode()))


def audit_here(*arguments: str | Path, **variables: str) -> Run:
    """The same in this process, for what is asked hundreds of times."""
    cleared: dict[str, str | None] = {"AMP_API_KEY": KEY, "AMP_API_URL": None, "AMP_PROJECT": None}
    done = CliRunner(env=cleared | variables).invoke(main, ["audit", *map(str, arguments)], catch_exceptions=False)
    return checked(Run(done.exit_code, done.stdout_bytes, done.stderr))


def on_terminal(folder: Path, *arguments: str | Path, stdout: Any = None, **variables: str) -> tuple[int, str]:
    """Run a command on a terminal of 80 columns; its exit code, and everything that the terminal was sent.

    Args:
        folder: The working directory.
        arguments: The command and its arguments.
        stdout: Where standard output goes instead.
        variables: See `environment`.
    """
    master, slave = pty.openpty()
    try:
        run = subprocess.Popen(
            [SCRIPT, *arguments],
            cwd=folder,
            env=environment(**({"TERM": "xterm-256color"} | variables)),
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
        )
    finally:
        os.close(slave)
    sent = rest_of(master)
    code = run.wait(SECONDS)
    text = sent.decode().replace("\r\n", "\n")
    assert not any(crash in text for crash in CRASHES), text
    assert KEY not in text
    return code, text


def rest_of(master: int) -> bytes:
    """All that a terminal is still sent until nobody holds its other end any more; closes it."""
    sent = b""
    try:
        while part := os.read(master, 65536):
            sent += part
    except OSError:
        # So Linux says that.
        pass
    finally:
        os.close(master)
    return sent


def write(folder: Path, name: str, content: Any) -> Path:
    """Write a JSON file."""
    file = folder / name
    file.write_text(json.dumps(content), "utf-8")
    return file


def left_in(folder: Path) -> list[str]:
    """The names of all that lies in a folder, hidden drafts included."""
    return sorted(path.name for path in folder.iterdir())


CLEAN: Final = connection("conn_clean")
BAD: Final = connection("conn_bad", status="bad_credentials")
EXPIRING: Final = connection("conn_expiring", oauth2AuthorizationCode=grant(refresh=at(days=3)))
UNREFRESHABLE: Final = connection("conn_unrefreshable", oauth2AuthorizationCode=grant(False, access=at(days=20)))
