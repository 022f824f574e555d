"""What commands that judge connections can be given: which connections, by which rules, at what time.

This imports next to nothing, so that help is there at once, and what is given can be looked at before the rest is
imported.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TextIO, TypeVar

import click

from pulumi_ampersand.arguments import nearest
from pulumi_ampersand.settings import DETAILS, Details
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.severity import Severity

EXIT_WRONG: Final = 2
"""The exit code of wrong usage and wrong configuration."""

EXIT_INCOMPLETE: Final = 3
"""The exit code where something could not be read or written, or a rule crashed."""

STANDARD_INPUT: Final = "-"

SEVERITIES: Final = tuple(severity.value for severity in reversed(Severity))

_C = TypeVar("_C", bound=Callable[..., Any])


class Word(click.Choice):  # type: ignore[type-arg]  # generic in new versions of click only
    """One of some words; a mistake is answered with the nearest one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read an option's value."""
        if value not in self.choices:
            known = ", ".join(self.choices)
            self.fail(f'"{value}" is not one of {known}{nearest(str(value), self.choices)}', param, ctx)
        return str(value)


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """A time as RFC 3339 has it, or a day, which begins at midnight in UTC."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read an option's value."""
        if isinstance(value, datetime):
            return value
        from pulumi_ampersand.model import parse_time  # noqa: PLC0415 - see above

        text = str(value)
        at = parse_time(f"{text}T00:00:00Z" if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else text)
        if at is None:
            self.fail(f'"{text}" is no time: write 2026-11-24T08:00:00Z, or 2026-11-24', param, ctx)
        return at


@dataclass(frozen=True)
class Request:
    """What a command was asked to judge, and how, as it was given.

    Attributes:
        projects: Projects of the API, ID or name.
        all_projects: Whether to read all projects that the key can read.
        inputs: Files; `STANDARD_INPUT` is standard input.
        stacks: Stacks.
        provider: Only connections to this provider.
        group_ref: Only connections of this group.
        consumer_ref: Only connections of this consumer.
        details: See `pulumi_ampersand.settings.Details`.
        config: The configuration; None for the defaults.
        own: Where the user's own rules are.
        no_waivers: Whether to ignore all waivers.
        as_of: The time to judge by; None for now.
        quiet: Whether to say nothing but errors on standard error.
        verbose: Whether to say there what was read.
    """

    projects: tuple[str, ...]
    all_projects: bool
    inputs: tuple[str, ...]
    stacks: tuple[str, ...]
    provider: str | None
    group_ref: str | None
    consumer_ref: str | None
    details: Details
    config: TextIO | None
    own: str | None
    no_waivers: bool
    as_of: datetime | None
    quiet: bool
    verbose: bool

    @property
    def files(self) -> list[str]:
        """The files that are read."""
        config = getattr(self.config, "name", "")
        return [name for name in (*self.inputs, config) if name not in {"", STANDARD_INPUT}]

    @property
    def filters(self) -> dict[str, str]:
        """The filters that are given, by their names in the API."""
        given = {"provider": self.provider, "groupRef": self.group_ref, "consumerRef": self.consumer_ref}
        return {name: one_line(value) for name, value in given.items() if value is not None}


def say(text: str) -> None:
    """Tell people something, on standard error."""
    click.echo(one_line(text), err=True)


def reading_options(command: _C) -> _C:
    """Give a command the options that say what to judge, which it takes as ``request``."""

    @functools.wraps(command)
    def asking(**given: Any) -> Any:
        names = Request.__dataclass_fields__
        request = Request(**{name: given.pop(name) for name in names})
        if not (request.projects or request.all_projects or request.inputs or request.stacks):
            project = os.environ.get("AMP_PROJECT", "").strip()
            if not project:
                raise click.UsageError(
                    "nothing to judge: give --project, --all-projects, --input or --stack, or set AMP_PROJECT"
                )
            request = replace(request, projects=(project,))
        if request.quiet and request.verbose:
            raise click.UsageError("--quiet and --verbose contradict each other")
        if "" in {*request.projects, *request.inputs, *request.stacks}:
            raise click.UsageError("a project, file or stack needs a name")
        # Options of the command itself may open a file, too.
        opened = [value for value in (request.config, *given.values()) if getattr(value, "name", "") == "<stdin>"]
        if request.inputs.count(STANDARD_INPUT) + len(opened) > 1:
            raise click.UsageError("standard input can be read once only: give the others as files")
        return command(request=request, **given)

    options: list[Callable[[Any], Any]] = [
        click.option(
            "--project",
            "projects",
            multiple=True,
            metavar="P",
            help="A project of the API, ID or name; may be repeated.  [default: AMP_PROJECT]",
        ),
        click.option("--all-projects", is_flag=True, help="All projects that the API key can read."),
        click.option(
            "--input",
            "inputs",
            multiple=True,
            metavar="FILE",
            help="A saved answer of the API, what --save kept, or what pulumi stack export wrote; - is standard input; "
            "may be repeated.",
        ),
        click.option(
            "--stack",
            "stacks",
            multiple=True,
            metavar="NAME",
            help="A stack, read through pulumi stack export in this folder; may be repeated.",
        ),
        click.option("--provider", metavar="X", help="Only connections to this provider."),
        click.option("--group-ref", metavar="X", help="Only connections of this group."),
        click.option("--consumer-ref", metavar="X", help="Only connections of this consumer."),
        click.option(
            "--details",
            type=Word(DETAILS),
            default="auto",
            show_default=True,
            help="Whether to ask the API for connections one by one for what their list leaves out.",
        ),
        click.option(
            "--config",
            "config",
            type=click.File(encoding="utf-8"),
            metavar="FILE",
            help="The configuration, the file that --policy-pack-config takes; - is standard input. "
            '"config profile" prints one to start from.',
        ),
        click.option(
            "--own",
            metavar="MODULE:NAME",
            help="Rules of your own, a list in a module of this folder: own_rules:OWN_RULES.",
        ),
        click.option("--no-waivers", is_flag=True, help="Ignore all waivers."),
        click.option(
            "--as-of", type=Moment(), help="The time to judge by, 2026-11-24T08:00:00Z or 2026-11-24.  [default: now]"
        ),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors on standard error."),
        click.option("-v", "--verbose", is_flag=True, help="Say on standard error what was read."),
    ]
    for option in reversed(options):
        asking = option(asking)
    return asking  # type: ignore[return-value]
