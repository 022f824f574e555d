"""Running the application on uvicorn, in a thread, with quick starts and stops and with access to the connections."""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pulumi_ampersand.sandbox.app import WIRE
from pulumi_ampersand.sandbox.fault_answers import Application

_LONGEST_STOP = 2.0


class ServerThread:
    """Serves `application` on a socket that listens already, until `stop`.

    Args:
        application: the ASGI application.
        listener: the socket; it is closed at the end.

    Raises:
        Exception: the server could not start, for whatever reason the thread ended.
    """

    def __init__(self, application: Application, listener: socket.socket) -> None:
        config = uvicorn.Config(
            application,
            http=_Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            # uvicorn would tell of a client that goes away in the middle; that is an everyday thing here.
            log_level="critical",
            access_log=False,
            server_header=False,
        )
        self._server = _Server(config)
        self._listener = listener
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="pulumi-ampersand-sandbox", daemon=True)
        self._thread.start()
        self._server.ready.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Closes all connections and waits for the thread's end."""
        self._server.request_stop()
        self._thread.join(_LONGEST_STOP + 1)

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._listener]))
        except Exception as exc:  # noqa: BLE001 - whatever it is, the thread that waits has to hear of it
            self._failure = exc
        finally:
            self._listener.close()
            self._server.ready.set()


class _Wire:
    """The connection of a request, for faults that need more than HTTP."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def close(self) -> None:
        self._transport.close()

    def reset(self) -> None:
        # Closing with a linger time of zero makes the operating system send RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()


class _Protocol(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does so itself only on sockets that it has made; without, every answer waits 40 ms for an ACK.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # uvicorn hands a copy of this mapping to the application with each request.
        self.app_state = {**self.app_state, WIRE: _Wire(transport)}


class _Server(uvicorn.Server):
    """uvicorn's server looks ten times a second whether it should end, then waits for clients: here neither."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._ending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def request_stop(self) -> None:
        """Ends the server; may be called from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ending.set)

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.ready.set()
        while not self._ending.is_set():
            # Sets the Date header.
            await self.on_tick(0)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ending.wait(), 1)

    async def shutdown(self, sockets: Sequence[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        end = time.monotonic() + _LONGEST_STOP
        while (self.server_state.connections or self.server_state.tasks) and time.monotonic() < end:
            for connection in list(self.server_state.connections):
                transport: Any = connection.transport
                transport.abort()
            await asyncio.sleep(0.001)
