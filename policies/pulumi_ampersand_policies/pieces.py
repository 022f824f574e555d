"""A large saved answer, judged in pieces, by all processors at once.

Of a piece only what rules say of it is kept: that takes little memory, and what one piece took is used again for the
next, which is several times as fast as new memory. Other processes are forked, which lets them see the answer without
being handed anything. The standard library's pools of processes take as long to import as this takes for a thousand
connections, and print tracebacks when they are interrupted.

What isn't as the API promises is left to those who read an answer as a whole.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, NoReturn

import msgspec

from pulumi_ampersand.answers import without_collection
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.saved_answer import AnswerFile, PieceReader, pieces
from pulumi_ampersand_policies.evaluation import Judged

_FEWEST_PIECES: Final = 4
_NUMBER: Final = 2
_MOST_PROCESSES: Final = 8
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

Judge = Callable[[Inventory], tuple[int, Judged]]
"""Judges connections by the rules that look at each by itself, and says how many of them it was about."""


class JudgedPieces(NamedTuple):
    """What rules said of connections.

    Attributes:
        ids: The IDs of all of them.
        chosen: How many of them were judged.
        judged: What rules said of those.
    """

    ids: list[str]
    chosen: int
    judged: Judged


@without_collection()
def judge_in_pieces(
    answer: AnswerFile, judge: Judge, beside: Callable[[Sequence[tuple[int, int]]], object] = len
) -> JudgedPieces | None:
    """Read and judge a saved answer piece by piece.

    Args:
        answer: The JSON array, UTF-8.
        judge: Judges a piece.
        beside: What else there is to do with the pieces, which this process does while others judge; it fails with a
            `msgspec.DecodeError` where the answer isn't as the API promises.

    Returns:
        What there is to say; None if the answer is too small for it, if something in it isn't as the API promises, or
        if a rule crashed, so that it takes `Inventory.for_rules` and `pulumi_ampersand_policies.evaluation.evaluate`.

    Raises:
        OSError: It can't be read.
    """
    spans = pieces(answer)
    if len(spans) < _FEWEST_PIECES:
        return None
    # Whoever is free takes the next two bytes, which are the number of a piece. A pipe holds 32,000 of them.
    numbers, filling = os.pipe()
    os.write(filling, b"".join(number.to_bytes(_NUMBER, "big") for number in range(len(spans))))
    os.close(filling)
    work = _Work(answer, spans, judge, numbers)
    helpers: list[_Helper] = []
    try:
        with suppress(OSError):  # there may be no more processes, and one is enough
            helpers += (_Helper(work) for _ in range(_processes(len(spans)) - 1))
        beside(spans)
        parts = [work.do(), *(helper.result() for helper in helpers)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    finally:
        for helper in helpers:
            helper.end()
        os.close(numbers)
    whole = JudgedPieces([], 0, Judged())
    for part in parts:
        if part is None:
            return None
        whole.judged.extend(part.judged)
        whole = JudgedPieces(whole.ids + part.ids, whole.chosen + part.chosen, whole.judged)
    return whole if len(set(whole.ids)) == len(whole.ids) else None


def _processes(most: int) -> int:
    """How many can work at once; one where the system doesn't fork, or can't in safety."""
    return min(len(os.sched_getaffinity(0)), _MOST_PROCESSES, most) if sys.platform == "linux" else 1


class _Work(NamedTuple):
    """What there is to do.

    Attributes:
        answer: The answer.
        spans: Where its pieces are.
        judge: Judges a piece.
        numbers: Where to get the number of the next piece.
    """

    answer: AnswerFile
    spans: Sequence[tuple[int, int]]
    judge: Judge
    numbers: int

    def do(self, whose: int | None = None) -> JudgedPieces | None:
        """Read and judge pieces until none is left; None if one is for others to read.

        Args:
            whose: The process that this is done for, without which there is no reason to go on; None if it is our own.
        """
        ids: list[str] = []
        chosen, judged, reader = 0, Judged(), PieceReader(self.answer)
        while number := os.read(self.numbers, _NUMBER):
            found = reader.read(self.spans[int.from_bytes(number, "big")])
            if found is None or judged.crashed or (whose is not None and os.getppid() != whose):
                while os.read(self.numbers, _NUMBER * len(self.spans)):
                    pass
                return None
            ids += [connection.id for connection in found]
            taken, said = self.judge(Inventory.of_saved(found))
            chosen += taken
            judged.extend(said)
        return None if judged.crashed else JudgedPieces(ids, chosen, judged)


class _Helper:
    """A process that does a part of the work."""

    def __init__(self, work: _Work) -> None:
        self._reading, writing = os.pipe()
        parent = os.getpid()
        # Nothing may interrupt the new process while it takes itself for this one.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            with warnings.catch_warnings():
                # Threads that this process has, to show progress, hold nothing that the new one needs.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._process = os.fork()
            if not self._process:
                # Else what it writes would have a reader, itself, when this process is gone.
                os.close(self._reading)
                _help(work, parent, writing, before)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(writing)

    def result(self) -> JudgedPieces | None:
        """What the process found; None if it is for others to read, or the process was ended."""
        with os.fdopen(self._reading, "rb", closefd=False) as file:
            content = file.read()
        _, status = os.waitpid(self._process, 0)
        self._process = 0
        # It comes from this program itself.
        return pickle.loads(content) if status == 0 else None  # noqa: S301

    def end(self) -> None:
        """Leave nothing behind."""
        os.close(self._reading)
        if self._process:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)


def _help(work: _Work, parent: int, writing: int, signals: set[int | signal.Signals]) -> NoReturn:
    """Do a part of the work, write down what was found, and end."""
    code = 1
    try:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        result = work.do(parent)
        with os.fdopen(writing, "wb") as file:
            pickle.dump(result, file, pickle.HIGHEST_PROTOCOL)
        code = 0
    finally:
        # What went wrong here will go wrong again where there is somebody to be told.
        os._exit(code)
