"""Reading what a command was asked to judge."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from pulumi_ampersand.errors import SettingsError
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies import configuration as policy_configuration
from pulumi_ampersand_policies.audit import Part
from pulumi_ampersand_policies.config_command import read
from pulumi_ampersand_policies.configuration import Configuration
from pulumi_ampersand_policies.evaluation import judge
from pulumi_ampersand_policies.options import EXIT_WRONG, Request, say
from pulumi_ampersand_policies.own_rules import rules_with
from pulumi_ampersand_policies.progress import Progress
from pulumi_ampersand_policies.report import Source, count
from pulumi_ampersand_policies.sources import Api, Filters, from_file, from_stack


@dataclass(frozen=True)
class Asked:
    """What a command was asked to judge, and how.

    Attributes:
        request: The request.
        configuration: The rules, their levels and options.
        as_of: The time to judge by.
    """

    request: Request
    configuration: Configuration
    as_of: datetime

    @classmethod
    def of(cls, request: Request) -> Asked:
        """What a request comes to; ends the program if its configuration is wrong.

        Raises:
            click.BadParameter: Its own rules can't be loaded.
        """
        rules = rules_with(request.own)
        chosen = policy_configuration.default(rules) if request.config is None else read(request.config, rules)
        if request.no_waivers:
            chosen = replace(chosen, waivers=False)
        return cls(request, chosen, request.as_of or datetime.now(timezone.utc))

    def read(self, *, judging: bool = False) -> list[Part]:
        """Read all sources; ends the program if what was asked for makes no sense.

        Args:
            judging: Whether they will be judged by the configuration at its time, which can begin at once.
        """
        request = self.request
        filters = Filters(request.provider, request.group_ref, request.consumer_ref)
        total = None if request.all_projects else len(request.projects) + len(request.inputs) + len(request.stacks)
        with Progress("Reading connections", total, shown=not request.quiet) as progress:

            def done(source: Source) -> None:
                read = f"{source.kind.value} {source.name}: {count(source.connections, 'connection')}, {source.status}"
                progress.step(one_line(read) if request.verbose else "")

            try:
                filters.checked()
                parts = []
                if request.projects or request.all_projects:
                    api = Api(os.environ, filters, request.details, done)
                    parts += api.read(request.projects, every=request.all_projects)
                # Rules of a user's own may take connections for the dictionaries that they are elsewhere.
                by_rules = request.own is None
                judge_now = functools.partial(judge, configuration=self.configuration, now=self.as_of)
                read_file = functools.partial(
                    from_file,
                    for_rules=by_rules,
                    judge=judge_now if by_rules and judging and total == 1 else None,
                    compares=any(active.rule.whole for active in self.configuration.rules),
                )
                for names, read_one in ((request.inputs, read_file), (request.stacks, from_stack)):
                    for name in names:
                        parts.append(read_one(name, filters))
                        done(parts[-1].source)
            except SettingsError as error:
                say(f"Error: {error}")
                raise SystemExit(EXIT_WRONG) from None
        return parts
