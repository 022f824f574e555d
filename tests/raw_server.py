"""A server that answers with given bytes, for what no well-behaved server sends."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

CERTIFICATE = Path(__file__).parent / "data" / "self-signed.pem"
"""The certificate, unknown to every client, that a server with ``tls`` shows, and its key."""

Answer = bytes | Callable[[socket.socket], object]


def answer(body: bytes, status: int = 200, content_type: str = "application/json", **headers: str) -> bytes:
    """A whole HTTP answer; underscores in the headers' names stand for hyphens."""
    fields = {"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode("latin-1") + body


class RawServer:
    """Gives each connection one answer, then closes it; use it as a context manager.

    Args:
        answers: Bytes to send, or what sends them; the last one answers all further connections.
        tls: Speak TLS, with a certificate that nobody knows.

    Attributes:
        url: The server's root.
        requests: The head of each request, as it came.
    """

    def __init__(self, *answers: Answer, tls: bool = False) -> None:
        self._answers = list(answers)
        self._context: ssl.SSLContext | None = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(CERTIFICATE)
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Closing alone doesn't wake a thread that waits for a connection.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # A client that goes away in the middle is an everyday thing here.
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                if self._context is None:
                    self._exchange(connection)
                else:
                    with self._context.wrap_socket(connection, server_side=True) as wrapped:
                        self._exchange(wrapped)

    def _exchange(self, connection: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            received = connection.recv(65536)
            if not received:
                return
            head += received
        self.requests.append(head.decode("latin-1"))
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(found, bytes):
            connection.sendall(found)
        else:
            found(connection)
        # Closing at once could reset the connection before the client has read all.
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
