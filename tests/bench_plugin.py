"""The benchmark of the provider plugin's start: until the engine has its port, in fresh processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench_measure import Bench, Kind, Row, by_itself, in_turns, timed

OURS: Final = "start of the plugin, `pulumi-resource-ampersand`"
EMPTY: Final = "a plugin in Python that does nothing"

EMPTY_PLUGIN: Final = """
from concurrent import futures
import grpc
from pulumi.runtime.proto import ResourceProviderServicer, provider_pb2_grpc

server = grpc.server(futures.ThreadPoolExecutor())
provider_pb2_grpc.add_ResourceProviderServicer_to_server(ResourceProviderServicer(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
"""


def rows(bench: Bench) -> Iterator[Row]:
    """Measure, and give the rows."""
    commands = {
        OURS: [str(Path(sys.executable).with_name("pulumi-resource-ampersand"))],
        EMPTY: [sys.executable, "-c", EMPTY_PLUGIN],
    }
    actions = {name: partial(_start, command) for name, command in commands.items()}
    for action in () if bench.quick else actions.values():
        action()  # compiles what wasn't yet, and reads it from the disk
    taken = in_turns(actions, quick=bench.quick, most=25, seconds=20)
    yield timed(OURS, taken[OURS], EMPTY, taken[EMPTY], kind=Kind.LIMIT)


def _start(command: Sequence[str]) -> None:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = process.stdout.readline() if process.stdout else ""
        finally:
            process.kill()
    if not port.strip().isdigit():
        raise ValueError(f"{command[0]} gave no port but {port!r}")


if __name__ == "__main__":
    by_itself(rows)
