"""The benchmarks: that those which need no engine run, and that the table says who is ahead."""

from __future__ import annotations

import itertools
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bench_audit
import bench_decode
import bench_details
import bench_imports
import bench_modes
import bench_plugin
from bench import FILE, conclusion, machine, main, report
from bench_measure import (
    COLUMNS,
    Bench,
    Kind,
    Row,
    Taken,
    agreed,
    counted,
    head,
    in_turns,
    not_measured,
    timed,
    weighed,
)
from engine.provision import EngineError


def unavailable() -> Any:
    """What provides a peer where it can't be had."""
    raise EngineError("there is no Go,\nand none to install")


def cells(row: Row) -> list[str]:
    """The cells of a row as Markdown shows them."""
    return [cell.strip() for cell in row.line().strip("|").split("|")]


def test_quick_parts(tmp_path: Path) -> None:
    """Each part that needs no engine gives whole lines, once all contenders agree; a peer that is missing is named."""

    def audit(bench: Bench) -> Iterator[Row]:
        return bench_audit.rows(bench, provide_opa=unavailable)

    parts = [bench_imports.rows, bench_plugin.rows, audit, bench_details.rows, bench_decode.rows]
    lines = "\n".join(report(Bench(tmp_path, quick=True), parts)).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert table[:2] == head().splitlines()
    assert {line.count("|") for line in table} == {len(COLUMNS) + 1}
    for measured in (
        "import of the pack",
        "start of the plugin",
        "audit, 4 rules, 1.6 MB",
        "details",
        "reading for rules",
    ):
        assert any(line.startswith(f"| {measured}") for line in table), measured
    reason = "there is no Go, and none to install"
    assert [line for line in table if "not measured" in line] == [
        not_measured(bench_audit.MEASURED, bench_audit.OPA_FOUR, reason).line()
    ]
    assert f"- {bench_audit.MEASURED}, against {bench_audit.OPA_FOUR}: {reason}" in lines


def test_no_engine(tmp_path: Path) -> None:
    """Without an engine the table says of each mode why nothing was measured."""

    class Without(Bench):
        def engine(self) -> Path:
            raise EngineError("No Pulumi engine")

    rows = list(bench_modes.rows(Without(tmp_path, quick=True)))
    assert {row.measured for row in rows} == {bench_modes.DATA, bench_modes.GATE}
    assert all(row.theirs == "not measured: No Pulumi engine" for row in rows)


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio", "ahead"),
    [
        pytest.param((1.0, 1.1, 1.2), (3.2, 3.3, 3.4), "0.33", "ours, 3.0 times", id="ours"),
        pytest.param((1.3, 1.4, 1.5), (1.0, 1.1, 1.2), "1.27", "peer, 27%", id="peer"),
        pytest.param((1.0, 1.1, 1.2), (1.15, 1.3, 1.4), "0.85", "level", id="ranges-overlap"),
        pytest.param((1.0, 1.0, 1.0), (1.02, 1.02, 1.02), "0.98", "level", id="too-near"),
        pytest.param((1.0,) * 7, (0.2, *(1.5,) * 5, 9.0), "0.67", "ours, 50%", id="outliers"),
    ],
)
def test_who_is_ahead(ours: tuple[float, ...], theirs: tuple[float, ...], ratio: str, ahead: str) -> None:
    """The one with the lower median is ahead, unless the runs of both lie in one range or next to each other."""
    row = timed("this", Taken(ours), "that", Taken(theirs), 1_000)
    assert cells(row)[1] == "1,000"
    assert cells(row)[-3:] == [ratio, ahead, str(len(ours))]
    assert row.peer_is_ahead == ahead.startswith("peer")


def test_limit() -> None:
    """Nobody is ahead of a part of himself: such a line has a ratio, and isn't among those that a peer wins."""
    row = timed("this", Taken((2.0,)), "a part of it", Taken((1.0,)), kind=Kind.LIMIT)
    assert cells(row) == ["this", "", "2.00 s", "a part of it", "1.00 s", "2.00", "limit", "1"]
    assert not row.peer_is_ahead


def test_memory() -> None:
    """Memory is told in megabytes and as a multiple of the file, and who needs less is ahead."""
    row = weighed("peak", 300_000_000, "that", 150_000_000, 10, size=100_000_000)
    assert cells(row)[2:7] == [
        "300 MB, 3.0 times the file",
        "that",
        "150 MB, 1.5 times the file",
        "2.00",
        "peer, 2.0 times",
    ]
    assert counted("growth", 1.0, "that", 1.2, 10).ahead == "ours, 20%"


def test_conclusion() -> None:
    """What a peer wins and what wasn't measured is said below the table; where there is neither, that is said."""
    won = timed("won", Taken((1.0,)), "that", Taken((2.0,)))
    lost = timed("lost", Taken((2.0,)), "that", Taken((1.0,)), 1_000)
    lacking = not_measured("lacking", "this", "no reason")
    said = "\n".join(conclusion([won, lost, lacking]))
    assert "- lost, 1,000 connections: that (1.00 s against 2.00 s)" in said
    assert "- lacking, against this: no reason" in said
    assert "won" not in said
    assert "Nowhere in this table." in "\n".join(conclusion([won]))


@pytest.mark.parametrize(
    ("quick", "seconds", "rounds"), [(True, 60, 1), (False, 60, 7), (False, 0, 3)], ids=["quick", "all", "out-of-time"]
)
def test_turns(quick: bool, seconds: float, rounds: int) -> None:
    """All take turns, as often as there is time for, and in each round another is the first."""
    ran: list[str] = []
    actions: dict[str, Callable[[], object]] = {name: lambda name=name: ran.append(name) for name in "abc"}  # type: ignore[misc]
    taken = in_turns(actions, quick=quick, seconds=seconds)
    turns = list(itertools.islice(itertools.cycle(["abc", "bca", "cab"]), rounds))
    assert "".join(ran) == "".join(turns)
    assert {name: len(each.seconds) for name, each in taken.items()} == dict.fromkeys("abc", rounds)


def test_disagreement() -> None:
    """Nothing is measured of contenders that found different things; the message has the first few of them."""
    agreed("the answer", {"one": ["a", "b"], "other": ["b", "a"]})
    with pytest.raises(SystemExit, match=r"the answer: other found 1, one 2; .* lacks: \['b'\], the other: \[\]"):
        agreed("the answer", {"one": ["a", "b"], "other": ["a"]})
    with pytest.raises(SystemExit, match=r"lacks: \['b'\], the other: \[\]"):
        agreed("the answer", {"one": ["a", "b"], "other": ["a", "a"]})
    with pytest.raises(SystemExit, match="other found 3, one 2"):
        agreed("the answer", {"one": ["a", "b"], "other": ["a", "b", "b"]})


def test_options(capsys: pytest.CaptureFixture[str]) -> None:
    """What was measured in passing isn't written down."""
    with pytest.raises(SystemExit, match="2"):
        main(["--quick", "--write"])
    assert "--quick measures nothing that is worth writing down" in capsys.readouterr().err
    assert FILE.name == "BENCHMARKS.md"


def test_machine_without_names() -> None:
    """The document says on what it was measured, and doesn't name the computer."""
    facts = machine()
    assert "cores" in facts["Machine"]
    assert platform.python_version() in facts["Python"]
    assert not any((platform.node() or "no name") in fact for fact in facts.values())
