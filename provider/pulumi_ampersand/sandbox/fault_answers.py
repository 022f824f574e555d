"""How each fault answers, down to the wire.

A fault gets an `Exchange`: the request, the true answer where it wants one, and the connection itself, because a web
framework can't send half an answer, nor reset a connection.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

from pulumi_ampersand.sandbox.faults import Fault
from pulumi_ampersand.sandbox.problems import PROBLEM_TYPE, issue, problem
from pulumi_ampersand.sandbox.times import write

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_HTML = b"""<!DOCTYPE html>
<html><head><title>Bad gateway</title></head>
<body><center><h1>Bad gateway</h1></center><hr><center>proxy</center></body></html>
"""
_CHUNK = 64 * 1024


class Wire(Protocol):
    """The TCP connection under a request."""

    def close(self) -> None:
        """Sends what is pending, then closes."""

    def reset(self) -> None:
        """Drops what is pending and resets the connection."""


class GoneError(Exception):
    """The client has closed the connection: there is nobody to answer."""


@dataclass
class Exchange:
    """A request that a fault answers.

    Attributes:
        application: what would answer truly.
        scope: the request, as ASGI has it.
        receive: where the request's body and its end come from.
        send: where the answer goes.
        wire: the connection.
        number: the request's number.
        key: the API key that was sent.
    """

    application: Application
    scope: MutableMapping[str, Any]
    receive: Receive
    send: Send
    wire: Wire
    number: int
    key: str

    async def answer(
        self, status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Sends a whole answer."""
        await self.start(status, content_type, len(body), headers)
        await self.send({"type": "http.response.body", "body": body})

    async def start(
        self, status: int, content_type: str, length: int | None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Sends an answer's head; without a length the body goes out in chunks."""
        fields = {"content-type": content_type, **(headers or {})}
        if length is not None:
            fields["content-length"] = str(length)
        encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": encoded})

    async def part(self, body: bytes) -> None:
        """Sends some more of the body."""
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def pause(self, seconds: float) -> None:
        """Waits.

        Raises:
            GoneError: the client didn't wait so long.
        """
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.gone(), seconds)
            raise GoneError

    async def gone(self) -> None:
        """Waits until the client has closed the connection."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def true_answer(self) -> "Answer":
        """What the API answers, held back."""
        answer = Answer()
        await self.application(self.scope, self.receive, answer.take)
        return answer


@dataclass
class Answer:
    """An answer that was held back."""

    status: int = 0
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)

    async def take(self, message: Message) -> None:
        """Receives a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.content_type = dict(message["headers"]).get(b"content-type", b"").decode("latin-1")
        else:
            self.body += message.get("body", b"")


async def _status(fault: Fault, exchange: Exchange) -> None:
    more: dict[str, Any] = {"retryable": fault.retryable}
    if fault.retryable:
        more["remedy"] = "Try again later."
    if fault.retry_at is not None:
        more["retryAfter"] = write(datetime.now(timezone.utc) + timedelta(seconds=fault.retry_at), fraction=6)
    detail = f"The sandbox was told to answer with {fault.status}."
    document = problem(fault.status, detail, request=exchange.number, **more)
    headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
    await exchange.answer(fault.status, PROBLEM_TYPE, json.dumps(document).encode(), headers)


async def _slow(fault: Fault, exchange: Exchange) -> None:
    await exchange.pause(fault.value)
    await exchange.application(exchange.scope, exchange.receive, exchange.send)


async def _drip(fault: Fault, exchange: Exchange) -> None:
    true = await exchange.true_answer()
    await exchange.start(true.status, true.content_type, len(true.body))
    for position in range(len(true.body)):
        await exchange.part(true.body[position : position + 1])
        await exchange.pause(fault.value)
    await exchange.send({"type": "http.response.body", "body": b""})


async def _cut_off(_: Fault, exchange: Exchange) -> None:
    true = await exchange.true_answer()
    await exchange.start(true.status, true.content_type, len(true.body))
    await exchange.part(true.body[: len(true.body) // 2])
    exchange.wire.close()


async def _reset(_: Fault, exchange: Exchange) -> None:
    exchange.wire.reset()


async def _hang_up(_: Fault, exchange: Exchange) -> None:
    exchange.wire.close()


async def _invalid_json(_: Fault, exchange: Exchange) -> None:
    true = await exchange.true_answer()
    await exchange.answer(200, "application/json", true.body[: max(len(true.body) // 2, 1)])


async def _not_a_list(_: Fault, exchange: Exchange) -> None:
    true = await exchange.true_answer()
    await exchange.answer(200, "application/json", b'{"results":' + true.body + b"}")


async def _empty(_: Fault, exchange: Exchange) -> None:
    await exchange.answer(200, "application/json", b"")


async def _html(fault: Fault, exchange: Exchange) -> None:
    await exchange.answer(fault.status, "text/html; charset=utf-8", _HTML)


async def _redirect(fault: Fault, exchange: Exchange) -> None:
    query = exchange.scope["query_string"].decode("latin-1")
    target = f"{fault.to}{exchange.scope['raw_path'].decode('latin-1')}{'?' if query else ''}{query}"
    await exchange.answer(302, "text/plain; charset=utf-8", b"Found", {"location": target})


async def _huge(fault: Fault, exchange: Exchange) -> None:
    entry = json.dumps(
        {"id": "conn_huge", "provider": "salesforce", "status": "working", "filler": "x" * 1600}
    ).encode()
    chunk = b",".join([entry] * (_CHUNK // len(entry)))
    await exchange.start(200, "application/json", None)
    await exchange.part(b"[" + entry)
    for _ in range(int(fault.value * 1024 * 1024 / len(chunk)) + 1):
        await exchange.part(b"," + chunk)
    await exchange.send({"type": "http.response.body", "body": b"]"})


async def _key_echo(_: Fault, exchange: Exchange) -> None:
    document = problem(
        401,
        f"The API key {exchange.key} is not valid.",
        request=exchange.number,
        remedy=f"Replace {exchange.key}.",
        issues=[issue("header", "X-Api-Key", f"{exchange.key} is no key of this project", exchange.key)],
    )
    await exchange.answer(401, PROBLEM_TYPE, json.dumps(document).encode())


ANSWERS: Mapping[str, Callable[[Fault, Exchange], Awaitable[None]]] = {
    "status": _status,
    "slow": _slow,
    "drip": _drip,
    "cut-off": _cut_off,
    "reset": _reset,
    "hang-up": _hang_up,
    "invalid-json": _invalid_json,
    "not-a-list": _not_a_list,
    "empty": _empty,
    "html": _html,
    "redirect": _redirect,
    "huge": _huge,
    "key-echo": _key_echo,
}
"""What answers for each fault name."""
