"""What goes wrong around the product, and what each entry point makes of it: a table, as data.

A fault is what a server sends in the place of the true answer, or what a saved file holds instead of it. The tests of
``test_faults.py`` show each to each entry point. Run as a program, this writes the table for people, ``FAULTS.md``.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from enum import Enum
from http import HTTPStatus
from itertools import count, groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from audit_runs import KEY
from builders import answer as listed
from pulumi_ampersand.settings import Details
from pulumi_ampersand_policies.testing import connection
from raw_server import Answer, answer

TABLE: Final = Path(__file__).parent / "FAULTS.md"
COMMAND: Final = "python tests/faults.py"

SHORT: Final = 0.4
"""A time-out, in seconds, to wait for."""

LASTING: Final = 1.45
"""A time-out that leaves time for a second try, which begins after half a second to one, and none for a third."""

AMPLE: Final = 10.0
"""A time-out that nothing comes near."""

_TOO_LONG: Final = 1.5
"""How long a server holds on that only ends when its client gives up: far longer than a time-out may be overrun."""

_MEBIBYTE: Final = 1024**2


class Entry(str, Enum):
    """Where a user meets a fault."""

    DATA_SOURCE = "data source"
    GATE = "gate"
    AUDIT = "audit"
    FILE = "audit of a saved file"


class Verdict(Enum):
    """What an entry point makes of a fault."""

    READ = "everything is read"
    UNASKED = "everything is read; what isn't known is nothing that a rule looks at"
    UNJUDGED = "everything is read; what isn't known and can't be judged is said"
    PARTIAL = "likewise, and the audit is incomplete"
    FAILED = "nothing is read, and one line says why"
    WRONG = "nothing is asked, and one line says which setting is wrong"


_WORDS: Final[Mapping[tuple[Entry, Verdict], str]] = {
    (Entry.DATA_SOURCE, Verdict.UNJUDGED): "reads, keeps the gap",
    (Entry.DATA_SOURCE, Verdict.FAILED): "one line, fails",
    (Entry.GATE, Verdict.UNASKED): "no rule asks",
    (Entry.GATE, Verdict.UNJUDGED): "says what isn't judged",
    (Entry.GATE, Verdict.FAILED): "one line, stops",
    (Entry.AUDIT, Verdict.UNASKED): "no rule asks",
    (Entry.AUDIT, Verdict.UNJUDGED): "lists what isn't judged",
    (Entry.AUDIT, Verdict.PARTIAL): "one line, exit 3, judges the rest",
    (Entry.AUDIT, Verdict.FAILED): "one line, exit 3",
    (Entry.AUDIT, Verdict.WRONG): "one line, exit 2",
}

Verdicts = Mapping[Entry, Verdict]

LIVE: Final = (Entry.DATA_SOURCE, Entry.GATE, Entry.AUDIT)
FAILS: Final[Verdicts] = MappingProxyType(dict.fromkeys(LIVE, Verdict.FAILED))
FAILS_FOR_ONE: Final[Verdicts] = MappingProxyType(
    {Entry.DATA_SOURCE: Verdict.UNJUDGED, Entry.GATE: Verdict.UNJUDGED, Entry.AUDIT: Verdict.PARTIAL}
)
"""Where the list was read, and a connection's own call fails."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Fault:
    """One row of the table.

    Attributes:
        name: What goes wrong, in words.
        sends: What the server sends, one answer after the other. Nothing: no request gets to a server.
        says: A part of each line that is shown.
        verdicts: What becomes of it as long as it lasts, where it can be met.
        retried: Whether it is tried again, so that everything is read if it has passed by then.
        passes: Whether a test can have it pass.
        seconds: The time-out, which leaves no time for a second try; if there is to be one, that of a part of an
            answer. None if it doesn't matter.
        group: The heading that it stands under.
        url: The root to ask, if it isn't the server's.
        refuses: Whether nobody listens.
        tls: Whether the server speaks TLS, with a certificate that nobody knows.
        limit: The largest answer in bytes; None for the product's own.
        clock: Makes a clock of the time of day; None for the true one.
        details: Whether connections are asked for one by one.
        options: The audit's options.
        content: What a saved file holds.
        file_says: What is said of that file, if it is something else.
        touched: How many connections can't be judged.
    """

    name: str
    says: str
    sends: tuple[Answer, ...] = ()
    verdicts: Verdicts = field(default_factory=lambda: FAILS)
    retried: bool = False
    passes: bool = True
    seconds: float | None = None
    group: str = ""
    url: str | None = None
    refuses: bool = False
    tls: bool = False
    limit: int | None = None
    clock: Callable[[], Callable[[], datetime]] | None = None
    details: Details = "auto"
    options: tuple[str, ...] = ()
    content: bytes = b""
    file_says: str | None = None
    touched: int = 1


