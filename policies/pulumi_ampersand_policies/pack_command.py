"""The command ``pulumi-ampersand pack``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

_MAIN = '''"""A policy pack with the rules of pulumi-ampersand."""

from pulumi_ampersand_policies.pack import serve

serve()
'''


@click.group()
def pack() -> None:
    """Make a policy pack that runs these rules."""


@pack.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def init(directory: Path) -> None:
    """Write a runnable policy pack to DIRECTORY, which must be empty or not exist yet.

    The pack runs in the Python environment that this command runs in.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise click.UsageError(f"{directory} isn't empty; name a folder that is empty or doesn't exist")
        (directory / "PulumiPolicy.yaml").write_text(_project(), encoding="utf-8")
        (directory / "__main__.py").write_text(_MAIN, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{directory} can't be written: {error.strerror}") from None
    click.echo(f"Wrote a policy pack. Run: pulumi preview --policy-pack {directory}")


def _project() -> str:
    """A pack's project file; YAML takes JSON as it is."""
    runtime: object = "python"
    if sys.prefix != sys.base_prefix:
        # Named, so that the pack runs without the environment being activated.
        runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
    lines = (
        f"runtime: {json.dumps(runtime)}",
        "description: Gates deployments on the health of Ampersand connections",
    )
    return "\n".join(lines) + "\n"
