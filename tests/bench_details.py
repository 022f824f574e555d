"""The benchmark of details: connections that are asked for one by one, against the time that the API takes for that."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Final

from bench_measure import Bench, Kind, Row, Taken, by_itself, in_turns, sandbox_process, timed
from pulumi_ampersand import Client, Settings

LATENCY: Final = 0.05
"""Seconds that the API takes for a single connection."""


def rows(bench: Bench) -> Iterator[Row]:
    """Measure, and give the rows."""
    count = 64 if bench.quick else 2_000
    fault = f"slow:{LATENCY}@one"
    with sandbox_process(bench.scratch, "--scenario", "large", "--count", str(count), "--fault", fault) as environ:
        access = Settings().resolve({}, environ)

        def read() -> None:
            with Client(access) as client:
                found = client.list_connections(environ["AMP_PROJECT"], details="always")
            if len(found) != count or any(seen.gaps for _, seen in found):
                sys.exit(f"the details of {count} connections weren't all read")

        if not bench.quick:
            read()
        taken = in_turns({"ours": read}, quick=bench.quick, most=3)["ours"]
    ideal = math.ceil(count / access.concurrency) * LATENCY
    yield timed(
        f"details, `details=always`, {access.concurrency} calls at once of {LATENCY * 1000:g} ms each",
        taken,
        "the ideal: the API's time alone",
        Taken((ideal,) * len(taken.seconds)),
        count,
        kind=Kind.LIMIT,
    )


if __name__ == "__main__":
    by_itself(rows)