WELL: Final = connection("conn_well")
_BODY: Final = listed(WELL)

GOOD: Final = answer(_BODY)
GOOD_ONE: Final = answer(json.dumps(WELL).encode())
_LEAVES_OUT: Final = answer(listed(connection("conn_well", oauth2AuthorizationCode=None)))
"""A list that leaves out the grant, so that the connection is asked for by itself."""

ELSEWHERE: Final = b"http://elsewhere.invalid"
"""Stands for the root of another server."""

_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNKED: Final = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_PACKED: Final = _HEAD + b"Content-Encoding: gzip\r\n\r\n"


def _dripping(start: bytes, part: bytes) -> Answer:
    """Sends a beginning, then parts for as long as the client waits for more."""

    def send(client: socket.socket) -> None:
        client.sendall(start)
        end = time.monotonic() + _TOO_LONG
        while time.monotonic() < end:
            client.sendall(part)
            time.sleep(0.01)

    return send


def _silent(start: bytes = b"") -> Answer:
    """Sends a beginning, then nothing for as long as the client waits for more."""

    def send(client: socket.socket) -> None:
        client.sendall(start)
        client.settimeout(_TOO_LONG)
        client.recv(1)

    return send


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


_MEND: Final = "; check the network, proxy and ampersand:apiUrl (or AMP_API_URL)"

_NETWORK: Final = (
    Fault(name="connection refused", says=f"Connection refused{_MEND}", refuses=True, retried=True),
    Fault(name="connection reset", sends=(_reset,), says=f"Connection reset by peer{_MEND}", retried=True),
    Fault(name="connection closed without an answer", sends=(b"",), says="Server disconnected", retried=True),
    Fault(name="no such host", says=_MEND, url="http://host.invalid", retried=True, passes=False),
    Fault(
        name="a host that no DNS can hold",
        says="is no URL",
        verdicts={**FAILS, Entry.AUDIT: Verdict.WRONG},
        url=f"http://{'a' * 64}.invalid",
    ),
    Fault(name="self-signed certificate", says="CERTIFICATE_VERIFY_FAILED", tls=True),
)


def _late(name: str, sends: Answer, says: str = f" {SHORT:g} s; ", *, retried: bool = False) -> Fault:
    return Fault(name=name, sends=(sends,), says=says, retried=retried, seconds=SHORT)


_ENDLESS: Final = _late("body without an end", _dripping(_HEAD + b"\r\n", b" " * 4096))
_NO_ANSWER: Final = _late("no answer", _silent(), retried=True)

_TIME: Final = (
    _NO_ANSWER,
    _late("silence in the head", _silent(_HEAD), retried=True),
    _late("silence in the body", _silent(_HEAD + b"\r\n["), retried=True),
    _late("status line without an end", _dripping(b"HTTP/1.1 200 ", b"O")),
    _late("head without an end", _dripping(_HEAD, b"X-A: b\r\n")),
    _late("interim answers without an end", _dripping(b"", b"HTTP/1.1 102 Processing\r\n\r\n")),
    _ENDLESS,
    _late("chunk's head without an end", _dripping(_CHUNKED + b"1;a=", b"b")),
    _late("trailer without an end", _dripping(_CHUNKED + b"2\r\n[]\r\n0\r\n", b"X-A: b\r\n")),
    _late("gzip's head without an end", _dripping(_PACKED + b"\x1f\x8b\x08\x08\0\0\0\0\0\3", b"a")),
    _late("no end after gzip's end", _dripping(_PACKED + gzip.compress(_BODY), b"a")),
    _late("error's body without an end", _dripping(b"HTTP/1.1 503 No\r\n\r\n", b" "), "503 Service Unavailable"),
)


