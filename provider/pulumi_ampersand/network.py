"""What a blocking client does otherwise than an asynchronous one: to send, to read, to wait, to do several at once.

Everything above this module is written once, as coroutines over a `Network`. Over a `blocking` one they never suspend,
so that `completed` runs them without an event loop.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Generic, Protocol, TypeVar, cast

import httpcore
import httpx

_T = TypeVar("_T")
_Item = TypeVar("_Item")
_Client = TypeVar("_Client")


class Bound(Protocol):
    """How long a server may be waited for, and how much it may send, in heads and between parts of a body, too.

    What raises here leaves the network as it is.
    """

    def seconds(self) -> float:
        """The seconds that are left; raises if there are none."""

    def arrived(self, size: int) -> None:
        """So many bytes have come; raises if that is too much."""

    def over(self) -> Exception:
        """What to raise when the seconds that were left are over."""


class Network(Protocol):
    """Requests, and the passing of time between them."""

    async def open(self, method: str, url: str, query: dict[str, str], bound: Bound) -> httpx.Response:
        """Send a request; the answer's body isn't read yet. ``bound`` holds until `finish`, and may raise here, too."""

    async def read(self, response: httpx.Response, enough: Callable[[bytes], bool]) -> None:
        """Hand over a body part by part, until there is no more or ``enough`` says so."""

    async def finish(self, response: httpx.Response) -> None:
        """Give back what `open` took."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def each(self, items: Sequence[_Item], work: Callable[[_Item], Coroutine[Any, Any, None]]) -> None:
        """Do the work for each item, several at once; all that call this share one bound."""

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
    options: Mapping[str, Any],
    look: Look,
    at_once: int,
    *,
    transport: httpx.BaseTransport | None,
    sleep: Callable[[float], None],
) -> Network:
    """A network that blocks the calling thread; several at once are threads.

    Args:
        options: Keyword arguments of httpx's clients.
        look: See `Look`.
        at_once: How many of several things are done at once, at the most.
        transport: What to use instead of the network.
        sleep: Waits that many seconds.
    """
    hooks = {"response": [look]}
    clients = _Clients(lambda: _Http(httpx.Client(transport=transport, event_hooks=hooks, **options)))
    return _Blocking(clients, at_once, sleep)


def awaiting(
    options: Mapping[str, Any],
    look: Look,
    at_once: int,
    *,
    transport: httpx.AsyncBaseTransport | None,
    sleep: Callable[[float], Awaitable[None]] | None,
) -> Network:
    """A network in the caller's event loop; several at once are its tasks.

    Args:
        options: Keyword arguments of httpx's clients.
        look: See `Look`.
        at_once: How many of several things are done at once, at the most.
        transport: What to use instead of the network.
        sleep: Waits that many seconds; by default, asyncio's.
    """

    async def hook(response: httpx.Response) -> None:
        look(response)

    hooks = {"response": [hook]}
    clients = _Clients(lambda: _Http(httpx.AsyncClient(transport=transport, event_hooks=hooks, **options)))
    return _Awaiting(clients, at_once, sleep)


class _Http(Generic[_Client]):
    """A client of httpx, and what bounds the request that it has under way."""

    def __init__(self, client: _Client) -> None:
        self.client = client
        self.bound: Bound | None = None

    def request(self, method: str, url: str, query: dict[str, str], bound: Bound, trace: Any) -> httpx.Request:
        """A request, each of whose steps ``trace`` is told of."""
        self.bound = bound
        client = cast("httpx.Client | httpx.AsyncClient", self.client)
        left, usual = bound.seconds(), client.timeout
        timeout = {kind: left if limit is None else min(left, limit) for kind, limit in usual.as_dict().items()}
        return client.build_request(
            method, url, params=query, timeout=httpx.Timeout(**timeout), extensions={"trace": trace}
        )

    def arrived(self, data: bytes) -> bytes:
        """The same data, of which the bound has been told."""
        cast("Bound", self.bound).arrived(len(data))
        return data


def _opened(told: Mapping[str, Any]) -> Any:
    """The connection that httpx has just opened, if that is what a step was about."""
    stream = told.get("return_value")
    return stream if hasattr(stream, "get_extra_info") and hasattr(stream, "read") else None


class _Clients(Generic[_Client]):
    """A client of httpx for each request under way, each with one connection.

    One client for all would look through all its connections several times for each request: 64 of them take longer
    than 16 for the same work.

    Args:
        make: Makes a client. The first is made at once, so that wrong settings are seen at once.
    """

    def __init__(self, make: Callable[[], _Http[_Client]]) -> None:
        self._make = make
        self.made: deque[_Http[_Client]] = deque([make()])
        self._free: deque[_Http[_Client]] = deque(self.made)

    def take(self) -> _Http[_Client]:
        """One that nobody uses, the last used first: its connection is the likeliest to be open still."""
        try:
            return self._free.pop()
        except IndexError:
            http = self._make()
            self.made.append(http)
            return http

    def give_back(self, http: _Http[_Client]) -> None:
        """Nobody uses it any more."""
        self._free.append(http)


