"""The command ``pulumi-ampersand rules``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

import click

from pulumi_ampersand.arguments import nearest
from pulumi_ampersand_policies import configuration as policy_configuration
from pulumi_ampersand_policies.config_command import read
from pulumi_ampersand_policies.documentation import page
from pulumi_ampersand_policies.own_rules import own_rules_option
from pulumi_ampersand_policies.rule import Rule
from pulumi_ampersand_policies.rules import RULES


@click.group(invoke_without_command=True)
@click.option("--config", "file", type=click.File(encoding="utf-8"), help="The configuration to list them under.")
@own_rules_option
@click.pass_context
def rules(context: click.Context, file: TextIO | None, rules: Sequence[Rule[Any]]) -> None:
    """List the rules: their level, severity and whether they are active.

    "rules show ID" explains one: what breaks it, its options, how to mend it, and which controls ask for it.
    """
    context.obj = rules
    if context.invoked_subcommand is not None:
        return
    chosen = policy_configuration.default(rules) if file is None else read(file, rules)
    levels = {active.rule.id: active.enforcement.value for active in chosen.rules}
    reasons = {inactive.rule.id: inactive.reason for inactive in chosen.inactive}
    width = max(len(rule.id) for rule in rules)
    for rule in rules:
        reason = reasons.get(rule.id)
        level = levels.get(rule.id, "inactive")
        note = f" ({reason})" if reason else ""
        click.echo(f"{rule.id:{width}}  {level:9}  {rule.severity.value:8}  {rule.title}{note}")


def _ids(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The rules' IDs that begin with what is typed, for a shell."""
    known = (context.parent.params.get("rules") if context.parent else None) or RULES
    return [rule.id for rule in known if rule.id.startswith(incomplete)]


@rules.command()
@click.argument("rule_id", metavar="ID", shell_complete=_ids)
@click.pass_obj
def show(rules: Sequence[Rule[Any]], rule_id: str) -> None:
    """Explain the rule ID, in Markdown."""
    found = next((rule for rule in rules if rule.id == rule_id), None)
    if found is None:
        names = [rule.id for rule in rules]
        raise click.UsageError(f'no rule "{rule_id}"{nearest(rule_id, names)}; the rules are {", ".join(names)}')
    click.echo(page(found), nl=False)