def _broken(name: str, sends: bytes, says: str, *, retried: bool = False, limit: int | None = None) -> Fault:
    return Fault(name=name, sends=(sends,), says=says, retried=retried, limit=limit)


def _packed(body: bytes, coding: str = "gzip") -> bytes:
    return answer(body, Content_Encoding=coding)


_CUT: Final = "peer closed connection without sending complete message body"
_NO_LIST: Final = "expected a JSON array of connections"
_SIZE: Final = f"larger than {_MEBIBYTE // 1024**2} MiB"

_ANSWERS: Final = (
    _broken("body cut off", GOOD[:-20], _CUT, retried=True),
    _broken("chunked body cut off", _CHUNKED + b"5\r\n[{", _CUT, retried=True),
    _broken("Content-Length too large", answer(_BODY, Content_Length="99999"), _CUT, retried=True),
    _broken("Content-Length too small", answer(_BODY, Content_Length="9"), _NO_LIST),
    _broken("Content-Length that is none", answer(_BODY, Content_Length="x"), "bad Content-Length", retried=True),
    _broken(
        "two Content-Lengths",
        answer(_BODY, Content_Length="2\r\nContent-Length: 3"),
        "conflicting Content-Length",
        retried=True,
    ),
    _broken("no HTTP", b"220 mail.example ESMTP\r\n\r\n", "illegal status line", retried=True),
    _broken("larger than the limit", answer(b"[" + b" " * _MEBIBYTE), _SIZE, limit=_MEBIBYTE),
    _broken(
        "interim answers larger than the limit", b"HTTP/1.1 102 Processing\r\n\r\n" * 100_000, _SIZE, limit=_MEBIBYTE
    ),
    _broken("gzip bomb", _packed(gzip.compress(bytes(64 * _MEBIBYTE))), _SIZE, limit=_MEBIBYTE),
    _broken("gzip in gzip", _packed(gzip.compress(gzip.compress(_BODY)), "gzip, gzip"), "compressed otherwise"),
    _broken("compression that nobody asked for", _packed(_BODY, "br"), "compressed otherwise"),
    _broken("gzip that is none", _packed(_BODY), "incorrect header check", retried=True),
    _broken("gzip cut off", _packed(gzip.compress(_BODY)[:-30]), _NO_LIST),
)


def _problem(status: int, **fields: Any) -> bytes:
    document = {"title": "Made up", "detail": "It is made up", "requestId": "req_1", **fields}
    return answer(json.dumps(document).encode(), status, "application/problem+json")


_RETRIED: Final = frozenset({429, 500, 502, 503, 504})


def _refused(status: int) -> Iterator[Fault]:
    page = answer(b"<html>a proxy's</html>", status, "text/html")
    phrase, retried = HTTPStatus(status).phrase, status in _RETRIED
    yield _broken(f"{status} with a page", page, f"{status} {phrase}", retried=retried)
    yield _broken(f"{status} with a problem", _problem(status), f"{status} It is made up", retried=retried)


_REFUSALS: Final = (
    *(fault for status in (400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504) for fault in _refused(status)),
    _broken("401 with a problem that holds the key", _problem(401, detail=f"No {KEY}", remedy=KEY), "401 No [API key]"),
    _broken("503, not retryable", _problem(503, retryable=False), "503 It is made up"),
    _broken("409, retryable", _problem(409, retryable=True), "409 It is made up", retried=True),
    _broken(
        "503 with half a problem",
        answer(b'{"detail": "It', 503, "application/problem+json"),
        "503 Service Unavailable",
        retried=True,
    ),
)


def _at(**distance: float) -> datetime:
    return datetime.now(timezone.utc) + timedelta(**distance)


def _when_sent(make: Callable[[], bytes]) -> Answer:
    return lambda client: client.sendall(make())


