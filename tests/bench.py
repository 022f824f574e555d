"""Benchmarks. What ``make bench`` runs; needs the folder of a ``pulumi`` as its argument.

Machines differ and are never quiet, so what counts is the ratio of two medians whose runs took turns in one go.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pulumi_ampersand.sandbox import Sandbox
from stack import Stack

RUNS = 7
CONNECTIONS = 10_000

EMPTY_PROGRAM = "import pulumi\n"
EMPTY_PACK = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

PolicyPack("empty", [ResourceValidationPolicy("nothing", "Nothing is checked", lambda args, report: None)])
"""
READING_PROGRAM = """
import pulumi
import pulumi_ampersand as ampersand

found = ampersand.Connections("all")
pulumi.export("count", found.ids.apply(len))
"""
SCOPES = {"required-scopes": {"scopes": {"salesforce": ["api"]}}}


def main(engine: str) -> None:
    """Run and print all cases."""
    with tempfile.TemporaryDirectory(prefix="ampersand-bench-") as scratch:
        preview_of_many(Path(engine), Path(scratch))


def preview_of_many(engine: Path, scratch: Path) -> None:
    """A preview that reads and judges 10,000 connections, against an empty preview with an empty pack."""
    empty_pack = scratch / "empty-pack"
    empty_pack.mkdir()
    (empty_pack / "PulumiPolicy.yaml").write_text("runtime: python\nversion: 0.0.1\n")
    (empty_pack / "__main__.py").write_text(EMPTY_PACK)
    with Sandbox("large", count=CONNECTIONS) as sandbox:
        empty = Stack(scratch / "empty", engine, EMPTY_PROGRAM)
        reading = Stack(scratch / "reading", engine, READING_PROGRAM, sandbox.environment)
        pack = reading.pack(SCOPES)
        base, ours = compare(
            lambda: empty.preview("--policy-pack", str(empty_pack), check=True),
            lambda: reading.preview(*pack, check=True),
        )
        outcome = reading.preview(*pack, check=True)
        if f"{CONNECTIONS}" not in outcome.out or "ampersand@" not in outcome.out:
            sys.exit(f"the preview didn't read and judge {CONNECTIONS} connections:\n{outcome.text}")
    print(f"preview of {CONNECTIONS:,} connections, data source and pack: {ours:.2f} s")
    print(f"empty preview with an empty pack:                      {base:.2f} s")
    print(f"ratio: {ours / base:.2f} (bound: 4), medians of {RUNS} runs in turns")


def compare(base: Callable[[], object], ours: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both, run in turns after one run each that doesn't count."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(RUNS + 1):
        for action, taken in zip((base, ours), times, strict=True):
            start = time.perf_counter()
            action()
            if run:
                taken.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    main(sys.argv[1])
