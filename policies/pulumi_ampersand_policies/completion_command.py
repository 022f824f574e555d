"""The command ``pulumi-ampersand completion``."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Final

import click
from click.shell_completion import ShellComplete, get_completion_class

from pulumi_ampersand.arguments import nearest
from pulumi_ampersand.terminal import one_line

_PROGRAM: Final = "pulumi-ampersand"
_VARIABLE: Final = "_PULUMI_AMPERSAND_COMPLETE"
"""The environment variable by which a shell asks for completions; click derives it from the program's name."""

_SHELLS: Final = ("bash", "zsh", "fish")
_NEW_ENOUGH: Final = """\
if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
    echo "{program}: completion needs bash 4.4 or newer, this is $BASH_VERSION" >&2
else
{script}
fi
"""
"""The shell that runs a script is the one whose version counts, not the one on PATH, which click would start."""


def _shells(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in _SHELLS if name.startswith(incomplete)]


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", required=False, metavar="[bash|zsh|fish]", shell_complete=_shells)
@click.pass_context
def completion(context: click.Context, shell: str | None) -> None:
    """Print the completion script of a shell, by default of the one in SHELL.

    It completes commands, options, formats, rules, profiles and files with the TAB key. To install it, run once:

    \b
      bash (4.4 or newer):
        echo 'eval "$(pulumi-ampersand completion bash)"' >> ~/.bashrc
      zsh:
        echo 'eval "$(pulumi-ampersand completion zsh)"' >> ~/.zshrc
      fish:
        pulumi-ampersand completion fish \\
          > ~/.config/fish/completions/pulumi-ampersand.fish

    Then start a new shell. In zsh, the line has to come after the one that runs compinit.
    """  # noqa: D301 - click wants the character
    wanted = shell or PurePath(os.environ.get("SHELL", "")).name
    if wanted not in _SHELLS:
        known = f"{', '.join(_SHELLS[:-1])} or {_SHELLS[-1]}"
        said = f'"{one_line(wanted, 50)}"{nearest(wanted, _SHELLS) if shell else ""}' if wanted else "SHELL isn't set"
        raise click.UsageError(f"no completion for this shell: {said}; give {known}")
    click.echo(_script(context.find_root().command, wanted), nl=False)


def _script(program: click.Command, shell: str) -> str:
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"this version of click knows no {shell}; run: pip install --upgrade click")
    # Without the class's own check, which starts the bash on PATH.
    script = ShellComplete.source(kind(program, {}, _PROGRAM, _VARIABLE))
    return _NEW_ENOUGH.format(program=_PROGRAM, script=script) if shell == "bash" else script
