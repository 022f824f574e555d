"""What all parts of the benchmark share: runs in turns, rows of the one table, a sandbox, an engine.

Machines differ and are never quiet, so what counts is the ratio of two medians whose runs took turns in one go. A part
is a module ``bench_<part>`` with a function ``rows``; each can be run by itself, without options or with ``--quick``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.provision import provide

SCOPES: Final[dict[str, Any]] = {"required-scopes": {"scopes": {"salesforce": ["api"]}}}
ALL_RULES: Final[dict[str, Any]] = {
    "all": "mandatory",
    **SCOPES,
    "access-token-expiry": "advisory",
    "forbidden-scopes": {"scopes": {"*": ["*admin*"]}},
    "allowed-scopes": {"scopes": {"*": ["*"]}},
    "allowed-providers": {"deny": ["gong"]},
    "allowed-workspaces": {"workspaces": {"*": ".+"}},
    "required-connections": {"require": [{"provider": "slack"}]},
    "connection-schema": {"schema": {"required": ["group"], "properties": {"group": {"required": ["groupName"]}}}},
}
"""Every rule, with options for those that need some."""

FOUR: Final = ("no-bad-credentials", "required-scopes", "token-expiry", "allowed-auth-schemes")
"""The rules that peers have, too."""

COLUMNS: Final = ("measured", "connections", "ours", "against", "theirs", "ours ÷ theirs", "ahead", "runs")
NOT_MEASURED: Final = "not measured: "
_LEVEL: Final = 1.03
"""A ratio below which nobody is ahead, whatever the runs say."""


class Bench(NamedTuple):
    """How to measure.

    Attributes:
        scratch: An empty folder.
        quick: Whether to run tiny sizes once, to see whether it works.
    """

    scratch: Path
    quick: bool = False

    def sizes(self, *sizes: int, quick: Sequence[int]) -> Sequence[int]:
        """Numbers of connections, or those if it shall be quick."""
        return quick if self.quick else sizes

    def folder(self, name: str) -> Path:
        """A new folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.scratch))

    def engine(self) -> Path:
        """The folder of a Pulumi engine.

        Raises:
            EngineError: None can be had.
        """
        return provide()


class Taken(NamedTuple):
    """What the runs of one contender took.

    Attributes:
        seconds: Of each run.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The seconds to tell."""
        return statistics.median(self.seconds)

    @property
    def range(self) -> tuple[float, float]:
        """Between which the middle half of the runs lies; all of them, if they are few."""
        if len(self.seconds) < 5:
            return min(self.seconds), max(self.seconds)
        lower, _, upper = statistics.quantiles(self.seconds, n=4)
        return lower, upper


class Kind(Enum):
    """What ours is measured against."""

    PEER = "does the same for the same purpose"
    LIMIT = "is a part of what ours does, or its ideal: nothing to be ahead of"


class Row(NamedTuple):
    """A line of the table: ours against one other.

    Attributes:
        measured: What was done.
        ours: What ours took, for people.
        against: The other.
        theirs: What the other took, for people.
        ratio: Ours by theirs; None if there is nothing to compare.
        ahead: Who is ahead, and by how much.
        connections: How many there were; None if that doesn't matter.
        runs: How many runs of each there were.
    """

    measured: str
    ours: str
    against: str
    theirs: str
    ratio: float | None = None
    ahead: str = ""
    connections: int | None = None
    runs: int | None = None

    @property
    def peer_is_ahead(self) -> bool:
        """Whether users lose something by choosing ours."""
        return self.ahead.startswith("peer")

    def line(self) -> str:
        """The row in Markdown."""
        connections = "" if self.connections is None else f"{self.connections:,}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        runs = "" if self.runs is None else str(self.runs)
        return markdown(self.measured, connections, self.ours, self.against, self.theirs, ratio, self.ahead, runs)


