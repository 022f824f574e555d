"""The rules, one module each. This list is the only one: packs, reports and documentation follow it."""

from __future__ import annotations

from typing import Any, Final

from pulumi_ampersand_policies.rule import Rule
from pulumi_ampersand_policies.rules import (
    no_bad_credentials,
    readable_connections,
    required_scopes,
    token_expiry,
    verifiable_connections,
)

RULES: Final[tuple[Rule[Any], ...]] = (
    no_bad_credentials.RULE,
    required_scopes.RULE,
    token_expiry.RULE,
    verifiable_connections.RULE,
    readable_connections.RULE,
)
