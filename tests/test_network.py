"""Doing several things at once, blocking and in an event loop, without any network."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import httpx
import pytest

from pulumi_ampersand.network import awaiting, blocking, completed

Work = Callable[[int], Coroutine[Any, Any, None]]
Each = Callable[..., None]


def _nothing(_: httpx.Response) -> None:
    """Looks at no answer."""


def each_blocking(items: Sequence[int], work: Work, at_once: int, pause: float = 0.0) -> None:  # noqa: ARG001
    """Do the work for each over a blocking network."""
    network = blocking({}, _nothing, at_once, transport=None, sleep=time.sleep)
    try:
        completed(network.each(items, work))
    finally:
        completed(network.close())


def each_awaiting(items: Sequence[int], work: Work, at_once: int, pause: float = 0.0) -> None:
    """Do the work for each over a network in an event loop."""

    async def patient(item: int) -> None:
        await asyncio.sleep(pause)
        await work(item)

    async def main() -> None:
        network = awaiting({}, _nothing, at_once, transport=None, sleep=None)
        try:
            await network.each(items, patient)
        finally:
            await network.close()
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1, "no worker is left behind"

    asyncio.run(main())


@pytest.fixture(params=[each_blocking, each_awaiting], ids=["blocking", "async"])
def each(request: pytest.FixtureRequest) -> Each:
    """Does the work for each item."""
    chosen: Each = request.param
    return chosen


class TestCompleted:
    """Running a coroutine that never suspends."""

    def test_a_result_is_handed_on(self) -> None:
        """As a call would return it, from whatever depth."""

        async def inner() -> int:
            return 5

        async def outer() -> list[int]:
            return [await inner(), await inner()]

        assert completed(outer()) == [5, 5]

    def test_an_error_is_handed_on(self) -> None:
        """As a call would raise it."""

        async def fails() -> None:
            raise KeyError("x")

        with pytest.raises(KeyError, match="x"):
            completed(fails())

    def test_a_coroutine_that_suspends_is_a_defect(self) -> None:
        """It says so, and leaves nothing that is never awaited."""
        ended = []

        async def suspends() -> None:
            try:
                await asyncio.sleep(0)
            finally:
                ended.append(True)

        with pytest.raises(RuntimeError, match="a coroutine over a blocking network suspended"):
            completed(suspends())
        assert ended == [True]

    def test_it_works_inside_an_event_loop(self) -> None:
        """A program of Pulumi's may read while its own loop runs."""

        async def five() -> int:
            return 5

        async def main() -> int:
            return completed(five())

        assert asyncio.run(main()) == 5


class TestEach:
    """Doing the work for each item."""

    @pytest.mark.parametrize("at_once", [1, 3, 50])
    @pytest.mark.parametrize("count", [0, 1, 10])
    def test_each_item_is_done_once(self, each: Each, count: int, at_once: int) -> None:
        """However many of them and however few at once; they begin in order."""
        done: list[int] = []

        async def work(item: int) -> None:
            done.append(item)

        each(range(count), work, at_once)
        assert sorted(done) == list(range(count))
        if at_once == 1:
            assert done == list(range(count))

    def test_what_has_not_begun_when_one_fails_does_not_begin(self, each: Each) -> None:
        """An unexpected error, Ctrl-C for one, ends the whole; the error is the one that was raised."""
        begun: list[int] = []

        async def work(item: int) -> None:
            begun.append(item)
            if item == 2:
                raise KeyboardInterrupt if each is each_blocking else OSError("broken")
            if each is each_blocking:
                threading.Event().wait(0.01)

        with pytest.raises(KeyboardInterrupt if each is each_blocking else OSError):
            each(range(1000), work, 2, 0.001)
        assert 3 <= len(begun) < 900

    def test_threads_are_shared_by_all_that_call(self) -> None:
        """The bound is the network's, not that of each call, and what waits for its turn gets it."""
        network = blocking({}, _nothing, 2, transport=None, sleep=time.sleep)
        lock = threading.Lock()
        now: list[int] = [0, 0]

        async def work(_: int) -> None:
            with lock:
                now[0] += 1
                now[1] = max(now)
            threading.Event().wait(0.01)
            with lock:
                now[0] -= 1

        threads = [threading.Thread(target=lambda: completed(network.each(range(6), work))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        completed(network.close())
        assert now == [0, 2]

    def test_tasks_share_it_likewise(self) -> None:
        """In an event loop."""
        now = [0, 0]

        async def work(_: int) -> None:
            now[0] += 1
            now[1] = max(now)
            await asyncio.sleep(0.005)
            now[0] -= 1

        async def main() -> None:
            network = awaiting({}, _nothing, 2, transport=None, sleep=None)
            await asyncio.gather(*(network.each(range(6), work) for _ in range(3)))
            await network.close()

        asyncio.run(main())
        assert now == [0, 2]


class TestSleep:
    """Waiting."""

    def test_what_is_given_sleeps(self) -> None:
        """So that tests need no time."""
        waits: list[float] = []

        async def wait(seconds: float) -> None:
            waits.append(seconds)

        sleep: Callable[[float], Awaitable[None]] = wait
        completed(blocking({}, _nothing, 1, transport=None, sleep=waits.append).sleep(1.5))

        async def main() -> None:
            await awaiting({}, _nothing, 1, transport=None, sleep=sleep).sleep(2.5)

        asyncio.run(main())
        assert waits == [1.5, 2.5]
