"""The command line, ``pulumi-ampersand``.

Each command lies in a module of its own that is imported when it is called: no command pays for another's libraries.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from pulumi_ampersand._version import __version__
from pulumi_ampersand.arguments import nearest
from pulumi_ampersand.terminal import one_line

# Plugins of pydantic watch models. Looking for some takes a fifth of a command's start, and none has a part in this.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

_INTERRUPTED: Final = 128 + signal.SIGINT
_TERMINATED: Final = 128 + signal.SIGTERM
"""The exit codes after Ctrl-C and after SIGTERM, as shells have them."""

_SELDOM: Final = 100_000
"""New objects after which Python looks for cycles."""

_DEFECT: Final = 3
"""The exit code of an audit that could not be finished."""

_COMMANDS: Final = {
    "audit": (
        "pulumi_ampersand_policies.audit_command:audit",
        "Judge connections by the rules, without a deployment.",
    ),
    "completion": (
        "pulumi_ampersand_policies.completion_command:completion",
        "Print a shell's completion script.",
    ),
    "config": (
        "pulumi_ampersand_policies.config_command:config",
        "Check and start configurations of the policy pack.",
    ),
    "doctor": ("pulumi_ampersand_policies.doctor_command:doctor", "Find what is missing, and say what mends it."),
    "forecast": (
        "pulumi_ampersand_policies.forecast_command:forecast",
        "Say which connections will break which rule, and when.",
    ),
    "pack": ("pulumi_ampersand_policies.pack_command:pack", "Make a policy pack that runs these rules."),
    "plugin": (
        "pulumi_ampersand_policies.plugin_command:plugin",
        "Make the functions available to programs in every language.",
    ),
    "reauth": ("pulumi_ampersand_policies.reauth_command:reauth", "Make a link at which a customer authorises again."),
    "rules": ("pulumi_ampersand_policies.rules_command:rules", "List and explain the rules."),
    "sandbox": ("pulumi_ampersand.sandbox.command:sandbox", "Answer the Ampersand API's calls on this computer."),
}
"""Where each command is, and what it does, so that listing them imports none."""


class _TerminatedError(BaseException):
    """SIGTERM arrived: a CI job is cancelled, say. What is half-written has to go, which it doesn't by default."""


@contextmanager
def _terminating() -> Iterator[None]:
    def end(_number: int, _frame: object) -> None:
        raise _TerminatedError

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, hook = signal.signal(signal.SIGTERM, end), sys.unraisablehook
    sys.unraisablehook = _again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, before)


def _again(ignored: sys.UnraisableHookArgs) -> None:
    """Say once more what went unheard: Python ignores what is raised where it can't be handled, in a destructor say."""
    kind = ignored.exc_type
    if not issubclass(kind, KeyboardInterrupt | _TerminatedError) or not hasattr(signal, "setitimer"):
        sys.__unraisablehook__(ignored)
        return

    def say(_number: int, _frame: object) -> None:
        raise kind

    signal.signal(signal.SIGALRM, say)
    signal.setitimer(signal.ITIMER_REAL, 0.01)


class _Commands(click.Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        commands = [
            CompletionItem(name, help=summary)
            for name, (_, summary) in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        # The group's own would import each command for its summary.
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            known = ", ".join(_COMMANDS)
            ctx.fail(f'no command "{one_line(args[0])}"{nearest(args[0], list(_COMMANDS))}; the commands are {known}')
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _terminating():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            code = _INTERRUPTED
        except _TerminatedError:
            code = _TERMINATED
        except click.UsageError as error:
            # It may quote what was given, line ends included.
            raise click.UsageError(one_line(error.format_message()), error.ctx) from None
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except OSError as error:
            click.echo(f"Error: {one_line(str(error))}", err=True)
            raise SystemExit(_DEFECT) from None
        except Exception as error:  # noqa: BLE001 - a defect must not look like a verdict
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            click.echo(f"Error: {type(error).__name__} at {place}; please report this defect", err=True)
            raise SystemExit(_DEFECT) from None
        sys.stdout.flush()
        # Threads that wait for an answer would have to be waited for.
        os._exit(code)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def main() -> None:
    """Ampersand connections in Pulumi: tools beside the data source and the policy pack.

    \b
    Start with one of:
      pulumi-ampersand doctor
      pulumi-ampersand audit --project crm
      pulumi-ampersand sandbox --scenario mixed
    """  # noqa: D301 - click wants the character


def run() -> None:
    """The console script.

    Commands live shortly, so it leaves memory to the operating system: looking for what could be given back, and giving
    back a hundred thousand connections one by one, takes a tenth of an audit's time.
    """
    gc.set_threshold(_SELDOM)
    try:
        main()
    except SystemExit as end:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        if isinstance(end.code, int):
            # The exception holds on to all that the command made.
            os._exit(end.code)
        raise
