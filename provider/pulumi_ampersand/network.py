"""What a blocking client does otherwise than an asynchronous one: to send, to read, to wait, to do several at once.

Everything above this module is written once, as coroutines over a `Network`. Over a `blocking` one they never suspend,
so that `completed` runs them without an event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import httpx

_T = TypeVar("_T")
_Item = TypeVar("_Item")


class Network(Protocol):
    """Requests, and the passing of time between them."""

    async def open(self, method: str, url: str, query: dict[str, str]) -> httpx.Response:
        """Send a request; the answer's body isn't read yet."""

    async def read(self, response: httpx.Response, enough: Callable[[bytes], bool]) -> None:
        """Hand over a body part by part, until there is no more or ``enough`` says so."""

    async def finish(self, response: httpx.Response) -> None:
        """Give back what `open` took."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def each(
        self, items: Sequence[_Item], work: Callable[[_Item], Coroutine[Any, Any, None]], at_once: int
    ) -> None:
        """Do the work for each item, so many at once at the most."""

    async def close(self) -> None:
        """Give back the connections to the server."""


def completed(call: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine over a `blocking` network."""
    try:
        call.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    call.close()
    raise RuntimeError("a coroutine over a blocking network suspended")


Look = Callable[[httpx.Response], None]
"""Looks at each answer before httpx does anything about its status."""


def blocking(
    options: Mapping[str, Any], look: Look, *, transport: httpx.BaseTransport | None, sleep: Callable[[float], None]
) -> Network:
    """A network that blocks the calling thread; several at once are threads.

    Args:
        options: Keyword arguments of httpx's clients.
        look: See `Look`.
        transport: What to use instead of the network.
        sleep: Waits that many seconds.
    """
    return _Blocking(httpx.Client(transport=transport, event_hooks={"response": [look]}, **options), sleep)


def awaiting(
    options: Mapping[str, Any],
    look: Look,
    *,
    transport: httpx.AsyncBaseTransport | None,
    sleep: Callable[[float], Awaitable[None]] | None,
) -> Network:
    """A network in the caller's event loop; several at once are its tasks.

    Args:
        options: Keyword arguments of httpx's clients.
        look: See `Look`.
        transport: What to use instead of the network.
        sleep: Waits that many seconds; by default, asyncio's.
    """

    async def hook(response: httpx.Response) -> None:
        look(response)

    return _Awaiting(httpx.AsyncClient(transport=transport, event_hooks={"response": [hook]}, **options), sleep)


class _Blocking:
    def __init__(self, http: httpx.Client, sleep: Callable[[float], None]) -> None:
        self._http = http
        self._sleep = sleep

    async def open(self, method: str, url: str, query: dict[str, str]) -> httpx.Response:
        return self._http.send(self._http.build_request(method, url, params=query), stream=True)

    async def read(self, response: httpx.Response, enough: Callable[[bytes], bool]) -> None:
        for part in response.iter_bytes():
            if enough(part):
                return

    async def finish(self, response: httpx.Response) -> None:
        response.close()

    async def sleep(self, seconds: float) -> None:
        self._sleep(seconds)

    async def each(
        self, items: Sequence[_Item], work: Callable[[_Item], Coroutine[Any, Any, None]], at_once: int
    ) -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - most reads have nothing to do at once

        with ThreadPoolExecutor(min(at_once, len(items)) or 1) as threads:
            try:
                for done in [threads.submit(lambda item: completed(work(item)), item) for item in items]:
                    done.result()
            except BaseException:
                # Ctrl-C among others: what hasn't begun won't.
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    async def close(self) -> None:
        self._http.close()


class _Awaiting:
    def __init__(self, http: httpx.AsyncClient, sleep: Callable[[float], Awaitable[None]] | None) -> None:
        import asyncio  # noqa: PLC0415 - blocking clients don't pay for it

        self._http = http
        self._sleep = sleep or asyncio.sleep

    async def open(self, method: str, url: str, query: dict[str, str]) -> httpx.Response:
        return await self._http.send(self._http.build_request(method, url, params=query), stream=True)

    async def read(self, response: httpx.Response, enough: Callable[[bytes], bool]) -> None:
        async for part in response.aiter_bytes():
            if enough(part):
                return

    async def finish(self, response: httpx.Response) -> None:
        await response.aclose()

    async def sleep(self, seconds: float) -> None:
        await self._sleep(seconds)

    async def each(
        self, items: Sequence[_Item], work: Callable[[_Item], Coroutine[Any, Any, None]], at_once: int
    ) -> None:
        import asyncio  # noqa: PLC0415 - likewise

        waiting = iter(items)

        async def worker() -> None:
            for item in waiting:
                await work(item)

        workers = [asyncio.ensure_future(worker()) for _ in range(min(at_once, len(items)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for task in workers:
                task.cancel()

    async def close(self) -> None:
        await self._http.aclose()
