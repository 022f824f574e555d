"""The benchmark of reading an answer, in one process: for rules and for programs, against decoders that make no model.

What it takes to make dictionaries of JSON, whatever is in it, is the limit for those who then look for something in
them. A decoder that is told beforehand what will be looked for may stay below.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import msgspec

from bench_measure import Bench, Kind, Row, agreed, by_itself, in_turns, timed
from peers.saved_answer import write_saved_answer
from pulumi_ampersand.answers import read_connections
from pulumi_ampersand.saved_answer import AnswerText, pieces, read_for_rules, read_piece

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
        data = path.read_bytes()
        path.unlink()
        agreed(f"{count:,} connections", {name: outlines(data) for name, outlines in OUTLINES.items()})
        # Ours reads without the collector of cycles: so may the others.
        gc.disable()
        try:
            taken = in_turns({name: partial(read, data) for name, read in READERS.items()}, quick=bench.quick)
        finally:
            gc.enable()
        for ours in (PIECES, WHOLE, PROGRAMS):
            for theirs in (MSGSPEC, STANDARD):
                yield timed(f"{ours}, {size / 1e6:.1f} MB", taken[ours], theirs, taken[theirs], count, kind=Kind.LIMIT)


def _read_pieces(data: bytes) -> None:
    """Keep none of them, as the audit does."""
    answer = AnswerText(data)
    for piece in pieces(answer):
        read_piece(answer, piece)


READERS: Final[dict[str, Callable[[bytes], object]]] = {
    PIECES: _read_pieces,
    WHOLE: read_for_rules,
    PROGRAMS: partial(read_connections, refresh_token_told=True),
    MSGSPEC: msgspec.json.decode,
    STANDARD: json.loads,
}


def _of_dictionaries(decode: Callable[[bytes], Any], data: bytes) -> list[Outline]:
    return [(sent["id"], sent["status"] != "bad_credentials") for sent in decode(data)]


def _of_pieces(data: bytes) -> list[Outline]:
    answer = AnswerText(data)
    return [(sent.id, sent.healthy) for piece in pieces(answer) for sent in read_piece(answer, piece) or ()]


OUTLINES: Final[dict[str, Callable[[bytes], list[Outline]]]] = {
    STANDARD: partial(_of_dictionaries, json.loads),
    MSGSPEC: partial(_of_dictionaries, msgspec.json.decode),
    PIECES: _of_pieces,
    WHOLE: lambda data: [(sent.id, sent.healthy) for sent in read_for_rules(data) or ()],
    PROGRAMS: lambda data: [(sent.id, sent.healthy) for sent, _ in read_connections(data, refresh_token_told=True)],
}


if __name__ == "__main__":
    by_itself(rows)
