"""One exchange with the API: a request, its retries, and the bytes of the answer or one of `pulumi_ampersand.errors`.

Bounded in time (connecting, each read, and the call as a whole) and in size; repeats only what is safe to repeat; sends
the key to one origin only, and keeps it out of everything that others see. An answer that asks for a pause slows down
everything that is asked through the same `Exchange`. The only place that knows httpx's errors.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http.client import responses
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx

from pulumi_ampersand._version import __version__
from pulumi_ampersand.errors import (
    AmpersandError,
    AnswerError,
    ApiError,
    DeadlineExceededError,
    RateLimitedError,
    SettingsError,
    TransportError,
    api_error_type,
)
from pulumi_ampersand.network import Look, Network
from pulumi_ampersand.settings import Access, ApiKey
from pulumi_ampersand.terminal import one_line

if TYPE_CHECKING:
    import ssl

    from typing_extensions import Self

_Item = TypeVar("_Item")

_REPEATABLE_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})
_PROBLEM_LIMIT: Final = 64 * 1024
"""Bytes of an error answer that are looked at; a proxy's error page may be longer, and none of it is shown."""
_HEAD_LIMIT: Final = 1024 * 1024
"""Bytes of an answer that aren't its body; httpx takes no head of more than 100 KiB, but any number of interim ones."""


@dataclass(frozen=True)
class Limits:
    """The bounds of one call.

    Attributes:
        connect: Seconds to wait for a connection.
        read: Seconds to wait for each part of an answer.
        total: Seconds for the whole call, retries and waiting included, or for several calls together that do one
            thing.
        attempts: How often a call is tried in all.
        answer: The largest answer in bytes, after decompression.
    """

    connect: float = 10.0
    read: float = 30.0
    total: float = 120.0
    attempts: int = 5
    answer: int = 512 * 1024 * 1024

    @classmethod
    def within(cls, total: float) -> Self:
        """Bounds of which none is longer than the whole call may take."""
        return cls(connect=min(cls.connect, total), read=min(cls.read, total), total=total)


class Pace:
    """How fast the API may be asked. All that use one key share it, so that an answer 429 slows every one of them.

    After a pause, requests follow each other at a distance, which grows with each further pause and shrinks with each
    success: at once they would be refused at once.

    Args:
        clock: A clock in seconds that never goes back.
    """

    _FIRST_DISTANCE: Final = 0.02
    _MOST_DISTANCE: Final = 1.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next = self._paused_until = float("-inf")
        self._distance = 0.0

    def turn(self) -> float:
        """Take the next place in the row; seconds to wait for it."""
        with self._lock:
            now = self._clock()
            start = max(now, self._next)
            self._next = start + self._distance
            return start - now

    def remaining(self) -> float:
        """Seconds until the pause is over."""
        return max(0.0, self._paused_until - self._clock())

    def pause(self, seconds: float) -> None:
        """Let nobody ask for so long."""
        with self._lock:
            now = self._clock()
            if now >= self._paused_until:
                self._distance = min(max(self._FIRST_DISTANCE, 2 * self._distance), self._MOST_DISTANCE)
            self._paused_until = max(self._paused_until, now + seconds)
            self._next = max(self._next, self._paused_until)

    def succeeded(self) -> None:
        """Shorten the distance."""
        if self._distance:
            with self._lock:
                self._distance = self._distance * 0.9 if self._distance > self._FIRST_DISTANCE / 2 else 0.0


