"""Pulumi stacks for tests: the real CLI on a local backend, away from the user's own settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACK = ROOT / "policies"

_TIMEOUT = 120
"""Seconds after which a hanging command fails its test; none takes a tenth of it."""


_CRASHES = ("Traceback (most recent call last)", "KeyboardInterrupt")
"""What Python prints of an error that nobody expected. No mistake of a user's may come to that."""

_GRPC_REMARK = re.compile(r"[IWE]\d{4} [\d:.]+ +\d+ \w+\.cc:\d+\] ")
"""What gRPC says in a program that the engine hangs up on; it comes or not, as it happens."""

_VIOLATION = re.compile(
    r"^ +- \[(?P<level>\w+)\] \[severity: \w+\]  (?P<rule>\S+)  \(\S+: (?P<resource>\S+)\)\n"
    r"(?P<message>(?: {10}.*\n)+)",
    re.MULTILINE,
)


class Violation(NamedTuple):
    """A policy violation as the CLI shows it.

    Attributes:
        level: "advisory" or "mandatory".
        rule: The rule's ID.
        resource: The name of the resource that it is about.
        message: What it says; only a wrong configuration takes more than one line.
    """

    level: str
    rule: str
    resource: str
    message: str


class Result(NamedTuple):
    """What a command left.

    Attributes:
        code: Its exit code.
        out: Its standard output.
        err: Its standard error.
    """

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams."""
        return self.out + self.err

    @property
    def violations(self) -> list[Violation]:
        """What policy packs reported."""
        return [
            Violation(
                found["level"],
                found["rule"],
                found["resource"],
                "\n".join(line.strip() for line in found["message"].splitlines()),
            )
            for found in _VIOLATION.finditer(self.out)
        ]

    @property
    def diagnostics(self) -> list[str]:
        """Every line that stands under "Diagnostics", resource names and gRPC's remarks left out."""
        _, _, after = self.out.partition("\nDiagnostics:\n")
        section = re.split(r"^(?=\S)", after, maxsplit=1, flags=re.MULTILINE)[0]
        lines = [line.strip() for line in section.splitlines() if line.startswith("    ")]
        return [line for line in lines if not _GRPC_REMARK.match(line)]


class Stack:
    """One Pulumi project with one stack, ``dev``, in a folder of its own.

    Args:
        folder: An empty folder.
        engine: The folder of the ``pulumi`` to use.
        program: The Python program.
        environment: More environment variables, those of a sandbox for example.
        name: The project's name.
        seconds: How long a command may take.
    """

    def __init__(
        self,
        folder: Path,
        engine: Path,
        program: str,
        environment: Mapping[str, str] | None = None,
        name: str = "test",
        *,
        seconds: float = _TIMEOUT,
    ) -> None:
        self.folder = folder
        self.seconds = seconds
        folder.mkdir(parents=True, exist_ok=True)
        state = folder / ".state"
        state.mkdir()
        (folder / "Pulumi.yaml").write_text(f"name: {name}\nruntime: python\n")
        self.environment = clean_environment(engine) | {
            "PULUMI_HOME": str(folder / ".home"),
            "PULUMI_BACKEND_URL": state.as_uri(),
            **(environment or {}),
        }
        self.write(program)
        self.run("stack", "init", "dev", check=True)

    def write(self, program: str) -> None:
        """Replace the program."""
        (self.folder / "__main__.py").write_text(program)

    def run(self, *arguments: str, check: bool = False, **environment: str) -> Result:
        """Run ``pulumi`` without a terminal. That anything crashes on the way fails the test.

        Args:
            arguments: The command and its arguments.
            check: Whether a failing command fails the test.
            environment: Environment variables for this command only; an empty one is unset.
        """
        merged = {key: value for key, value in (self.environment | environment).items() if value}
        done = subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=self.folder,
            env=merged,
            capture_output=True,
            text=True,
            timeout=self.seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        result = Result(done.returncode, done.stdout, done.stderr)
        assert not check or result.code == 0, result.text
        assert not any(crash in result.text for crash in _CRASHES), result.text
        return result

    def configure(self, *arguments: str) -> None:
        """``pulumi config set``: flags, a key and a value."""
        self.run("config", "set", *arguments, check=True)

    def preview(self, *arguments: str, check: bool = False, **environment: str) -> Result:
        """``pulumi preview``."""
        return self.run("preview", *arguments, check=check, **environment)

    def up(self, *arguments: str, check: bool = False, **environment: str) -> Result:
        """``pulumi up`` without its preview."""
        return self.run("up", "--yes", "--skip-preview", *arguments, check=check, **environment)

    def refresh(self, *arguments: str, check: bool = False, **environment: str) -> Result:
        """``pulumi refresh`` without its preview."""
        return self.run("refresh", "--yes", "--skip-preview", *arguments, check=check, **environment)

    def destroy(self, *arguments: str, check: bool = False, **environment: str) -> Result:
        """``pulumi destroy`` without its preview."""
        return self.run("destroy", "--yes", "--skip-preview", *arguments, check=check, **environment)

    def pack(self, configuration: Mapping[str, Any] | None = None) -> list[str]:
        """The arguments that put our pack, with this configuration, before a deployment."""
        if configuration is None:
            return ["--policy-pack", str(PACK)]
        file = self.folder / "policy.json"
        file.write_text(json.dumps(configuration))
        return ["--policy-pack", str(PACK), "--policy-pack-config", str(file)]

    def analyze(self, *arguments: str, check: bool = False, **environment: str) -> Result:
        """``pulumi policy analyze`` of what the state holds."""
        return self.run("policy", "analyze", *arguments, check=check, **environment)

    def resources(self) -> list[dict[str, Any]]:
        """The resources in the state, secrets encrypted."""
        state = json.loads(self.run("stack", "export", check=True).out)
        found: list[dict[str, Any]] = state["deployment"].get("resources", [])
        return found

    def resource(self, kind: str) -> dict[str, Any]:
        """The only resource in the state whose type ends in ``kind``."""
        (found,) = [resource for resource in self.resources() if resource["type"].endswith(kind)]
        return found

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets shown."""
        found: dict[str, Any] = json.loads(self.run("stack", "output", "--json", "--show-secrets", check=True).out)
        return found


def clean_environment(engine: Path) -> dict[str, str]:
    """An environment without the user's own Pulumi and Ampersand settings.

    A ``PULUMI_CONFIG`` or an ``AMP_API_KEY`` of the user's would reach the programs under test.
    """
    # By the last, what `make coverage` runs is counted.
    names = ("HOME", "LANG", "LC_ALL", "TMPDIR", "COVERAGE_PROCESS_CONFIG")
    kept = {key: os.environ[key] for key in names if key in os.environ}
    path = os.pathsep.join([str(engine), str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
    return kept | {
        "PATH": path,
        "PULUMI_CONFIG_PASSPHRASE": "tests",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