def markdown(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def head() -> str:
    """The table's first two lines."""
    return f"{markdown(*COLUMNS)}\n|---|--:|--:|---|--:|--:|---|--:|"


def timed(
    measured: str, ours: Taken, against: str, theirs: Taken, connections: int | None = None, *, kind: Kind = Kind.PEER
) -> Row:
    """A row about time."""
    return Row(
        measured,
        duration(ours.median),
        against,
        duration(theirs.median),
        ours.median / theirs.median,
        verdict(ours, theirs) if kind is Kind.PEER else "limit",
        connections,
        min(len(ours.seconds), len(theirs.seconds)),
    )


def verdict(ours: Taken, theirs: Taken) -> str:
    """Who is ahead; nobody where the runs of both lie in the same range."""
    quicker, slower, name = (ours, theirs, "ours") if ours.median <= theirs.median else (theirs, ours, "peer")
    times = slower.median / quicker.median
    if times < _LEVEL or quicker.range[1] >= slower.range[0]:
        return "level"
    return f"{name}, {_more(times)}"


def weighed(measured: str, ours: int, against: str, theirs: int, connections: int, *, size: int) -> Row:
    """A row about memory, of an answer of so many bytes. Memory varies little: one run tells."""
    row = counted(measured, ours, against, theirs, connections)
    return row._replace(ours=amount(ours, size), theirs=amount(theirs, size))


def counted(measured: str, ours: float, against: str, theirs: float, connections: int) -> Row:
    """A row about numbers of which the smaller is the better."""
    ratio = ours / theirs
    name, times = ("ours", 1 / ratio) if ratio <= 1 else ("peer", ratio)
    ahead = "level" if times < _LEVEL else f"{name}, {_more(times)}"
    return Row(measured, f"{ours:.1f}", against, f"{theirs:.1f}", ratio, ahead, connections, 1)


def _more(times: float) -> str:
    return f"{times:.1f} times" if times >= 2 else f"{100 * (times - 1):.0f}%"


def amount(memory: int, size: int) -> str:
    """Memory for people."""
    return f"{memory / 1e6:,.0f} MB, {memory / size:.1f} times the file"


def not_measured(measured: str, against: str, reason: object) -> Row:
    """A row for what can't be had here: silence would look like a result."""
    text = " ".join(str(reason).split())
    return Row(measured, "", against, NOT_MEASURED + (text if len(text) <= 200 else f"{text[:199]}…"))


def duration(seconds: float) -> str:
    """A time for people, with three figures."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


def in_turns(
    actions: Mapping[str, Callable[[], object]], *, quick: bool, most: int = 7, least: int = 3, seconds: float = 30
) -> dict[str, Taken]:
    """Run actions in turns, each by itself timed, and after each round the next one first.

    Args:
        actions: What to time, by name; each has been run before, so that nothing is done for the first time.
        quick: Whether once is enough.
        most: Rounds at most.
        least: Rounds at least.
        seconds: After which no round begins, once there were enough of them.
    """
    names = list(actions)
    taken: dict[str, list[float]] = {name: [] for name in names}
    began = time.perf_counter()
    for turn in range(1 if quick else most):
        if turn >= least and time.perf_counter() - began > seconds:
            break
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            actions[name]()
            taken[name].append(time.perf_counter() - start)
    return {name: Taken(tuple(each)) for name, each in taken.items()}


def agreed(what: str, found: Mapping[str, Sequence[Any]]) -> None:
    """End the benchmark unless all contenders have found the same, and something at all.

    Args:
        what: Of what, for the message.
        found: What each found, by its name; the first is taken for right.
    """
    (reference, right), *others = found.items()
    for name, seen in others:
        lacking, surplus = set(right) - set(seen), set(seen) - set(right)
        if lacking or surplus or len(right) != len(seen):
            sys.exit(
                f"{what}: {name} found {len(seen)}, {reference} {len(right)}; the first few that the one lacks: "
                f"{sorted(lacking)[:3]}, the other: {sorted(surplus)[:3]}"
            )


@contextmanager
def sandbox_process(scratch: Path, *arguments: str) -> Iterator[dict[str, str]]:
    """A sandbox that doesn't take this process's time; gives the environment that leads to it."""
    ready = Path(tempfile.mkdtemp(prefix="sandbox-", dir=scratch)) / "ready"
    command = [sys.executable, "-c", "from pulumi_ampersand_policies.cli import main; main()", "sandbox"]
    options = ["--port", "0", "--project", "bench", "--api-key", "bench", "--ready-file", str(ready), *arguments]
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as server:
        try:
            while not ready.exists() or not ready.read_text():
                if server.poll() is not None:
                    sys.exit("the sandbox ended")
                time.sleep(0.05)
            yield {"AMP_API_URL": ready.read_text().strip(), "AMP_API_KEY": "bench", "AMP_PROJECT": "bench"}
        finally:
            server.terminate()


def by_itself(rows: Callable[[Bench], Iterator[Row]]) -> None:
    """Run one part as a program."""
    unknown = set(sys.argv[1:]) - {"--quick"}
    if unknown:
        sys.exit(f"usage: {sys.argv[0]} [--quick]")
    with tempfile.TemporaryDirectory(prefix="ampersand-bench-") as scratch:
        sys.stdout.write(f"{head()}\n")
        for row in rows(Bench(Path(scratch), quick="--quick" in sys.argv)):
            sys.stdout.write(f"{row.line()}\n")
            sys.stdout.flush()