class Exchange:
    """Makes calls to one API root with one key.

    Args:
        access: The API key and root, and how to get there.
        limits: The bounds of each call.
        connect: Makes the network; see `pulumi_ampersand.network`.
        clock: A clock in seconds that never goes back.
        now: The time of day, to which the API's "not before" times are compared.

    Raises:
        SettingsError: The proxy or certificate settings can't be used.
    """

    def __init__(
        self,
        access: Access,
        *,
        limits: Limits | None,
        connect: Callable[[Mapping[str, Any], Look, int], Network],
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._access = access
        self._limits = limits or Limits.within(access.timeout)
        self._clock = clock
        self.now = now
        self._pace = Pace(clock)
        try:
            self._network = connect(
                {
                    "auth": _KeyHeader(access.api_key),
                    "timeout": httpx.Timeout(self._limits.read, connect=self._limits.connect),
                    # A redirect could carry the key to another origin; the API has none.
                    "follow_redirects": False,
                    "headers": {
                        "Accept": "application/json",
                        "Accept-Encoding": "gzip",
                        "User-Agent": f"pulumi-ampersand/{__version__}",
                    },
                    "proxy": access.proxy,
                    "verify": _certificates(access),
                },
                _set_redirect_aside,
                access.concurrency,
            )
        except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
            # The text of the others may quote a proxy's password.
            why = f": {error}" if isinstance(error, ImportError | OSError) else ""
            raise SettingsError(
                f"the proxy or certificate settings can't be used{why}; check ampersand:proxy and ampersand:caFile, "
                "ALL_PROXY, HTTP_PROXY, HTTPS_PROXY and SSL_CERT_FILE"
            ) from None
        self._log_filter = _LogFilter(access)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._log_filter)

    async def close(self) -> None:
        """Give back the connections to the server."""
        await self._network.close()
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._log_filter)

    async def each(self, items: Sequence[_Item], work: Callable[[_Item], Coroutine[Any, Any, None]]) -> None:
        """Do the work for each item, as many at once as `Access` allows."""
        await self._network.each(items, work)

    def deadline(self) -> float:
        """By when a thing that begins now must be done, for `call`."""
        return self._clock() + self._limits.total

    async def call(
        self,
        method: str,
        path: str,
        doing: str,
        params: Mapping[str, str | None] | None = None,
        *,
        deadline: float | None = None,
    ) -> bytes:
        """Make a call and return the body of its answer.

        Args:
            method: The HTTP method; only GET is taken to be safe to repeat.
            path: The path below the root, encoded.
            doing: What the call is for, to begin an error's text with.
            params: The query; what is None is left out.
            deadline: What `deadline` gave, for one of several calls that do a thing together. An answer 429 is then no
                failed try: the others may have caused it, and the deadline ends it.

        Raises:
            AmpersandError: See `pulumi_ampersand.errors`.
        """
        import tenacity  # noqa: PLC0415 - a quarter of this module's import time, needed at the first request only

        doing = f"{doing} at {self._access.api_url}"
        patient, deadline = deadline is not None, self.deadline() if deadline is None else deadline
        url = self._access.api_url + path
        query = {name: encodable(value) for name, value in (params or {}).items() if value is not None}
        refused = 0

        backoff = tenacity.wait_exponential(multiplier=0.5, max=8.0) + tenacity.wait_random(0.0, 0.5)

        def repeatable(error: BaseException) -> bool:
            return isinstance(error, _AttemptError) and error.repeatable

        def wait(state: tenacity.RetryCallState) -> float:
            nonlocal refused
            failure = state.outcome.exception() if state.outcome else None
            seconds = max(float(backoff(state)), failure.wait if isinstance(failure, _AttemptError) else 0.0)
            if isinstance(failure, _AttemptError) and isinstance(failure.error, RateLimitedError):
                refused += patient
                self._pace.pause(seconds)
            return seconds

        def stop(state: tenacity.RetryCallState) -> bool:
            too_late = self._clock() + state.upcoming_sleep > deadline
            return state.attempt_number - refused >= self._limits.attempts or too_late

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(repeatable),
            wait=wait,
            stop=stop,
            sleep=self._network.sleep,
            reraise=True,
        )
        try:
            return await retrying(self._attempt, method, url, query, doing, deadline)
        except _AttemptError as failure:
            error, cause = failure.error, failure.__cause__
        # Raised outside, so that it doesn't carry along what httpx said of a malformed answer.
        raise error from cause

    async def _attempt(self, method: str, url: str, query: dict[str, str], doing: str, deadline: float) -> bytes:
        """One try. Everything that can fail leaves as an `_AttemptError`, which knows whether another try is safe."""
        idempotent = method == "GET"
        await self._turn(doing, deadline)
        allowance = _Allowance(doing, self._limits, self._clock, deadline)
        try:
            response = await self._network.open(method, url, query, allowance)
            try:
                if response.is_success:
                    body = await self._body(response, allowance)
                    self._pace.succeeded()
                    return body
                error = await self._refusal(response, allowance)
            finally:
                await self._network.finish(response)
        except httpx.TimeoutException as exc:
            if self._clock() >= deadline:
                raise allowance.over() from None
            safe = idempotent or isinstance(exc, httpx.ConnectTimeout)
            what = f"connecting took more than {self._limits.connect:g} s"
            if not isinstance(exc, httpx.ConnectTimeout):
                what = f"the server sent nothing for {self._limits.read:g} s"
            raise _AttemptError(TransportError(f"{doing}: {what}; {_CHECK_NETWORK}"), repeatable=safe) from exc
        except (httpx.InvalidURL, UnicodeError):
            # A host can have a form in which no name server would be asked for it.
            raise _AttemptError(SettingsError(f"{doing}: ampersand:apiUrl (or AMP_API_URL) is no URL")) from None
        except httpx.ProtocolError as exc:
            # What comes after a colon quotes what the server sent, which may echo the key.
            text = str(exc).partition(":")[0]
            raise _AttemptError(TransportError(f"{doing}: {text}; {_CHECK_NETWORK}"), repeatable=idempotent) from None
        except (httpx.TransportError, httpx.DecodingError) as exc:
            text = one_line(self._access.api_key.cut_from(str(exc)), 200) or type(exc).__name__
            if "CERTIFICATE_VERIFY_FAILED" in text:
                raise _AttemptError(TransportError(f"{doing}: {text}; {_CHECK_CERTIFICATE}")) from exc
            safe = idempotent or isinstance(exc, httpx.ConnectError)
            raise _AttemptError(TransportError(f"{doing}: {text}; {_CHECK_NETWORK}"), repeatable=safe) from exc
        wait = 0.0
        if error.retry_after is not None:
            wait = max(0.0, (error.retry_after - self.now()).total_seconds())
        repeat = error.retryable if error.retryable is not None else error.status in _REPEATABLE_STATUS
        # A call that isn't idempotent is repeated only where the server says that it did nothing.
        safe = idempotent or error.retryable is True or isinstance(error, RateLimitedError)
        raise _AttemptError(error, repeatable=repeat and safe, wait=wait)

    async def _turn(self, doing: str, deadline: float) -> None:
        """Wait until it is this request's turn; see `Pace`."""
        total = f"{self._limits.total:g} s"
        # More than what a clock's rounding makes of a wait that is over.
        while (wait := self._pace.turn()) > 0.001:
            if self._clock() + wait > deadline:
                raise _AttemptError(
                    DeadlineExceededError(
                        f"{doing}: the API asks for a pause that doesn't end within {total}; {_LATER}"
                    )
                )
            await self._network.sleep(wait)
            if not self._pace.remaining():
                break
        if self._clock() > deadline:
            raise _AttemptError(DeadlineExceededError(f"{doing}: not begun within {total}; {_TIME}"))

    async def _body(self, response: httpx.Response, allowance: _Allowance) -> bytes:
        body = await self._receive(response, self._limits.answer, allowance)
        if len(body) > self._limits.answer:
            raise allowance.too_much()
        return body

    async def _receive(self, response: httpx.Response, limit: int, allowance: _Allowance) -> bytes:
        """Up to ``limit`` bytes of an answer, and some more where there are more."""
        if response.headers.get("content-encoding", "identity").strip().lower() not in {"identity", "gzip"}:
            # Compressed twice, 10 kB are 10 GB, and the decoder gives them all at once.
            raise _AttemptError(
                AnswerError(f"{allowance.doing}: the answer is compressed otherwise than asked for; {_CHECK_NETWORK}")
            )
        chunks: list[bytes] = []
        size = 0
        allowance.begun = True

        def enough(chunk: bytes) -> bool:
            nonlocal size
            chunks.append(chunk)
            size += len(chunk)
            if size <= limit:
                allowance.seconds()
            return size > limit

        await self._network.read(response, enough)
        return b"".join(chunks)

    async def _refusal(self, response: httpx.Response, allowance: _Allowance) -> ApiError:
        from pulumi_ampersand.problem import Problem  # noqa: PLC0415 - pydantic costs as much as httpx, for errors only

        status = response.status_code
        problem = Problem()
        if "json" in response.headers.get("content-type", "").lower():
            # The status says the most: a broken explanation must not hide it.
            with suppress(_AttemptError, httpx.TransportError, httpx.DecodingError):
                problem = Problem.parse((await self._receive(response, _PROBLEM_LIMIT, allowance))[:_PROBLEM_LIMIT])
        cut = self._access.api_key.cut_from
        detail = cut(one_line(problem.explanation())) or responses.get(status, "unknown status")
        remedy = cut(one_line(problem.remedy)) or _REMEDIES.get(status, "")
        if status == 401:
            # The API can't know how its key gets here.
            how = self._access.api_key.how_to_set()
            remedy = ". ".join(filter(None, (remedy.rstrip("."), how[:1].upper() + how[1:])))
        if _REDIRECT in response.extensions:
            target = _origin(str(response.url), response.extensions[_REDIRECT])
            detail, remedy = f"redirect to {cut(one_line(target))}", _REDIRECTED
        after = _header_time(response.headers.get("retry-after"), self.now)
        return api_error_type(status)(
            allowance.doing,
            status=status,
            detail=detail,
            remedy=remedy,
            request_id=cut(one_line(problem.request_id)),
            retryable=problem.retryable,
            retry_after=max(filter(None, (after, problem.not_before())), default=None),
        )


