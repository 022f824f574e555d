"""All benchmarks as one table in Markdown, on standard output. What ``make bench`` runs, in less than 20 minutes.

Each part is a module of its own, ``bench_<part>``. A peer that can't be had here is a line that says why. Options:
``--write`` keeps the table as ``BENCHMARKS.md``, too; ``--quick`` runs tiny sizes once, to see whether all works.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Final

import bench_audit
import bench_decode
import bench_details
import bench_imports
import bench_modes
import bench_pack_tax
import bench_plugin
from bench_measure import ALL_RULES, NOT_MEASURED, Bench, Row, head
from engine.provision import STAND_IN, VERSION_SECONDS, EngineError, provide, run
from peers.provide import opa_version, typescript_versions
from pulumi_ampersand.whole_file import whole_file
from stack import ROOT

__all__ = ["ALL_RULES"]

FILE: Final = ROOT / "BENCHMARKS.md"
PARTS: Final[Sequence[Callable[[Bench], Iterator[Row]]]] = (
    bench_imports.rows,
    bench_plugin.rows,
    bench_pack_tax.rows,
    bench_modes.rows,
    bench_audit.rows,
    bench_details.rows,
    bench_decode.rows,
)

TITLE: Final = """# Benchmarks

How pulumi-ampersand compares with what one would use instead, and with what it can't go below. `make bench` measures
all of it anew, and `make bench ARGS=--write` writes this file.
"""
HOW: Final = """
Each line compares medians of runs that took turns; a first run of each, in which all had to find the same, connection
by connection, doesn't count, unless it alone took a minute. "Ahead" names who needs less. "level": the middle halves of
the runs overlap, or less than 3% lie between the medians. "limit": there is nobody to be ahead of, for the other is a
part of what ours does, or its ideal.

Peak memory is of one run, all processes together, what they share counted once. Peers stand in `tests/peers`; their
rules are as plain as one would write them for oneself. Packs report every finding. Connections are made up, of eight
providers, and every sixteenth breaks one of the four rules. The API is the sandbox, on the same machine.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, once")
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}, too")
    options = parser.parse_args(arguments)
    if options.quick and options.write:
        parser.error("--quick measures nothing that is worth writing down")
    text = []
    with tempfile.TemporaryDirectory(prefix="ampersand-bench-") as scratch:
        for line in report(Bench(Path(scratch), quick=options.quick)):
            text.append(f"{line}\n")
            sys.stdout.write(text[-1])
            sys.stdout.flush()
    if options.write:
        with whole_file(FILE) as file:
            file.write("".join(text).encode())


def report(bench: Bench, parts: Sequence[Callable[[Bench], Iterator[Row]]] = PARTS) -> Iterator[str]:
    """The document, line by line."""
    began = time.monotonic()
    yield TITLE
    for what, value in machine().items():
        yield f"- {what}: {value}"
    yield ""
    yield head()
    rows = []
    for part in parts:
        for row in part(bench):
            rows.append(row)
            yield row.line()
    yield HOW
    yield from conclusion(rows)
    yield f"All of this took {(time.monotonic() - began) / 60:.0f} minutes."


def conclusion(rows: Sequence[Row]) -> Iterator[str]:
    """What users should know before they choose ours, and what isn't known."""
    behind = [row for row in rows if row.peer_is_ahead]
    yield "## Where a peer is ahead"
    yield ""
    for row in behind:
        connections = "" if row.connections is None else f", {row.connections:,} connections"
        yield f"- {row.measured}{connections}: {row.against} ({row.theirs} against {row.ours})"
    if not behind:
        yield "Nowhere in this table."
    yield ""
    if lacking := [row for row in rows if row.theirs.startswith(NOT_MEASURED)]:
        yield "## Not measured"
        yield ""
        for row in lacking:
            yield f"- {row.measured}, against {row.against}: {row.theirs.removeprefix(NOT_MEASURED)}"
        yield ""


def machine() -> dict[str, str]:
    """On what, and of what, this is measured. Nothing in it names a computer or its user."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    facts = {
        "Measured": datetime.now(timezone.utc).date().isoformat(),
        "Machine": ", ".join(filter(None, [f"{cores} cores", _processor(), _memory()])),
        "System": f"{_system()}, {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Packages": ", ".join(f"{name} {version(name)}" for name in ("pulumi-ampersand", "pulumi", "pulumi-policy")),
        "Decoder": f"msgspec {version('msgspec')}",
        "Engine": _engine(),
        "Open Policy Agent": opa_version(),
    }
    with suppress(EngineError):
        facts["TypeScript policy pack"] = typescript_versions()
    if hasattr(os, "getloadavg"):
        facts["Load before"] = f"{os.getloadavg()[0]:.1f} processes"
    return facts


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _memory() -> str:
    with suppress(OSError, ValueError, AttributeError):
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB of memory"
    return ""


def _system() -> str:
    # The rest of a release names who built it.
    system = f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}"
    with suppress(OSError, AttributeError):
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {system}"
    return system


def _engine() -> str:
    try:
        folder = provide()
        pulumi = run([str(folder / "pulumi"), "version"], VERSION_SECONDS).strip().removeprefix("v")
    except EngineError as error:
        return f"none: {' '.join(str(error).split())}"
    host = folder / "pulumi-language-python"
    stand_in = host.is_file() and host.read_bytes() == STAND_IN.read_bytes()
    return f"pulumi {pulumi}, {'a stand-in for its' if stand_in else 'its'} Python language host"


if __name__ == "__main__":
    main()
