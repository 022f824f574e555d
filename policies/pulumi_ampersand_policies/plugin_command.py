"""The command ``pulumi-ampersand plugin``."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from shutil import which
from typing import Final

import click

from pulumi_ampersand._version import __version__
from pulumi_ampersand.settings import NAMESPACE
from pulumi_ampersand_policies.pulumi_cli import PulumiError, pulumi

_PROGRAM: Final = f"pulumi-resource-{NAMESPACE}"
_SECONDS: Final = 120


@click.group()
def plugin() -> None:
    """Make the functions available to programs in every language."""


@plugin.command(short_help="Install the provider plugin where Pulumi finds it.")
def install() -> None:
    """Install the provider plugin into Pulumi's plugin folder, in the place of an earlier one of this version.

    Programs in TypeScript, Go, YAML and other languages then use the package "ampersand". It runs in the Python
    environment that this command runs in, which needn't be activated; after an upgrade or a move of that environment,
    run this again.

    Make an SDK in the language of your program afterwards:

    \b
      pulumi package add ampersand
    """  # noqa: D301 - click wants the character
    program = _program()
    if program is None:
        raise click.ClickException(f"{_PROGRAM} isn't beside this command; install pulumi-ampersand anew")
    try:
        options = ("resource", NAMESPACE, __version__, "--file", program, "--reinstall")
        pulumi(("plugin", "install"), *options, seconds=_SECONDS)
    except PulumiError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"Installed the plugin {NAMESPACE} {__version__}. Make an SDK of it: pulumi package add {NAMESPACE}")


def _program() -> str | None:
    """The plugin that was installed with this command."""
    folders = (Path(sys.argv[0]).parent, Path(sysconfig.get_path("scripts")))
    return next(filter(None, (which(_PROGRAM, path=str(folder.absolute())) for folder in folders)), None)