_CHECK_CERTIFICATE: Final = (
    "check ampersand:apiUrl, or set ampersand:caFile (or SSL_CERT_FILE) to your certificate authority's file"
)
_CHECK_NETWORK: Final = "check the network, proxy and ampersand:apiUrl (or AMP_API_URL)"
_FILTER: Final = "filter by provider, group_ref or consumer_ref"
_TIME: Final = f"{_FILTER}, or raise ampersand:timeout (or AMP_TIMEOUT)"
_LATER: Final = "try again later, or raise ampersand:timeout (or AMP_TIMEOUT)"
_SILENCE: Final = f"{_CHECK_NETWORK}, or raise ampersand:timeout (or AMP_TIMEOUT)"
_REDIRECTED: Final = (
    "Redirects aren't followed, for they would carry the API key: set ampersand:apiUrl to the API itself"
)
_REMEDIES: Final = {
    403: "Use an API key that may read this project",
    404: "Check ampersand:project (or AMP_PROJECT), the connection's ID and ampersand:apiUrl",
}


def _certificates(access: Access) -> ssl.SSLContext | bool:
    """What httpx verifies servers by; one for all of its clients."""
    if access.ca_file is not None:
        import ssl  # noqa: PLC0415 - the rule needs no module of its own

        return ssl.create_default_context(cafile=access.ca_file)
    # Building it takes as long as reading 10,000 connections, and plain http needs none.
    return not access.api_url.startswith("http:") and httpx.create_ssl_context()


