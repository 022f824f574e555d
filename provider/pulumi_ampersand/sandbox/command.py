"""The command ``pulumi-ampersand sandbox``.

Importing this module needs no web server, so that the command line can list the command where the extra is not
installed.
"""

import contextlib
import shlex
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from pulumi_ampersand.sandbox.data import Project
from pulumi_ampersand.sandbox.errors import SandboxError
from pulumi_ampersand.sandbox.faults import DESCRIPTIONS
from pulumi_ampersand.sandbox.scenarios import DEFAULT_COUNT, SCENARIOS
from pulumi_ampersand.sandbox.server import DEFAULT_SCENARIO, Sandbox
from pulumi_ampersand.sandbox.state import DEFAULT_API_KEY
from pulumi_ampersand.whole_file import whole_file


class _FailedError(click.ClickException):
    """Shown as one line; the command line's exit status for wrong usage."""

    exit_code = 2


class _SandboxCommand(click.Command):
    """The help of this command ends with the list of faults."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes how a fault is written, and all of them."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Faults"):
            formatter.write_text(
                "NAME[:VALUE][,OPTION=VALUE]...[@KIND], for example 429:2, 503@list, slow:0.5 or 401,after=3@one. "
                "':N', or for every fault 'times=N', limits it to N requests; 'after=N' lets N requests pass first; "
                "'@KIND' limits it to one call: list, one, projects or reauth. The first fault that applies to a "
                "request answers it."
            )
            formatter.write_dl(list(DESCRIPTIONS.items()))


@click.command(cls=_SandboxCommand)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="Port; 0: any free one.")
@click.option(
    "--scenario",
    metavar="NAME",
    help=f"Named data set: {', '.join(SCENARIOS)}. Default, unless --data is given: {DEFAULT_SCENARIO}.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON array of connections to serve, as the API lists them. Times may count from the start: @now+3d.",
)
@click.option("--count", type=int, metavar="N", help=f"Connections in the scenario large. Default: {DEFAULT_COUNT}.")
@click.option("--broken", type=int, default=0, metavar="N", help="How many of those have bad credentials. Default: 0.")
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="What goes wrong; see Faults. Repeatable.")
@click.option("--api-key", default=DEFAULT_API_KEY, show_default=True, help="Key that requests must send.")
@click.option(
    "--project",
    "projects",
    multiple=True,
    metavar="[ID=]NAME",
    help="Project to serve the connections under. Repeatable. Default: quickstart.",
)
@click.option(
    "--list-credentials/--no-list-credentials",
    default=True,
    show_default=True,
    help="Whether lists include OAuth credentials; without, they must be asked for one connection at a time.",
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the URL to this file as soon as requests are answered; it is removed at the end.",
)
def sandbox(  # noqa: PLR0913 - one parameter for each option
    *,
    host: str,
    port: int,
    scenario: str | None,
    data: Path | None,
    count: int | None,
    broken: int,
    faults: tuple[str, ...],
    api_key: str,
    projects: tuple[str, ...],
    list_credentials: bool,
    ready_file: Path | None,
) -> None:
    """Answer the Ampersand API's calls on this computer, with made-up connections, until interrupted.

    Prints the environment variables that lead pulumi-ampersand here.
    """
    try:
        server = Sandbox(
            scenario,
            data=data,
            projects=[Project.parse(text) for text in projects] or None,
            api_key=api_key,
            list_credentials=list_credentials,
            faults=faults,
            host=host,
            port=port,
            count=count,
            broken=broken,
        )
        with _signals() as ending, server, _announced(server, ready_file):
            # With a limit, because on Windows a wait without one can't be interrupted.
            while not ending.wait(1):
                pass
    except SandboxError as exc:
        raise _FailedError(str(exc)) from exc


@contextlib.contextmanager
def _announced(server: Sandbox, ready_file: Path | None) -> Iterator[None]:
    """Tells where the sandbox is, and that it is there."""
    names = ", ".join(project.name for project in server.projects)
    click.echo(f"# Sandbox on {server.url}, {len(server.connections)} connections in project {names}; Ctrl-C ends it.")
    for name, value in server.environment.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    if ready_file is None:
        yield
        return
    try:
        with whole_file(ready_file) as file:
            file.write(f"{server.url}\n".encode())
    except OSError as exc:
        raise _FailedError(f"--ready-file {ready_file}: can't be written: {exc.strerror}") from exc
    try:
        yield
    finally:
        ready_file.unlink(missing_ok=True)


@contextlib.contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, instead of ending the process."""
    ending = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ending.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
