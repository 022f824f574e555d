"""What the sandbox was asked: one record for each request, for tests to count."""

import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

RequestKind = Literal["list", "one", "projects", "reauth", "other"]
"""The calls that the sandbox knows: list connections, get one, list projects, ask for a re-authorisation link."""

REQUEST_KINDS: tuple[RequestKind, ...] = get_args(RequestKind)

_KINDS: tuple[tuple[RequestKind, re.Pattern[str]], ...] = (
    ("projects", re.compile(r"GET /v1/projects")),
    ("list", re.compile(r"GET /v1/projects/[^/]+/connections")),
    ("one", re.compile(r"GET /v1/projects/[^/]+/connections/[^/]+")),
    ("reauth", re.compile(r"PATCH /v1/projects/[^/]+/connections/[^/]+:oauth-update")),
)


@dataclass(frozen=True, kw_only=True)
class RequestRecord:
    """One request to the API.

    Attributes:
        number: 1 for the first request.
        kind: which call it was.
        method: the HTTP method.
        path: the path as sent, percent-encoded.
        query: the query's parameters, decoded; of a repeated one, the last.
        key_ok: whether the right API key was sent. The key itself is not kept.
        user_agent: the header of that name, or an empty text.
        at: seconds on the clock of `time.monotonic`, when the request arrived.
        fault: the fault that answered, as written, or None.
        status: the HTTP status answered; None as long as there is none, or when the connection was closed without.
    """

    number: int
    kind: RequestKind
    method: str
    path: str
    query: Mapping[str, str]
    key_ok: bool
    user_agent: str
    at: float
    fault: str | None = None
    status: int | None = None


class RequestLog:
    """The records in order of arrival. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[RequestRecord] = []
        self._first = 1
        self._open = 0
        self._most_at_once = 0

    def arrived(
        self, *, method: str, path: str, query: Mapping[str, str], key_ok: bool, user_agent: str
    ) -> RequestRecord:
        """Records a request, not answered yet."""
        with self._lock:
            record = RequestRecord(
                number=self._first + len(self._records),
                kind=kind_of(method, path),
                method=method,
                path=path,
                query=query,
                key_ok=key_ok,
                user_agent=user_agent,
                at=time.monotonic(),
            )
            self._records.append(record)
            self._open += 1
            self._most_at_once = max(self._most_at_once, self._open)
            return record

    def note(self, number: int, *, status: int | None = None, fault: str | None = None) -> None:
        """Adds the status or the fault to the record with that number, unless it has been cleared away."""
        with self._lock:
            position = number - self._first
            if position < 0:
                return
            record = self._records[position]
            self._records[position] = replace(record, status=status or record.status, fault=fault or record.fault)

    def ended(self) -> None:
        """Says that a request that had arrived has been answered, or has gone."""
        with self._lock:
            self._open -= 1

    def clear(self) -> None:
        """Forgets all records; numbers go on."""
        with self._lock:
            self._first += len(self._records)
            self._records.clear()
            self._most_at_once = self._open

    @property
    def records(self) -> list[RequestRecord]:
        """The records so far."""
        with self._lock:
            return list(self._records)

    @property
    def counts(self) -> Counter[RequestKind]:
        """How many requests of each kind there were."""
        return Counter(record.kind for record in self.records)

    @property
    def most_at_once(self) -> int:
        """How many requests were under way at the same time, at most."""
        with self._lock:
            return self._most_at_once


def kind_of(method: str, path: str) -> RequestKind:
    """Which call a request is; `path` is percent-encoded and has no query."""
    line = f"{'GET' if method == 'HEAD' else method} {path}"
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(line)), "other")
