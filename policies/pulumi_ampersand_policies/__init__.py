"""Rules for Ampersand connections: a Pulumi policy pack and an audit that say the same.

The folder's order is the data's way: an inventory (`pulumi_ampersand.inventory`) meets the rules (`rules`) under a
configuration (`configuration`), which gives findings (`evaluation`); `pack` shows them to Pulumi.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulumi_ampersand_policies.composition import policies

__all__ = ["policies"]


def __getattr__(name: str) -> Any:
    """Import the policy SDK only for those who compose a pack of their own: it costs as much as the rest together."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pulumi_ampersand_policies.composition import policies  # noqa: PLC0415 - likewise

    return policies
