"""The user's own Pulumi command line, run by commands."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from shutil import which

from pulumi_ampersand.terminal import one_line


class PulumiError(Exception):
    """Why it gave nothing, a clause on one line that is safe on a terminal."""


def pulumi(command: Sequence[str], *options: str, seconds: float) -> bytes:
    """What it writes to standard output.

    Args:
        command: The words of the command, named in errors.
        options: What follows them.
        seconds: How long it may take.

    Raises:
        PulumiError: There is none, or it fails.
    """
    program, name = which("pulumi"), " ".join(("pulumi", *command))
    if program is None:
        raise PulumiError("pulumi isn't on PATH; run: pulumi-ampersand doctor")
    try:
        done = subprocess.run(  # noqa: S603 - what it runs is the user's own pulumi
            [program, *command, "--non-interactive", *options],
            capture_output=True,
            check=False,
            env={"PULUMI_SKIP_UPDATE_CHECK": "1", **os.environ},
            stdin=subprocess.DEVNULL,
            timeout=seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PulumiError(f"{name} failed: {one_line(str(error), 200)}") from None
    if done.returncode:
        said = one_line(done.stderr.decode("utf-8", "replace"), 300)
        raise PulumiError(f"{name} failed: {said or f'exit code {done.returncode}'}")
    return done.stdout
