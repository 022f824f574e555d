"""The benchmark of starting: what importing ours costs over what is imported anyway, in fresh processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from bench_measure import Bench, Kind, Row, by_itself, in_turns, timed

BARE: Final = "bare Python"
PULUMI: Final = "`import pulumi`"
POLICY: Final = "`import pulumi_policy`"
PROVIDER: Final = "import of the provider, `from pulumi_ampersand import Connections`"
PACK: Final = "import of the pack, `pulumi_ampersand_policies.pack`"
AUDIT: Final = "import of the audit, `pulumi_ampersand_policies.audit_run`"
NOTHING: Final = "`pulumi-ampersand audit` of an empty answer, the whole command"

PROGRAMS: Final = {
    BARE: "",
    PULUMI: "import pulumi",
    POLICY: "import pulumi_policy",
    PROVIDER: "from pulumi_ampersand import Connections",
    PACK: "import pulumi_ampersand_policies.pack",
    AUDIT: "import pulumi_ampersand_policies.cli, pulumi_ampersand_policies.audit_command\n"
    "import pulumi_ampersand_policies.audit_run",
}


def rows(bench: Bench) -> Iterator[Row]:
    """Measure, and give the rows."""
    empty = bench.folder("imports") / "empty.json"
    empty.write_text("[]")
    program = str(Path(sys.executable).with_name("pulumi-ampersand"))
    commands = {name: [sys.executable, "-c", code] for name, code in PROGRAMS.items()}
    commands[NOTHING] = [program, "audit", "--input", str(empty), "--format", "json"]
    actions = {name: partial(_run, command) for name, command in commands.items()}
    for action in () if bench.quick else actions.values():
        action()  # compiles what wasn't yet, and reads it from the disk
    taken = in_turns(actions, quick=bench.quick, most=25, seconds=40)
    yield timed(PROVIDER, taken[PROVIDER], PULUMI, taken[PULUMI], kind=Kind.LIMIT)
    yield timed(PACK, taken[PACK], PULUMI, taken[PULUMI], kind=Kind.LIMIT)
    yield timed(PACK, taken[PACK], POLICY, taken[POLICY])
    yield timed(AUDIT, taken[AUDIT], BARE, taken[BARE], kind=Kind.LIMIT)
    yield timed(NOTHING, taken[NOTHING], BARE, taken[BARE], kind=Kind.LIMIT)


def _run(command: list[str]) -> None:
    subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=True
    )


if __name__ == "__main__":
    by_itself(rows)
