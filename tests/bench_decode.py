"""The benchmark of reading an answer, in one process: for rules and for programs, against decoders that make no model.

What it takes to make dictionaries of JSON, whatever is in it, is the limit for those who then look for something in
them. A decoder that is told beforehand what will be looked for may stay below.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from bench_measure import Bench, Kind, Row, agreed, by_itself, in_turns, timed
from peers.saved_answer import write_saved_answer
from pulumi_ampersand.answers import read_connections
from pulumi_ampersand.saved_answer import AnswerFile, PieceReader, SavedConnection, pieces, read_for_rules

PIECES: Final = "reading for rules, in pieces"
WHOLE: Final = "reading for rules, at once"
PROGRAMS: Final = "reading for programs"
MSGSPEC: Final = "`msgspec.json.decode`, to dictionaries"
STANDARD: Final = "`json.loads`"

Outline = tuple[str, bool]
"""A connection's ID, and whether it is healthy: enough to tell that all have read the same."""


def rows(bench: Bench) -> Iterator[Row]:
    """Measure, and give the rows."""
    for count in bench.sizes(10_000, 100_000, quick=[1_000]):
        path = bench.folder("decode") / "answer.json"
        size = write_saved_answer(path, count)
        agreed(f"{count:,} connections", {name: outlines(path) for name, outlines in OUTLINES.items()})
        # Ours reads without the collector of cycles: so may the others.
        gc.disable()
        try:
            taken = in_turns({name: partial(read, path) for name, read in READERS.items()}, quick=bench.quick)
        finally:
            gc.enable()
            path.unlink()
        for ours in (PIECES, WHOLE, PROGRAMS):
            for theirs in (MSGSPEC, STANDARD):
                yield timed(f"{ours}, {size / 1e6:.1f} MB", taken[ours], theirs, taken[theirs], count, kind=Kind.LIMIT)


def _pieces(path: Path) -> Iterator[SavedConnection]:
    answer = AnswerFile(path)
    reader = PieceReader(answer)
    for piece in pieces(answer):
        yield from reader.read(piece) or ()


def _read_pieces(path: Path) -> None:
    """Keep none of them, as the audit does."""
    for _ in _pieces(path):
        pass


def _whole(decode: Callable[[bytes], object], path: Path) -> object:
    return decode(path.read_bytes())


_for_programs: Final = partial(read_connections, refresh_token_told=True)

READERS: Final[dict[str, Callable[[Path], object]]] = {
    PIECES: _read_pieces,
    WHOLE: partial(_whole, read_for_rules),
    PROGRAMS: partial(_whole, _for_programs),
    MSGSPEC: partial(_whole, msgspec.json.decode),
    STANDARD: partial(_whole, json.loads),
}


def _of_dictionaries(decode: Callable[[bytes], Any], path: Path) -> list[Outline]:
    return [(sent["id"], sent["status"] != "bad_credentials") for sent in decode(path.read_bytes())]


OUTLINES: Final[dict[str, Callable[[Path], list[Outline]]]] = {
    STANDARD: partial(_of_dictionaries, json.loads),
    MSGSPEC: partial(_of_dictionaries, msgspec.json.decode),
    PIECES: lambda path: [(sent.id, sent.healthy) for sent in _pieces(path)],
    WHOLE: lambda path: [(sent.id, sent.healthy) for sent in read_for_rules(path.read_bytes()) or ()],
    PROGRAMS: lambda path: [(sent.id, sent.healthy) for sent, _ in _for_programs(path.read_bytes())],
}


if __name__ == "__main__":
    by_itself(rows)