def _pause(name: str, sends: Answer, says: str, *, retried: bool = True) -> Fault:
    return Fault(name=name, sends=(sends,), says=says, retried=retried)


def _busy(after: str) -> bytes:
    return answer(b"", 429, Retry_After=after)


def _soon() -> str:
    return format_datetime(_at(seconds=1), usegmt=True)


_PAUSES: Final = (
    _pause("Retry-After in seconds", _busy("1"), "429 Too Many Requests; not before 2"),
    _pause("Retry-After as a date", _when_sent(lambda: _busy(_soon())), "429 Too Many Requests; not before 2"),
    _pause("retryAfter", _when_sent(lambda: _problem(503, retryAfter=_at(seconds=1).isoformat())), "; not before 2"),
    _pause("Retry-After years ahead, in seconds", _busy("999999999"), "; not before 2", retried=False),
    _pause("Retry-After years ahead, as a date", _busy("Fri, 31 Dec 2999 23:59:59 GMT"), "before 2999", retried=False),
    _pause("retryAfter years ahead", _problem(429, retryAfter="9999-12-31T23:59:59Z"), "before 9999", retried=False),
    _pause("Retry-After in the past", _busy("Fri, 31 Dec 1999 23:59:59 GMT"), "; not before 1999-12-31T23:59:59Z"),
    _pause("retryAfter in the past", _problem(503, retryAfter="0001-01-01T00:00:00Z"), "; not before 0001-01-01"),
    _pause("Retry-After too large for a number", _busy("9" * 5000), "429 Too Many Requests"),
    _pause("Retry-After that is noise", _busy("soon \xb2"), "429 Too Many Requests"),
    _pause("retryAfter that is noise", _problem(503, retryAfter={"soon": True}), "503 It is made up"),
)

_REDIRECTS: Final = tuple(
    _broken(
        f"{status} to {where}",
        b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, place),
        f"{status} redirect to http://",
    )
    for status in (301, 302, 303, 307, 308)
    for where, place in (("another origin", ELSEWHERE + b"/v1/projects"), ("another path", b"/v2/projects"))
)


def _set_again(**distance: float) -> Callable[[], Callable[[], datetime]]:
    """Makes clocks of the time of day that are set by so much between any two looks at them."""

    def make() -> Callable[[], datetime]:
        looks = count()
        return lambda: _at() + next(looks) * timedelta(**distance)

    return make


_CLOCK: Final = tuple(
    replace(fault, name=f"{fault.name}, the clock is set {way}", clock=_set_again(days=days))
    for way, days in (("ahead", 400), ("back", -400))
    for fault in (_NO_ANSWER, _ENDLESS, next(_refused(503)))
)


def _content(name: str, body: bytes, says: str, file_says: str | None = None) -> Fault:
    failed = dict.fromkeys(Entry, Verdict.FAILED)
    return Fault(name=name, sends=(answer(body),), says=says, verdicts=failed, content=body, file_says=file_says)


_NEITHER: Final = "is neither a list of connections as the API sends it"

