"""The command ``pulumi-ampersand config``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, TextIO

import click

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.configuration import Configuration, ConfigurationError, parse
from pulumi_ampersand_policies.options import EXIT_WRONG
from pulumi_ampersand_policies.own_rules import own_rules_option
from pulumi_ampersand_policies.profiles import PROFILES, profile
from pulumi_ampersand_policies.rule import Rule


@click.group()
def config() -> None:
    """Check and start configurations of the policy pack, which the audit reads, too."""


@config.command()
@own_rules_option
def schema(rules: Sequence[Rule[Any]]) -> None:
    """Print the JSON Schema of a configuration file, for editors."""
    from pulumi_ampersand_policies.configuration_schema import schema as made  # noqa: PLC0415 - takes its time

    click.echo(json.dumps(made(rules), indent=2))


@config.command(name="profile")
@click.argument("name", type=click.Choice(PROFILES))
def profile_(name: str) -> None:
    """Print the ready configuration NAME.

    baseline stops deployments on what is broken now and reports everything else; strict stops them on everything and
    fails closed; soc2 is baseline, stops them on what SOC 2's criteria ask for, too, and fails closed.
    """
    click.echo(profile(name), nl=False)


@config.command(short_help="Check a configuration.")
@click.argument("file", type=click.File(encoding="utf-8"))
@own_rules_option
def check(file: TextIO, rules: Sequence[Rule[Any]]) -> None:
    """Check the configuration in FILE (- for standard input) and list what it makes of the rules.

    Exit code 2 if something isn't allowed: each mistake is one line on standard error.
    """
    configuration = read(file, rules)
    for line in summary(configuration, rules):
        click.echo(line)
    today = datetime.now(timezone.utc).date()
    for active in configuration.rules:
        for number, waiver in enumerate(getattr(active.options, "waivers", ())):
            if not waiver.waives(today):
                click.echo(f"{active.rule.id}: waivers[{number}] expired after {waiver.expires}: it waives nothing")


def read(file: TextIO, rules: Sequence[Rule[Any]]) -> Configuration:
    """The configuration in a file; ends the program with a line for each mistake if it is wrong."""
    try:
        return parse(file.read(), file.name, rules)
    except UnicodeDecodeError:
        problems: tuple[str, ...] = (f"{file.name} is no UTF-8 text",)
    except OSError as error:
        problems = (f"{file.name} can't be read: {error.strerror}",)
    except ConfigurationError as error:
        problems = error.problems
    for problem in problems:
        click.echo(one_line(problem), err=True)
    raise SystemExit(EXIT_WRONG)


def summary(configuration: Configuration, rules: Sequence[Rule[Any]]) -> list[str]:
    """A line for each rule: its level, or why it isn't evaluated."""
    states = {active.rule.id: active.enforcement.value for active in configuration.rules} | {
        inactive.rule.id: f"inactive: {inactive.reason}" for inactive in configuration.inactive
    }
    width = max(map(len, states))
    ignored = [] if configuration.waivers else ["all waivers are ignored"]
    return [f"{rule.id:{width}}  {states[rule.id]}" for rule in rules] + ignored
