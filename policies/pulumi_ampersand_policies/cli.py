"""The command line, ``pulumi-ampersand``.

Each command lies in a module of its own that is imported when it is called: no command pays for another's libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from pulumi_ampersand._version import __version__

_COMMANDS: Final = {
    "config": (
        "pulumi_ampersand_policies.config_command:config",
        "Check and start configurations of the policy pack.",
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

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def main() -> None:
    """Ampersand connections in Pulumi: tools beside the data source and the policy pack."""
