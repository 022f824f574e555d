"""What a running sandbox is made of: the web application answers from it, other threads control it."""

import secrets
import threading
from dataclasses import dataclass, field
from datetime import datetime

from pulumi_ampersand.sandbox.faults import FaultPlan
from pulumi_ampersand.sandbox.request_log import RequestLog
from pulumi_ampersand.sandbox.store import Store

DEFAULT_API_KEY = "sandbox-key"
"""The API key that a sandbox accepts unless told otherwise."""


@dataclass
class State:
    """The data, the faults, the log and the settings of one sandbox.

    Attributes:
        store: the projects and their connections.
        started: when the sandbox started, from which its data's times count.
        api_key: the key that a request must send.
        past_keys: the keys that were rotated away.
        list_credentials: whether lists include OAuth credentials.
        list_body: the bytes that every list is answered with, instead of connections; None normally.
        faults: the faults now switched on.
        log: the requests so far.
    """

    store: Store
    started: datetime
    api_key: str = field(default=DEFAULT_API_KEY, repr=False)
    past_keys: frozenset[str] = field(default=frozenset(), repr=False)
    list_credentials: bool = True
    list_body: bytes | None = field(default=None, repr=False)
    faults: FaultPlan = field(default_factory=FaultPlan)
    log: RequestLog = field(default_factory=RequestLog)
    _tickets: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def rotate(self, key: str) -> None:
        """Accepts another API key from now on, and no longer the present one."""
        with self._lock:
            self.past_keys |= {self.api_key}
            self.api_key = key

    def consent_ticket(self, project: str, connection_id: str) -> str:
        """A ticket with which the customer may re-authorise this connection once."""
        ticket = secrets.token_urlsafe(16)
        with self._lock:
            self._tickets[ticket] = (project, connection_id)
        return ticket

    def redeem(self, ticket: str) -> tuple[str, str] | None:
        """The project and connection that an unused ticket stands for."""
        with self._lock:
            return self._tickets.pop(ticket, None)
