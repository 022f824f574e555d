"""How bad it is to break a rule, and what that does to a deployment."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Severity(str, Enum):
    """How bad it is when a rule is broken."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """A number that grows with the severity."""
        return _RANKS[self]


_RANKS: Final = {severity: rank for rank, severity in enumerate(Severity)}


class Enforcement(str, Enum):
    """What Pulumi does when a rule is broken: report it, stop the deployment, or not even look."""

    ADVISORY = "advisory"
    MANDATORY = "mandatory"
    DISABLED = "disabled"
