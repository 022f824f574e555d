"""What commands that judge connections have in common: which connections, by which rules, at what time."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from io import IOBase
from typing import Any, Final, TextIO, TypeVar

import click

from pulumi_ampersand.arguments import nearest
from pulumi_ampersand.errors import SettingsError
from pulumi_ampersand.model import parse_time
from pulumi_ampersand.settings import DETAILS, Details
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies import configuration as policy_configuration
from pulumi_ampersand_policies.audit import Part
from pulumi_ampersand_policies.config_command import EXIT_WRONG, read
from pulumi_ampersand_policies.configuration import Configuration
from pulumi_ampersand_policies.own_rules import own_rules_option
from pulumi_ampersand_policies.progress import Progress
from pulumi_ampersand_policies.report import Source, count
from pulumi_ampersand_policies.rule import Rule
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.sources import STANDARD_INPUT, Api, Filters, from_file, from_stack

EXIT_INCOMPLETE: Final = 3
"""The exit code where something could not be read or written, or a rule crashed."""

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
        text = str(value)
        at = parse_time(f"{text}T00:00:00Z" if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else text)
        if at is None:
            self.fail(f'"{text}" is no time: write 2026-11-24T08:00:00Z, or 2026-11-24', param, ctx)
        return at


@dataclass(frozen=True)
class Asked:
    """What a command was asked to judge, and how.

    Attributes:
        projects: Projects of the API, ID or name.
        all_projects: Whether to read all projects that the key can read.
        inputs: Files.
        stacks: Stacks.
        filters: Which of their connections.
        details: See `pulumi_ampersand.settings.Details`.
        configuration: The rules, their levels and options.
        own_rules: Whether some of them are the user's own.
        as_of: The time to judge by.
        quiet: Whether to say nothing but errors on standard error.
        verbose: Whether to say there what was read.
    """

    projects: tuple[str, ...]
    all_projects: bool
    inputs: tuple[str, ...]
    stacks: tuple[str, ...]
    filters: Filters
    details: Details
    configuration: Configuration
    own_rules: bool
    as_of: datetime
    quiet: bool
    verbose: bool

    def read(self) -> list[Part]:
        """Read all sources; ends the program if what was asked for makes no sense."""
        total = None if self.all_projects else len(self.projects) + len(self.inputs) + len(self.stacks)
        with Progress("Reading connections", total, shown=not self.quiet) as progress:

            def done(source: Source) -> None:
                read = f"{source.kind.value} {source.name}: {count(source.connections, 'connection')}, {source.status}"
                progress.step(one_line(read) if self.verbose else "")

            try:
                self.filters.checked()
                parts = []
                if self.projects or self.all_projects:
                    api = Api(os.environ, self.filters, self.details, done)
                    parts += api.read(self.projects, every=self.all_projects)
                # Rules of a user's own may take connections for the dictionaries that they are elsewhere.
                read_file = functools.partial(from_file, for_rules=not self.own_rules)
                for names, read_one in ((self.inputs, read_file), (self.stacks, from_stack)):
                    for name in names:
                        parts.append(read_one(name, self.filters))
                        done(parts[-1].source)
            except SettingsError as error:
                say(f"Error: {error}")
                raise SystemExit(EXIT_WRONG) from None
        return parts


def say(text: str) -> None:
    """Tell people something, on standard error."""
    click.echo(one_line(text), err=True)


def reading_options(command: _C) -> _C:
    """Give a command the options that say what to judge, which it takes as ``asked``."""

    @functools.wraps(command)
    def asking(  # noqa: PLR0913 - one parameter for each option
        *args: Any,
        projects: tuple[str, ...],
        all_projects: bool,
        inputs: tuple[str, ...],
        stacks: tuple[str, ...],
        provider: str | None,
        group_ref: str | None,
        consumer_ref: str | None,
        details: Details,
        file: TextIO | None,
        rules: Sequence[Rule[Any]],
        as_of: datetime | None,
        no_waivers: bool,
        quiet: bool,
        verbose: bool,
        **kwargs: Any,
    ) -> Any:
        if not (projects or all_projects or inputs or stacks):
            projects = tuple(filter(None, [os.environ.get("AMP_PROJECT", "").strip()]))
            if not projects:
                raise click.UsageError(
                    "nothing to judge: give --project, --all-projects, --input or --stack, or set AMP_PROJECT"
                )
        if "" in {*projects, *inputs, *stacks}:
            raise click.UsageError("a project, file or stack needs a name")
        # The one file that an option of the command itself opens.
        others = [value for value in kwargs.values() if isinstance(value, IOBase)]
        streams = [STANDARD_INPUT for stream in (file, *others) if getattr(stream, "name", "") == "<stdin>"]
        if [*inputs, *streams].count(STANDARD_INPUT) > 1:
            raise click.UsageError("standard input can be read once only: give the others as files")
        configuration = policy_configuration.default(rules) if file is None else read(file, rules)
        if no_waivers:
            configuration = replace(configuration, waivers=False)
        return command(
            *args,
            asked=Asked(
                projects,
                all_projects,
                inputs,
                stacks,
                Filters(provider, group_ref, consumer_ref),
                details,
                configuration,
                len(rules) > len(RULES),
                as_of or datetime.now(timezone.utc),
                quiet,
                verbose,
            ),
            **kwargs,
        )

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
            "file",
            type=click.File(encoding="utf-8"),
            metavar="FILE",
            help="The configuration, the file that --policy-pack-config takes; - is standard input. "
            '"config profile" prints one to start from.',
        ),
        own_rules_option,
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
