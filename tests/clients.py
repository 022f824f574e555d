"""Both clients for the same tests: what holds for the one that blocks holds for the one that is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, cast

from pulumi_ampersand.client import AsyncClient, Client
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand.settings import Access, ApiKey
from raw_server import RawServer

if TYPE_CHECKING:
    from typing_extensions import Self

KEY = "kEy-0123456789-CANARY"


class FakeTime:
    """A clock that only moves when somebody sleeps, and what was slept."""

    def __init__(self) -> None:
        self.start = datetime.now(timezone.utc)
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Sleeps no time at all."""
        self.waits.append(seconds)

    def clock(self) -> float:
        """Seconds since the start."""
        return sum(self.waits)

    def now(self) -> datetime:
        """The time of day."""
        return self.start + timedelta(seconds=self.clock())


class Awaited:
    """An `AsyncClient` in an event loop of its own, with the methods of a `Client`.

    Args:
        access: What a client needs.
        sleep: A client's; blocks or is awaited.
        options: An `AsyncClient`'s.
    """

    def __init__(self, access: Access, *, sleep: Callable[[float], object] | None = None, **options: Any) -> None:
        async def wait(seconds: float) -> None:
            if sleep is not None:
                sleep(seconds)

        self.client = AsyncClient(access, sleep=wait if sleep is not None else None, **options)
        self._loop = asyncio.new_event_loop()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A method, run to its end."""
        method: Callable[..., Coroutine[Any, Any, Any]] = getattr(self.client, name)
        return lambda *args, **kwargs: self._loop.run_until_complete(method(*args, **kwargs))

    def __enter__(self) -> Self:
        self._loop.run_until_complete(self.client.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._loop.run_until_complete(self.client.__aexit__(kind, error, traceback))
        finally:
            # As asyncio.run does: generators that were given up half-way still have to end.
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


class Connect(Protocol):
    """Makes a client."""

    def __call__(self, root: Sandbox | RawServer | str, fake: FakeTime | None = None, /, **options: Any) -> Client:
        """A client for a root, with our key.

        Args:
            root: The API's root, or a server.
            fake: The clock to use.
            options: Other attributes of `Access`, and the client's own options.
        """


def blocking(root: Sandbox | RawServer | str, fake: FakeTime | None = None, /, **options: Any) -> Client:
    """See `Connect`."""
    return Client(*_arguments(root, fake, options), **options)


def awaited(root: Sandbox | RawServer | str, fake: FakeTime | None = None, /, **options: Any) -> Client:
    """See `Connect`; what blocks is an `Awaited`."""
    return cast("Client", Awaited(*_arguments(root, fake, options), **options))


CLIENTS: dict[str, Connect] = {"blocking": blocking, "async": awaited}


def _arguments(root: Sandbox | RawServer | str, fake: FakeTime | None, options: dict[str, Any]) -> list[Access]:
    """The positional arguments; takes out of the options what belongs there."""
    more = {name: options.pop(name) for name in ("proxy", "ca_file", "timeout", "concurrency") if name in options}
    if fake is not None:
        options |= {"sleep": fake.sleep, "clock": fake.clock, "now": fake.now}
    return [Access(ApiKey(KEY), root if isinstance(root, str) else root.url, **more)]
