"""The command ``pulumi-ampersand pack``."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from importlib.resources import files
from pathlib import Path

import click

from pulumi_ampersand._version import __version__
from pulumi_ampersand_policies.profiles import PROFILES, profile

_COPIED = ("__main__.py", "own_rules.py", "test_own_rules.py", "README.md")
# What publishing must not send: it sends all that git wouldn't ignore.
_IGNORED = ("__pycache__/", ".pytest_cache/", "venv/", ".venv/")


@click.group()
def pack() -> None:
    """Make a policy pack that runs these rules."""


@pack.command(short_help="Write a runnable policy pack.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--profile",
    "chosen",
    type=click.Choice(PROFILES),
    default="baseline",
    show_default=True,
    help="The configuration to start from.",
)
@click.option(
    "--virtualenv",
    metavar="PATH",
    help="The virtual environment that the pack runs in, relative to DIRECTORY, instead of the one of this command; "
    "pulumi install, in DIRECTORY, makes it from requirements.txt. What you publish needs one: venv.",
)
def init(directory: Path, chosen: str, virtualenv: str | None) -> None:
    """Write a runnable policy pack to DIRECTORY, which must be empty or not exist yet.

    It holds these rules, room for your own with a tested example, and a configuration. It runs in the Python
    environment that this command runs in, unless you name another.
    """
    texts = {name: (files("pulumi_ampersand_policies.pack_template") / name).read_text("utf-8") for name in _COPIED}
    texts["PulumiPolicy.yaml"] = _project(virtualenv)
    texts[".gitignore"] = "".join(f"{name}\n" for name in _IGNORED)
    texts["requirements.txt"] = f"pulumi-ampersand=={__version__}\n"
    texts["policy-config.json"] = profile(chosen)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise click.UsageError(f"{directory} isn't empty; name a folder that is empty or doesn't exist")
        for name, text in texts.items():
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{directory} can't be written: {error.strerror}") from None
    config = directory / "policy-config.json"
    arguments = shlex.join(["--policy-pack", str(directory), "--policy-pack-config", str(config)])
    click.echo(f"Wrote a policy pack. Run: pulumi preview {arguments}")
    if virtualenv is None and not _is_found():
        click.echo(
            f"It needs this Python, which isn't the one that Pulumi finds: set PULUMI_PYTHON_CMD={sys.executable}, "
            "or name a virtual environment with --virtualenv",
            err=True,
        )


def _project(virtualenv: str | None) -> str:
    """A pack's project file; YAML takes JSON as it is."""
    runtime: object = "python"
    if virtualenv is None and _in_virtualenv():
        # Named, so that the pack runs without the environment being activated.
        virtualenv = sys.prefix
    if virtualenv is not None:
        runtime = {"name": "python", "options": {"virtualenv": virtualenv}}
    lines = (
        f"runtime: {json.dumps(runtime, ensure_ascii=False)}",
        "description: Gates deployments on the health of Ampersand connections",
    )
    return "\n".join(lines) + "\n"


def _in_virtualenv() -> bool:
    return sys.prefix != sys.base_prefix


def _is_found() -> bool:
    """Whether Pulumi's Python host starts this interpreter without being told."""
    if _in_virtualenv():
        return True
    names = [os.environ["PULUMI_PYTHON_CMD"]] if "PULUMI_PYTHON_CMD" in os.environ else ["python3", "python"]
    command = next(filter(None, map(shutil.which, names)), None)
    if command is None or (Path(command).parent.parent / "pyvenv.cfg").exists():
        # A virtual environment's Python is the same file and finds other packages.
        return False
    return Path(command).resolve() == Path(sys.executable).resolve()
