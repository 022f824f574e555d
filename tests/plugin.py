"""Plugins as the engine runs them: a process that prints a port and then answers gRPC calls on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import struct_pb2
from pulumi.runtime.rpc import UNKNOWN

__all__ = ["UNKNOWN", "Plugin", "secret", "struct"]

_PATIENCE = 20
"""Seconds after which a plugin that doesn't end fails its test."""

_LIFETIME = 120
"""Seconds after which a plugin is killed, so that one that doesn't answer fails its test, too."""


class Plugin:
    """A plugin's process, alone in a process group, and a channel to it.

    Args:
        module: What Python runs.
        arguments: Its arguments.
        folder: Its working directory.
        environment: Its environment, besides PATH.
    """

    def __init__(self, module: str, *arguments: str, folder: Path, **environment: str) -> None:
        # The SDK waits without a limit: a signal that comes just as its main thread falls asleep is seen with the next
        # one. Of providers interrupted at once, one in some dozens slept on. Our own server wakes by itself.
        self._interruptions = 4 if module == "pulumi.dynamic" else 1
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", module, *arguments],
            cwd=folder,
            env={"PATH": os.environ["PATH"], **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._watchdog = threading.Timer(_LIFETIME, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.strip().isdigit():
            self._watchdog.cancel()
            self._process.kill()
            raise AssertionError(f"no port but {line!r}: {self._process.communicate()[1]}")
        # The engine takes and sends up to 400 MiB.
        limits = [(f"grpc.max_{way}_message_length", 400 * 1024 * 1024) for way in ("receive", "send")]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{int(line)}", options=limits)

    @property
    def process_id(self) -> int:
        """The process."""
        return self._process.pid

    def stop(self) -> str:
        """Interrupt it, as the engine and a terminal do; return what it wrote besides the port.

        The process must end by itself, without an error, and leave no other process behind.
        """
        self.channel.close()
        try:
            out, err = self._interrupt(self._interruptions)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        finally:
            self._watchdog.cancel()
        assert self._process.returncode in {0, -signal.SIGINT}, err
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return out + err
        raise AssertionError("it left a process behind")

    def _interrupt(self, times: int) -> tuple[str, str]:
        """Interrupt it so often at the most; return both streams."""
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.communicate(timeout=_PATIENCE / self._interruptions)
        except subprocess.TimeoutExpired:
            if times == 1:
                raise
            return self._interrupt(times - 1)


def struct(properties: dict[str, Any]) -> struct_pb2.Struct:
    """A resource's properties as they travel."""
    message = struct_pb2.Struct()
    message.update(properties)
    return message


def secret(value: Any) -> dict[str, Any]:
    """A secret value as it travels."""
    return {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": value}