_SHAPES: Final = (
    _content("no JSON", b"Service", _NO_LIST),
    _content("JSON cut in half", _BODY[: len(_BODY) // 2], _NO_LIST),
    _content("nothing", b"", _NO_LIST, "is empty"),
    _content("a page with status 200", b"<!DOCTYPE html><html></html>", _NO_LIST),
    _content("no text", b"\xff\xfe\x00\x01", _NO_LIST, "is UTF-16 text"),
    _content("lists in lists, without an end", b"[" * 100_000, _NO_LIST),
    _content("something after the list", _BODY + _BODY, _NO_LIST),
    _content("an object around the list", b'{"results": ' + _BODY + b"}", "got an object", _NEITHER),
    _content("an error with status 200", b'{"error": "no"}', "got an object", _NEITHER),
    _content("null", b"null", "got null"),
    _content("a number", b"7", "got a number"),
    _content("text", b'"none"', "got text"),
    _content("true", b"true", "got true or false"),
    _content("text in the list", b'["conn_well"]', "connections[0] is text, not an object"),
    _content("a list in the list", b"[" + _BODY + b"]", "connections[0] is a list, not an object"),
    _content("null in the list", _BODY[:-1] + b", null]", "connections[1] is null, not an object"),
    _content("one ID twice", listed(WELL, {**WELL, "provider": "hubspot"}), "conn_well"),
)

_NUMBER, _TRUTH, _LIST, _OBJECT = 7, True, [["x"]], {"x": "y"}

INDISPENSABLE: Final = ("id", "provider", "status")


def _lacking(key: str) -> Iterator[Fault]:
    says = f'connections[1] has no "{key}"'
    rest = {name: value for name, value in WELL.items() if name != key}
    yield _content(f"{key} left out", listed(WELL, rest), says)
    kinds = {"null": None, "a number": _NUMBER, "true": _TRUTH, "a list": _LIST, "an object": _OBJECT}
    for kind, value in kinds.items():
        yield _content(f"{key} is {kind}", listed(WELL, {**WELL, key: value}), says)


_CUSTOMER: Final = ("{0}.{0}Ref", "{0}.{0}Name", "{0}.projectId", "{0}.createTime")
_TOKEN: Final = ("oauth2AuthorizationCode.{}Token.issuedAt", "oauth2AuthorizationCode.{}Token.expiresAt")
_TEXTS: Final = (
    *("projectId", "authScheme", "providerWorkspaceRef", "providerConsumerRef", "createTime", "updateTime"),
    *(path.format(whose) for whose in ("group", "consumer") for path in _CUSTOMER),
    *(f"providerMetadata.region.{key}" for key in ("value", "source", "displayName")),
    *(f"providerApp.{key}" for key in ("id", "projectId", "externalRef", "provider", "clientId", "createTime")),
    *(path.format(which) for which in ("access", "refresh") for path in _TOKEN),
)
_OBJECTS: Final = (
    *("group", "consumer", "providerApp", "providerMetadata", "providerMetadata.region", "oauth2AuthorizationCode"),
    *("oauth2AuthorizationCode.accessToken", "oauth2AuthorizationCode.refreshToken"),
)
_SCOPES: Final = ("providerApp.scopes", "oauth2AuthorizationCode.scopes")

OPTIONAL: Final[Mapping[str, tuple[Any, ...]]] = {
    **dict.fromkeys(_TEXTS, (_NUMBER, _TRUTH, _LIST, _OBJECT)),
    **dict.fromkeys(_OBJECTS, (_NUMBER, _TRUTH, _LIST, "x")),
    **dict.fromkeys(_SCOPES, (_NUMBER, _TRUTH, _OBJECT, [_NUMBER], [["api", _NUMBER]], [_OBJECT])),
}
"""Each field that a connection may lack, by its path, with what it can't be."""

UNASKED: Final = frozenset(
    {
        *("providerConsumerRef", "createTime", "updateTime", "providerMetadata", "providerMetadata.region"),
        *(f"{whose}.createTime" for whose in ("group", "consumer", "providerApp")),
        *("group.groupName", "consumer.consumerName"),
        *(f"providerMetadata.region.{key}" for key in ("value", "source", "displayName")),
        *(f"providerApp.{key}" for key in ("id", "externalRef", "provider", "clientId")),
        "oauth2AuthorizationCode.accessToken.issuedAt",
    }
)
"""Those that no rule looks at, of a connection that works."""


def _changed(value: Mapping[str, Any], path: list[str], to: Any) -> dict[str, Any]:
    first, *rest = path
    return {**value, first: _changed(value.get(first, {}), rest, to) if rest else to}


def _mistyped(path: str) -> Fault:
    wrong = OPTIONAL[path]
    body = listed(
        *(_changed(connection(f"conn_{number}"), path.split("."), value) for number, value in enumerate(wrong))
    )
    judged = Verdict.UNASKED if path in UNASKED else Verdict.UNJUDGED
    verdicts = {entry: Verdict.UNJUDGED if entry is Entry.DATA_SOURCE else judged for entry in Entry}
    return replace(_content(path, body, path), verdicts=verdicts, details="never", touched=len(wrong))


def _of_one(name: str, sends: Answer, says: str, *, retried: bool = False, seconds: float | None = None) -> Fault:
    return Fault(
        name=name,
        sends=(_LEAVES_OUT, sends),
        says=says,
        verdicts=FAILS_FOR_ONE,
        retried=retried,
        seconds=seconds,
    )


_ONE: Final = (
    _of_one("deleted after the list was read", _problem(404), "404 It is made up"),
    _of_one("the project deleted after the list was read", answer(b"", 404), "404 Not Found"),
    _of_one("the key revoked after the list was read", _problem(401), "401 It is made up"),
    _of_one("500", _problem(500), "500 It is made up", retried=True),
    _of_one("connection reset", _reset, "Connection reset by peer", retried=True),
    # The list comes first, and has to come in time.
    _of_one("no answer", _silent(), " 1.2 s; ", retried=True, seconds=1.2),
    _of_one("body cut off", GOOD_ONE[:-20], _CUT, retried=True),
    _of_one("another connection", answer(json.dumps({**WELL, "id": "conn_2"}).encode()), 'sent connection "conn_2"'),
    _of_one("a list", GOOD, "connections[0] is a list, not an object"),
    _of_one("no JSON", answer(b"Service"), "expected a JSON array"),
)


def _unwritable(name: str, says: str, *options: str) -> Fault:
    return Fault(name=name, sends=(GOOD,), says=says, verdicts={Entry.AUDIT: Verdict.FAILED}, options=options)


_OUTPUT: Final = (
    _unwritable("disk full", "/dev/full: can't be written: No space left", "--format", "json=/dev/full"),
    _unwritable("a folder that takes no file", "/proc/x: can't be written: ", "--format", "json=/proc/x"),
    _unwritable("a folder to keep in that can't be made", "--save /proc/x: can't be written", "--save", "/proc/x"),
)

FAULTS: Final = tuple(
    replace(fault, group=group)
    for group, faults in (
        ("No connection", _NETWORK),
        ("Time", _TIME),
        ("Broken answers", _ANSWERS),
        ("Refusals", _REFUSALS),
        ("Pauses", _PAUSES),
        ("Redirects", _REDIRECTS),
        ("The time of day", _CLOCK),
        ("Answers of another shape", _SHAPES),
        ("Fields that are indispensable", [fault for key in INDISPENSABLE for fault in _lacking(key)]),
        ("Fields of a wrong type", map(_mistyped, OPTIONAL)),
        ("A connection's own call", _ONE),
        ("Output", _OUTPUT),
    )
    for fault in faults
)

_INTRODUCTION: Final = f"""# Faults

What goes wrong around the product, and what becomes of it as long as it lasts. What is tried again, and has passed by
then, goes unnoticed. `{COMMAND}` writes this from `faults.py`, and `test_faults.py` has each row happen.

- The data source fails preview and update with one line, and the state stays as it is; or it keeps in `observations`
  what isn't known.
- The gate stops the deployment with one violation of `readable-connections`; or `verifiable-connections` says what
  could not be judged.
- The audit ends with exit code 3 and one line; or its report says what could not be judged.
"""


def table() -> str:
    """The table for people."""
    parts = [_INTRODUCTION]
    for group, faults in groupby(FAULTS, lambda fault: fault.group):
        rows = list(faults)
        entries = [entry for entry in Entry if any(entry in fault.verdicts for fault in rows)]
        parts.append("\n".join([f"## {group}", "", *_rows(rows, entries), ""]))
    return "\n".join(parts)


def _rows(faults: Iterable[Fault], entries: list[Entry]) -> Iterator[str]:
    yield f"| fault | tried again | {' | '.join(entry.value for entry in entries)} |"
    yield "|---" * (len(entries) + 2) + "|"
    for fault in faults:
        words = [_word(entry, fault.verdicts[entry]) for entry in entries]
        yield f"| {fault.name} | {'yes' if fault.retried else 'no'} | {' | '.join(words)} |"


def _word(entry: Entry, verdict: Verdict) -> str:
    return _WORDS[Entry.AUDIT if entry is Entry.FILE else entry, verdict]


if __name__ == "__main__":
    sys.exit(TABLE.write_text(table(), encoding="utf-8") == 0)