_REDIRECT: Final = "pulumi_ampersand.redirect"


def _set_redirect_aside(response: httpx.Response) -> None:
    """Keep httpx from preparing a request to a place that a server names, which fails for some places."""
    if response.has_redirect_location:
        response.extensions[_REDIRECT] = response.headers.pop("location")


def _origin(base: str, location: str) -> str:
    """Scheme, host and port of the place that a redirect leads to; its path may be confidential."""
    try:
        parts = urlsplit(urljoin(base, location))
    except ValueError:
        return "no URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class _KeyHeader(httpx.Auth):
    """Adds the key to each request as it is sent, so that no client, header or request object shows it before."""

    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-Api-Key"] = self._key.reveal()
        yield request


_LOGGERS: Final = ("httpx", "httpcore.http11", "httpcore.proxy")
_QUERY: Final = re.compile(r"\?\S*")


class _LogFilter(logging.Filter):
    """Keeps the key, which a server may echo in a header, and the filters, which may be secret, out of others' logs."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        clean = self._access.api_key.cut_from(message)
        if self._access.api_url in message:
            clean = _QUERY.sub("?…", clean)
        if clean != message:
            record.msg, record.args = clean, ()
        return True


class _Allowance:
    """What a try may take, as `pulumi_ampersand.network.Bound` has it.

    Args:
        doing: What the call is for.
        limits: Its bounds.
        clock: A clock in seconds.
        deadline: By when the call must be done.

    Attributes:
        doing: See above.
        begun: Whether there is something of an answer.
    """

    def __init__(self, doing: str, limits: Limits, clock: Callable[[], float], deadline: float) -> None:
        self.doing = doing
        self._limits = limits
        self._clock = clock
        self._deadline = deadline
        self._bytes = 0
        self.begun = False

    def seconds(self) -> float:
        left = self._deadline - self._clock()
        if left < 0:
            raise self.over()
        # A socket with no time at all doesn't wait, and says something else.
        return max(left, 0.001)

    def arrived(self, size: int) -> None:
        self._bytes += size
        self.begun = self.begun or size > 0
        # The body is counted by itself, too, once it is decompressed.
        if self._bytes > self._limits.answer + _HEAD_LIMIT:
            raise self.too_much()

    def over(self) -> _AttemptError:
        what, mend = ("the answer wasn't complete", _TIME) if self.begun else ("no answer", _SILENCE)
        return _AttemptError(DeadlineExceededError(f"{self.doing}: {what} after {self._limits.total:g} s; {mend}"))

    def too_much(self) -> _AttemptError:
        """What to raise when more has come than is taken."""
        size = self._limits.answer // 1024**2
        return _AttemptError(AnswerError(f"{self.doing}: the answer is larger than {size} MiB; {_FILTER}"))


class _AttemptError(Exception):
    """One failed try: the error to report if no other follows, and what the retry policy needs to know."""

    def __init__(self, error: AmpersandError, *, repeatable: bool = False, wait: float = 0.0) -> None:
        super().__init__()
        self.error = error
        self.repeatable = repeatable
        self.wait = wait


def encodable(text: str) -> str:
    """Text that may hold lone surrogates, as text that can be sent: U+FFFD for each, as when it is read."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _header_time(value: str | None, now: Callable[[], datetime]) -> datetime | None:
    """The time that a ``Retry-After`` header names: seconds from now, or an HTTP date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    try:
        if value.strip().isascii() and value.strip().isdigit():
            return datetime.fromtimestamp(now().timestamp() + int(value), timezone.utc)
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
