"""Each step of a stack that reads 100,000 connections, once: whether it works, and what it takes.

Of interest for the limits that users are told, not for comparisons, and too long for ``make bench``: run it by itself.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from bench_measure import SCOPES, Bench, Row, by_itself, duration, sandbox_process
from bench_modes import READING_PROGRAM, SECONDS
from stack import Stack


def rows(bench: Bench) -> Iterator[Row]:
    """Run all steps, and give a row for each."""
    count = 1_000 if bench.quick else 100_000
    with sandbox_process(bench.scratch, "--scenario", "large", "--count", str(count)) as environ:
        stack = Stack(bench.folder("stack"), bench.engine(), READING_PROGRAM, environ, seconds=SECONDS)
        pack = stack.pack(SCOPES)
        steps: dict[str, Callable[[], object]] = {
            "preview with the pack": partial(stack.preview, *pack, check=True),
            "update with the pack": partial(stack.up, *pack, check=True),
            "preview without changes": partial(stack.preview, "--expect-no-changes", check=True),
            "refresh": partial(stack.refresh, check=True),
            "destroy": partial(stack.destroy, check=True),
        }
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            yield Row(name, duration(time.perf_counter() - start), "", "", connections=count, runs=1)
    # In bytes there, in kilobytes elsewhere.
    unit = 1 if sys.platform == "darwin" else 1024
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    yield Row("the largest of all processes", f"{largest / 1e6:,.0f} MB", "", "", connections=count, runs=1)


if __name__ == "__main__":
    by_itself(rows)
