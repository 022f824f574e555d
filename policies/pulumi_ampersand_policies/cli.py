"""The command line, ``pulumi-ampersand``.

Each command lies in a module of its own that is imported when it is called: no command pays for another's libraries.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, Final

import click

from pulumi_ampersand._version import __version__
from pulumi_ampersand.arguments import nearest
from pulumi_ampersand.terminal import one_line

_INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as shells have it: 128 and the signal's number."""

_COMMANDS: Final = {
    "audit": (
        "pulumi_ampersand_policies.audit_command:audit",
        "Judge connections by the rules, without a deployment.",
    ),
    "config": (
        "pulumi_ampersand_policies.config_command:config",
        "Check and start configurations of the policy pack.",
    ),
    "forecast": (
        "pulumi_ampersand_policies.forecast_command:forecast",
        "Say which connections will break which rule, and when.",
    ),
    "pack": ("pulumi_ampersand_policies.pack_command:pack", "Make a policy pack that runs these rules."),
    "reauth": ("pulumi_ampersand_policies.reauth_command:reauth", "Make a link at which a customer authorises again."),
    "rules": ("pulumi_ampersand_policies.rules_command:rules", "List and explain the rules."),
    "sandbox": ("pulumi_ampersand.sandbox.command:sandbox", "Answer the Ampersand API's calls on this computer."),
}
"""Where each command is, and what it does, so that listing them imports none."""


class _Commands(click.Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            known = ", ".join(_COMMANDS)
            ctx.fail(f'no command "{one_line(args[0])}"{nearest(args[0], list(_COMMANDS))}; the commands are {known}')
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            sys.stdout.flush()
            # Threads that wait for an answer would have to be waited for.
            os._exit(_INTERRUPTED)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def main() -> None:
    """Ampersand connections in Pulumi: tools beside the data source and the policy pack."""
