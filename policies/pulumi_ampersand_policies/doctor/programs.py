"""Asking another program something, in bounded time."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pulumi_ampersand.terminal import one_line


class FailedError(Exception):
    """Why a program gave no answer; a clause."""


def answer(
    command: Sequence[str | Path], environ: Mapping[str, str], *, folder: Path | None = None, seconds: float
) -> str:
    """What a program writes to standard output.

    Args:
        command: The program and its arguments.
        environ: Its environment.
        folder: Where it runs; here, if none is given.
        seconds: How long it may take.

    Raises:
        FailedError: It doesn't start, doesn't end in time, or fails.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the user's own pulumi and Python
            command,
            capture_output=True,
            check=False,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise FailedError(f"doesn't answer within {seconds:g} s") from None
    except OSError as error:
        raise FailedError(f"can't be run: {error.strerror}") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise FailedError(f"fails: {one_line(lines[-1], 200) if lines else f'exit code {done.returncode}'}")
    return done.stdout.decode("utf-8", "replace").strip()
