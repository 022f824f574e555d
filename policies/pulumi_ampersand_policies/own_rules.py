"""Rules of a user's own, for the commands that list rules and check configurations."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from pulumi_ampersand_policies.rule import Rule
from pulumi_ampersand_policies.rules import RULES

_HINT: Final = "'--own'"

_C = TypeVar("_C", bound=Callable[..., Any])


def own_rules_option(command: _C) -> _C:
    """Give a command the option ``--own MODULE:NAME``, which it takes as ``rules``: ours and the user's."""
    return click.option(
        "--own",
        "rules",
        metavar="MODULE:NAME",
        callback=lambda _context, _option, value: rules_with(value),
        help="Rules of your own, a list in a module of this folder: own_rules:OWN_RULES.",
    )(command)


def rules_with(own: str | None) -> tuple[Rule[Any], ...]:
    """Our rules and those that a name leads to.

    Args:
        own: A module and the name of a sequence of rules in it, with a colon between them.

    Raises:
        click.BadParameter: It doesn't lead to rules.
    """
    if own is None:
        return RULES
    module, _, name = own.partition(":")
    sys.path.insert(0, "")
    try:
        found = tuple(getattr(importlib.import_module(module), name))
    except Exception as error:  # noqa: BLE001 - importing runs what others wrote
        message = f"{own} can't be loaded: {type(error).__name__}: {error}"
        raise click.BadParameter(message, param_hint=_HINT) from None
    if not all(isinstance(rule, Rule) for rule in found):
        raise click.BadParameter(f"{own} holds more than rules", param_hint=_HINT)
    return (*RULES, *found)