_CLIENT: Final = "pulumi_ampersand.client"
"""Under this name a response's extensions hold what sent the request."""


class _Blocking:
    def __init__(self, clients: _Clients[httpx.Client], at_once: int, sleep: Callable[[float], None]) -> None:
        self._clients = clients
        self._at_once = at_once
        self._slots = threading.BoundedSemaphore(at_once)
        self._sleep = sleep

    async def open(self, method: str, url: str, query: dict[str, str], bound: Bound) -> httpx.Response:
        http = self._clients.take()

        def trace(_step: str, told: Mapping[str, Any]) -> None:
            if (stream := _opened(told)) is not None:
                stream.read = bounded(stream.read)

        def bounded(read: Callable[[int, float], bytes]) -> Callable[[int, float | None], bytes]:
            def read_bounded(size: int, timeout: float | None = None) -> bytes:
                with _waiting(http, timeout) as seconds:
                    return http.arrived(read(size, seconds))

            return read_bounded

        try:
            response = http.client.send(http.request(method, url, query, bound, trace), stream=True)
        except BaseException:
            self._clients.give_back(http)
            raise
        response.extensions[_CLIENT] = http
        return response

    async def read(self, response: httpx.Response, enough: Callable[[bytes], bool]) -> None:
        for part in response.iter_bytes():
            if enough(part):
                return

    async def finish(self, response: httpx.Response) -> None:
        try:
            response.close()
        finally:
            self._clients.give_back(response.extensions[_CLIENT])

    async def sleep(self, seconds: float) -> None:
        self._sleep(seconds)

    async def each(self, items: Sequence[_Item], work: Callable[[_Item], Coroutine[Any, Any, None]]) -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - most reads have nothing to do at once

        def do(item: _Item) -> None:
            with self._slots:
                completed(work(item))

        with ThreadPoolExecutor(min(self._at_once, len(items)) or 1) as threads:
            try:
                for done in [threads.submit(do, item) for item in items]:
                    done.result()
            except BaseException:
                # Ctrl-C among others: what hasn't begun won't.
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    async def close(self) -> None:
        for http in self._clients.made:
            http.client.close()


@contextmanager
def _waiting(http: _Http[Any], timeout: float | None) -> Iterator[float]:
    """The seconds for which a read may wait by what bounds the request under way.

    httpx bounds each read, so that a server may go on for ever, a byte at a time. It tells what it decodes of a body,
    but nothing of heads and of what decodes to nothing; all of that passes through reads.
    """
    bound = cast("Bound", http.bound)
    left = bound.seconds()
    try:
        yield left if timeout is None else min(left, timeout)
    except httpcore.ReadTimeout:
        if timeout is None or left <= timeout:
            raise bound.over() from None
        raise


class _Awaiting:
    def __init__(
        self,
        clients: _Clients[httpx.AsyncClient],
        at_once: int,
        sleep: Callable[[float], Awaitable[None]] | None,
    ) -> None:
        import asyncio  # noqa: PLC0415 - blocking clients don't pay for it

        self._clients = clients
        self._at_once = at_once
        self._slots = asyncio.BoundedSemaphore(at_once)
        self._sleep = sleep or asyncio.sleep

    async def open(self, method: str, url: str, query: dict[str, str], bound: Bound) -> httpx.Response:
        http = self._clients.take()

        async def trace(_step: str, told: Mapping[str, Any]) -> None:
            if (stream := _opened(told)) is not None:
                stream.read = bounded(stream.read)

        def bounded(read: Callable[[int, float], Awaitable[bytes]]) -> Callable[[int, float | None], Awaitable[bytes]]:
            async def read_bounded(size: int, timeout: float | None = None) -> bytes:
                with _waiting(http, timeout) as seconds:
                    return http.arrived(await read(size, seconds))

            return read_bounded

        try:
            response = await http.client.send(http.request(method, url, query, bound, trace), stream=True)
        except BaseException:
            self._clients.give_back(http)
            raise
        response.extensions[_CLIENT] = http
        return response

    async def read(self, response: httpx.Response, enough: Callable[[bytes], bool]) -> None:
        async for part in response.aiter_bytes():
            if enough(part):
                return

    async def finish(self, response: httpx.Response) -> None:
        try:
            await response.aclose()
        finally:
            self._clients.give_back(response.extensions[_CLIENT])

    async def sleep(self, seconds: float) -> None:
        await self._sleep(seconds)

    async def each(self, items: Sequence[_Item], work: Callable[[_Item], Coroutine[Any, Any, None]]) -> None:
        import asyncio  # noqa: PLC0415 - likewise

        waiting = iter(items)

        async def worker() -> None:
            for item in waiting:
                async with self._slots:
                    await work(item)

        workers = [asyncio.ensure_future(worker()) for _ in range(min(self._at_once, len(items)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for task in workers:
                task.cancel()

    async def close(self) -> None:
        for http in self._clients.made:
            await http.client.aclose()
